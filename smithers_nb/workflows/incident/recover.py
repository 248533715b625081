"""The recovery of a signature: plan which of its steps are needed, and carry them out once a person has agreed.

A plan changes nothing. A recovery copies the run first and stops at the first step that does not succeed. It counts as recovered only when
the command that failed passes and the run is classified as fixed; anything else is a reason to escalate. Steps that an earlier try finished
are repeated: each is safe to repeat, and a verified archive is reused.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from smithers_nb.errors import ControlRefused
from smithers_nb.model.finding import Finding
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.bundle import write_bundle
from smithers_nb.workflows.incident.recovery_steps import Going, TakenStep, check_values, shows, take, why_not
from smithers_nb.workflows.incident.results import Classification
from smithers_nb.workflows.incident.signatures.classify import classify
from smithers_nb.workflows.incident.staleness import Staleness, staleness_of

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.workflows.incident.casefile import CaseFile


class PlannedStep(Finding):
    """One step of a recovery, before anything is done.

    Attributes:
        needed: Whether this failure needs the step; `because` says why not.
        shows: What it would do, as a command line or a sentence.
    """

    id: str
    do: str
    title: str
    needed: bool
    because: str = ""
    shows: str = ""


class Plan(Finding):
    """A planned recovery.

    Attributes:
        summary: What is planned, in a sentence.
        staleness: For a run that fell back to an earlier stage: whether contents really changed.
    """

    summary: str
    profile: str
    run_id: str
    signature: str | None
    subcause: str | None = None
    steps: tuple[PlannedStep, ...] = ()
    staleness: Staleness | None = None


class Recovered(Finding):
    """The result of a recovery.

    Attributes:
        outcome: `recovered`; `waiting` for a person; `failed`, in which case escalation is advised; `surfaced`, another fault appeared.
        run_id: The run that works now; a different one when a fresh run was started.
        now: The run, classified again.
        bundle: The escalation bundle of a failed recovery; empty without one.
    """

    summary: str
    outcome: Literal["recovered", "waiting", "failed", "surfaced"]
    run_id: str
    steps: tuple[TakenStep, ...]
    now: Classification
    bundle: str = ""
    staleness: Staleness | None = None


def plan_recovery(case: CaseFile, found: Classification, values: Mapping[str, str] | None = None, *, baseline: Path | None = None) -> Plan:
    """Plan the recovery of a failure without changing anything.

    Args:
        case: The run.
        found: What it was classified as.
        values: Values for steps that need one, by name.
        baseline: An earlier copy of the run, to tell real staleness from false.

    Raises:
        ParameterError: A value does not match the pattern of its step.
    """
    going = Going(case, found, values or {})
    recovery = case.profile.recovery.get(found.signature or "")
    planned: list[PlannedStep] = []
    for step in recovery.steps if recovery else ():
        check_values(step, going.values)
        because = why_not(step.when, going)
        planned.append(PlannedStep(id=step.id, do=step.do, title=step.title, needed=not because, because=because, shows=shows(step, going)))
    needed = sum(step.needed for step in planned)
    summary = f"{needed} of {len(planned)} steps are needed; nothing has been done." if planned else "This profile has no recovery for it."
    return Plan(
        summary=summary,
        profile=case.profile.name,
        run_id=case.run_id,
        signature=found.signature,
        subcause=found.subcause,
        steps=tuple(planned),
        staleness=staleness_of(case, baseline) if found.signature and found.signature == case.profile.stages.signature else None,
    )


def recover(case: CaseFile, found: Classification, values: Mapping[str, str] | None = None, *, agreed_by: str) -> Recovered:
    """Carry out the recovery of a failure.

    Args:
        case: The run.
        found: What it was classified as.
        values: Values for steps that need one, by name.
        agreed_by: Who agreed to it; written to the log.

    Raises:
        ControlRefused: `NO_RECOVERY`, the profile has none for this signature.
        ParameterError: A value is missing or malformed, or the orchestrator was not found; nothing was done.
        ArtifactsNotWritten: The copy could not be made; nothing was done.
    """
    recovery = case.profile.recovery.get(found.signature or "")
    if recovery is None:
        hint = f"escalate: smithers-nb incident escalate {shlex.quote(str(case.run.root))}"
        raise ControlRefused(
            f"profile {case.profile.name} has no recovery for {found.signature or found.rule}", code="NO_RECOVERY", hint=hint
        )
    plan_recovery(case, found, values)
    case.require_program()
    case.snapshot()
    case.log.append("recover", decision="approved", because=f"agreed by {agreed_by}: {found.signature} {found.subcause or ''}".strip())
    going = Going(case, found, values or {})
    taken: list[TakenStep] = []
    for step in recovery.steps:
        if why_not(step.when, going):
            continue
        taken.append(take(step, going))
        if taken[-1].outcome != "done":
            break
    return _judged(going, tuple(taken))


def _judged(going: Going, taken: tuple[TakenStep, ...]) -> Recovered:
    case = going.fresh or going.case
    now = classify(case.profile, RunDirectory(case.run.root)) if going.fresh else case.classify()
    ended = taken[-1].outcome if taken else "failed"
    outcome: Literal["recovered", "waiting", "failed", "surfaced"]
    if ended == "waiting":
        outcome = "waiting"
    elif ended == "done" and (now.signature is None or now.resolved):
        outcome = "recovered"
    else:
        another = now.rule not in {"none", going.found.rule} and (now.signature, now.subcause) != (
            going.found.signature,
            going.found.subcause,
        )
        outcome = "surfaced" if another else "failed"
    bundle = _bundle_of(going.case, now) if outcome == "failed" else ""
    why = taken[-1].because if taken else "no step was needed"
    what_next = f"escalated with {bundle}" if bundle else f"escalate: smithers-nb incident escalate {shlex.quote(str(going.case.run.root))}"
    said = {
        "recovered": f"Recovered: what failed passes now, on run {case.run_id}.",
        "waiting": f"Waiting for you: {why}.",
        "failed": f"Not recovered: {why}; {what_next}",
        "surfaced": f"That is mended, and another fault has surfaced: {now.summary}",
    }[outcome]
    going.case.log.append("recovered", decision=outcome, because=said)
    stale = staleness_of(going.case) if going.found.signature == going.case.profile.stages.signature else None
    return Recovered(summary=said, outcome=outcome, run_id=case.run_id, steps=taken, now=now, bundle=bundle, staleness=stale)


def _bundle_of(case: CaseFile, now: Classification) -> str:
    """Write the escalation bundle when the profile escalates this failure automatically."""
    signature = case.profile.signatures.get(now.signature or "")
    return write_bundle(case, now).file if signature is not None and signature.escalates else ""
