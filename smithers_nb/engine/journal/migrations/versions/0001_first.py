"""The first schema: Smithers' tables, and what only a durable notebook needs.

Revision: 0001. Written once and never changed; a later change of the schema is a later migration.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from smithers_nb.engine.journal import constraints

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and the triggers that keep the log and the reasons."""
    _runs()
    _work()
    _people()
    _marks()
    _own()
    for statement in constraints.SQLITE if _is_sqlite() else constraints.POSTGRES:
        op.execute(statement)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, **options)


def _given(column: str, key: str) -> str:
    field = f"json_extract({column}, '$.{key}')" if _is_sqlite() else f"({column}::json ->> '{key}')"
    return f"coalesce(length({field}), 0) > 0"


def _runs() -> None:
    op.create_table(
        "_smithers_runs",
        _text("run_id", nullable=False),
        _text("parent_run_id"),
        _text("workflow_name", nullable=False),
        _text("workflow_path"),
        _text("workflow_hash"),
        _text("status", nullable=False),
        _number("created_at_ms", nullable=False),
        _number("started_at_ms"),
        _number("finished_at_ms"),
        _number("heartbeat_at_ms"),
        _text("runtime_owner_id"),
        _number("cancel_requested_at_ms"),
        _text("vcs_root"),
        _text("vcs_revision"),
        _text("error_json"),
        _text("config_json"),
        sa.CheckConstraint(
            f"status != 'failed' OR {_given('error_json', 'code')} AND {_given('error_json', 'message')}", name="failed_run_has_a_reason"
        ),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("runs_by_status", "_smithers_runs", ["status"], unique=False)


def _work() -> None:
    op.create_table(
        "_smithers_nodes",
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _text("state", nullable=False),
        _number("last_attempt"),
        _number("updated_at_ms", nullable=False),
        _text("output_table", nullable=False),
        _text("label"),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration"),
    )
    op.create_table(
        "_smithers_attempts",
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _number("attempt", nullable=False),
        _text("state", nullable=False),
        _number("started_at_ms", nullable=False),
        _number("finished_at_ms"),
        _number("heartbeat_at_ms"),
        _text("error_json"),
        _text("response_text"),
        _number("cached", nullable=True, server_default="0"),
        _text("meta_json"),
        sa.CheckConstraint(
            f"state != 'failed' OR {_given('error_json', 'code')} AND {_given('error_json', 'message')}", name="failed_attempt_has_a_reason"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration", "attempt"),
    )
    op.create_table(
        "_smithers_events",
        _text("run_id", nullable=False),
        _number("seq", nullable=False),
        _number("timestamp_ms", nullable=False),
        _text("type", nullable=False),
        _text("payload_json", nullable=False),
        sa.CheckConstraint(
            f"(type NOT IN ('RunFailed', 'NodeFailed')) OR {_given('payload_json', 'error')}", name="failure_event_has_a_reason"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "seq"),
    )


def _people() -> None:
    op.create_table(
        "_smithers_approvals",
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _text("status", nullable=False),
        _number("requested_at_ms"),
        _number("decided_at_ms"),
        _text("note"),
        _text("decided_by"),
        _text("request_json"),
        _text("decision_json"),
        _number("auto_approved", nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration"),
    )
    op.create_table(
        "_smithers_human_requests",
        _text("request_id", nullable=False),
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _text("kind", nullable=False),
        _text("status", nullable=False),
        _text("prompt", nullable=False),
        _text("schema_json"),
        _text("options_json"),
        _text("response_json"),
        _number("requested_at_ms", nullable=False),
        _number("answered_at_ms"),
        _text("answered_by"),
        _number("timeout_at_ms"),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("request_id"),
    )


def _marks() -> None:
    op.create_table(
        "_smithers_node_diffs",
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _text("base_ref", nullable=False),
        _text("diff_json", nullable=False),
        _number("computed_at_ms", nullable=False),
        _number("size_bytes", nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration", "base_ref"),
    )
    op.create_table(
        "_smithers_scorers",
        _text("id", nullable=False),
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _number("attempt", nullable=False, server_default="0"),
        _text("scorer_id", nullable=False),
        _text("scorer_name", nullable=False),
        _text("source", nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        _text("reason"),
        _number("scored_at_ms", nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "_smithers_time_travel_audit",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("run_id", nullable=False),
        _number("from_frame_no", nullable=False),
        _number("to_frame_no", nullable=False),
        _text("caller", nullable=False),
        _number("timestamp_ms", nullable=False),
        _text("result", nullable=False),
        _number("duration_ms"),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("id"),
    )


def _own() -> None:
    op.create_table(
        "_smithers_nb_outputs",
        _text("run_id", nullable=False),
        _text("node_id", nullable=False),
        _number("iteration", nullable=False, server_default="0"),
        _text("schema_name", nullable=False),
        _text("row_json", nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration"),
    )
    op.create_table(
        "_smithers_nb_executions",
        _text("run_id", nullable=False),
        _number("number", nullable=False),
        _text("owner"),
        _number("wanted_at_ms", nullable=False),
        _number("queued_at_ms"),
        _number("started_at_ms"),
        _number("starts", nullable=False, server_default="0"),
        _number("finished_at_ms"),
        _text("outcome"),
        _text("notebook"),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "_smithers_nb_workers",
        _text("owner", nullable=False),
        _text("host", nullable=False),
        _number("pid", nullable=False),
        _number("started_at_ms", nullable=False),
        _number("heartbeat_at_ms", nullable=False),
        _text("queue"),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "_smithers_nb_noticed",
        _text("store", nullable=False),
        _text("run_id", nullable=False),
        _number("failed_at_ms", nullable=False),
        _text("autopsy_run_id", nullable=False),
        _text("noticed_by", nullable=False),
        _number("noticed_at_ms", nullable=False),
        _number("launched_at_ms"),
        sa.PrimaryKeyConstraint("store", "run_id", "failed_at_ms"),
    )
