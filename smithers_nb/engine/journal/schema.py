"""The tables of the journal: Smithers' own names and columns, so whatever reads a Smithers store reads a journal.

What Smithers keeps elsewhere (outputs in a table per schema, executions and workers nowhere) has tables with the prefix
`_smithers_nb_`. The database itself refuses a failure without a reason and a change of the log: `CHECK` constraints stand here,
triggers in `triggers`, and both are created by the migrations.
"""

from __future__ import annotations

import re
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

metadata = sa.MetaData()

POSTGRES_SCHEMA: Final = "smithers_nb"
"""Schema of the journal in a Postgres database; SQLite has none."""


_UNFIT: Final = re.compile("[\ud800-\udfff\0]")


class Words(sa.types.TypeDecorator[str]):
    """Text as both databases can keep it: half characters and NUL, which labels of a notebook may have, become U+FFFD."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Make a value fit."""
        del dialect
        return fit(value) if value else value


def fit(text: str) -> str:
    """Return a text as `Words` keeps it."""
    return text if text.isascii() and "\0" not in text else _UNFIT.sub("\ufffd", text)


class json_text(GenericFunction[str]):  # noqa: N801  # written like the SQL function it is
    """A text field of a JSON column: `json_text(column, 'code')`."""

    inherit_cache = True
    type = sa.Text()


@compiles(json_text, "sqlite")
def _in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, key = element.clauses
    return f"json_extract({compiler.process(column, **options)}, '$.{key.value}')"


@compiles(json_text, "postgresql")
def _in_postgres(element: Any, compiler: Any, **options: Any) -> str:
    column, key = element.clauses
    return f"({compiler.process(column, **options)}::json ->> '{key.value}')"


def _given(column: sa.Column[Any], key: str) -> sa.ColumnElement[bool]:
    # a CHECK whose condition is NULL holds, so a missing field has to become a number first
    return sa.func.coalesce(sa.func.length(json_text(column, sa.literal(key))), 0) > 0


def _reasoned(name: str, state: sa.Column[Any], error: sa.Column[Any]) -> sa.CheckConstraint:
    """A failed row says what failed and why."""
    return sa.CheckConstraint(sa.or_(state != "failed", sa.and_(_given(error, "code"), _given(error, "message"))), name=name)


def _text(name: str, *, key: bool = False, required: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Words, primary_key=key, nullable=not (key or required))


def _number(name: str, *, key: bool = False, required: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=not (key or required), server_default=default, autoincrement=False)


def _of_run() -> sa.Column[Any]:
    return sa.Column("run_id", Words, sa.ForeignKey("_smithers_runs.run_id"), primary_key=True)


def _of_node() -> tuple[sa.Column[Any], ...]:
    return _of_run(), _text("node_id", key=True), _number("iteration", key=True, default="0")


runs = sa.Table(
    "_smithers_runs",
    metadata,
    _text("run_id", key=True),
    _text("parent_run_id"),
    _text("workflow_name", required=True),
    _text("workflow_path"),
    _text("workflow_hash"),
    status := _text("status", required=True),
    _number("created_at_ms", required=True),
    _number("started_at_ms"),
    _number("finished_at_ms"),
    _number("heartbeat_at_ms"),
    _text("runtime_owner_id"),
    _number("cancel_requested_at_ms"),
    _text("vcs_root"),
    _text("vcs_revision"),
    run_error := _text("error_json"),
    _text("config_json"),
    _reasoned("failed_run_has_a_reason", status, run_error),
    sa.Index("runs_by_status", "status"),
)

nodes = sa.Table(
    "_smithers_nodes",
    metadata,
    *_of_node(),
    _text("state", required=True),
    _number("last_attempt"),
    _number("updated_at_ms", required=True),
    _text("output_table", required=True),
    _text("label"),
)

attempts = sa.Table(
    "_smithers_attempts",
    metadata,
    *_of_node(),
    _number("attempt", key=True),
    attempt_state := _text("state", required=True),
    _number("started_at_ms", required=True),
    _number("finished_at_ms"),
    _number("heartbeat_at_ms"),
    attempt_error := _text("error_json"),
    _text("response_text"),
    _number("cached", default="0"),
    _text("meta_json"),
    _reasoned("failed_attempt_has_a_reason", attempt_state, attempt_error),
)

events = sa.Table(
    "_smithers_events",
    metadata,
    _of_run(),
    _number("seq", key=True),
    _number("timestamp_ms", required=True),
    event_type := _text("type", required=True),
    payload := _text("payload_json", required=True),
    sa.CheckConstraint(
        sa.or_(
            event_type.not_in(["RunFailed", "NodeFailed"]), sa.func.coalesce(sa.func.length(json_text(payload, sa.literal("error"))), 0) > 0
        ),
        name="failure_event_has_a_reason",
    ),
)

