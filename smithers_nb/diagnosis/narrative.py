"""The root cause in one to three plain sentences.

Gets the failure, its class and what the engine recorded wrongly; gives text that names the task, quotes the error in its own words
and says why, how persistently, and what else went down with it. Pure: no clock, no store, no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from smithers_nb.diagnosis.error_chain import is_wrapper, says_nothing
from smithers_nb.diagnosis.stack import own_frame

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Classification, Defect, Failure, Link, Observation

_QUOTE: Final = 300
_MOST_NAMES: Final = 4
_LONGEST: Final = 20_000
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

_TOLD: Final = (
    ("path", "path"),
    ("url", "service"),
    ("address", "address"),
    ("port", "port"),
    ("hostname", "host"),
    ("statusCode", "HTTP status"),
    ("module", "module"),
    ("specifier", "module"),
    ("command", "command"),
    ("cmd", "command"),
    ("status", "exit code"),
    ("exitCode", "exit code"),
    ("signal", "signal"),
    ("timeoutMs", "limit in ms"),
)
"""Details of an error that say where to look, with the words for them, in the order in which they are told."""

_PRINTED: Final = (("stderr", "It printed"), ("logTail", "The log says"), ("responseBody", "The server answered"))
_ANSWER: Final = re.compile(r'^\s*\{.{0,400}?"message"\s*:\s*"((?:[^"\\]|\\.){1,2000})"', re.DOTALL)
_TELLING: Final = re.compile(r"error|cannot|denied|not found|no such|fatal|failed", re.IGNORECASE)


def root_cause(
    failure: Failure, classification: Classification, defects: Sequence[Defect] = (), seen_here: Sequence[Observation] = ()
) -> str:
    """Say what happened and why.

    Args:
        failure: The failure that mattered.
        classification: Its class; the reason of the rule that decided becomes the second sentence.
        defects: What the engine recorded wrongly; only those that change how the failure has to be read are told.
        seen_here: What a look at this machine showed; told when it means something, that is, when the run's folder is here.
    """
    here = [seen.text for seen in seen_here if seen.meaningful and seen.confirms is not None]
    told = [_what_happened(failure), *_place(failure), *_why(failure, classification), *_aside(failure), *_misrecorded(defects), *here]
    return " ".join(_sentence(text) for text in told if text)


def summary(classification: Classification, failure: Failure, suggestion: str) -> str:
    """Put the verdict in one line: class, confidence, suggestion, and what failed."""
    error = _clip(failure.message, 120) or "no error is recorded"
    failed = f"{failure.node_id or 'the run'}: {error}"
    return f"{classification.failure_class} ({classification.confidence}): {suggestion} — {failed}"


def _what_happened(failure: Failure) -> str:
    if failure.kind == "denied":
        return _denial(failure)
    if failure.kind == "none":
        where = f" Task {failure.node_id} is marked failed." if failure.node_id else ""
        return f"Run {failure.run_id} failed, but the store holds no error that says why.{where}"
    words = _error_words(failure.chain)
    if failure.node_id is None:
        return f"The run itself failed, not one of its tasks: {words}"
    return f"{_subject(failure)} {_how_often(failure)}: {words}"


def _denial(failure: Failure) -> str:
    details = failure.details
    title = f" ({_clip(str(details['title']), 120)})" if details.get("title") else ""
    note = f"with the note: {_clip(str(details['note']))}" if details.get("note") else "without a note"
    who = details.get("decidedBy") or "somebody"
    return f"Approval {failure.node_id}{title} was denied by {who} {note}. That is a decision, not a fault"


def _subject(failure: Failure) -> str:
    iteration = f" in iteration {failure.iteration}" if failure.iteration else ""
    child = f" of child run {failure.run_id}" if failure.parents else ""
    agent = f" (agent {failure.agent}{f', {failure.model}' if failure.model else ''})" if failure.agent else ""
    return f"Task {failure.node_id}{iteration}{child}{agent}"


def _how_often(failure: Failure) -> str:
    if failure.attempts > 1:
        return f"failed {failure.attempts} times{', each time in the same way' if failure.persistent else ''}"
    return "failed"


def _error_words(chain: Sequence[Link]) -> str:
    """Quote the outermost error that says something, and the innermost where it says something else."""
    telling = [link for link in chain if not says_nothing(link.message)] or list(chain)
    if not telling:
        return "no message was recorded"
    head, last = telling[0], telling[-1]
    first = _one_error(head)
    if last is head or is_wrapper(last) or last.message in head.message:
        return first
    return f"{first.rstrip('.')}; caused by {_one_error(last)}"


def _one_error(link: Link) -> str:
    name = link.code or (link.name if link.name not in {"Error", "SmithersError"} else None)
    message = _clip(link.message) or "no message was recorded"
    return message if not name or name in message else f"{name}: {message}"


def _place(failure: Failure) -> Iterator[str]:
    """Add what the error says besides its message, unless the message has it already."""
    said = " ".join(link.message for link in failure.chain)
    found = {words: _detail(key, failure.details[key]) for key, words in _TOLD if failure.details.get(key) not in (None, "", False)}
    facts = [f"{words} {value}" for words, value in found.items() if value and value not in said]
    frame = own_frame(failure.chain)
    if frame:
        facts.append(f"thrown at {frame.name}:{frame.line}")
    if facts and failure.kind != "denied":
        yield _capital(", ".join(facts))
    yield from _printed(failure, said)


def _printed(failure: Failure, said: str) -> Iterator[str]:
    """Quote the line of a log, an error stream or a server's answer that tells most, unless the message has it already."""
    for key, words in _PRINTED:
        text = str(failure.details.get(key) or "")
        answer = _ANSWER.search(text)  # an answer in JSON is told by its message
        lines = [line.strip() for line in (answer.group(1) if answer else text).splitlines() if line.strip()]
        telling = next((line for line in reversed(lines) if _TELLING.search(line)), lines[-1] if lines else "")
        if telling and telling not in said:
            yield f"{words}: {_clip(telling, 200)}"
            return


def _detail(key: str, value: object) -> str:
    if key == "status" and not isinstance(value, int):
        return ""  # a child run's status word, not an exit code
    if key == "url":
        return urlsplit(str(value)).netloc.rpartition("@")[2] if "://" in str(value) else _clip(str(value), 120)
    return _clip(str(value), 160) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _why(failure: Failure, classification: Classification) -> Iterator[str]:
    if failure.kind != "denied" and classification.reason:
        yield _capital(classification.reason)
    yield from map(_capital, classification.exonerated)


def _aside(failure: Failure) -> Iterator[str]:
    if failure.collateral:
        names = ", ".join(failure.collateral[:_MOST_NAMES])
        more = f" and {len(failure.collateral) - _MOST_NAMES} more" if len(failure.collateral) > _MOST_NAMES else ""
        yield f"{names}{more} failed as well; that is no other cause"


_CHANGES_THE_READING: Final = frozenset(
    {
        "broken-stream-as-invalid-output",
        "cause-not-recorded",
        "deadlock-on-finished-task",
        "error-only-in-agent-events",
        "failure-recorded-as-cancellation",
        "garbled-prompt",
        "heartbeat-timeout-after-answer",
        "ran-before-approval",
        "stale-error-replayed",
    }
)


def _misrecorded(defects: Sequence[Defect]) -> Iterator[str]:
    yield from (defect.summary for defect in defects if defect.kind in _CHANGES_THE_READING)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clip(text: str, limit: int = _QUOTE) -> str:
    line = " ".join(_COLOURS.sub("", text[:_LONGEST]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
