"""Errors that are recorded only in an agent's event stream.

Agent CLIs report some failures as ordinary text (`API Error: 529 …` as an assistant message), and the engine then stores only
`Claude run failed`. This module finds the text that says what happened among the agent's events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from smithers_nb.diagnosis.failure.error_chain import says_nothing
from smithers_nb.diagnosis.text.quotes import quoted
from smithers_nb.model.rows import EventRow
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Evidence
    from smithers_nb.sources.snapshot import Snapshot

_GENERIC = re.compile(
    r"(?:\w+ )?(?:run|agent|process|CLI|command|turn|session)\b.{0,20}?(?:failed|errored)\W*"
    r"|(?:[\w-]+ )?(?:[\w-]+ )?exited with (?:code|status) -?\d+\W*",
    re.IGNORECASE,
)
_LOOKS_LIKE_ERROR = re.compile(
    r"\berror\b|\bfail|\b[45]\d\d\b|denied|refused|unauthori[sz]ed|forbidden|invalid|expired|exception|traceback|fatal|panic"
    r"|not (?:found|logged in|authenticated|trusted|supported)|limit|quota|credit|overloaded|timed? ?out|disconnected"
    r"|unknown (?:option|argument|command)|cannot|can't|unable",
    re.IGNORECASE,
)
_BENIGN = re.compile(r"state db missing rollout path|^warn(?:ing)?\b|deprecat|experimental", re.IGNORECASE)
"""Lines that agent CLIs print in every run and that are never the cause (reported against Smithers as noise in failures)."""

_UNREADABLE = frozenset({"INVALID_OUTPUT", "AI_NoObjectGeneratedError", "AI_JSONParseError"})
_OUT_OF_TIME = frozenset({"TASK_TIMEOUT", "PROCESS_TIMEOUT", "PROCESS_IDLE_TIMEOUT", "AGENT_RUN_TIMEOUT", "TASK_HEARTBEAT_TIMEOUT"})
_MAX_QUOTE = 2_000
_MAX_LAST_WORDS = 200
"""Maximum length in characters: an agent that fails gives the reason in one line, and a longer last text is its work."""


def is_generic(message: str) -> bool:
    """Return whether a stored message says no more than that the agent did not succeed."""
    return says_nothing(message) or bool(_GENERIC.fullmatch(message.strip()))


def hidden_error(agent_events: Iterable[EventRow], attempt: AttemptRow, stored: str) -> Evidence | None:
    """Return what an agent reported when it failed, if the stored message does not say it.

    Args:
        agent_events: `AgentEvent` rows of the run, or `NodeOutput` rows of its task.
        attempt: The failed attempt.
        stored: Its stored error message.

    Returns:
        The text with a reference to its event; None when the stored message says enough or no text says more.
    """
    if not is_generic(stored):
        return None
    texts = [
        (event.seq, text)
        for event in reversed(_events_of(attempt, agent_events))
        for text in _texts(event.payload)
        if not is_generic(text) and not _BENIGN.search(text)
    ]
    error = next(((seq, text) for seq, text in texts if _LOOKS_LIKE_ERROR.search(text)), None)
    last = texts[0] if texts and len(texts[0][1]) <= _MAX_LAST_WORDS else None
    chosen = error or last
    return quoted(f"event:{chosen[0]}", chosen[1], "said by the agent, not kept in the attempt's error", _MAX_QUOTE) if chosen else None


def printed_error(snapshot: Snapshot, attempt: AttemptRow, stored: str) -> Evidence | None:
    """Return what an agent printed when it failed, where neither its error nor its events say why; see `hidden_error`."""
    if not is_generic(stored):
        return None
    only = {"type": ["NodeOutput"], "node_id": [attempt.node_id]}
    return hidden_error(snapshot.source.rows(EventRow, snapshot.run.run_id, only=only), attempt, stored)


def last_words(snapshot: Snapshot, attempt: AttemptRow, code: str | None) -> tuple[str, Evidence] | None:
    """Return what an agent answered instead of JSON, or printed last before its time was up.

    Args:
        snapshot: The run.
        attempt: The failed attempt.
        code: Code of its error.

    Returns:
        The key for the failure's details, `answer` or `lastWords`, and the quote; None when the error is of another kind or there is no
        text.
    """
    if attempt.kind not in {None, "agent"}:
        return None
    ref = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
    if code in _UNREADABLE and attempt.response and not _is_whole(attempt.response.strip()):
        return "answer", quoted(ref, attempt.response.strip(), "what the agent answered", _MAX_QUOTE)
    if code not in _OUT_OF_TIME:
        return None
    rows = snapshot.source.rows(EventRow, snapshot.run.run_id, only={"type": ["NodeOutput", "AgentEvent"], "node_id": [attempt.node_id]})
    texts = [(e.seq, is_error, text) for e in _events_of(attempt, rows) for is_error, text in _printed(e) if not _BENIGN.search(text)]
    if not texts:
        return None
    seq, _, text = next((printed for printed in reversed(texts) if printed[1]), texts[-1])
    return "lastWords", quoted(f"event:{seq}", text, "the last that was printed", _MAX_QUOTE)


def _events_of(attempt: AttemptRow, events: Iterable[EventRow]) -> list[EventRow]:
    key = (attempt.node_id, attempt.iteration, attempt.attempt)
    return [event for event in events if (event.node_id, event.iteration or 0, event.attempt) == key]


def _is_whole(answer: str) -> bool:
    """Return whether an answer is nothing but JSON, or starts with a code fence."""
    if answer.startswith("```"):
        return True
    if not answer.startswith(("{", "[")):
        return False
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return True


def _printed(event: EventRow) -> Iterator[tuple[bool, str]]:
    """Yield the texts of an event, each with whether it was written to the error stream."""
    payload = as_object(event.payload)
    if event.type == "AgentEvent":
        yield from ((False, text) for text in _texts(event.payload))
    elif isinstance(payload.get("text"), str) and payload["text"].strip():
        yield payload.get("stream") == "stderr", payload["text"].strip()


def _texts(payload: str | None) -> list[str]:
    whole = as_object(payload)
    event = whole.get("event", whole)
    if not isinstance(event, dict):
        return []
    values = [event.get("error"), event.get("message"), event.get("answer"), event.get("text")]
    return [text.strip() for text in values if isinstance(text, str) and text.strip()]
