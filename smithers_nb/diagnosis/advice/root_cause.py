"""The root cause in one to three plain sentences.

Gets the failure, its class and what the engine recorded wrongly; gives text that names the task, quotes the error in its own words
and says why, how persistently, and what else went down with it. Pure: no clock, no store, no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from smithers_nb.diagnosis.failure.error_chain import is_group, is_wrapper, says_nothing
from smithers_nb.diagnosis.failure.excerpt import abridged, quoting, telling, telling_line
from smithers_nb.diagnosis.failure.naming import name_of
from smithers_nb.diagnosis.failure.siblings import ALSO_FAILED, EARLIER
from smithers_nb.diagnosis.failure.stack import own_frame
from smithers_nb.diagnosis.failure.stopped import INTERRUPTED
from smithers_nb.redact import redact
from smithers_nb.sources.urls import without_secrets

if TYPE_CHECKING:
    from smithers_nb.diagnosis.history.origins import Origin
    from smithers_nb.model.verdict import Classification, Defect, Failure, Link, Observation

_MAX_NAMES: Final = 4
_A_LONE_MEMBER: Final = 2
_KINDS: Final = {"cell": "Cell", "stage": "Stage"}
_EXECUTED: Final = "notebook-cell"
_IN_NOTEBOOKS: Final = frozenset({_EXECUTED, *_KINDS})
_CLIENT_ERROR, _LAST_STATUS = 400, 599
_LOCAL: Final = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")  # noqa: S104 - words to leave out, not a place to listen
_NODE_KEY: Final = re.compile(r"^(?P<node>.+)::(?P<iteration>\d+)$")

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
)
"""Details of an error that say where to look, with the words for them, in the order in which they are told."""

_PRINTED: Final = (
    ("lastWords", "The last it printed"),
    ("stderr", "It printed"),
    ("stdout", "It printed"),
    ("logTail", "The log says"),
    ("responseBody", "The server answered"),
)
_ADVICE: Final = re.compile(r"\.? (?:Plain text cannot be passed through deps|This commonly happens with).*?(?=; caused by|$)", re.DOTALL)
"""What Smithers 0.32 tells the author of a workflow, which says nothing about this answer."""
_WENT_WRONG: Final = re.compile(r"denied|refus|not |n't|fail|error|permission|limit|expired|unable|cannot|missing|required", re.IGNORECASE)
_ANSWER: Final = re.compile(r'^\s*\{.{0,400}?"message"\s*:\s*"((?:[^"\\]|\\.){1,2000})"', re.DOTALL)


def root_cause(  # noqa: PLR0913  # all but two are optional
    failure: Failure,
    classification: Classification,
    defects: Sequence[Defect] = (),
    seen_here: Sequence[Observation] = (),
    *,
    origin: Origin | None = None,
    around: str = "",
) -> str:
    """Describe what happened and why.

    Args:
        failure: The failure that mattered.
        classification: Its class; the reason of the rule that decided becomes the second sentence.
        defects: What the engine recorded wrongly; only those that change how the failure has to be read are told.
        seen_here: What a look at this machine showed; told when it means something, that is, when the run's folder is here.
        origin: What lies behind the failure; it comes first.
        around: Sentences about the rest of the run, which come last.
    """
    here = [seen.text for seen in seen_here if seen.meaningful and seen.confirms is not None]
    lies_outside = origin is not None and origin.kind == "outside" and classification.failure_class == "environment"
    told = [
        _begun(redact(origin.text)) if origin and not lies_outside else "",
        _what_happened(failure, classification.quote),
        *_place(failure),
        *_earlier(failure),
        *_why(failure, classification),
        *_also_failed(failure, origin.producer if origin else ""),
        *_misrecorded(failure, defects),
        *_unnoticed(failure.details),
        *here,
        _begun(redact(origin.text)) if origin and lies_outside else "",
        around,
    ]
    return " ".join(_sentence(text) for text in told if text)


def summary(classification: Classification, failure: Failure, suggestion: str) -> str:
    """Put the verdict in one line: class, confidence, suggestion, and what failed."""
    error = quoting(failure.message, classification.quote, 120) or "no error is recorded"
    failed = f"{name_of(failure) or 'the run'}: {error}"
    return f"{classification.failure_class} ({classification.confidence}): {suggestion} — {failed}"


def _what_happened(failure: Failure, quote: str) -> str:
    if failure.kind == "denied":
        return _denial(failure)
    if failure.kind == "none":
        return _unexplained(failure)
    if failure.kind == INTERRUPTED:
        return _interrupted(failure)
    words = _error_words(failure, quote)
    if failure.details.get("answer"):
        answer = _from_its_beginning(str(failure.details["answer"])).rstrip(".")
        useless = f"its agent answered “{answer}”, which could not be used"
        return f"{_subject(failure)} {_how_often(failure)}: {useless}: {_ADVICE.sub('', words)}"
    if failure.node_id is None:
        return f"The run itself failed, not one of its tasks{_named_by_key(failure)}: {words}"
    return f"{_subject(failure)} {_how_often(failure)}: {words}"


def _unexplained(failure: Failure) -> str:
    where = f" Task {failure.node_id} is marked failed." if failure.node_id else ""
    return f"Run {failure.run_id} failed, but the store holds no error that says why.{where}"


def _interrupted(failure: Failure) -> str:
    name = f" ({failure.chain[0].name})" if failure.chain and failure.chain[0].name else ""
    return f"{_subject(failure)} did not come to its end: it was interrupted{name}. The file does not tell a person from a time limit"


def _named_by_key(failure: Failure) -> str:
    """Name the node that an error of the engine itself happened over, which only its key (`node::iteration`) tells."""
    key = _NODE_KEY.match(str(failure.details.get("key") or ""))
    if key is None:
        return ""
    return f", while the engine was at {key['node']}" + (f" in iteration {key['iteration']}" if key["iteration"] != "0" else "")


def _denial(failure: Failure) -> str:
    details = failure.details
    title = f" ({telling(str(details['title']), 120)})" if details.get("title") else ""
    note = f"with the note: {telling(str(details['note']))}" if details.get("note") else "without a note"
    who = details.get("decidedBy") or "somebody"
    return f"Approval {failure.node_id}{title} was denied by {who} {note}. That is a decision, not a fault"


def _subject(failure: Failure) -> str:
    iteration = f" in iteration {failure.iteration}" if failure.iteration else ""
    child = f" of child run {failure.run_id}" if failure.parents else ""
    agent = f" (agent {failure.agent}{f', {failure.model}' if failure.model else ''})" if failure.agent else ""
    if failure.task_kind == _EXECUTED:
        label = f" “{telling(failure.label, 60)}”" if failure.label else ""
        return f"Cell{label} ({failure.node_id})"
    kind = _KINDS.get(failure.task_kind or "", "Task")
    return f"{kind} {name_of(failure)}{iteration}{child}{agent}"


def _how_often(failure: Failure) -> str:
    if failure.attempts > 1:
        return f"failed {failure.attempts} times{', each time in the same way' if failure.persistent else ''}"
    return "failed"


def _error_words(failure: Failure, quote: str) -> str:
    """Quote the outermost error that says something, and the innermost where it says something else."""
    chain = failure.chain
    links = [link for link in chain if not says_nothing(link.message)] or list(chain)
    if not links:
        return "no message was recorded"
    head, last = links[0], links[-1]
    if is_group(head) and len(links) > _A_LONE_MEMBER:
        members = "; ".join(_one_error(link) for link in links[1 : _MAX_NAMES + 1])
        return f"{_one_error(head).rstrip('.')}, which holds {members}"
    first = _one_error(head, quote if quote in head.message else "")
    if failure.kind == "agent-event" and last is not head:
        return f"{first.rstrip('.')} (in the agent's own words; the engine recorded only “{telling(last.message, 120)}”)"
    if last is head or is_wrapper(last) or last.message in head.message or telling(last.message) in f"{head.message} {first}":
        return first
    return f"{first.rstrip('.')}; caused by {_one_error(last)}"


def _one_error(link: Link, quote: str = "") -> str:
    if link.name == "AggregateError" and not link.message:
        return "AggregateError: several errors at once, of which the engine recorded none"
    name = link.code or (link.name if link.name not in {"Error", "SmithersError"} else None)
    message = quoting(link.message, quote) or "no message was recorded"
    return message if not name or name in message else f"{name}: {message}"


def _place(failure: Failure) -> Iterator[str]:
    """Add what the error says besides its message, unless the message has it already."""
    said = " ".join(link.message for link in failure.chain)
    facts = [fact for fact in _facts(failure.details) if not _has_fact(said, *fact)]
    told = [f"{words} {value}" for at, (words, value) in enumerate(facts) if not any(value in other for _, other in facts[:at])]
    frame = own_frame(failure.chain)
    if frame:
        told.append(f"{'it was' if failure.code == 'TASK_TIMEOUT' or failure.kind == INTERRUPTED else 'thrown'} at {frame.place}")
    if told and failure.kind != "denied":
        yield _capital(", ".join(told))
    yield from _printed(failure, said)


def _has_fact(said: str, words: str, value: str) -> bool:
    """Return whether a message states a fact; the 2 of `12 files` or `line 2` is not its exit code."""
    if words == "exit code" and not re.search(r"exit|code|status", said, re.IGNORECASE):
        return False
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", said) is not None


def _earlier(failure: Failure) -> Iterator[str]:
    """Tell what earlier attempts failed with, where it was something else."""
    others = [f"attempt {e.ref.rpartition('/')[2]} {telling(e.quote, 100).rstrip('.')}" for e in failure.evidence if e.note == EARLIER]
    if others:
        yield f"Earlier it failed otherwise: {'; '.join(others)}"


def _facts(details: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, words in _TOLD:
        value = details.get(key)
        if value in (None, "", False) or not isinstance(value, str | int | float) or (key == "status" and not isinstance(value, int)):
            continue  # a child run's status is a word, not an exit code
        if key == "status" and _CLIENT_ERROR <= int(value) <= _LAST_STATUS:
            yield "HTTP status", str(value)
        elif key != "url" or "://" not in str(value):
            yield ("URL" if "://" in str(value) else words), abridged(without_secrets(str(value)), 160)
        elif not (details.get("statusCode") and _host(value).startswith(_LOCAL)):
            yield words, _host(value)


def _host(url: object) -> str:
    return urlsplit(str(url)).netloc.rpartition("@")[2]


def _printed(failure: Failure, said: str) -> Iterator[str]:
    """Quote the line of a log, an error stream or a server's answer that tells most, unless the message has it already."""
    for key, words in _PRINTED:
        text = str(failure.details.get(key) or "")
        answer = _ANSWER.search(text)  # an answer in JSON is told by its message
        best = telling_line(answer.group(1) if answer else text)
        if key == "lastWords":
            best = _from_its_beginning(text)
        if best and _letters(best) not in _letters(said):
            yield f"{words}: {abridged(' '.join(best.split()), 200)}"
            return


