"""The first triage as stages of a durable notebook: copy the run, then run the commands of the flow up to the first that fails.

Each command is a stage, so a killed triage resumes at the step it was killed in, and a person's "I have fixed it" at the gate after a
failed step runs that step again. Outside a durable run nobody can be asked, so the first failure ends the triage.

A recovery is planned afterwards, and carried out only when that was requested and a person approves the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from smithers_nb.engine.stages.context import current
from smithers_nb.errors import ControlRefused
from smithers_nb.model.finding import Finding
from smithers_nb.workflows.incident.archive import Archive
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.recover import Plan, Recovered, plan_recovery, recover
from smithers_nb.workflows.incident.results import Classification

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card
    from smithers_nb.workflows.incident.profile_parts import FlowStep

__all__ = ["CaseFile", "Taken", "Triage", "mend", "open_case", "snapshot", "triage"]

T = TypeVar("T")


class Taken(Finding):
    """One step of the flow that was run.

    Attributes:
        round: How often the step was tried before, starting at 0.
        because: Why it passed or failed.
    """

    verb: str
    passed: bool
    round: int = 0
    exit: int | None = None
    duration: float | None = None
    because: str = ""


class Triage(Finding):
    """The result of a triage.

    Attributes:
        profile_file: File of a profile that is not shipped; empty for a shipped one.
        outcome: `resolved`, every command passed; `stopped`, one failed and nobody asked for another try.
        path: Every step that was run, in order.
        stopped_at: The command that failed last; empty when none did.
        classification: What the failure is.
    """

    profile: str
    profile_file: str = ""
    run_id: str
    outcome: Literal["resolved", "stopped"]
    path: tuple[Taken, ...]
    stopped_at: str = ""
    classification: Classification

    def card(self) -> Card:
        """Render the result as a card."""
        from smithers_nb.workflows.incident.views import triage_card

        return triage_card(self)

    def _repr_mimebundle_(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, Any]:
        del include, exclude
        return {"text/html": self.card()._repr_html_(), "text/plain": self.card().text, TRIAGE_MIMETYPE: self.as_json()}


TRIAGE_MIMETYPE = "application/vnd.smithers-nb.triage+json"
"""MIME type under which a cell output carries the result as JSON."""


def snapshot(case: CaseFile) -> Card:
    """Copy the run before any command touches it, because even reading its state may change it."""
    from smithers_nb.present.html.parts import note

    archive = _stage("snapshot", case.snapshot, Archive)
    size = sum(item.size for item in archive.files)
    return note(f"{len(archive.files)} names, {size:,} bytes, kept in {case.before} (sha256 {archive.sha256[:12]}…)", state="finished")


def triage(case: CaseFile) -> Triage:
    """Run the commands of the flow, up to the first that fails.

    Raises:
        Parked: A step failed, and a person is asked whether it is fixed.
    """
    path: list[Taken] = []
    for step in case.profile.flow.steps:
        path += _run_until_fixed(case, step)
        if not path[-1].passed:
            break
    passed = bool(path) and path[-1].passed
    return Triage(
        profile=case.profile.name,
        profile_file=case.profile_file,
        run_id=case.run_id,
        outcome="resolved" if passed else "stopped",
        path=tuple(path),
        stopped_at="" if passed or not path else path[-1].verb,
        classification=case.classify(),
    )


def mend(case: CaseFile, *, apply: bool = False, values: Mapping[str, str] | None = None, baseline: str | None = None) -> Card:
    """Plan the recovery; with `apply`, carry it out once a person has approved the plan.

    Args:
        case: The run.
        apply: Ask for approval. Without it nothing is done beyond the plan.
        values: Values for steps that need one, by name; never a key.
        baseline: An earlier copy of the run, to tell real staleness from false.

    Returns:
        The plan, or the result of the recovery.

    Raises:
        Parked: Waiting for approval.
        ControlRefused: `REQUEST_CHANGED`, the failure is no longer the one that was approved; nothing was done.
    """
    from smithers_nb.workflows.incident.views import plan_card, recovered_card
    from smithers_nb.workflows.notebook.api import gate, stage

    def planned(found: Classification) -> Plan:
        return plan_recovery(case, found, values, baseline=Path(baseline) if baseline else None)

    if not apply:
        return plan_card(planned(case.classify()))
    # stored as it was shown: an approval counts for what was shown, and a killed recovery continues with the failure it began with
    found = stage("failure", case.classify, schema=Classification)
    plan = stage("recovery-plan", planned, found, schema=Plan)
    if found.resolved or not plan.steps:
        return plan_card(plan)
    asked = gate("recover", f"Take the recovery of {plan.signature}?", found.summary, _shown_steps(plan))
    if not asked.approved:
        return plan_card(plan)
    stage("still-so", _refuse_if_changed, case, found)
    return recovered_card(stage("recovery", recover, case, found, values, agreed_by=asked.decided_by or "", schema=Recovered))


def _shown_steps(plan: Plan) -> dict[str, str]:
    return {step.title: step.shows or step.do for step in plan.steps if step.needed}


def _refuse_if_changed(case: CaseFile, approved: Classification) -> None:
    now = case.classify()
    if (now.signature, now.subcause) != (approved.signature, approved.subcause):
        hint = "look at the failure as it is now, then start a new triage"
        raise ControlRefused(f"the failure is no longer the one that was approved: {now.summary}", code="REQUEST_CHANGED", hint=hint)


def _run_until_fixed(case: CaseFile, step: FlowStep) -> list[Taken]:
    """Run one step, and again each time a person says that its failure is fixed."""
    taken: list[Taken] = []
    while True:
        taken.append(_stage(step.verb, lambda: _run(case, step, len(taken)), Taken, iteration=len(taken)))
        if taken[-1].passed or not _is_fixed(case, step, len(taken) - 1):
            return taken


def _run(case: CaseFile, step: FlowStep, tries: int) -> Taken:
    done = case.runner().verb(step.verb)
    return Taken(verb=step.verb, passed=done.passed, round=tries, exit=done.exit, duration=done.duration, because=done.because)


def _is_fixed(case: CaseFile, step: FlowStep, tries: int) -> bool:
    if current() is None:
        return False
    from smithers_nb.workflows.notebook.api import gate

    # stored as it was shown: a fix changes the run, and an approval counts for what was shown
    found = _stage(f"failure-of-{step.verb}", lambda: _shown(case.classify()), iteration=tries)
    return gate(
        f"fix-{step.verb}",
        f"{step.verb} failed: {step.fix or 'fix it'}, then approve to run it again",
        f"{found['summary']} Approve once it is fixed: {step.verb} is run again. Deny to stop here.",
        {
            "look at": step.look_at or None,
            "signature": found["signature"],
            "errors": found["errors"],
            "fix": found["fix"],
        },
        iteration=tries,
    ).approved


def _shown(found: Classification) -> dict[str, Any]:
    """Return what a person is shown about a failed step."""
    primary = [line for line in found.errors if not line.secondary]
    return {
        "summary": found.summary,
        "signature": found.signature,
        "errors": [line.text for line in primary][:20],
        "fix": list(dict.fromkeys(line.fix for line in primary if line.fix)),
    }


def _stage(node_id: str, step: Callable[[], T], schema: type[T] | None = None, *, iteration: int = 0) -> T:
    """Run a step: as a stage in a durable run, directly elsewhere."""
    if current() is None:
        return step()
    from smithers_nb.engine.stages import stage

    kept: T = stage(node_id, step, schema=schema, iteration=iteration)
    return kept
