"""Whose fault a failure is, how sure that is, and by which rule.

Gets one error message, or a whole `Failure` with its cause chain and the history of its attempts; asks the rule packs what they
recognise; adds up what they say for each class, and gives the class that is ahead. How far it is ahead is the confidence.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.classify.doubt import is_doubtful
from smithers_nb.diagnosis.classify.recognised import recognised
from smithers_nb.diagnosis.classify.refusals import of_session, provider_error
from smithers_nb.diagnosis.classify.rules import Case, Rule, known_codes, matching_rules
from smithers_nb.diagnosis.failure.error_chain import is_group
from smithers_nb.diagnosis.failure.excerpt import shortened
from smithers_nb.diagnosis.failure.origin import waits_for, where_thrown
from smithers_nb.diagnosis.failure.stack import TRACEBACK, python_exception, reads_environment
from smithers_nb.diagnosis.failure.stopped import INTERRUPTED
from smithers_nb.model.verdict import Classification, Failure, Hypothesis, Link
from smithers_nb.model.vocabulary import SESSION_TURN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from smithers_nb.model.vocabulary import Confidence, FailureClass

_MAX_TEXT: Final = 8000
_SURE: Final[tuple[tuple[Confidence, float, float], ...]] = (("high", 6.5, 4.0), ("medium", 3.5, 1.5))
"""Confidence, the least weight of the deciding rule, its least lead over the next class."""

_MAX_HYPOTHESES: Final = 3
_SIGNS_TOLD: Final = 2
_LEAST_SIGN: Final = 1.5
"""Rules of less weight are hints and fallbacks."""

_NOT_SURE: Final = 6.0
"""Weight of a rule that was made for another kind of task."""

_NOISE: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\s*See https?://smithers\.sh/reference/errors\S*|(?<=^Task failed: )\S+|\s+")
_CODE_WORD: Final = re.compile(
    r"\b(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|E[A-Z0-9]{3,}|[A-Za-z_]*(?:Error|Exception|Timeout|Exit|Interrupt)[0-9A-Za-z]*)\b"
)
_COUNTED: Final = (
    r"(?! (?:more |of )?(?:rows?|records?|items?|lines?|files?|bytes?|tokens?|entries|results?|orders?|users?|ms|seconds?"
    r"|times|pages?|events?|tests?|%)\b)"
)
"""What follows a number that counts something, and so is no HTTP status."""

_UNSET: Final = re.compile(
    r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9] (?:(?:is|was) (?:not (?:set|defined)|unset|missing|empty)|not set|must be set|missing in env)"
)
"""A name in the capitals of environment variables, and that it has no value."""

_STATUS: Final = re.compile(
    r"\b(?:api error|http(?:/[\d.]+)?(?: status| error)?(?: code)?|status(?:[ _]?code)?|code|answered"
    r"|returned(?: error)?|responded with|response|got)"
    rf"['\"]?[ :=(\[]{{1,3}}([1-5]\d\d)\b(?!\.\d){_COUNTED}"
    r"|\b([45]\d\d) (?:unauthorized|payment required|method not allowed|payload too large|unprocessable|too many requests"
    r"|internal server error|not implemented|bad gateway|service unavailable|gateway time-?out)"
    r"|(?:^|[:;,.|(\[{\"'-] ?|\b(?:error|http|status|response|request|server|upstream|api|returned|answered|with|got|received"
    r"|failed|an?|https?://\S+) )"
    r"([45]\d\d) (?:bad request|forbidden|not found|request timeout|conflict)"
    r"|\b([45]\d\d) status code\b"
    r"|^(?:[\w.]*error: )?([45]\d\d) [\"{a-z]"
)
_EXIT: Final = re.compile(
    r"(?:exit(?:ed|s|ing|[ _-]?\w{4,6})?|\bstatus|\bcode|\breturn(?:ed|[ _-]?code|[ _-]?value)?|\brc|\bestado|\bc[oó]digo|\bcodice|\bstatut"
    r"|\b[ée]tat|\bstato|\bwert|rückgabewert|\b\u043a\u043e\u0434|\b\u0441\u0442\u0430\u0442\u0443\u0441|状态码?|退出码?|代码|コード|\bkod)"
    r"(?: (?:with|value|code|status|de (?:sortie|salida|sa[ií]da|estado)|di (?:uscita|stato)"
    r"|\u0432\u043e\u0437\u0432\u0440\u0430\u0442\u0430|\u0432\u044b\u0445\u043e\u0434\u0430))*['\":=( ]{1,3}(-?\d{1,10})\b(?![.:/]\d)"
)
"""An exit status, by the words that shells and runners have for it in the languages that servers are most often set to."""

_ERRNO: Final = re.compile(r"(?<!npm err! )(?<!npm error )\berrno['\"]?[ :=\]]{1,2}-?(\d{1,5})\b|\(os error (\d{1,5})\)")
"""An error number of the operating system; what npm calls so is the exit status of a script."""
_MODEL: Final = re.compile(
    r"\bllm|\bmodels?\b|openai|anthropic|claude|\bgpt|gemini|codex|mistral|bedrock|ollama|openrouter|deepseek|\bai_[a-z]|completions?\b|\bagent\b"
    r"|tokens? per min|overloaded_error"
)
"""Words by which a task without an agent shows that it talks to a model by itself."""

_FIRST_ERROR_STATUS: Final = 400
_QUOTES: Final = {0x2019: "'", 0x2018: "'", 0x201C: '"', 0x201D: '"', 0xA0: " "}
_NO_ENGINE: Final = "notebook-cell"
"""Kind of a cell of an executed notebook: no engine ran it that could be at fault."""

_OWN_CODE: Final = {SESSION_TURN: "agent", "cell": "compute", "stage": "compute", _NO_ENGINE: "compute"}
"""Cells and stages of a notebook are what Smithers calls a compute task: the author's own code."""

