"""What may be done about a child run in trouble without asking anybody: a list, enforced here and nowhere else.

A triage may resume a child, and approve gates of the child that the orchestration's design names as mechanical and a person approved with
the launch. Everything else is left to a person: product decisions, code, schemas, a ticket that keeps failing, whatever cannot be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.errors import SmithersNbError
from smithers_nb.model.counts import plural
from smithers_nb.workflows.smithering.launch.child import resume_child
from smithers_nb.workflows.smithering.results.launch import MonitorPoll, MonitorTriage, OrchDesign

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.work import Work

REMIT: Final = ("resume", "approve-mechanical-gate")
"""Every action that a triage can take."""


def triage(work: Work, child: str, poll: MonitorPoll) -> MonitorTriage:
    """Do what the remit allows about a child in trouble, or escalate.

    Args:
        work: The request.
        child: The child run.
        poll: How it stands.
    """
    if poll.status.startswith("waiting-"):
        return _decided(work, child)
    if not poll.resumed:
        return MonitorTriage(summary=resume_child(work.location, child), actions_taken=("resume",))
    return MonitorTriage(summary=poll.detail, escalate=True, reason="it was resumed before and is in trouble again")


def _decided(work: Work, child: str) -> MonitorTriage:
    """Approve the mechanical gates that wait; anything else that is asked is a person's."""
    from smithers_nb.engine.control import decide, pending
    from smithers_nb.engine.control.decisions import acting

    design = work.rows.get("orch:design")
    mechanical = design.mechanical_gates if isinstance(design, OrchDesign) else ()
    taken, left = [], []
    for item in pending(work.location, child):
        if item.kind != "gate" or item.node_id not in mechanical:
            left.append(f"{item.node_id}: {item.prompt}")
            continue
        try:
            by = acting("smithering triage", work.decider)
            decide(work.location, child, item.node_id, approved=True, by=by, note="mechanical gate named in orch:design", seen=item.digest)
            taken.append(f"approve-mechanical-gate {item.node_id}")
        except SmithersNbError as error:
            left.append(f"{item.node_id}: {error}")
    if taken and not left:
        resume_child(work.location, child)
    reason = f"a person has to decide: {'; '.join(left)}" if left else ""
    done = f"approved {plural(len(taken), 'mechanical gate')}"
    return MonitorTriage(summary=reason or done, actions_taken=tuple(taken), escalate=bool(left), reason=reason)
