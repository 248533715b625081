"""The first triage as stages of a durable notebook: a copy first, then the flow's commands, up to the first that fails.

Each command is a stage, so a killed triage goes on at the step it was killed in, and a person's "I have fixed it" at the gate behind a
failed step runs that step again. Outside a durable run nobody can be asked, so the first failure ends the triage.

What would mend the run is planned behind it, and taken only when that was asked for and a person approves what the plan shows.
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
    """One step of the way through the flow.

    Attributes:
        round: How often the step was tried before, from 0.
        because: Why it ended so.
    """

    verb: str
    passed: bool
    round: int = 0
    exit: int | None = None
    duration: float | None = None
    because: str = ""


class Triage(Finding):
    """The way a triage took.

    Attributes:
        profile_file: File of a profile that is not shipped; empty for a shipped one.
        outcome: `resolved`, every command passed; `stopped`, one failed and nobody asked for another try.
        path: Every step that was taken, in order.
        stopped_at: The command that failed last; empty when none did.
        classification: What the failure is; None when every command passed and nothing else is wrong.
    """

    profile: str
    profile_file: str = ""
    run_id: str
    outcome: Literal["resolved", "stopped"]
    path: tuple[Taken, ...]
    stopped_at: str = ""
    classification: Classification

    def card(self) -> Card:
        """Lay it out for a person."""
        from smithers_nb.workflows.incident.views import triage_card

        return triage_card(self)

    def _repr_mimebundle_(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, Any]:
        del include, exclude
        return {"text/html": self.card()._repr_html_(), "text/plain": self.card().text, TRIAGE_MIMETYPE: self.as_json()}


TRIAGE_MIMETYPE = "application/vnd.smithers-nb.triage+json"
"""A cell that displays a triage carries the row itself under this type."""


def snapshot(case: CaseFile) -> Card:
    """Copy the run before anything is run on it, because even a look at its state may change it."""
    from smithers_nb.present.html.parts import note

    archive = _stage("snapshot", case.snapshot, Archive)
    size = sum(item.size for item in archive.files)
    return note(f"{len(archive.files)} names, {size:,} bytes, kept in {case.before} (sha256 {archive.sha256[:12]}…)", state="finished")


def triage(case: CaseFile) -> Triage:
    """Walk through the flow.

    Returns:
        The way taken.

    Raises:
        Parked: A step failed, and a person is asked whether it is fixed.
    """
    path: list[Taken] = []
    for step in case.profile.flow.steps:
        path += _taken(case, step)
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
    """Plan what would mend the run; with `apply`, take it once somebody has approved the plan.

    Args:
        case: The run.
        apply: Ask for approval. Without it nothing is done beyond the plan.
        values: Values for steps that need one, by name; never a key.
        baseline: An earlier copy of the run, to tell real staleness from false.

    Returns:
        The plan, or what taking it came to.

    Raises:
        Parked: Somebody is asked.
        ControlRefused: `REQUEST_CHANGED`, the failure is not the one any more that was approved; nothing was done.
    """
    from smithers_nb.workflows.incident.views import plan_card, recovered_card
    from smithers_nb.workflows.notebook.api import gate, stage

    def planned(found: Classification) -> Plan:
        return plan_recovery(case, found, values, baseline=Path(baseline) if baseline else None)

    if not apply:
        return plan_card(planned(case.classify()))
    # kept as it was when it was asked: an approval counts for what was shown, and a killed recovery goes on with the failure it began with
    found = stage("failure", case.classify, schema=Classification)
    plan = stage("recovery-plan", planned, found, schema=Plan)
    if found.resolved or not plan.steps:
        return plan_card(plan)
    asked = gate("recover", f"Take the recovery of {plan.signature}?", found.summary, _shown_steps(plan))
    if not asked.approved:
        return plan_card(plan)
    stage("still-so", _refuse_another, case, found)
    return recovered_card(stage("recovery", recover, case, found, values, agreed_by=asked.decided_by or "", schema=Recovered))


def _shown_steps(plan: Plan) -> dict[str, str]:
    return {step.title: step.shows or step.do for step in plan.steps if step.needed}


def _refuse_another(case: CaseFile, approved: Classification) -> None:
    now = case.classify()
    if (now.signature, now.subcause) != (approved.signature, approved.subcause):
        hint = "look at what it is now, and begin a new triage"
        raise ControlRefused(f"the failure is another one than was approved: {now.summary}", code="REQUEST_CHANGED", hint=hint)


def _taken(case: CaseFile, step: FlowStep) -> list[Taken]:
    """Take one step, again and again as long as it fails and a person says that it is fixed."""
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

    # kept as it was when it was asked: a fix changes what the run looks like, and an approval counts for what was shown
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
    """What a person is shown of a failed step."""
    primary = [line for line in found.errors if not line.secondary]
    return {
        "summary": found.summary,
        "signature": found.signature,
        "errors": [line.text for line in primary][:20],
        "fix": list(dict.fromkeys(line.fix for line in primary if line.fix)),
    }


def _stage(node_id: str, step: Callable[[], T], schema: type[T] | None = None, *, iteration: int = 0) -> T:
    """Take a step: once per run in a durable run, else simply."""
    if current() is None:
        return step()
    from smithers_nb.engine.stages import stage

    kept: T = stage(node_id, step, schema=schema, iteration=iteration)
    return kept
