"""One recommendation for one run, of any source: fix, rewind, retry or escalate, as in Smithers' own `triage-run`.

The first rule that matches decides; with low confidence the recommendation is only to inspect the run. Nothing is changed, and missing or
damaged data raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from smithers_nb.diagnosis.advice.suggest import owner_in
from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.finding import with_texts
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor import gather as gathering
from smithers_nb.workflows.monitor.diagnose import one_command_line
from smithers_nb.workflows.monitor.repairs import repair_of
from smithers_nb.workflows.monitor.results import MonitorSnapshot, TriageRow

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.verdict import Evidence
    from smithers_nb.model.vocabulary import Confidence, Health
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.monitor.results import Repair

Nature: TypeAlias = Literal["persistent", "transient", "unclear"]
_Answer: TypeAlias = "tuple[str, str] | None"
"""Command and rationale of a rule that matches."""

_BROKEN: Final = frozenset({"failed", "error", "stuck", "stalled"})
_NOT_BY_CHANCE: Final = frozenset({"workflow-bug", "environment"})
_MAX_SUMMARY: Final = 600


class Facts(NamedTuple):
    """What the rules are applied to.

    Attributes:
        why: The explanation of the run.
        bucket: Health of the run.
        nature: Whether a new attempt would fail in the same way.
        gates: Number of undecided gates.
        repair: The repair that a monitor could make without a person.
        effects: Nodes whose external effects a new attempt would repeat.
        look: A command that only inspects the run.
    """

    why: Explanation
    bucket: Health
    nature: Nature
    gates: int
    repair: Repair | None
    effects: tuple[str, ...]
    look: str


def triage(target_run_id: str, source: str | Path | None = None, *, now: int, stale_minutes: float = 15) -> TriageRow:
    """Recommend one thing to do about a run.

    Args:
        target_run_id: The run; a unique prefix is enough.
        source: Store, project folder or URL; defaults to the current folder.
        now: Epoch milliseconds.
        stale_minutes: A task without activity for longer than this counts as stuck.

    Returns:
        The row. If the run does not exist or cannot be read, the row says so, with low confidence.
    """
    gathered = gathering.gather(target_run_id, source, now=now)
    if not gathered.ok:
        return _unreadable(gathered)
    try:
        with gathering.opened(gathered, source) as snapshot:
            return with_texts(_row(gathered, snapshot, stale_minutes), redact_value)
    except (SmithersNbError, OSError) as error:
        return _unreadable(replace(gathered, summary=redact(str(error))))


def recommend(facts: Facts, confidence: Confidence) -> tuple[str, str, str]:
    """Return the action, its command and the rationale; the first rule that matches decides.

    Args:
        facts: What is known about the run.
        confidence: How certain the cause is.
    """
    for action, rule in _RULES.items():
        answer = rule(facts)
        if answer is None:
            continue
        command, rationale = answer
        if confidence == "low" and action != "escalate":
            break
        return action, command or facts.look, rationale
    if facts.bucket == "healthy":
        return "escalate", facts.look, "Nothing is wrong with the run, so there is nothing to do but watch it."
    return "escalate", facts.look, "The cause is not certain enough to act on; inspect the run first."


def _escalate(facts: Facts) -> _Answer:
    if facts.gates or facts.bucket == "blocked":
        decidable = (item for item in facts.why.blockers if item.choices or item.alternatives)
        first = next(decidable, next(iter(facts.why.blockers), None))
        reason = first.reason if first else "it waits for a person"
        return one_command_line((*first.choices[:1], *first.commands)) if first else "", f"A person decides: {reason}"
    advice, failure = facts.why.advice, facts.why.failure
    if facts.bucket == "overBudget":
        return facts.look, "A person decides whether it may cost more."
    if advice is not None and (advice.suggestion == "escalate" or (failure is not None and failure.kind == "denied")):
        return one_command_line(advice.commands), f"A person judges: {advice.detail}"
    return None


def _fix(facts: Facts) -> _Answer:
    if facts.nature != "persistent" or facts.why.advice is None:
        return None
    failure = facts.why.failure
    if failure is not None and failure.persistent:
        basis = f"all {len(failure.signatures)} attempts failed in the same way"
    else:
        basis = "a new attempt would fail in the same way"
    return one_command_line(facts.why.advice.commands), f"Persistent, {basis}: {facts.why.advice.detail}"


def _retry(facts: Facts) -> _Answer:
    if facts.nature != "transient" or facts.effects:
        return None
    if facts.repair is not None:
        return facts.repair.command, f"Transient, and nothing outside the run is repeated: {facts.repair.reason}."
    advice = facts.why.advice
    if advice is None or advice.suggestion not in {"retry", "resume"}:
        return None
    return one_command_line(advice.commands), f"Transient, and nothing outside the run is repeated: {advice.detail}"


def _rewind(facts: Facts) -> _Answer:
    advice = facts.why.advice
    named = any("frame" in f"{item.ref} {item.quote}".lower() for item in facts.why.evidence)
    if advice is None or advice.suggestion != "rewind" or not named:
        return None
    return one_command_line(advice.commands), f"The evidence names the frame after which the state is bad: {advice.detail}"


_RULES: Final[dict[str, Callable[[Facts], _Answer]]] = {"escalate": _escalate, "fix": _fix, "retry": _retry, "rewind": _rewind}
"""Rule of each recommended action, in the order in which they are tried."""


def _row(gathered: MonitorSnapshot, snapshot: Snapshot, stale_minutes: float) -> TriageRow:
    case = Case(snapshot, gathered.now)
    bucket, reason = health(snapshot, gathered.now, stale_minutes)
    why = explain(snapshot, now=gathered.now)
    repair = repair_of(case, why) if bucket != "healthy" else None
    nature, confidence = _assess(why, bucket, repair)
    gates = [gate for gate in case.open_gates if not gate.for_question]
    look = case.engine.line("why", snapshot.run_id)
    facts = Facts(why, bucket, nature, len(gates), repair, _effects(snapshot, why), look)
    action, command, rationale = recommend(facts, confidence)
    cause = "" if bucket == "healthy" else why.root_cause or next((item.reason for item in why.blockers), reason)
    return TriageRow(
        target_run_id=snapshot.run_id,
        state=case.state,
        failing_nodes=sum(node.state in _BROKEN for node in snapshot.nodes),
        pending_approvals=len(gates),
        root_cause=cause,
        confidence=confidence,
        recommended_action=action,  # type: ignore[arg-type]  # a key of the rules
        command=command,
        summary=f"{action}: {short_line(cause or reason, _MAX_SUMMARY)}",
        rationale=rationale,
        failure_class=why.classification.failure_class if why.classification else None,
        evidence=_evidence(why),
        last_events=gathered.events.recent,
        run_error=redact(snapshot.run.error_message or ""),
        problems=gathered.problems,
    )


def _assess(why: Explanation, bucket: Health, repair: Repair | None) -> tuple[Nature, Confidence]:
    """Return whether the failure would happen again, and how certain that is.

    The class outweighs the count: attempts a second apart meet the same outage, and a bug that occurred once occurs again. Where the class
    leaves it open, the same failure on every attempt is persistent. A flake with no second attempt to confirm it is transient with at
    most medium confidence.
    """
    failure, kind = why.failure, why.classification
    if failure is None or kind is None:
        confidence: Confidence = "high" if bucket in {"healthy", "blocked"} else "medium" if repair or why.blockers else "low"
        return ("transient" if repair else "unclear"), confidence
    if kind.failure_class == "agent-flake":
        once = len(failure.signatures) < 2  # noqa: PLR2004  # a second attempt would confirm it
        return "transient", "medium" if once and kind.confidence == "high" else kind.confidence
    persistent = failure.persistent or kind.failure_class in _NOT_BY_CHANCE
    return ("persistent" if persistent else "unclear"), kind.confidence


def _effects(snapshot: Snapshot, why: Explanation) -> tuple[str, ...]:
    owner = owner_in(snapshot, why.failure) if why.failure is not None else None
    return repeated_effects(snapshot, reset_preview(snapshot, *owner)) if owner is not None else ()


def _evidence(why: Explanation) -> tuple[Evidence, ...]:
    """Return the quotes of the failure or, if there is none, of what blocks the run."""
    return why.evidence or tuple(item for blocker in why.blockers for item in blocker.evidence)


def _unreadable(gathered: MonitorSnapshot) -> TriageRow:
    return TriageRow(
        target_run_id=gathered.target_run_id,
        state="unknown",
        root_cause=gathered.summary,
        confidence="low",
        recommended_action="escalate",
        command="smithers-nb ps --all",
        summary=f"escalate: {gathered.summary}",
        rationale="The run could not be read, so nothing is known about it.",
        problems=gathered.problems,
    )
