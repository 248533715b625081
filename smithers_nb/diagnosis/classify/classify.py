"""Whose fault a failure is, how confident that verdict is, and which rule decided it.

Takes one error message, or a whole `Failure` with its cause chain and the history of its attempts. The rules that match are added
up by failure class, and the class with the highest score wins. Its lead over the next class sets the confidence.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.classify.case import NO_ENGINE, read_case
from smithers_nb.diagnosis.classify.doubt import is_doubtful
from smithers_nb.diagnosis.classify.recognised import recognised
from smithers_nb.diagnosis.classify.refusals import of_rule, of_session, provider_error
from smithers_nb.diagnosis.classify.rules import Rule, matching_rules
from smithers_nb.diagnosis.failure.error_chain import is_group
from smithers_nb.diagnosis.failure.stopped import INTERRUPTED
from smithers_nb.model.verdict import Classification, Failure, Hypothesis, Link
from smithers_nb.model.vocabulary import SESSION_TURN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smithers_nb.diagnosis.classify.case import Case
    from smithers_nb.model.vocabulary import Confidence, FailureClass

_CONFIDENCE: Final[tuple[tuple[Confidence, float, float], ...]] = (("high", 6.5, 4.0), ("medium", 3.5, 1.5))
"""Confidence, the least weight of the deciding rule, and the least lead over the next class."""

_MAX_HYPOTHESES: Final = 3
_MAX_SIGNS: Final = 2
_MIN_WEIGHT: Final = 1.5
"""Rules below this weight are hints and fallbacks, which make no hypothesis."""

_MAX_FOREIGN_WEIGHT: Final = 6.0
"""Largest weight of a rule that was written for another kind of task."""

_MODEL: Final = re.compile(
    r"\bllm|\bmodels?\b|openai|anthropic|claude|\bgpt|gemini|codex|mistral|bedrock|ollama|openrouter|deepseek|\bai_[a-z]|completions?\b|\bagent\b"
    r"|tokens? per min|overloaded_error"
)
"""Words which show that a task without an agent calls a model itself."""

_CODE_ERRORS: Final = frozenset(
    {"AttributeError", "IndexError", "KeyError", "NameError", "ReferenceError", "UnboundLocalError", "ZeroDivisionError"}
)
_GENERIC_ERRORS: Final = frozenset({"Error", "Exception", "RuntimeError"})
"""Errors whose class says nothing, so that their message is all the author's."""

_AGENT_SPOKE: Final = "AGENT_SPOKE"
_ANSWER_RULES: Final = frozenset({"answer-unparsable", "json-of-something-else", "timed-out", "bad-parameter", "something-invalid"})
_MAX_COMPLAINT: Final = 800
_COMPLAINT: Final = re.compile(
    r"\b(?:I|we)\b.{0,40}(?:n[o']t\b|unable|cannot|need|denied|blocked)|^\W*(?:\w+ )?error\b|permission|approv|denied|non-?interactive"
    r"|limit|credit|log(?:ged)?[ -]?in|unauthori|expired|overloaded|refused|failed|timed out",
    re.IGNORECASE,
)
"""Words in which an agent reports what keeps it from doing its work."""

_NOTHING: Final = Classification(
    failure_class="unknown",
    confidence="low",
    rule="none",
    reason="the error says nothing that points to a cause",
    suggestion="escalate",
)
_STOPPED: Final = of_rule("unknown", "stopped-by-a-person", "", "resume")
_DENIED: Final = of_rule("unknown", "denied", "a person denied the approval, which is a decision and not a fault", "escalate")
_INTERRUPTED: Final = of_rule("unknown", "interrupted", "an interrupt says nothing about whose fault it is", "retry")
_ENDING: Final = re.compile(
    r"(?:exit(?:ed)?|code|status)\D{0,12}(?:130|137|143)\b|SIG(?:TERM|INT|KILL)|\b(?:abort|terminat|interrupt|kill|cancel)", re.IGNORECASE
)
_ENDED_BY_SIGNAL: Final = frozenset({130, 137, 143, -2, -9, -15})
"""Exit statuses of a process that was asked to end."""