_OF_THE_CODE: Final = frozenset(
    {"AttributeError", "IndexError", "KeyError", "NameError", "ReferenceError", "UnboundLocalError", "ZeroDivisionError"}
)
_PLAIN: Final = frozenset({"Error", "Exception", "RuntimeError"})
"""Errors of no kind, whose words are the author's."""

_SPOKEN_DETAILS: Final = ("responseBody", "stderr", "stdout")
_COMMAND: Final = re.compile(
    r"\bCommand '(?:\['(?P<name>[^']*)'.*?\]|.*?)' (?=returned non-zero exit status|died with <Signals|timed out after)", re.DOTALL
)
"""What Python quotes of a command that failed: its arguments are the author's words, no part of what went wrong."""

_ANSWER_DETAILS: Final = ("text", "response", "textPreview", "answer")

_AGENT_SPOKE: Final = "AGENT_SPOKE"
_OF_THE_ANSWER: Final = frozenset({"answer-unparsable", "json-of-something-else", "timed-out", "bad-parameter", "something-invalid"})
_MAX_COMPLAINT: Final = 800
_COMPLAINS: Final = re.compile(
    r"\b(?:I|we)\b.{0,40}(?:n[o']t\b|unable|cannot|need|denied|blocked)|^\W*(?:\w+ )?error\b|permission|approv|denied|non-?interactive"
    r"|limit|credit|log(?:ged)?[ -]?in|unauthori|expired|overloaded|refused|failed|timed out",
    re.IGNORECASE,
)
"""Words with which an agent speaks of what keeps it from its work."""

_NOTHING: Final = Classification(
    failure_class="unknown",
    confidence="low",
    rule="none",
    reason="the error says nothing that points to a cause",
    suggestion="escalate",
)
_STOPPED: Final = Classification(
    failure_class="unknown",
    confidence="medium",
    rule="stopped-by-a-person",
    reason="",
    suggestion="resume",
)
_ENDED: Final = re.compile(
    r"(?:exit(?:ed)?|code|status)\D{0,12}(?:130|137|143)\b|SIG(?:TERM|INT|KILL)|\b(?:abort|terminat|interrupt|kill|cancel)", re.IGNORECASE
)
_ENDED_BY_SIGNAL: Final = frozenset({130, 137, 143, -2, -9, -15})
"""How a process says that it was told to end."""

_DENIED: Final = Classification(
    failure_class="unknown",
    confidence="medium",
    rule="denied",
    reason="a person denied the approval, which is a decision and no fault",
    suggestion="escalate",
)


_INTERRUPTED: Final = Classification(
    failure_class="unknown",
    confidence="medium",
    rule="interrupted",
    reason="an interrupt says nothing about whose fault it is",
    suggestion="retry",
)


def classify_message(
    message: str,
    code: str | None = None,
    *,
    stack: str = "",
    details: Mapping[str, object] | None = None,
    task_kind: str | None = None,
) -> Classification:
    """Classify one error by what it says.

    Args:
        message: Its text; of a long one the beginning, the end and the lines between them that tell most are looked at.
        code: Its error code (`ENOENT`, `INVALID_OUTPUT`) or, without one, its class (`TypeError`).
        stack: Its stack, when there is one.
        details: What else the error says: `statusCode`, `code`, `responseBody`, ….
        task_kind: `agent`, `compute`, … when known.
    """
    case = read_case([message], [code or ""], [stack], details or {}, task_kind or "")
    return weigh([_without_a_model(rule, case) for rule in matching_rules(case)], doubt=is_doubtful(case))


