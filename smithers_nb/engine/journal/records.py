"""The records that an execution writes: events, attempts of nodes, validated outputs.

Each function is one step in a transaction of `Journal.writing`; the caller decides what is atomic. Events have Smithers' type names and
payload fields. A failed attempt always has a reason, and its node becomes failed in the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.schema import attempts, events, nodes, outputs, runs
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.model.failure_reason import FailureReason

INPUT: Final = "input"
"""Node id under which a run's input is stored among its outputs."""


_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""A JSON-escaped NUL, which Postgres rejects and at which SQLite ends a text."""

QUEUED: Final = "waiting-worker"
"""Status of a run that has not begun. Smithers has no such status, but treats any `waiting-…` as parked."""


class Node(NamedTuple):
    """The key of a node."""

    run_id: str
    node_id: str
    iteration: int = 0

    def key(self, table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
        """Return the conditions that select this node's rows in a table."""
        return table.c.run_id == self.run_id, table.c.node_id == self.node_id, table.c.iteration == self.iteration

    @property
    def about(self) -> dict[str, Any]:
        """The fields that identify this node in the payload of an event."""
        return {"nodeId": self.node_id, "iteration": self.iteration}


_OPEN: Final = "in-progress"

# Statements used by every stage, built once: building one costs as much as executing it.
_INSERT_EVENT: Final = (
    events.insert()
    .values(
        {name: sa.bindparam(name) for name in ("run_id", "timestamp_ms", "type", "payload_json")}
        | {
            "seq": sa.select(sa.func.coalesce(sa.func.max(events.c.seq), -1) + 1)
            .where(events.c.run_id == sa.bindparam("of_run"))
            .scalar_subquery()
        }
    )
    .returning(events.c.seq)
)
_SELECT_ATTEMPTS: Final = (
    sa.select(attempts.c.attempt, attempts.c.state, attempts.c.meta_json, attempts.c.finished_at_ms)
    .where(*(attempts.c[name] == sa.bindparam(name) for name in Node._fields))
    .order_by(attempts.c.attempt)
)
_INSERT_ATTEMPT: Final = attempts.insert().values(
    {name: sa.bindparam(name) for name in (*Node._fields, "attempt", "state", "started_at_ms", "meta_json")}
)
_THIS_ATTEMPT: Final = (
    attempts.c.run_id == sa.bindparam("of_run"),
    attempts.c.node_id == sa.bindparam("of_node"),
    attempts.c.iteration == sa.bindparam("of_iteration"),
    attempts.c.attempt == sa.bindparam("of_attempt"),
)


class OpenAttempt(NamedTuple):
    """An attempt of a node that has not ended."""

    node: Node
    attempt: int
    kind: str | None


class NewRun(NamedTuple):
    """What is known about a run before it starts.

    Attributes:
        parameters: Input of the notebook, as JSON.
        config: How it was launched: `rootDir`, limits, hot mode.
    """

    run_id: str
    workflow: str
    workflow_path: str | None
    workflow_hash: str | None
    parameters: Mapping[str, Any]
    config: Mapping[str, Any]
    parent_run_id: str | None = None


def create_run(connection: sa.Connection, run: NewRun) -> None:
    """Insert a run that is about to start, and its input.

    Raises:
        sqlalchemy.exc.IntegrityError: The run id is taken.
    """
    row = {
        "run_id": run.run_id,
        "parent_run_id": run.parent_run_id,
        "workflow_name": run.workflow,
        "workflow_path": run.workflow_path,
        "workflow_hash": run.workflow_hash,
        "status": QUEUED,
        "created_at_ms": now_ms(),
        "vcs_root": run.config.get("rootDir"),
        "config_json": as_json(dict(run.config)),
    }
    connection.execute(runs.insert().values(row))
    write_output(connection, Node(run.run_id, INPUT), INPUT, run.parameters)
    append_event(connection, run.run_id, "RunCreated", {"workflow": run.workflow})