_EXONERATED: Final = (
    "workflow: no frame of the workflow's own code stands before the engine's, and no rule of its structure is broken",
    "environment: no system call, network, credential, disk or provider error is part of the chain",
)
"""Why the workflow and the environment are not at fault when the engine is."""


def classify_message(
    message: str,
    code: str | None = None,
    *,
    stack: str = "",
    details: Mapping[str, object] | None = None,
    task_kind: str | None = None,
) -> Classification:
    """Classify one error by its message and what was recorded with it.

    Args:
        message: Its text; from a long one only the beginning, the end and the most telling lines between them are read.
        code: Its error code (`ENOENT`, `INVALID_OUTPUT`) or, without one, its class (`TypeError`).
        stack: Its stack, if there is one.
        details: Everything else recorded with it: `statusCode`, `code`, `responseBody`, ….
        task_kind: `agent`, `compute`, …, if known.
    """
    case = read_case([message], [code or ""], [stack], details or {}, task_kind or "")
    return weigh([_without_a_model(rule, case) for rule in matching_rules(case)], doubt=is_doubtful(case))


def classify(failure: Failure) -> Classification:
    """Classify a failure by its whole cause chain, its details and the course of its attempts.

    A code that only wraps another error counts for next to nothing. The same failure on each of several attempts reverses the guess
    that it would pass by itself. The engine is blamed only when its own code threw the error or the error names its own tables.
    """
    if failure.kind == "denied":
        return _DENIED
    if failure.kind == INTERRUPTED:
        return _INTERRUPTED
    if _was_stopped(failure):
        return replace(_STOPPED, reason=f"a person had asked for a {failure.details['stopRequested']}, which ends the task that is running")
    if failure.task_kind == SESSION_TURN and (refused := provider_error(failure.message, _status_of(failure))):
        return refused
    if reported := _reported_by_agent(failure):
        return reported
    chain = _without_guesses(failure.chain)
    case = read_case(
        [link.message for link in chain],
        [link.code or link.name or "" for link in chain],
        [link.stack for link in reversed(chain)],
        failure.details,
        failure.task_kind or "",
    )
    rules = (_repeated(rule) if failure.persistent else rule for rule in (_without_a_model(rule, case) for rule in matching_rules(case)))
    has_engine = failure.task_kind != NO_ENGINE
    fair_rules = [fair for rule in rules if (fair := _without_blaming_the_engine(rule, case))]
    doubt = is_doubtful(case) or _members_differ(failure)
    verdict = weigh([rule for rule in fair_rules if has_engine or rule.failure_class != "smithers-bug"], doubt=doubt)
    verdict = replace(verdict, quote=recognised(verdict.rule, failure))
    return of_session(verdict) if failure.task_kind == SESSION_TURN else verdict


def _without_guesses(chain: Sequence[Link]) -> Sequence[Link]:
    """Drop what authors wrote around an error of their own code: after a `KeyError`, `cannot connect` says nothing of a network."""
    if not chain or chain[-1].name not in _CODE_ERRORS or any(link.name not in _GENERIC_ERRORS or link.code for link in chain[:-1]):
        return chain
    return chain[-1:]


def _members_differ(failure: Failure) -> bool:
    """Return whether an exception group has errors of more than one kind, any of which may be the cause."""
    return bool(failure.chain) and is_group(failure.chain[0]) and len({link.name for link in failure.chain[1:]}) > 1


def _was_stopped(failure: Failure) -> bool:
    """Return whether a task ended like a process that was asked to end, right after a person had asked for it."""
    if not failure.details.get("stopRequested"):
        return False
    return bool(_ENDING.search(" ".join(f"{link.code} {link.message}" for link in failure.chain))) or (
        failure.details.get("exitCode") in _ENDED_BY_SIGNAL
    )


def _status_of(failure: Failure) -> str:
    return str(failure.details.get("statusCode") or failure.code or "")


def _reported_by_agent(failure: Failure) -> Classification | None:
    """Classify what the agent itself reported, where the engine only recorded that it was not JSON or came too late."""
    words = str(failure.details.get("answer") or failure.details.get("lastWords") or "")
    if not words or len(words) > _MAX_COMPLAINT or not _COMPLAINT.search(words):
        return None
    verdict = classify_message(f"{_AGENT_SPOKE} {words}", task_kind="agent")
    if verdict.confidence == "low" or verdict.failure_class in {"unknown", "smithers-bug"} or verdict.rule in _ANSWER_RULES:
        return None
    return of_rule(verdict.failure_class, verdict.rule, f"{verdict.reason}, as the agent itself says", verdict.suggestion)


