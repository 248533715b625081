"""Chats that Gemini CLI stores: `~/.gemini/tmp/PROJECT/chats/session-*.jsonl`, in older versions one `.json`; Qwen Code's too.

A message is written again under the same id while its calls progress, so only what is new becomes a mark. A pending approval shows as
the status of its call. No record marks the end of a session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from smithers_nb.sources.sessions.marks import (
    About,
    Json,
    Mark,
    input_text,
    joined,
    mapping,
    objects,
    provider_error,
    raw,
    result_text,
    text,
    token_counts,
)

_TYPES: Final = frozenset({"user", "gemini", "qwen", "assistant"})
_NOTES: Final = frozenset({"info", "warning", "error"})
_ENDED: Final = frozenset({"success", "error", "cancelled"})
_PENDING: Final = "awaiting_approval"
_CANCELLED: Final = "Request cancelled."
_INPUT_KEYS: Final = ("command", "file_path", "path", "prompt", "query", "url")
_TOKENS: Final = {"input": "input", "output": "output", "read": "cached", "reasoning": "thoughts"}


def is_gemini_chat(record: Json) -> bool:
    """Return whether a record is the head or a message of a chat."""
    if "sessionId" in record and "projectHash" in record:
        return True
    return "$rewindTo" in record or (text(record.get("type")) == "gemini" and "id" in record)


class GeminiChat:
    """Adapter for chats of Gemini CLI; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Gemini CLI")
        self._prompts: list[str] = []
        self._texts: dict[str, str] = {}
        self._call_states: dict[str, str] = {}

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of what is new in a record."""
        kind = text(record.get("type"))
        if "$rewindTo" in record:
            yield from self._rollback_marks(text(record["$rewindTo"]))
        elif "$set" in record:
            self._update_about(mapping(record["$set"]))
        elif "projectHash" in record:
            self._update_about(record)
        elif kind == "user":
            yield from self._user_marks(record)
        elif kind in _TYPES:
            yield from self._agent_marks(record)
        elif kind in _NOTES:
            yield from _note_marks(kind, raw(joined(record.get("content"))))
        else:
            self.about.count_unknown(kind or "without a type")

    def _update_about(self, head: Json) -> None:
        self.about.add_id(text(head.get("sessionId")))
        directories = head.get("directories")
        if isinstance(directories, list) and directories:
            self.about.cwd = text(directories[0])

    def _rollback_marks(self, to: str) -> Iterator[Mark]:
        """Roll back all turns from a message on."""
        if to in self._prompts:
            turns = len(self._prompts) - self._prompts.index(to)
            del self._prompts[-turns:]
            yield Mark("rollback", more={"turns": turns})

    def _user_marks(self, record: Json) -> Iterator[Mark]:
        key, words = text(record.get("id")), raw(joined(record.get("content")))
        if key and key in self._prompts:
            return
        self._prompts.append(key)
        yield Mark("prompt", words)

    def _agent_marks(self, record: Json) -> Iterator[Mark]:
        key, words = text(record.get("id")), raw(joined(record.get("content")))
        self.about.model = text(record.get("model")) or self.about.model
        if usage := token_counts(mapping(record.get("tokens")), _TOKENS):
            yield Mark("usage", key=key, more=usage)
        calls = objects(record.get("toolCalls"))
        if self._texts.get(key) != words:
            self._texts[key] = words
            yield Mark("say" if calls or not words.strip() else "reply", words)
        for call in calls:
            yield from self._call_marks(call)

    def _call_marks(self, call: Json) -> Iterator[Mark]:
        key, status, name = text(call.get("id")), text(call.get("status")), text(call.get("name"))
        before = self._call_states.get(key)
        if before == status or before in _ENDED:
            return
        self._call_states[key] = status
        if before is None or status == _PENDING:
            yield Mark("call", input_text(mapping(call.get("args")), _INPUT_KEYS), key, more={"name": name, "asks": status == _PENDING})
        if status in _ENDED:
            words = _output_text(call)
            yield Mark("result", result_text(words, ok=status == "success"), key, ok=status == "success")
            if status == "cancelled":
                yield Mark("denied", words or "the call was cancelled", key, more={"person": True})


def _note_marks(kind: str, words: str) -> Iterator[Mark]:
    if kind == "error":
        message, code = provider_error(words)
        yield Mark("error", message, code=code)
    elif words.strip() == _CANCELLED:
        yield Mark("interrupt", words)


def _output_text(call: Json) -> str:
    """Return the text of a call's result: what the model received, else what the person saw."""
    for part in objects(call.get("result")):
        response = mapping(mapping(part.get("functionResponse")).get("response"))
        if words := text(response.get("error")) or text(response.get("output")):
            return raw(words)
    return raw(call.get("resultDisplay"))