def append_event(connection: sa.Connection, run_id: str, event_type: str, payload: Mapping[str, Any] | None = None) -> int:
    """Append an event to a run's log and return its sequence number."""
    at = now_ms()
    text = as_json({"type": event_type, "runId": run_id, "timestampMs": at, **(payload or {})})
    row = {"run_id": run_id, "of_run": run_id, "timestamp_ms": at, "type": event_type, "payload_json": text}
    seq: int = connection.execute(_INSERT_EVENT, row).scalar_one()
    return seq


class Attempt(NamedTuple):
    """An attempt of a node.

    Attributes:
        meta_json: The kind and metadata given to `start_attempt`, as JSON.
        finished_at_ms: When it ended; None until then.
    """

    attempt: int
    state: str
    meta_json: str | None
    finished_at_ms: int | None

    @property
    def meta(self) -> dict[str, Any]:
        """The kind and metadata given to `start_attempt`."""
        return dict(orjson.loads(self.meta_json or "{}"))


def attempts_of(connection: sa.Connection, node: Node) -> list[Attempt]:
    """Return the attempts of a node, oldest first."""
    return [Attempt(*row) for row in connection.execute(_SELECT_ATTEMPTS, node._asdict())]


def start_attempt(  # noqa: PLR0913  # all but two are options by name
    connection: sa.Connection,
    node: Node,
    *,
    kind: str,
    label: str | None = None,
    meta: Mapping[str, Any] | None = None,
    known: list[Attempt] | None = None,
) -> int:
    """Start an attempt of a node and return its number, from 1; one left open by a dead execution is closed as cancelled.

    Args:
        connection: The transaction.
        node: The node.
        kind: `stage` or `cell`.
        label: Label for people.
        meta: Further metadata to store.
        known: Its attempts (`attempts_of`), if the caller has read them in this transaction.
    """
    at = now_ms()
    earlier = attempts_of(connection, node) if known is None else known
    if any(one.state == _OPEN for one in earlier):
        _close_open(connection, node, at)
    number = earlier[-1].attempt + 1 if earlier else 1
    details = as_json({"kind": kind, **(meta or {})})
    row = {**node._asdict(), "attempt": number, "state": _OPEN, "started_at_ms": at, "meta_json": details}
    connection.execute(_INSERT_ATTEMPT, row)
    set_node(connection, node, "in-progress", last_attempt=number, label=label)
    append_event(connection, node.run_id, "NodeStarted", {**node.about, "attempt": number})
    return number


def finish_attempt(connection: sa.Connection, node: Node, attempt: int, *, response: str | None = None) -> None:
    """End an attempt successfully."""
    _end(connection, node, attempt, state="finished", response_text=response)
    set_node(connection, node, "finished", last_attempt=attempt)
    append_event(connection, node.run_id, "NodeFinished", {**node.about, "attempt": attempt})


def fail_attempt(connection: sa.Connection, node: Node, attempt: int, reason: FailureReason) -> None:
    """End an attempt as failed, with its reason."""
    error = reason.as_error()
    _end(connection, node, attempt, state="failed", error_json=as_json(error))
    set_node(connection, node, "failed", last_attempt=attempt)
    append_event(connection, node.run_id, "NodeFailed", {**node.about, "attempt": attempt, "error": error})


def cancel_attempt(connection: sa.Connection, node: Node, attempt: int, why: str) -> None:
    """End an attempt that was cancelled; its node may be tried again."""
    _end(connection, node, attempt, state="cancelled")
    set_node(connection, node, "cancelled", last_attempt=attempt)
    append_event(connection, node.run_id, "NodeCancelled", {**node.about, "attempt": attempt, "reason": why})


def park_attempt(connection: sa.Connection, node: Node, attempt: int, state: str) -> None:
    """End an attempt that waits for a person; a new one begins after the answer."""
    _end(connection, node, attempt, state=state)
    set_node(connection, node, state)


def open_attempts(connection: sa.Connection, run_id: str) -> list[OpenAttempt]:
    """Return the open attempts of a run, in the order in which they began."""
    columns = attempts.c.node_id, attempts.c.iteration, attempts.c.attempt, attempts.c.meta_json
    query = sa.select(*columns).where(attempts.c.run_id == run_id, attempts.c.state == _OPEN)
    rows = connection.execute(query.order_by(attempts.c.started_at_ms, attempts.c.node_id, attempts.c.iteration)).all()
    return [OpenAttempt(Node(run_id, row.node_id, row.iteration), row.attempt, _kind(row.meta_json)) for row in rows]


