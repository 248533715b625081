"""What people and programs do by hand: force-fail, cancel, set a status, reopen. None of it goes without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.engine.journal.work_items import bead_agents
from smithers_nb.errors import ControlRefused
from smithers_nb.ledger.transition import HELD, locked, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.ledger.store import Ledger


def force_fail(ledger: Ledger, connection: sa.Connection, bead_id: str, *, actor: str = "admin", note: str | None = None) -> int | None:
    """Fail a bead by an administrator's decision."""
    return _ended(ledger, connection, bead_id, "admin_force_fail", actor, note)


def cancel(ledger: Ledger, connection: sa.Connection, bead_id: str, *, actor: str, note: str) -> int | None:
    """Cancel a bead: it fails, because the work was not done.

    Raises:
        ControlRefused: Nobody says why; the code is `REASON_MISSING`.
    """
    _demand(note, bead_id, "cancelled")
    return _ended(ledger, connection, bead_id, "bead_cancelled", actor, note)


def set_status(ledger: Ledger, connection: sa.Connection, bead_id: str, status: str, *, actor: str, note: str = "") -> int | None:  # noqa: PLR0913
    """Set a status directly, as an API or a tool does; `failed`, giving back and reopening are refused without a reason.

    Raises:
        ControlRefused: Nobody says why, or the change is not allowed.
    """
    if status == "failed":
        _demand(note, bead_id, "set to failed")
        return _ended(ledger, connection, bead_id, "manual_status_change", actor, note)
    row = locked(connection, bead_id)
    if status == "open" and row.status in HELD:
        _demand(note, bead_id, "given back")
        return transition(ledger, connection, bead_id, "open", actor=actor, reason=reason("given_back", actor=actor, note=note))
    if status == "open" and row.status == "failed":
        return reopen(ledger, connection, bead_id, actor=actor, note=note)
    return transition(ledger, connection, bead_id, status, actor=actor, reason=note or None)


def reopen(ledger: Ledger, connection: sa.Connection, bead_id: str, *, actor: str, note: str) -> int | None:
    """Open a failed bead again: its dispatch attempts begin anew, and the log keeps why it had failed.

    Raises:
        ControlRefused: Nobody says why, or the bead did not fail.
    """
    _demand(note, bead_id, "reopened")
    if locked(connection, bead_id).status != "failed":
        raise ControlRefused(f"bead {bead_id} has not failed", code="BEAD_NOT_FAILED", hint="only a failed bead is reopened")
    return transition(ledger, connection, bead_id, "open", actor=actor, reason=note)


def close(ledger: Ledger, connection: sa.Connection, bead_id: str, *, actor: str, note: str) -> int | None:
    """Close a bead as done.

    Raises:
        ControlRefused: Nobody says what was done.
    """
    _demand(note, bead_id, "closed")
    return transition(ledger, connection, bead_id, "closed", actor=actor, reason=note)


def _ended(ledger: Ledger, connection: sa.Connection, bead_id: str, path: str, actor: str, note: str | None) -> int | None:  # noqa: PLR0913, PLR0917
    connection.execute(bead_agents.update().where(bead_agents.c.hook_bead_id == bead_id).values(status="idle", hook_bead_id=None))
    return transition(ledger, connection, bead_id, "failed", actor=actor, reason=reason(path, actor=actor, note=note))


def _demand(note: str, bead_id: str, what: str) -> None:
    if not note.strip():
        raise ControlRefused(f"bead {bead_id} is not {what} without a reason", code="REASON_MISSING", hint="say why with --reason")
