"""Tables of the ledger of work items, and the triggers that let no status change without its event and no failure without its reason.

Revision: 0005.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from smithers_nb.engine.journal import constraints

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables, their indexes and the triggers."""
    _beads()
    _log()
    _around()
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in constraints.LEDGER_SQLITE if sqlite else constraints.LEDGER_POSTGRES:
        op.execute(statement)


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, **options)


def _seq(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True)


def _beads() -> None:
    op.create_table(
        "_smithers_nb_beads",
        _text("bead_id", nullable=False),
        _text("type", nullable=False),
        _text("status", nullable=False),
        _text("title", nullable=False),
        *(_text(name) for name in ("body", "rig_id", "parent_id", "assignee", "priority", "labels_json")),
        _text("metadata_json", nullable=False, server_default="{}"),
        _number("dispatch_attempts", nullable=False, server_default="0"),
        _number("last_dispatch_at_ms"),
        _text("created_by"),
        _number("created_at_ms", nullable=False),
        _number("updated_at_ms", nullable=False),
        _number("closed_at_ms"),
        _number("failed_at_ms"),
        _number("status_seq", nullable=False, server_default="0"),
        *(_text(name) for name in ("reason_json", "origin", "source_json")),
        sa.PrimaryKeyConstraint("bead_id"),
    )
    op.create_index("beads_by_change", "_smithers_nb_beads", ["updated_at_ms"])
    op.create_index("beads_by_status", "_smithers_nb_beads", ["status", "updated_at_ms"])


def _log() -> None:
    op.create_table(
        "_smithers_nb_bead_events",
        _seq("seq"),
        _text("bead_id", nullable=False),
        _text("agent_id"),
        _text("actor"),
        _text("event_type", nullable=False),
        _text("old_value"),
        _text("new_value"),
        _text("metadata_json", nullable=False, server_default="{}"),
        _number("created_at_ms"),
        _text("move"),
        _number("flags", nullable=False, server_default="0"),
        *(_text(name) for name in ("reason", "origin", "source_json")),
        sqlite_autoincrement=True,
    )
    op.create_index("bead_events_of_bead", "_smithers_nb_bead_events", ["bead_id", "seq"])
    moves = sa.text("move IS NOT NULL")
    op.create_index(
        "bead_events_moves", "_smithers_nb_bead_events", ["move", "flags", "bead_id"], sqlite_where=moves, postgresql_where=moves
    )
    op.create_table(
        "_smithers_nb_bead_dispatches",
        _seq("id"),
        _text("bead_id", nullable=False),
        _text("agent_id"),
        _number("n", nullable=False),
        _number("started_at_ms", nullable=False),
        _number("ended_at_ms"),
        *(_text(name) for name in ("outcome", "phase", "error")),
        _number("status"),
        _text("error_type"),
        sa.UniqueConstraint("bead_id", "n", name="one_dispatch_of_a_number"),
        sqlite_autoincrement=True,
    )


def _around() -> None:
    key = sa.PrimaryKeyConstraint
    op.create_table(
        "_smithers_nb_bead_links",
        *(_text(name, nullable=False) for name in ("bead_id", "depends_on_id", "type")),
        _text("source_json"),
        key("bead_id", "depends_on_id", "type"),
    )
    op.create_index("bead_links_back", "_smithers_nb_bead_links", ["depends_on_id", "type"])
    op.create_table(
        "_smithers_nb_bead_agents",
        _text("agent_id", nullable=False),
        _text("role", nullable=False),
        _text("name"),
        _text("rig_id"),
        _text("status", nullable=False),
        _text("hook_bead_id"),
        _number("last_activity_at_ms", nullable=False),
        _number("times_lost", nullable=False, server_default="0"),
        key("agent_id"),
    )
    op.create_table(
        "_smithers_nb_rigs", _text("rig_id", nullable=False), _text("config_json", nullable=False, server_default="{}"), key("rig_id")
    )
    op.create_table(
        "_smithers_nb_convoys",
        _text("bead_id", nullable=False),
        *(_number(name, nullable=False, server_default="0") for name in ("total", "closed", "failed")),
        _text("status", nullable=False),
        _number("landed_at_ms"),
        key("bead_id"),
    )
    op.create_table(
        "_smithers_nb_breakers",
        _text("action", nullable=False),
        _number("failures", nullable=False, server_default="0"),
        _number("first_failure_at_ms"),
        _number("open_until_ms"),
        _text("last_error"),
        key("action"),
    )
    op.create_table("_smithers_nb_bead_texts", _text("ref", nullable=False), _text("body", nullable=False), key("ref"))
    op.create_table(
        "_smithers_nb_bead_summaries",
        _number("event_seq", nullable=False),
        *(_text(name, nullable=False) for name in ("text", "model", "prompt_hash")),
        _number("at_ms", nullable=False),
        _text("why_eligible", nullable=False),
        key("event_seq"),
    )
    op.create_table(
        "_smithers_nb_bead_lines",
        _text("file", nullable=False),
        _number("number", nullable=False),
        *(_text(name, nullable=False) for name in ("shape", "line")),
        key("file", "number"),
    )