def set_node(  # noqa: PLR0913  # all but two are options by name
    connection: sa.Connection, node: Node, state: str, *, last_attempt: int | None = None, label: str | None = None, table: str = ""
) -> None:
    """Update the state of a node; columns that are not given keep their values."""
    given = {"state": state, "updated_at_ms": now_ms()} | {
        name: value for name, value in (("last_attempt", last_attempt), ("label", label), ("output_table", table)) if value
    }
    put(connection, nodes, node, given, {"output_table": table})


def write_output(connection: sa.Connection, node: Node, schema_name: str, row: Mapping[str, Any]) -> None:
    """Store the output of a node, replacing an earlier one."""
    put(connection, outputs, node, {"schema_name": schema_name, "row_json": as_json(dict(row))})


def read_output(connection: sa.Connection, node: Node) -> dict[str, Any] | None:
    """Return the output of a node; None when it has none."""
    text = connection.execute(sa.select(outputs.c.row_json).where(*node.key(outputs))).scalar()
    return None if text is None else dict(orjson.loads(text))


def put(connection: sa.Connection, table: sa.Table, node: Node, values: Mapping[str, Any], new: Mapping[str, Any] | None = None) -> None:
    """Insert or update the row of a node.

    Args:
        connection: The transaction.
        table: A table with the key of a node.
        node: The node.
        values: Columns to write.
        new: Additional columns for a new row.
    """
    row = {**node._asdict(), **(new or {}), **values}
    connection.execute(_upsert(table, connection.dialect.name, tuple(row), tuple(values)), row)


@cache
def _upsert(table: sa.Table, dialect: str, columns: tuple[str, ...], changed: tuple[str, ...]) -> sa.Insert:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table).values({name: sa.bindparam(name) for name in columns})
    return statement.on_conflict_do_update(index_elements=Node._fields, set_={name: statement.excluded[name] for name in changed})


def not_before(start: sa.Column[Any], at: int) -> sa.ColumnElement[int]:
    """Return `at`, or `start` if that is later: an end must not precede its start when the clock was set back."""
    return _not_before(start, sa.literal(at))


def _not_before(start: sa.Column[Any], at: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.case((start > at, start), else_=at)


def as_json(value: Any) -> str:
    """Serialise JSON so that both databases accept it: no lone surrogates, no NUL, and text for values that are not JSON."""
    try:
        text = orjson.dumps(value, default=_text_of, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, or integers beyond 64 bits
        import json

        plain = json.loads(json.dumps(value, default=_text_of), parse_constant=lambda _: None)  # JSON has no infinity
        text = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace").decode()
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def _text_of(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)  # the order of a set differs between processes


def _kind(meta_json: str | None) -> str | None:
    kind: str | None = orjson.loads(meta_json or "{}").get("kind")
    return kind


def _end(connection: sa.Connection, node: Node, attempt: int, **values: Any) -> None:
    row = {"of_run": node.run_id, "of_node": node.node_id, "of_iteration": node.iteration, "of_attempt": attempt, "at": now_ms()}
    connection.execute(_end_of(tuple(values)), row | values)


@cache
def _end_of(columns: tuple[str, ...]) -> sa.Update:
    at = sa.bindparam("at", type_=sa.BigInteger)
    values: dict[str, Any] = {name: sa.bindparam(name) for name in columns}
    return attempts.update().where(*_THIS_ATTEMPT).values(finished_at_ms=_not_before(attempts.c.started_at_ms, at), **values)


def _close_open(connection: sa.Connection, node: Node, at: int) -> None:
    open_ones = (*node.key(attempts), attempts.c.state == _OPEN)
    connection.execute(
        attempts.update().where(*open_ones).values(state="cancelled", finished_at_ms=not_before(attempts.c.started_at_ms, at))
    )
