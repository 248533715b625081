"""Records of `gemini --output-format stream-json`: `init` begins a session, `result` ends it.

A tool of an MCP server may report success and have an error in its output; what the tool says is the agent's business, and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from smithers_nb.sources.sessions.marks import About, Json, Mark, mapping, of_call, provider_words, raw, text

_TYPES: Final = frozenset({"init", "message", "tool_use", "tool_result", "error", "result"})
_OF_A_RESULT: Final = 300


def is_gemini(record: Json) -> bool:
    """Return whether a record is one of a stream of Gemini CLI."""
    kind = text(record.get("type"))
    if kind == "message":
        return "role" in record and "content" in record and "payload" not in record
    return kind == "init" and "session_id" in record


_CANCELLED: Final = "FatalCancellationError"
"""Type of the error with which a run ends that a person cancelled."""


class GeminiStream:
    """Adapter for the stream of Gemini CLI; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Gemini CLI", several=True)

    def marks(self, record: Json) -> Iterator[Mark]:
        """Describe what a record means."""
        kind = text(record.get("type"))
        if kind == "init":
            self._note(record)
            yield Mark("begin", key=text(record.get("session_id")), more={"session": True})
        elif kind == "message":
            yield Mark("prompt" if record.get("role") == "user" else "reply", raw(record.get("content")))
        elif kind == "tool_use":
            given = mapping(record.get("parameters"))
            what = raw(given.get("command")) or raw(given.get("file_path"))
            yield Mark("call", of_call(what), text(record.get("tool_id")), more={"name": text(record.get("tool_name"))})
        elif kind == "tool_result":
            failed = record.get("status") == "error"
            words = raw(mapping(record.get("error")).get("message")) or raw(record.get("output"))
            yield Mark("result", words if failed else words[:_OF_A_RESULT], text(record.get("tool_id")), ok=not failed)
        elif kind == "result":
            yield from _of_result(record)
        elif kind not in _TYPES:
            self.about.count_unknown(kind or "without a type")

    def _note(self, record: Json) -> None:
        session = text(record.get("session_id"))
        if session and session not in self.about.ids:
            self.about.ids.append(session)
        self.about.model = text(record.get("model")) or self.about.model


def _of_result(record: Json) -> Iterator[Mark]:
    stats = mapping(record.get("stats"))
    names = {"input": "input", "output": "output_tokens", "read": "cached"}
    counts: dict[str, Any] = {short: stats[name] for short, name in names.items() if isinstance(stats.get(name), int)}
    if counts:
        yield Mark("usage", more=counts)
    error = mapping(record.get("error"))
    if text(error.get("type")) == _CANCELLED:
        yield Mark("interrupt", raw(error.get("message")))
    elif record.get("status") == "error":
        words, code = provider_words(raw(error.get("message")))
        yield Mark("error", words or "an error without words", code=code or text(error.get("type")))
    else:
        yield Mark("done")