def classify(failure: Failure) -> Classification:
    """Classify a failure by its whole cause chain, its details and how its attempts went.

    A code that only wraps another error says next to nothing; the same failure on every one of several attempts turns a guess that
    it would pass into its opposite; the engine is blamed only when its own code threw, or its own tables are named.
    """
    if failure.kind == "denied":
        return _DENIED
    if failure.kind == INTERRUPTED:
        return _INTERRUPTED
    if _was_stopped(failure):
        return replace(_STOPPED, reason=f"a person had asked for a {failure.details['stopRequested']}, which ends what is under way")
    if failure.task_kind == SESSION_TURN and (refused := provider_error(failure.message, _status_of(failure))):
        return refused
    if own := _in_the_agents_words(failure):
        return own
    chain = _without_guesses(failure.chain)
    case = read_case(
        [link.message for link in chain],
        [link.code or link.name or "" for link in chain],
        [link.stack for link in reversed(chain)],
        failure.details,
        failure.task_kind or "",
    )
    rules = (_repeated(rule) if failure.persistent else rule for rule in (_without_a_model(rule, case) for rule in matching_rules(case)))
    engine = failure.task_kind != _NO_ENGINE
    fair_rules = [fair for rule in rules if (fair := _without_blaming_the_engine(rule, case))]
    doubt = is_doubtful(case) or _members_differ(failure)
    found = weigh([rule for rule in fair_rules if engine or rule.failure_class != "smithers-bug"], doubt=doubt)
    found = replace(found, quote=recognised(found.rule, failure))
    return of_session(found) if failure.task_kind == SESSION_TURN else found


def _without_guesses(chain: Sequence[Link]) -> Sequence[Link]:
    """Leave out what authors wrote around an error of their own code: `cannot connect` says nothing of a network when a key was missing."""
    if not chain or chain[-1].name not in _OF_THE_CODE or any(link.name not in _PLAIN or link.code for link in chain[:-1]):
        return chain
    return chain[-1:]


def _members_differ(failure: Failure) -> bool:
    """Return whether an exception group holds errors of more than one kind, of which any may be the cause."""
    return bool(failure.chain) and is_group(failure.chain[0]) and len({link.name for link in failure.chain[1:]}) > 1


def _was_stopped(failure: Failure) -> bool:
    """Return whether a task ended as processes do that are told to, right after a person had asked for it."""
    if not failure.details.get("stopRequested"):
        return False
    return bool(_ENDED.search(" ".join(f"{link.code} {link.message}" for link in failure.chain))) or (
        failure.details.get("exitCode") in _ENDED_BY_SIGNAL
    )


def _status_of(failure: Failure) -> str:
    return str(failure.details.get("statusCode") or failure.code or "")


def _in_the_agents_words(failure: Failure) -> Classification | None:
    """Classify what the agent said of itself, where the engine only knows that it was no JSON or came too late."""
    words = str(failure.details.get("answer") or failure.details.get("lastWords") or "")
    if not words or len(words) > _MAX_COMPLAINT or not _COMPLAINS.search(words):
        return None
    found = classify_message(f"{_AGENT_SPOKE} {words}", task_kind="agent")
    if found.confidence == "low" or found.failure_class in {"unknown", "smithers-bug"} or found.rule in _OF_THE_ANSWER:
        return None
    return Classification(
        failure_class=found.failure_class,
        confidence="medium",
        rule=found.rule,
        reason=f"{found.reason}, as the agent itself says",
        suggestion=found.suggestion,
    )