def weigh(matches: Sequence[Rule], *, doubt: bool = False) -> Classification:
    """Add up the weights of the rules by class and return the class with the highest score.

    Several rules of one class often match the same words, so each further one counts half as much as the one before. With `doubt`, or
    with a rule that is itself in doubt, the confidence is never high.
    """
    ranked = sorted(matches, key=lambda rule: -rule.weight)
    scores: dict[FailureClass, float] = {}
    counted: dict[FailureClass, int] = {}
    for rule in ranked:
        counted[rule.failure_class] = counted.get(rule.failure_class, -1) + 1
        scores[rule.failure_class] = scores.get(rule.failure_class, 0.0) + rule.weight / 2 ** counted[rule.failure_class]
    if not scores:
        return _NOTHING
    (winner, score), *others = sorted(scores.items(), key=lambda item: -item[1])
    best = next(rule for rule in ranked if rule.failure_class == winner)
    confidence = _confidence(best, score - (others[0][1] if others else 0.0), doubt=doubt or any(rule.doubt for rule in matches))
    return Classification(
        failure_class=winner,
        confidence=confidence,
        rule=best.name,
        reason=best.reason,
        suggestion=best.suggestion,
        exonerated=_EXONERATED if winner == "smithers-bug" else (),
        hypotheses=() if confidence == "high" else _hypotheses(ranked, [winner, *(name for name, _ in others)]),
    )


def _hypotheses(ranked: Sequence[Rule], classes: Sequence[FailureClass]) -> tuple[Hypothesis, ...]:
    """Return the best explanations next to each other; a class that only has a hint in its favour is not an explanation."""
    by_class = {name: [rule for rule in ranked if rule.failure_class == name and rule.weight >= _MIN_WEIGHT] for name in classes}
    rivals = {name: rules for name, rules in by_class.items() if rules}
    if len(rivals) < 2:  # noqa: PLR2004  # a single explanation has no rival
        return ()
    return tuple(
        Hypothesis(
            failure_class=name,
            suggestion=rules[0].suggestion,
            speaks_for=tuple(dict.fromkeys(rule.reason for rule in rules))[:_MAX_SIGNS],
            speaks_against=next(rule.reason for rule in ranked if rule.failure_class != name and rule.failure_class in rivals),
        )
        for name, rules in list(rivals.items())[:_MAX_HYPOTHESES]
    )


def _confidence(best: Rule, lead: float, *, doubt: bool) -> Confidence:
    if best.failure_class == "unknown":
        return "low"
    for confidence, weight, margin in _CONFIDENCE[doubt:]:
        if best.weight >= weight and lead >= margin:
            return confidence
    return "low"


def _without_a_model(rule: Rule, case: Case) -> Rule:
    """Blame some other server for what looks like a provider's fault when the task has no agent and nothing names a model."""
    if rule.failure_class != "agent-flake" or case.kind in {"", "agent"} or _MODEL.search(case.text):
        return rule
    weight = min(rule.weight, _MAX_FOREIGN_WEIGHT)
    return replace(rule, failure_class="environment", suggestion=rule.elsewhere or "fix-environment", weight=weight, when_repeated="")


def _repeated(rule: Rule) -> Rule:
    if not rule.when_repeated:
        return rule
    suggestion = "edit-workflow-and-reset" if rule.when_repeated == "workflow-bug" else rule.suggestion
    reason = f"{rule.reason}, on every attempt alike"
    return replace(rule, failure_class=rule.when_repeated, suggestion=suggestion, reason=reason, doubt=True)


def _without_blaming_the_engine(rule: Rule, case: Case) -> Rule | None:
    if rule.failure_class != "smithers-bug" or rule.engine:
        return rule
    # What crashed is the agent's tool or a library, not the engine that reports it
    return replace(rule, failure_class="agent-flake", suggestion="retry", doubt=True) if case.kind == "agent" else None
