"""One recommendation for one run: fix, rewind, retry or escalate, as Smithers' own `triage-run` gives it.

Gets a run of any source; gives one row. The first rule that fits decides; with low confidence only a look is recommended. Nothing is
changed, and nothing raises for what a store holds or lacks.
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
from smithers_nb.workflows.monitor.diagnose import joined
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
"""Command and rationale of a rule that fits."""

_BROKEN: Final = frozenset({"failed", "error", "stuck", "stalled"})
_NOT_BY_CHANCE: Final = frozenset({"workflow-bug", "environment"})
_SAID: Final = 600


class Facts(NamedTuple):
    """What the rules look at.

    Attributes:
        why: The explanation of the run.
        bucket: Its health.
        nature: Whether the same failure is to be expected again.
        gates: Gates that nobody has decided.
        repair: What could be done without a person.
        effects: Nodes that a new attempt would have do something outside of the run a second time.
        look: A command that only looks.
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
        target_run_id: The run; a unique beginning is enough.
        source: Store, project folder or URL; the current folder by default.
        now: Epoch milliseconds.
        stale_minutes: A task without activity for longer than this counts as stuck.

    Returns:
        The row; of a run that is not there or cannot be read one with low confidence that says so.
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
    """Return the action, its command and why; the first rule that fits decides.

    Args:
        facts: What is known of the run.
        confidence: How sure its cause is.
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
        return "escalate", facts.look, "Nothing is wrong with the run, so there is nothing to do but look."
    return "escalate", facts.look, "What is wrong is not sure enough to act on; look first."


def _escalate(facts: Facts) -> _Answer:
    waits = next((item for item in facts.why.blockers if item.choices or item.alternatives), None)
    if facts.gates or facts.bucket == "blocked":
        first = waits or next(iter(facts.why.blockers), None)
        reason = first.reason if first else "it waits for a person"
        return joined((*first.choices[:1], *first.commands)) if first else "", f"A person decides: {reason}"
    advice, failure = facts.why.advice, facts.why.failure
    if facts.bucket == "overBudget":
        return facts.look, "Whether it may cost more is for a person to decide."
    if advice is not None and (advice.suggestion == "escalate" or (failure is not None and failure.kind == "denied")):
        return joined(advice.commands), f"A person judges: {advice.detail}"
    return None


def _fix(facts: Facts) -> _Answer:
    if facts.nature != "persistent" or facts.why.advice is None:
        return None
    failure = facts.why.failure
    often = failure is not None and failure.persistent
    again = f"the same failure on every one of {len(failure.signatures)} attempts" if failure and often else "a new attempt meets it again"
    return joined(facts.why.advice.commands), f"Persistent, {again}: {facts.why.advice.detail}"


def _retry(facts: Facts) -> _Answer:
    if facts.nature != "transient" or facts.effects:
        return None
    if facts.repair is not None:
        return facts.repair.command, f"Transient, and nothing outside of the run is repeated: {facts.repair.reason}."
    advice = facts.why.advice
    if advice is None or advice.suggestion not in {"retry", "resume"}:
        return None
    return joined(advice.commands), f"Transient, and nothing outside of the run is repeated: {advice.detail}"


def _rewind(facts: Facts) -> _Answer:
    advice = facts.why.advice
    named = any("frame" in f"{item.ref} {item.quote}".lower() for item in facts.why.evidence)
    if advice is None or advice.suggestion != "rewind" or not named:
        return None
    return joined(advice.commands), f"The evidence names the frame after which the state is bad: {advice.detail}"


_RULES: Final[dict[str, Callable[[Facts], _Answer]]] = {"escalate": _escalate, "fix": _fix, "retry": _retry, "rewind": _rewind}
"""Recommended action to its rule, in the order in which they are asked."""


def _row(gathered: MonitorSnapshot, snapshot: Snapshot, stale_minutes: float) -> TriageRow:
    case = Case(snapshot, gathered.now)
    bucket, reason = health(snapshot, gathered.now, stale_minutes)
    why = explain(snapshot, now=gathered.now)
    repair = repair_of(case, why) if bucket != "healthy" else None
    nature, confidence = _judged(why, bucket, repair)
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
        summary=f"{action}: {short_line(cause or reason, _SAID)}",
        rationale=rationale,
        failure_class=why.classification.failure_class if why.classification else None,
        evidence=_evidence(why),
        last_events=gathered.events.recent,
        run_error=redact(snapshot.run.error_message or ""),
        problems=gathered.problems,
    )


def _judged(why: Explanation, bucket: Health, repair: Repair | None) -> tuple[Nature, Confidence]:
    """Return whether the failure is to be expected again, and how sure that is.

    The class goes before the count: attempts a second apart meet the same outage, and a bug that was met once is met again. Where the
    class leaves it open, the same failure on every attempt is persistent. A flake that was seen once, without a second attempt that
    would tell, is transient with medium confidence only.
    """
    failure, kind = why.failure, why.classification
    if failure is None or kind is None:
        sure: Confidence = "high" if bucket in {"healthy", "blocked"} else "medium" if repair or why.blockers else "low"
        return ("transient" if repair else "unclear"), sure
    if kind.failure_class == "agent-flake":
        once = len(failure.signatures) < 2  # noqa: PLR2004  # a second attempt would tell
        return "transient", "medium" if once and kind.confidence == "high" else kind.confidence
    persistent = failure.persistent or kind.failure_class in _NOT_BY_CHANCE
    return ("persistent" if persistent else "unclear"), kind.confidence


def _effects(snapshot: Snapshot, why: Explanation) -> tuple[str, ...]:
    owner = owner_in(snapshot, why.failure) if why.failure is not None else None
    return repeated_effects(snapshot, reset_preview(snapshot, *owner)) if owner is not None else ()


def _evidence(why: Explanation) -> tuple[Evidence, ...]:
    """Take the quotes of the failure, else of what keeps the run from going on."""
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
