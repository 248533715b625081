"""Triage: what the patrol cannot decide becomes a request, an agent or a person resolves it, and its notes stay beside the reason.

A request snapshots the bead that it is about, so that a later action hits the right one. What keeps failing is not asked again and
again: a breaker per kind and agent pauses it, and no more than five requests made by the patrol are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import beads
from smithers_nb.ledger import breaker
from smithers_nb.ledger.items import create, set_agent
from smithers_nb.ledger.review import start_failed
from smithers_nb.ledger.transition import HELD, append, locked, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.dispatch import Started
    from smithers_nb.ledger.store import Ledger

Action = Literal["RESTART", "RESTART_WITH_BACKOFF", "NUDGE", "REASSIGN_BEAD", "ESCALATE_TO_MAYOR", "CLOSE_BEAD", "PROVIDE_GUIDANCE"]
LABEL: Final = "gt:triage-request"
MAX_OPEN: Final = 5
BREAKER_LIMIT: Final = 3
_GIVES_BACK: Final = frozenset({"RESTART", "RESTART_WITH_BACKOFF", "REASSIGN_BEAD"})


def request(ledger: Ledger, connection: sa.Connection, kind: str, *, bead_id: str | None, agent_id: str | None, context: str) -> str | None:  # noqa: PLR0913
    """Ask for a decision about a bead or an agent.

    Returns:
        Id of the request; None when the same is open already, too many are open, or the breaker of this action is.
    """
    action = _action(kind, agent_id or bead_id)
    query = sa.select(beads.c.metadata_json).where(beads.c.type == "issue", beads.c.status.in_(("open", "in_progress")))
    opened = [orjson.loads(text) for text in connection.execute(query.where(beads.c.labels_json.contains(LABEL))).scalars()]
    same = any(one.get("triage_type") == kind and (one.get("bead_id"), one.get("agent_id")) == (bead_id, agent_id) for one in opened)
    if same or len(opened) >= MAX_OPEN or breaker.refusal(ledger, connection, action):
        return None
    metadata = {"triage_type": kind, "bead_id": bead_id, "agent_id": agent_id}
    return create(ledger, connection, f"Triage: {kind}", body=context, labels=[LABEL], metadata=metadata, created_by="patrol")


def asked_at(connection: sa.Connection, kind: str, agent_id: str) -> int | None:
    """Return when a decision of a kind about an agent was asked for last, however that request ended; None when it never was."""
    query = sa.select(beads.c.metadata_json, beads.c.created_at_ms).where(beads.c.labels_json.contains(LABEL), beads.c.type == "issue")
    found = [(orjson.loads(text), at) for text, at in connection.execute(query)]
    return max((at for one, at in found if (one.get("triage_type"), one.get("agent_id")) == (kind, agent_id)), default=None)


def resolve(ledger: Ledger, connection: sa.Connection, request_id: str, action: Action, notes: str, *, actor: str = "triage") -> None:  # noqa: PLR0913
    """Carry out a decision.

    Raises:
        ValueError: The notes are empty.
    """
    if not notes.strip():
        raise ValueError("a triage decision needs notes")
    row = locked(connection, request_id)
    about = orjson.loads(row.metadata_json)
    bead_id, agent_id = about.get("bead_id"), about.get("agent_id")
    if bead_id:
        metadata = {"action": action, "resolution_notes": notes, "triage_request_id": request_id}
        append(connection, bead_id, "triage_resolved", actor=actor, at=ledger.now(), metadata=metadata)
        if action == "CLOSE_BEAD":
            why = reason("triage_closed", triage_request_id=request_id, action=action, notes=notes)
            transition(ledger, connection, bead_id, "failed", actor=actor, agent_id=agent_id, reason=why)
        elif action in _GIVES_BACK and locked(connection, bead_id).status in HELD:
            transition(ledger, connection, bead_id, "open", actor=actor, reason=reason("given_back", actor=actor, note=notes))
    if agent_id and action in (*_GIVES_BACK, "CLOSE_BEAD"):
        set_agent(connection, agent_id, status="idle", hook_bead_id=None)
    breaker.succeeded(connection, _action(about["triage_type"], agent_id or bead_id))
    transition(ledger, connection, request_id, "closed", actor=actor, reason=f"{action}: {notes}")


def agent_not_started(ledger: Ledger, connection: sa.Connection, request_id: str, started: Started) -> None:
    """Fail a request whose triage agent did not start, and remember it, so that the patrol does not make it anew at once."""
    about = orjson.loads(locked(connection, request_id).metadata_json)
    breaker.failed(
        ledger, connection, _action(about["triage_type"], about.get("agent_id") or about.get("bead_id")), started.error, BREAKER_LIMIT
    )
    transition(ledger, connection, request_id, "failed", actor="container", reason=start_failed("triage", started))


def _action(kind: str, about: str | None) -> str:
    return f"triage:{kind}:{about or ''}"
