"""The tickets of a run as beads of the ledger: every change of state is a transition, every failure has its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smithers_nb.ledger import items, queries
from smithers_nb.ledger.transition import link, transition
from smithers_nb.model.failure_codes import reason
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.ledger import Ledger
    from smithers_nb.model.failure_reason import FailureReason
    from smithers_nb.workflows.smithering.building.scheduler import TicketState
    from smithers_nb.workflows.smithering.tickets import TicketGraph

ACTOR: Final = "smithering"


class TicketLedger:
    """The beads of one run's tickets.

    Beads are written once: a run that is resumed finds its own again, and whatever happened meanwhile stays in their log.
    """

    def __init__(self, ledger: Ledger, run_id: str, integration: str) -> None:
        self._ledger, self._run_id, self._integration = ledger, run_id, integration

    def bead(self, ticket_id: str) -> str:
        """Return the id of a ticket's bead."""
        return f"{self._run_id}:{ticket_id}"

    def create(self, graph: TicketGraph) -> None:
        """Write a bead for every ticket that has none, and what each depends on."""
        with self._ledger.writing() as connection:
            for ticket in graph:
                if queries.bead_rows(connection, bead_id=self.bead(ticket.id)):
                    continue
                more: dict[str, Any] = {"labels": ["smithering", *ticket.requirement_ids], "metadata": {"run_id": self._run_id}}
                more |= {"body": redact(ticket.instructions), "bead_id": self.bead(ticket.id), "created_by": ACTOR}
                items.create(self._ledger, connection, redact(ticket.title), **more)
                for other in dict.fromkeys(ticket.depends_on):
                    link(connection, self.bead(ticket.id), self.bead(other), "blocks")

    def changed(self, state: TicketState, evidence: str = "") -> None:
        """Write down how a ticket stands now; a bead that is over stays over."""
        with self._ledger.writing() as connection:
            old = queries.bead_rows(connection, bead_id=self.bead(state.ticket_id))[0].status
            for to, why in _steps(old, state, self._failure(state, evidence)):
                transition(self._ledger, connection, self.bead(state.ticket_id), to, actor=ACTOR, reason=why)

    def _failure(self, state: TicketState, evidence: str) -> FailureReason | None:
        """Write the reason of a ticket that has ended without landing."""
        if not state.code:
            return None
        said = state.detail or "nobody said why"
        branch = f"{self._integration.rpartition('/')[0]}/{state.ticket_id}"
        details: dict[str, dict[str, Any]] = {
            "merge_conflict": {"branch": branch, "target_branch": self._integration, "message": said},
            "agent_crashed": {"agent_id": branch, "exit_status": "failed", "reason": said},
            "shipped_without_commit": {"evidence": said},
            "dependency_failed": {"ticket": (state.on or (said,))[0]},
            "verification_failed": {"attempts": state.attempt, "message": said, "evidence": evidence},
        }
        return reason(state.code, **details.get(state.code, {"message": said, "evidence": evidence}))


def _steps(old: str | None, state: TicketState, failure: FailureReason | None) -> list[tuple[str, FailureReason | str | None]]:
    """Return the changes of status that bring a bead to where its ticket is."""
    if state.code:
        return [("failed", failure)]
    if old == "failed" and state.state != "waiting-deps":  # what was in the way is mended
        return [("open", "the run was resumed"), *_steps("open", state, None)]
    if state.state == "working":
        sent_back = reason("rejected_for_rework", message=state.detail or "a new attempt", retry_count=max(0, state.attempt - 1))
        return [*([("open", sent_back)] if old == "in_review" else []), ("in_progress", None)]
    if state.state == "ready-to-land":
        return [*([("in_progress", None)] if old == "open" else []), ("in_review", None)]
    return [("closed", f"landed as {state.commit}")] if state.state == "landed" else []