def _from_its_beginning(text: str) -> str:
    """Quote what an agent said as it began, for what it is about; a line further down that tells more comes after it."""
    answer = _ANSWER.search(text)  # an answer in JSON is told by its message
    best = telling_line(answer.group(1) if answer else text)
    whole = " ".join(text.split())
    begun = abridged(whole, 120)
    later = best if best and _letters(best) not in _letters(whole[:200]) and _WENT_WRONG.search(best) else ""
    return f"{begun} … {abridged(' '.join(later.split()), 160)}" if later else whole


def _unnoticed(details: Mapping[str, object]) -> Iterator[str]:
    """Distinguish of a program that failed before, in a way that does not stop a notebook."""
    if details.get("programSaid"):
        yield f"Before that, `{details.get('program')}` had said: {abridged(str(details['programSaid']), 200)}"


def _letters(text: str) -> str:
    return re.sub(r"[\W\d_]+", "", text).casefold()


def _why(failure: Failure, classification: Classification) -> Iterator[str]:
    if failure.kind != "denied" and classification.reason:
        yield _capital(_of_a_notebook(classification.reason) if failure.task_kind in _IN_NOTEBOOKS else classification.reason)
    yield from (f"Not the {text}" for text in classification.exonerated)


def _of_a_notebook(reason: str) -> str:
    """Say the reason of a rule where no engine has a part in it."""
    return reason.replace(", not by the engine or a provider", "").replace("workflow", "notebook")


