"""Records of `gemini --output-format stream-json`: `init` starts a session, `result` ends it.

A tool of an MCP server may report success with an error in its output. That is for the agent to handle, so it is not judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from smithers_nb.sources.sessions.marks import About, Json, Mark, input_text, mapping, provider_error, raw, result_text, text, token_counts

_TYPES: Final = frozenset({"init", "message", "tool_use", "tool_result", "error", "result"})
_TOKENS: Final = {"input": "input", "output": "output_tokens", "read": "cached"}
_CANCELLED: Final = "FatalCancellationError"
"""Error type of a run that a person cancelled."""


def is_gemini(record: Json) -> bool:
    """Return whether a record belongs to a stream of Gemini CLI."""
    kind = text(record.get("type"))
    if kind == "message":
        return "role" in record and "content" in record and "payload" not in record
    return kind == "init" and "session_id" in record


class GeminiStream:
    """Adapter for the stream of Gemini CLI; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Gemini CLI", several=True)

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of a record."""
        kind = text(record.get("type"))
        if kind == "init":
            self._update_about(record)
            yield Mark("begin", key=text(record.get("session_id")), more={"session": True})
        elif kind == "message":
            yield Mark("prompt" if record.get("role") == "user" else "reply", raw(record.get("content")))
        elif kind == "tool_use":
            command = input_text(mapping(record.get("parameters")), ("command", "file_path"))
            yield Mark("call", command, text(record.get("tool_id")), more={"name": text(record.get("tool_name"))})
        elif kind == "tool_result":
            failed = record.get("status") == "error"
            words = raw(mapping(record.get("error")).get("message")) or raw(record.get("output"))
            yield Mark("result", result_text(words, ok=not failed), text(record.get("tool_id")), ok=not failed)
        elif kind == "result":
            yield from _result_marks(record)
        elif kind not in _TYPES:
            self.about.count_unknown(kind or "without a type")

    def _update_about(self, record: Json) -> None:
        self.about.add_id(text(record.get("session_id")))
        self.about.model = text(record.get("model")) or self.about.model


def _result_marks(record: Json) -> Iterator[Mark]:
    if counts := token_counts(mapping(record.get("stats")), _TOKENS):
        yield Mark("usage", more=counts)
    error = mapping(record.get("error"))
    if text(error.get("type")) == _CANCELLED:
        yield Mark("interrupt", raw(error.get("message")))
    elif record.get("status") == "error":
        words, code = provider_error(raw(error.get("message")))
        yield Mark("error", words or "an error without words", code=code or text(error.get("type")))
    else:
        yield Mark("done")
