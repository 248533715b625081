"""Why a ticket did not land: its attempts one by one, whose fault the last one looks like, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.classify.classify import classify_message
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.building.scheduler import TicketState
    from smithers_nb.workflows.smithering.landing.evidence import Evidence
    from smithers_nb.workflows.smithering.tickets import Ticket

_QUOTED: Final = 1_500
_AGAIN: Final = "run `smithers-nb smithering --again RUN`; no attempt was lost."
_ADVICE: Final = {
    "merge_conflict": "Two tickets change the same lines: let one depend on the other, or merge them into one.",
    "left_worktree": "See what changed with `git status`, bring it back with `git restore`, and narrow what the worker may do.",
    "shipped_without_commit": "The worker never changed what it was asked to: make the instructions more concrete, or drop the ticket.",
    "agent_crashed": "The worker itself failed: run it by hand in a folder of its own.",
    "verification_infrastructure": f"The machine failed, not the code: mend it, then {_AGAIN}",
    "credential_missing": f"Give it what it names, then {_AGAIN}",
    "budget_spent": "Run `smithers-nb smithering --again RUN --max-agent-calls N` with a higher N; no attempt was lost.",
    "person_needed": f"Do or decide what it asks for, then {_AGAIN}",
    "tip_red": f"A ticket of its own in a new run can mend what is red; if the machine made it red, mend that, then {_AGAIN}",
}
_OTHERWISE: Final = "Read the last feedback; when every attempt failed alike, the ticket or its verification is wrong rather than the work."


def ticket_autopsy(ticket: Ticket, state: TicketState, evidence: Evidence) -> str:
    """Write the autopsy of a ticket that has ended without landing, as Markdown."""
    captures = evidence.captures()
    attempts = [f"| {number} | {capture.get('kind', '')} | {_line(capture)} |" for number, capture in enumerate(captures, 1)]
    told = classify_message(state.detail)
    same = len({_line(capture) for capture in captures}) == 1 and len(captures) > 1
    return "\n".join(
        [
            f"# {ticket.id} did not land",
            "",
            f"{redact(ticket.title)}: **{state.code}** {_after(sum(capture.get('pass') is False for capture in captures))}.",
            "",
            f"The last message reads as **{told.failure_class}** ({told.confidence} confidence). {told.reason}",
            "Every attempt failed alike." if same else "",
            "",
            *(["| attempt | ended as | feedback |", "| --- | --- | --- |", *attempts, ""] if attempts else []),
            "## What to do",
            "",
            _ADVICE.get(state.code, _OTHERWISE),
            "",
            "## Last feedback",
            "",
            *(f"    {line}" for line in redact(state.detail)[-_QUOTED:].splitlines()),
            "",
        ]
    )


def _after(failed: int) -> str:
    return f"after {failed} failed attempt{'' if failed == 1 else 's'}" if failed else "without a failed attempt"


def _line(capture: dict[str, object]) -> str:
    first = redact(str(capture.get("feedback") or "")).splitlines()[:1]
    return (first[0] if first else "").replace("|", "\\|")