def _also_failed(failure: Failure, producer: str) -> Iterator[str]:
    """List what else failed with one line of its error each, without a judgement on it; what the first sentence names is left out."""
    names = [name for name in failure.collateral if name != producer]
    errors = {e.ref.partition(":")[2].rpartition("/")[0].rpartition("/")[0]: e.quote for e in failure.evidence if e.note == ALSO_FAILED}
    shown = [f"{name} ({telling(errors[name], 120).rstrip('.')})" if errors.get(name) else name for name in names[:_MAX_NAMES]]
    if shown:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        yield f"Also failed: {'; '.join(shown) if errors else ', '.join(shown)}{more}"


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


def _misrecorded(failure: Failure, defects: Sequence[Defect]) -> Iterator[str]:
    """Return what the engine recorded wrongly, unless the words above have shown it already."""
    shown = {"error-only-in-agent-events"} if failure.kind == "agent-event" else set()
    shown |= {"cause-not-recorded"} if failure.node_id and failure.kind != "none" else set()
    for defect in defects:
        if defect.kind in _CHANGES_THE_READING - shown:
            about_the_task = failure.node_id and defect.summary.startswith(f"{failure.node_id} ")
            yield f"Task {defect.summary}" if about_the_task else _capital(defect.summary)


def _begun(text: str) -> str:
    """Begin a sentence: a name in backticks stays as it is."""
    return text if text.startswith("`") else _capital(text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
