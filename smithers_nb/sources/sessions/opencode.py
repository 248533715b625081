"""Messages of `opencode export SESSION`: one JSON document of messages with parts; a tool's call and result are one part.

`finish` ends a turn, so an answer without it was cut off. A failed command is a completed call with an exit code. A message without parts,
finish or error is a turn that died.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from smithers_nb.sources.sessions.marks import About, Json, Mark, input_text, mapping, patched_files, raw, result_text, text

NAME: Final = "OpenCode"
_ABORTED: Final = "MessageAbortedError"
_REFUSED: Final = "The user rejected permission to use this specific tool call"
_DENIED: Final = "The user has specified a rule which prevents you from using this specific tool call"
_ASKING_TOOLS: Final = frozenset({"question", "plan_exit"})
"""Tools that wait for a person."""
_IGNORED: Final = frozenset({"step-start", "step-finish", "patch", "snapshot", "file", "agent", "subtask", "retry", "compaction"})
_ENDED: Final = frozenset({"completed", "error"})
_INPUT_KEYS: Final = ("command", "filePath", "path", "pattern", "description", "prompt", "url")
_CONTINUES: Final = "tool-calls"


def is_opencode(record: Json) -> bool:
    """Return whether a record is the head or a message of an export."""
    info = mapping(record.get("info"))
    return text(info.get("id")).startswith(("ses_", "msg_")) or ("sessionID" in info and "role" in info)


class OpenCode:
    """Adapter for exports of OpenCode; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli=NAME)
        self._reverted_from = ""

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of the head or of a message."""
        info, parts = mapping(record.get("info")), record.get("parts")
        if not isinstance(parts, list):
            self._update_about(info)
            return
        parts = [mapping(part) for part in parts]
        if info.get("role") == "user":
            yield from self._user_marks(info, parts)
        elif info.get("role") == "assistant":
            yield from self._assistant_marks(info, parts)
        else:
            self.about.count_unknown(text(info.get("role")) or "without a role")

    def _update_about(self, info: Json) -> None:
        about = self.about
        about.add_id(text(info.get("id")))
        about.version, about.cwd, about.parent = text(info.get("version")), text(info.get("directory")), text(info.get("parentID"))
        self._reverted_from = text(mapping(info.get("revert")).get("messageID"))

    def _user_marks(self, info: Json, parts: list[Json]) -> Iterator[Mark]:
        own = [part for part in parts if part.get("type") == "text" and not part.get("synthetic") and not part.get("ignored")]
        if any(part.get("type") == "compaction" for part in parts):
            yield Mark("compact")
        if not own and any(part.get("synthetic") for part in parts):
            return
        yield Mark("begin", key=text(info.get("id")))
        yield Mark("prompt", raw("\n".join(text(part.get("text")) for part in own)))
        if self._reverted_from and text(info.get("id")) >= self._reverted_from:  # ids grow with time
            yield Mark("rollback", more={"turns": 1})

    def _assistant_marks(self, info: Json, parts: list[Json]) -> Iterator[Mark]:
        self.about.model = text(info.get("modelID")) or self.about.model
        self.about.cwd = self.about.cwd or text(mapping(info.get("path")).get("cwd"))
        finish, error = text(info.get("finish")), mapping(info.get("error"))
        silent = not finish and not error and not any(text(part.get("type")) not in _IGNORED for part in parts)
        yield Mark("say", more={"empty": True} if silent else {})
        if usage := _token_counts(mapping(info.get("tokens"))):
            yield Mark("usage", key=text(info.get("id")), more=usage)
        for part in parts:
            kind = text(part.get("type"))
            if kind in {"text", "reasoning"}:
                words = raw(part.get("text")) if kind == "text" else ""
                yield Mark("reply" if words and finish != _CONTINUES else "say", words)
            elif kind == "tool":
                yield from _tool_marks(part)
            elif kind not in _IGNORED:
                self.about.count_unknown(kind or "without a type")
        if error:
            yield _error_mark(error)
        elif finish == "length":
            yield Mark("error", "answer cut at the output limit of the model", code=finish)
        elif finish and finish != _CONTINUES:
            yield Mark("done")


def _tool_marks(part: Json) -> Iterator[Mark]:
    state = mapping(part.get("state"))
    key, name, given = text(part.get("callID")), text(part.get("tool")), mapping(state.get("input"))
    files = patched_files(given.get("patchText"))
    more = {"name": name, "asks": name in _ASKING_TOOLS} | ({"files": files} if files else {})
    yield Mark("call", input_text(given, _INPUT_KEYS), key, more=more)
    status = text(state.get("status"))
    if status not in _ENDED:
        return
    code = mapping(state.get("metadata")).get("exit")
    words = raw(state.get("error")) or raw(state.get("output"))
    failed = status == "error" or name == "invalid" or (isinstance(code, int) and code != 0)
    yield Mark("result", result_text(words, ok=not failed), key, ok=not failed, code=str(code or ""))
    if words.startswith(_REFUSED):
        yield Mark("denied", words, key, more={"person": True})
    elif words.startswith(_DENIED):
        yield Mark("denied", words, key)


def _error_mark(error: Json) -> Mark:
    name, data = text(error.get("name")), mapping(error.get("data"))
    words = raw(data.get("message")) or name
    if name == _ABORTED:
        return Mark("interrupt", words)
    return Mark("error", words, code=str(data.get("statusCode") or name), more={"name": name})


def _token_counts(tokens: Json) -> dict[str, Any]:
    cache = mapping(tokens.get("cache"))
    counts = {name: tokens.get(name) for name in ("input", "output", "reasoning")} | {name: cache.get(name) for name in ("read", "write")}
    return {name: value for name, value in counts.items() if isinstance(value, int) and value}
