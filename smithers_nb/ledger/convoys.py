"""Convoys: beads that belong together. Counts follow from the members' statuses with every change; failed members never land a convoy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_links, beads, convoys
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

_NAMED = 5
LANDS: Final = "lands"
"""Link from a merge request to the convoy whose feature branch it merges."""


def recount(ledger: Ledger, connection: sa.Connection, bead_id: str, actor: str) -> None:
    """Count the convoys of a bead anew, and let those that are done land or fail."""
    query = (
        sa.select(convoys.c.bead_id)
        .join(bead_links, bead_links.c.depends_on_id == convoys.c.bead_id)
        .where(bead_links.c.bead_id == bead_id, bead_links.c.type == "tracks")
    )
    for convoy_id in sorted(connection.execute(query).scalars()):
        settle(ledger, connection, convoy_id, actor)


def counts(connection: sa.Connection, convoy_id: str) -> dict[str, int]:
    """Count the members of a convoy by what they have come to: `total`, `closed`, `failed`."""
    joined = bead_links.join(beads, beads.c.bead_id == bead_links.c.bead_id)
    query = sa.select(beads.c.status, sa.func.count()).select_from(joined)
    query = query.where(bead_links.c.depends_on_id == convoy_id, bead_links.c.type == "tracks").group_by(beads.c.status)
    by_status = {str(status): int(number) for status, number in connection.execute(query)}
    return {"total": sum(by_status.values()), "closed": by_status.get("closed", 0), "failed": by_status.get("failed", 0)}


def status_of(count: dict[str, int]) -> str:
    """Return how a convoy stands: `active`, `landed`, `landed_with_failures`, or `failed` when no member was closed."""
    if not count["total"] or count["closed"] + count["failed"] < count["total"]:
        return "active"
    if not count["failed"]:
        return "landed"
    return "landed_with_failures" if count["closed"] else "failed"


def listed(connection: sa.Connection) -> list[dict[str, Any]]:
    """List the convoys with their progress, the newest first."""
    query = sa.select(convoys, beads.c.title).join(beads, beads.c.bead_id == convoys.c.bead_id)
    return [dict(row._mapping) for row in connection.execute(query.order_by(beads.c.created_at_ms.desc(), convoys.c.bead_id))]  # noqa: SLF001


def landed_by(connection: sa.Connection, mr_id: str) -> str | None:
    """Return the convoy that a merge request lands; None when it lands none."""
    query = sa.select(bead_links.c.depends_on_id).where(bead_links.c.bead_id == mr_id, bead_links.c.type == LANDS)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def settle(ledger: Ledger, connection: sa.Connection, convoy_id: str, actor: str) -> None:
    """Count a convoy anew, and let it land or fail when it is done; one with a feature branch lands when that is merged."""
    from smithers_nb.ledger.transition import transition

    connection.execute(sa.select(convoys.c.bead_id).where(convoys.c.bead_id == convoy_id).with_for_update()).one()
    count = counts(connection, convoy_id)
    status = status_of(count)
    if status == "landed" and not _merged(connection, convoy_id):
        status = "active"
    landed = ledger.now() if status == "landed" else None
    connection.execute(convoys.update().where(convoys.c.bead_id == convoy_id).values(**count, status=status, landed_at_ms=landed))
    now, ended = connection.execute(sa.select(beads.c.status, beads.c.reason_json).where(beads.c.bead_id == convoy_id)).one()
    if status == "landed" and now != "closed":
        if now == "failed":
            _reopen(ledger, connection, convoy_id, actor)
        transition(ledger, connection, convoy_id, "closed", actor=actor, reason=f"All {count['total']} beads of the convoy are closed")
    elif status in ("landed_with_failures", "failed") and now not in ("closed", "failed"):
        why = reason("convoy_members_failed", **count, members=_failed_members(connection, convoy_id))
        transition(ledger, connection, convoy_id, "failed", actor=actor, reason=why)
    elif status == "active" and now == "failed" and orjson.loads(ended or "{}").get("code") == "convoy_members_failed":
        _reopen(ledger, connection, convoy_id, actor)


def _merged(connection: sa.Connection, convoy_id: str) -> bool:
    """Say whether a convoy has no feature branch, or a merge request has merged it."""
    metadata = connection.execute(sa.select(beads.c.metadata_json).where(beads.c.bead_id == convoy_id)).scalar_one()
    if not orjson.loads(metadata).get("feature_branch"):
        return True
    joined = bead_links.join(beads, beads.c.bead_id == bead_links.c.bead_id)
    query = sa.select(beads.c.bead_id).select_from(joined).where(bead_links.c.depends_on_id == convoy_id, bead_links.c.type == LANDS)
    return connection.execute(query.where(beads.c.status == "closed")).first() is not None


def _reopen(ledger: Ledger, connection: sa.Connection, convoy_id: str, actor: str) -> None:
    from smithers_nb.ledger.transition import transition

    transition(ledger, connection, convoy_id, "open", actor=actor, reason="A bead of the convoy that had failed was reopened")


def _failed_members(connection: sa.Connection, convoy_id: str) -> str:
    joined = bead_links.join(beads, beads.c.bead_id == bead_links.c.bead_id)
    query = sa.select(beads.c.bead_id).select_from(joined).where(bead_links.c.depends_on_id == convoy_id, bead_links.c.type == "tracks")
    found = sorted(connection.execute(query.where(beads.c.status == "failed")).scalars())
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
