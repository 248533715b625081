"""The tables of the ledger of work items, in the journal's database.

A status is changed by writing its event and then the row that names the event: triggers (`constraints`) refuse a row whose new status has
no event of its own, an event of failure without `{code, message, source, details}`, giving work back without a reason, and any change of
the log. Everything that was imported keeps its original line in `source_json`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import Words, metadata


def _text(name: str, *, key: bool = False, required: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, Words, primary_key=key, nullable=not (key or required), server_default=default)


def _number(name: str, *, key: bool = False, required: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=not (key or required), server_default=default, autoincrement=False)


def _seq(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True)


beads = sa.Table(
    "_smithers_nb_beads",
    metadata,
    _text("bead_id", key=True),
    _text("type", required=True),
    _text("status", required=True),
    _text("title", required=True),
    _text("body"),
    _text("rig_id"),
    _text("parent_id"),
    _text("assignee"),
    _text("priority"),
    _text("labels_json"),
    _text("metadata_json", required=True, default="{}"),
    _number("dispatch_attempts", required=True, default="0"),
    _number("last_dispatch_at_ms"),
    _text("created_by"),
    _number("created_at_ms", required=True),
    _number("updated_at_ms", required=True),
    _number("closed_at_ms"),
    _number("failed_at_ms"),
    _number("status_seq", required=True, default="0"),
    _text("reason_json"),
    _text("origin"),
    _text("source_json"),
    sa.Index("beads_by_change", "updated_at_ms"),
    sa.Index("beads_by_status", "status", "updated_at_ms"),
)
"""Work items. `status_seq` is the event that made the status, `reason_json` why it failed or was closed, `origin` where it came from."""

bead_events = sa.Table(
    "_smithers_nb_bead_events",
    metadata,
    _seq("seq"),
    _text("bead_id", required=True),
    _text("agent_id"),
    _text("actor"),
    _text("event_type", required=True),
    _text("old_value"),
    _text("new_value"),
    _text("metadata_json", required=True, default="{}"),
    _number("created_at_ms"),
    _text("move"),
    _number("flags", required=True, default="0"),
    _text("reason"),
    _text("origin"),
    _text("source_json"),
    sa.Index("bead_events_of_bead", "bead_id", "seq"),
    sa.Index(
        "bead_events_moves",
        "move",
        "flags",
        "bead_id",
        sqlite_where=sa.text("move IS NOT NULL"),  # the same for Postgres would import its dialect wherever a journal is opened
    ),
    sqlite_autoincrement=True,
)
"""The log, append only. `move` is `close`, `give_back`, `reopen` or `fail` for what ought to have a reason; `flags` says how it has one."""

bead_dispatches = sa.Table(
    "_smithers_nb_bead_dispatches",
    metadata,
    _seq("id"),
    _text("bead_id", required=True),
    _text("agent_id"),
    _number("n", required=True),
    _number("started_at_ms", required=True),
    _number("ended_at_ms"),
    _text("outcome"),
    _text("phase"),
    _text("error"),
    _number("status"),
    _text("error_type"),
    sa.UniqueConstraint("bead_id", "n", name="one_dispatch_of_a_number"),
    sqlite_autoincrement=True,
)
"""Attempts to start an agent on a bead. Outcomes: `ok`, `false`, `error`, `timeout`, none while it goes on."""

bead_links = sa.Table(
    "_smithers_nb_bead_links",
    metadata,
    _text("bead_id", key=True),
    _text("depends_on_id", key=True),
    _text("type", key=True),
    _text("source_json"),
    sa.Index("bead_links_back", "depends_on_id", "type"),
)
"""`blocks`, `tracks` (a member to its convoy, a merge request to its source), `parent-child`, `caused-by` (to the bead that failed)."""

bead_agents = sa.Table(
    "_smithers_nb_bead_agents",
    metadata,
    _text("agent_id", key=True),
    _text("role", required=True),
    _text("name"),
    _text("rig_id"),
    _text("status", required=True),
    _text("hook_bead_id"),
    _number("last_activity_at_ms", required=True),
    _number("times_lost", required=True, default="0"),
)
"""Agents. Statuses: `idle`, `working`, `stalled`, `dead`."""

rigs = sa.Table("_smithers_nb_rigs", metadata, _text("rig_id", key=True), _text("config_json", required=True, default="{}"))

convoys = sa.Table(
    "_smithers_nb_convoys",
    metadata,
    _text("bead_id", key=True),
    _number("total", required=True, default="0"),
    _number("closed", required=True, default="0"),
    _number("failed", required=True, default="0"),
    _text("status", required=True),
    _number("landed_at_ms"),
)
"""Progress of convoys, recounted with every change of a member. Statuses: `active`, `landed`, `landed_with_failures`, `failed`."""

breakers = sa.Table(
    "_smithers_nb_breakers",
    metadata,
    _text("action", key=True),
    _number("failures", required=True, default="0"),
    _number("first_failure_at_ms"),
    _number("open_until_ms"),
    _text("last_error"),
)
"""Circuit breakers, one per repeated action such as `dispatch:RIG` or `triage:crash_loop:AGENT`."""

bead_texts = sa.Table("_smithers_nb_bead_texts", metadata, _text("ref", key=True), _text("body", required=True))
"""Long error output and container logs, whole; reasons name them by reference."""

bead_summaries = sa.Table(
    "_smithers_nb_bead_summaries",
    metadata,
    _number("event_seq", key=True),
    _text("text", required=True),
    _text("model", required=True),
    _text("prompt_hash", required=True),
    _number("at_ms", required=True),
    _text("why_eligible", required=True),
)
"""A failure in plain language, beside the raw reason."""

bead_lines = sa.Table(
    "_smithers_nb_bead_lines",
    metadata,
    _text("file", key=True),
    _number("number", key=True),
    _text("shape", required=True),
    _text("line", required=True),
)
"""Imported lines that are neither bead nor event (comments, labels, memories, what nobody could read), kept as they were."""

TABLES: Final = (
    beads,
    bead_events,
    bead_dispatches,
    bead_links,
    bead_agents,
    rigs,
    convoys,
    breakers,
    bead_texts,
    bead_summaries,
    bead_lines,
)
"""The tables of the first migration of the ledger, which makes them as they stand here; what is added later has a migration of its own."""

bead_leases = sa.Table(
    "_smithers_nb_bead_leases",
    metadata,
    _text("bead_id", key=True),
    _text("holder", required=True),
    _number("granted_at_ms", required=True),
    _number("heartbeat_at_ms", required=True),
    _number("expires_at_ms", required=True),
    _number("ttl_ms", required=True),
    _number("warned_at_ms"),
)
"""Who holds a bead until when. `heartbeat_at_ms` is `granted_at_ms` until the holder renews it for the first time."""
