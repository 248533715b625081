"""Chats that Gemini CLI keeps, `~/.gemini/tmp/PROJECT/chats/session-*.jsonl`, before that one `.json` with `messages`; Qwen Code's too.

A message is written again with the same id when its calls go on, so only what is new in it is a mark. An approval that is open is in the
log: the status of its call. Nothing says that a session has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from smithers_nb.sources.sessions.marks import About, Json, Mark, joined, mapping, of_call, provider_words, raw, text

_TYPES: Final = frozenset({"user", "gemini", "qwen", "assistant"})
_NOTES: Final = frozenset({"info", "warning", "error"})
_OVER: Final = frozenset({"success", "error", "cancelled"})
_OPEN: Final = "awaiting_approval"
_CANCELLED: Final = "Request cancelled."
_OF_A_RESULT: Final = 300


def is_gemini_chat(record: Json) -> bool:
    """Return whether a record is the head of a chat, or a message of one."""
    if "sessionId" in record and "projectHash" in record:
        return True
    return "$rewindTo" in record or (text(record.get("type")) == "gemini" and "id" in record)


class GeminiChat:
    """Adapter for the chats of Gemini CLI; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Gemini CLI")
        self._prompts: list[str] = []
        self._said: dict[str, str] = {}
        self._calls: dict[str, str] = {}

    def marks(self, record: Json) -> Iterator[Mark]:
        """Describe what is new in a record."""
        kind = text(record.get("type"))
        if "$rewindTo" in record:
            yield from self._rewound(text(record["$rewindTo"]))
        elif "$set" in record:
            self._note(mapping(record["$set"]))
        elif "projectHash" in record:
            self._note(record)
        elif kind == "user":
            yield from self._of_user(record)
        elif kind in _TYPES:
            yield from self._of_agent(record)
        elif kind in _NOTES:
            yield from _of_note(kind, raw(joined(record.get("content"))))
        else:
            self.about.count_unknown(kind or "without a type")

    def _note(self, head: Json) -> None:
        session = text(head.get("sessionId"))
        if session and session not in self.about.ids:
            self.about.ids.append(session)
        directories = head.get("directories")
        if isinstance(directories, list) and directories:
            self.about.cwd = text(directories[0])

    def _rewound(self, to: str) -> Iterator[Mark]:
        """Drop the turns from a message on; every message of theirs was rolled back."""
        if to in self._prompts:
            turns = len(self._prompts) - self._prompts.index(to)
            del self._prompts[-turns:]
            yield Mark("rollback", more={"turns": turns})

    def _of_user(self, record: Json) -> Iterator[Mark]:
        key, words = text(record.get("id")), raw(joined(record.get("content")))
        if key and key in self._prompts:
            return
        self._prompts.append(key)
        yield Mark("prompt", words)

    def _of_agent(self, record: Json) -> Iterator[Mark]:
        key, words = text(record.get("id")), raw(joined(record.get("content")))
        self.about.model = text(record.get("model")) or self.about.model
        if usage := _usage(mapping(record.get("tokens"))):
            yield Mark("usage", key=key, more=usage)
        listed = record.get("toolCalls")
        calls = [mapping(call) for call in listed] if isinstance(listed, list) else []
        if self._said.get(key) != words:
            self._said[key] = words
            yield Mark("say" if calls or not words.strip() else "reply", words)
        for call in calls:
            yield from self._of_call(call)

    def _of_call(self, call: Json) -> Iterator[Mark]:
        key, status, name = text(call.get("id")), text(call.get("status")), text(call.get("name"))
        before = self._calls.get(key)
        if before == status or before in _OVER:
            return
        self._calls[key] = status
        if before is None or status == _OPEN:
            given = mapping(call.get("args"))
            what = next((given[key] for key in ("command", "file_path", "path", "prompt", "query", "url") if given.get(key)), "")
            yield Mark("call", of_call(what), key, more={"name": name, "asks": status == _OPEN})
        if status in _OVER:
            words = _result(call)
            yield Mark("result", words if status != "success" else words[:_OF_A_RESULT], key, ok=status == "success")
            if status == "cancelled":
                yield Mark("denied", words or "the call was cancelled", key, more={"person": True})


def _of_note(kind: str, words: str) -> Iterator[Mark]:
    if kind == "error":
        said, code = provider_words(words)
        yield Mark("error", said, code=code)
    elif words.strip() == _CANCELLED:
        yield Mark("interrupt", words)


def _result(call: Json) -> str:
    """Return the words of a call's result: what the model got, else what the person saw."""
    listed = call.get("result")
    for part in listed if isinstance(listed, list) else ():
        response = mapping(mapping(mapping(part).get("functionResponse")).get("response"))
        if words := text(response.get("error")) or text(response.get("output")):
            return raw(words)
    return raw(call.get("resultDisplay"))


def _usage(tokens: Json) -> dict[str, Any]:
    names = {"input": "input", "output": "output", "read": "cached", "reasoning": "thoughts"}
    return {short: tokens[name] for short, name in names.items() if isinstance(tokens.get(name), int)}