def read_case(messages: Sequence[str], codes: Iterable[str], stacks: Sequence[str], details: Mapping[str, object], kind: str) -> Case:
    """Bring everything known about one error into the form that rules ask for."""
    spoken = [str(details[key]) for key in _SPOKEN_DETAILS if details.get(key)]
    clean = " | ".join(dict.fromkeys(_clean(text) for text in (*messages, *spoken) if text))
    thrown = {word for code in codes for word in (code, code.rpartition(".")[2]) if word}
    thrown |= {python_exception(text).partition(":")[0].rpartition(".")[2] for text in (*messages, *spoken) if TRACEBACK in text}
    found = set(thrown)
    found.update(_CODE_WORD.findall(clean))
    found.update(_answer_words(details))
    if "KeyError" in thrown and any(map(reads_environment, stacks)):
        found.add("MISSING_VARIABLE")
    if _UNSET.search(clean):
        found.add("MISSING_VARIABLE")
    if isinstance(details.get("code"), str):
        found.add(str(details["code"]))
    if "TASK_TIMEOUT" in thrown:
        found.update(map(waits_for, stacks))
    text = clean.lower()
    return Case(
        text=text,
        codes=frozenset(found & known_codes()),
        thrown=frozenset(thrown),
        status=frozenset(_statuses(text, details)),
        exits=frozenset(_exits(text, details)),
        errno=frozenset(int(number) for groups in _ERRNO.findall(text) for number in groups if number),
        where=next((where for stack in stacks if (where := where_thrown(stack))), ""),
        kind=_OWN_CODE.get(kind, kind),
    )


def weigh(matches: Sequence[Rule], *, doubt: bool = False) -> Classification:
    """Add up what the rules say for each class, and give the class that is ahead.

    Several rules of one class often see the same words, so each further one counts half of the one before. Where there is doubt, by
    itself or because of a rule, no verdict is sure.
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
    """Set the best explanations beside each other; a class that only a hint speaks for is no explanation."""
    by_class = {name: [rule for rule in ranked if rule.failure_class == name and rule.weight >= _LEAST_SIGN] for name in classes}
    seen = {name: rules for name, rules in by_class.items() if rules}
    if len(seen) < 2:  # noqa: PLR2004  # one explanation has no rival
        return ()
    return tuple(
        Hypothesis(
            failure_class=name,
            suggestion=rules[0].suggestion,
            speaks_for=tuple(dict.fromkeys(rule.reason for rule in rules))[:_SIGNS_TOLD],
            speaks_against=next(rule.reason for rule in ranked if rule.failure_class != name and rule.failure_class in seen),
        )
        for name, rules in list(seen.items())[:_MAX_HYPOTHESES]
    )


_EXONERATED: Final = (
    "workflow: no frame of the workflow's own code stands before the engine's, and no rule of its structure is broken",
    "environment: no system call, network, credential, disk or provider error is part of the chain",
)


def _confidence(best: Rule, lead: float, *, doubt: bool) -> Confidence:
    if best.failure_class == "unknown":
        return "low"
    for confidence, weight, margin in _SURE[doubt:]:
        if best.weight >= weight and lead >= margin:
            return confidence
    return "low"


def _without_a_model(rule: Rule, case: Case) -> Rule:
    """Take a fault that looks like a provider's for some other server's, when the task has no agent and nothing names a model."""
    if rule.failure_class != "agent-flake" or case.kind in {"", "agent"} or _MODEL.search(case.text):
        return rule
    weight = min(rule.weight, _NOT_SURE)
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
    # What crashed is the agent's tool or somebody's library, not the engine that reports it
    return replace(rule, failure_class="agent-flake", suggestion="retry", doubt=True) if case.kind == "agent" else None


def _clean(text: str) -> str:
    cut = _COMMAND.sub(r"Command \g<name> ", text) if "Command '" in text else text
    cut = cut if len(cut) <= _MAX_TEXT else shortened(cut)
    return _NOISE.sub(_noise, cut).strip().translate(_QUOTES)


def _noise(match: re.Match[str]) -> str:
    return " " if match[0].isspace() else ""


def _statuses(text: str, details: Mapping[str, object]) -> Iterator[int]:
    for key in ("statusCode", "status", "httpStatus"):
        value = details.get(key)
        if isinstance(value, int) and value >= _FIRST_ERROR_STATUS:
            yield value
    yield from (int(next(filter(None, groups))) for groups in _STATUS.findall(text))


def _exits(text: str, details: Mapping[str, object]) -> Iterator[int]:
    for key in ("exitCode", "status"):
        value = details.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value < _FIRST_ERROR_STATUS:
            yield value
    yield from map(int, _EXIT.findall(text))


def _answer_words(details: Mapping[str, object]) -> Iterator[str]:
    """Summarise in one word what a rejected answer looked like: whole JSON that breaks the schema, or cut off in the middle."""
    answer = next((str(details[key]).strip() for key in _ANSWER_DETAILS if details.get(key)), "")
    if answer[:1] not in {"{", "["}:
        return
    try:
        json.loads(answer)
    except ValueError:
        yield "ANSWER_CUT_OFF"
    else:
        yield "ANSWER_WHOLE_JSON"