approvals = sa.Table(
    "_smithers_approvals",
    metadata,
    *_of_node(),
    _text("status", required=True),
    _number("requested_at_ms"),
    _number("decided_at_ms"),
    _text("note"),
    _text("decided_by"),
    _text("request_json"),
    _text("decision_json"),
    _number("auto_approved", required=True, default="0"),
)

questions = sa.Table(
    "_smithers_human_requests",
    metadata,
    _text("request_id", key=True),
    sa.Column("run_id", Words, sa.ForeignKey("_smithers_runs.run_id"), nullable=False),
    _text("node_id", required=True),
    _number("iteration", required=True, default="0"),
    _text("kind", required=True),
    _text("status", required=True),
    _text("prompt", required=True),
    _text("schema_json"),
    _text("options_json"),
    _text("response_json"),
    _number("requested_at_ms", required=True),
    _number("answered_at_ms"),
    _text("answered_by"),
    _number("timeout_at_ms"),
)

diffs = sa.Table(
    "_smithers_node_diffs",
    metadata,
    *_of_node(),
    _text("base_ref", key=True),
    _text("diff_json", required=True),
    _number("computed_at_ms", required=True),
    _number("size_bytes", required=True),
)

scores = sa.Table(
    "_smithers_scorers",
    metadata,
    _text("id", key=True),
    sa.Column("run_id", Words, sa.ForeignKey("_smithers_runs.run_id"), nullable=False),
    _text("node_id", required=True),
    _number("iteration", required=True, default="0"),
    _number("attempt", required=True, default="0"),
    _text("scorer_id", required=True),
    _text("scorer_name", required=True),
    _text("source", required=True),
    sa.Column("score", sa.Double, nullable=False),
    _text("reason"),
    _number("scored_at_ms", required=True),
    sa.Column("duration_ms", sa.Double),
)

time_travel = sa.Table(
    "_smithers_time_travel_audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", Words, sa.ForeignKey("_smithers_runs.run_id"), nullable=False),
    _number("from_frame_no", required=True),
    _number("to_frame_no", required=True),
    _text("caller", required=True),
    _number("timestamp_ms", required=True),
    _text("result", required=True),
    _number("duration_ms"),
)

outputs = sa.Table("_smithers_nb_outputs", metadata, *_of_node(), _text("schema_name", required=True), _text("row_json", required=True))
"""What nodes produced, one validated row each; a run's input has the node id `input`."""

requests = sa.Table(
    "_smithers_nb_requests",
    metadata,
    *_of_node(),
    _text("digest", required=True),
    _text("asked_json", required=True),
    _text("earlier_json", required=True),
)
"""What each gate and question asks now, the digest of what a decision is bound to, and earlier versions with what was said to them."""

executions = sa.Table(
    "_smithers_nb_executions",
    metadata,
    _of_run(),
    _number("number", key=True),
    _text("owner"),
    _number("wanted_at_ms", required=True),
    _number("queued_at_ms"),
    _number("started_at_ms"),
    _number("starts", required=True, default="0"),
    _number("finished_at_ms"),
    _text("outcome"),
    _text("notebook"),
)
"""Every execution of a run's notebook: wanted, handed to the queue, begun (again after each crash: `starts`), and how it ended.

A row that is wanted and not queued yet is what workers hand to the durable engine, so that whatever wants an execution, such as a
decision, is one transaction with it. Outcomes: `finished`, `failed`, `parked`, `cancelled`, `superseded`, `lost`.
"""

workers = sa.Table(
    "_smithers_nb_workers",
    metadata,
    _text("owner", key=True),
    _text("host", required=True),
    _number("pid", required=True),
    _number("started_at_ms", required=True),
    _number("heartbeat_at_ms", required=True),
    _text("queue"),
    _number("process_start"),
)
"""Processes that execute notebooks; a row whose heartbeat stands still belongs to a dead one."""

seen_failures = sa.Table(
    "_smithers_nb_noticed",
    metadata,
    _text("store", key=True),
    _text("run_id", key=True),
    _number("failed_at_ms", key=True),
    _text("autopsy_run_id", required=True),
    _text("noticed_by", required=True),
    _number("noticed_at_ms", required=True),
    _number("launched_at_ms"),
)
"""Failures of runs in other stores that an autopsy was launched for, or is about to be: each once, whoever sees it first."""

attention = sa.Table(
    "_smithers_nb_attention",
    metadata,
    _text("store", key=True),
    _text("run_id", key=True),
    _number("marked_at_ms", key=True),
    _text("action", required=True),
    _text("marked_by", required=True),
    _number("until_ms"),
    _text("note"),
)
"""What people put aside, runs of other stores among them: `addressed` or `snoozed`, by whom and when; rows are only added."""
