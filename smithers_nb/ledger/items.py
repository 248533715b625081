"""Beads, agents, rigs and convoys as they come into the ledger."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smithers_nb.engine.journal.records import as_json
from smithers_nb.engine.journal.work_items import bead_agents, bead_links, beads, convoys, rigs
from smithers_nb.errors import ControlRefused
from smithers_nb.ledger.transition import append, link, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.ledger.store import Ledger

_COLUMNS = frozenset({"body", "rig_id", "parent_id", "assignee", "priority"})


def create(ledger: Ledger, connection: sa.Connection, title: str, *, type: str = "issue", **fields: Any) -> str:  # noqa: A002  # the column's name
    """Write a new bead, open, and its first event.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        title: What is to be done.
        type: issue, merge_request, convoy, molecule, escalation, message or agent.
        fields: `bead_id`, `body`, `rig_id`, `parent_id`, `priority`, `labels`, `metadata`, `created_by`.

    Returns:
        Its id.
    """
    bead_id = fields.get("bead_id") or f"sb-{uuid.uuid4().hex[:10]}"
    at, actor = ledger.now(), fields.get("created_by") or "api"
    values = {name: fields[name] for name in _COLUMNS if name in fields}
    values |= {"labels_json": as_json(fields.get("labels") or []), "metadata_json": as_json(fields.get("metadata") or {})}
    values |= {"bead_id": bead_id, "type": type, "status": "open", "title": title, "created_by": actor}
    connection.execute(beads.insert().values(created_at_ms=at, updated_at_ms=at, **values))
    append(connection, bead_id, "created", actor=actor, at=at, new="open")
    if type == "convoy":
        connection.execute(convoys.insert().values(bead_id=bead_id, status="active"))
    return bead_id


def track(ledger: Ledger, connection: sa.Connection, member_id: str, of_id: str) -> None:
    """Make a bead a member of a convoy, or a merge request one of its source.

    Raises:
        ControlRefused: The convoy has landed already.
    """
    from smithers_nb.ledger.convoys import recount

    row = locked(connection, of_id)
    if row.type == "convoy" and row.status == "closed":
        raise ControlRefused(f"convoy {of_id} has landed", code="CONVOY_LANDED", hint="start another convoy")
    link(connection, member_id, of_id, "tracks")
    recount(ledger, connection, member_id, "api")


def tracked(connection: sa.Connection, bead_id: str, type: str) -> str | None:  # noqa: A002  # the column's name
    """Return the bead of a type that a bead tracks directly: the source of a merge request, the convoy of an issue; None for none."""
    joined = bead_links.join(beads, beads.c.bead_id == bead_links.c.depends_on_id)
    query = sa.select(beads.c.bead_id).select_from(joined).where(bead_links.c.bead_id == bead_id, bead_links.c.type == "tracks")
    found = connection.execute(query.where(beads.c.type == type).order_by(beads.c.bead_id)).scalars().first()
    return None if found is None else str(found)


def add_agent(ledger: Ledger, connection: sa.Connection, agent_id: str, *, role: str = "polecat", rig_id: str | None = None) -> None:
    """Write an idle agent."""
    values = {"agent_id": agent_id, "role": role, "name": agent_id, "rig_id": rig_id}
    connection.execute(bead_agents.insert().values(status="idle", last_activity_at_ms=ledger.now(), **values))


def set_agent(connection: sa.Connection, agent_id: str, **values: Any) -> None:
    """Change columns of an agent."""
    connection.execute(bead_agents.update().where(bead_agents.c.agent_id == agent_id).values(values))


def add_rig(connection: sa.Connection, rig_id: str, config: Mapping[str, Any]) -> None:
    """Write the configuration of a rig: `repository`, `merge_target`, `review` (whether merge requests are reviewed)."""
    connection.execute(rigs.insert().values(rig_id=rig_id, config_json=as_json(dict(config))))
