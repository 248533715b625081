"""What may be done about a child run in trouble without asking anybody: a list, enforced here and nowhere else.

A triage may resume a child once, try its failed task once more, and approve gates of the child that the orchestration's design names as
mechanical and a person approved with the launch. Everything else is left to a person: product decisions, code, schemas, whatever fails
again, whatever cannot be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.control import decide, pending
from smithers_nb.engine.control.decisions import acting
from smithers_nb.errors import SmitheringError, SmithersNbError
from smithers_nb.workflows.smithering.launch.child import resume_child, retry_child, state_of, tries_of
from smithers_nb.workflows.smithering.results.launch import MonitorPoll, MonitorTriage, OrchDesign

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.work import Work

_PERSON: Final = "a person has to decide"


def triage(work: Work, child: str, poll: MonitorPoll, taken: Collection[str] = ()) -> MonitorTriage:
    """Do what the remit allows about a child in trouble, or escalate.

    Args:
        work: The request.
        child: The child run.
        poll: How it stands.
        taken: What was done about it in earlier cycles.
    """
    done, left = [], []
    for action in _wanted(work, child, poll):
        try:
            if action in taken:
                raise SmitheringError(f"{action} was tried before, and it is in trouble again")
            act(work, child, action)
            done.append(action)
        except SmithersNbError as error:
            left.append(str(error))
    if done and not left and poll.status.startswith("waiting-"):
        resume_child(work.location, child)
    reason = f"{_PERSON}: {'; '.join(left)}" if left else ""
    return MonitorTriage(summary=reason or f"{child}: {', '.join(done)}", actions_taken=tuple(done), escalate=bool(left), reason=reason)


def act(work: Work, child: str, action: str) -> None:
    """Take one action, if it is in the remit.

    Args:
        work: The request.
        child: The child run.
        action: Name of the action, and of the node that it is about.

    Raises:
        SmitheringError: It is outside of the remit; nothing was done.
        SmithersNbError: It was not possible.
    """
    name, _, node = action.partition(" ")
    if name not in REMIT:
        raise SmitheringError(f"{action} is outside of the remit of a triage")
    REMIT[name](work, child, node)


def _wanted(work: Work, child: str, poll: MonitorPoll) -> list[str]:
    """Return what would help a child, whether or not a triage may do it."""
    if poll.status.startswith("waiting-"):
        return [
            f"approve-mechanical-gate {item.node_id}" if item.kind == "gate" else f"answer {item.node_id}: {item.prompt}"
            for item in pending(work.location, child)
        ]
    if poll.status == "failed":
        return [f"retry-task {node}" for node in tries_of(work.location, child, "failed")] or ["mend what failed outside of any task"]
    return ["unpause"] if poll.status == "paused" else ["resume"]


def _resume(work: Work, child: str, node: str) -> None:
    del node
    state = state_of(work.location, child)
    if state.is_over or state.waits:
        raise SmitheringError(f"{child} is {state.status} and has not lost its process")
    resume_child(work.location, child)


def _retry(work: Work, child: str, node: str) -> None:
    """Try a failed task a second time; one that fails twice, or has not failed, is no business of a triage."""
    tries = tries_of(work.location, child, "failed").get(node)
    if tries is None:
        raise SmitheringError(f"{node} has not failed")
    if tries > 1:
        raise SmitheringError(f"{node} has failed after {tries} tries")
    retry_child(work.location, child, node)


def _approve(work: Work, child: str, node: str) -> None:
    design = work.rows.get("orch:design")
    waiting = {item.node_id: item for item in pending(work.location, child) if item.kind == "gate"}
    if node not in waiting:
        raise SmitheringError(f"no gate {node} waits")
    if not isinstance(design, OrchDesign) or node not in design.mechanical_gates:
        raise SmitheringError(f"{node}: {waiting[node].prompt}")
    by = acting("smithering triage", work.decider)
    note = "mechanical gate named in orch:design"
    decide(work.location, child, node, approved=True, by=by, note=note, seen=waiting[node].digest)


REMIT: Final[Mapping[str, Callable[[Work, str, str], None]]] = {
    "resume": _resume,
    "retry-task": _retry,
    "approve-mechanical-gate": _approve,
}
"""Every action that a triage can take."""
