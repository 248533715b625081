"""Records of Codex: `~/.codex/sessions/YYYY/MM/DD/rollout-TIME-ID.jsonl`, each `{timestamp, type, payload}`.

A turn has a record for its start and one for its end. Exit codes appear only in the text of a tool's output. In older versions a usage
limit leaves nothing but a turn that ends without an answer while the limit counters are full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

from smithers_nb.sources.sessions.marks import (
    About,
    Json,
    Mark,
    call_text,
    joined,
    mapping,
    patched_files,
    raw,
    text,
    time_of,
    token_counts,
)

NAME: Final = "codex"
_TYPES: Final = frozenset(
    {"session_meta", "turn_context", "response_item", "event_msg", "compacted", "world_state", "inter_agent_communication"}
)
_EXIT: Final = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d+)", re.MULTILINE)
_HEAD: Final = 400
_FAILED: Final = re.compile(
    r"^(?:Script failed|apply_patch verification failed|execution error|failed to parse function arguments|exec_command failed)"
)
_SCRIPT_DONE: Final = "Script completed"
_MACHINE_REFUSED: Final = re.compile(
    r"^(?:error|fatal|warning|curl|ssh|(?:/\S+/)?(?:ba|z)?sh)\b[^\n]{0,200}?(?:Could not resolve host|Temporary failure in name resolution"
    r"|Network is unreachable|Operation not permitted|command not found)",
    re.MULTILINE | re.IGNORECASE,
)
"""Refusals of the machine as a shell or program prints them: a script counts as completed even if its commands failed."""

_REFUSED: Final = re.compile(r"rejected by user|^exec command rejected", re.IGNORECASE)
_BLOCKED: Final = re.compile(r"approval policy is|blocked by policy|rejected: .{0,40}(?:policy|sandbox)", re.IGNORECASE)
_ABORTED: Final = "aborted by user"
_CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_TURN_BEGINS: Final = frozenset({"task_started", "turn_started"})
_COPY_WINDOW_MS: Final = 2_000
"""Records this close to the start of a child's log are copies of its parent's."""

_FULL: Final = 100.0
_TOKENS: Final = {
    "input": "input_tokens", "output": "output_tokens", "read": "cached_input_tokens", "reasoning": "reasoning_output_tokens",
}  # fmt: skip
ASKS: Final = frozenset({"request_user_input"})
"""Tools that wait for a person."""


def is_codex(record: Json) -> bool:
    """Return whether a record belongs to a rollout of Codex."""
    return text(record.get("type")) in _TYPES and isinstance(record.get("payload"), dict)


class Codex:
    """Adapter for rollouts of Codex; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Codex")
        self._limits = ""
        self._counted: object = None
        self._answered = False
        self._started: int | None = None
        self._is_subagent = False
        self._replays = False

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of a record; records that a child's log repeats from its parent count for the parent, tokens included."""
        kind, payload = text(record.get("type")), mapping(record.get("payload"))
        if kind == "session_meta":
            self._read_head(record, payload)
        elif self._is_repeated(record, payload):
            yield from () if self._is_subagent else (mark for mark in self._record_marks(kind, payload) if mark.kind != "usage")
        else:
            yield from self._record_marks(kind, payload)

    def _read_head(self, record: Json, payload: Json) -> None:
        """Read the head of a log; in a log that repeats its parent, the parent's head follows the child's."""
        if self.about.ids and text(payload.get("id")) == self.about.parent:
            self._replays = True
            return
        self._update_about(payload)
        if self._started is None:
            self._started = time_of(payload) or time_of(record)
            self._is_subagent = "subagent" in {text(payload.get("thread_source")), *mapping(payload.get("source"))}

    def _is_repeated(self, record: Json, payload: Json) -> bool:
        """Return whether a record was copied from the parent; the child's own start with the first turn younger than its log.

        A copied record may have its old time or that of the copy, but a turn keeps its start time.
        """
        if self._replays and self._started is not None and text(payload.get("type")) in _TURN_BEGINS:
            started = payload.get("started_at")
            at = started * 1_000 if isinstance(started, int) else (time_of(record) or 0) - _COPY_WINDOW_MS
            self._replays = at < self._started // 1_000 * 1_000
        return self._replays

    def _record_marks(self, kind: str, payload: Json) -> Iterator[Mark]:
        if kind == "turn_context":
            self.about.cwd = text(payload.get("cwd")) or self.about.cwd
            self.about.model = text(payload.get("model")) or self.about.model
        elif kind == "event_msg":
            yield from self._event_marks(payload)
        elif kind == "response_item":
            yield from self._item_marks(payload)
        elif kind == "compacted":
            yield Mark("compact")
        elif kind not in _TYPES:
            self.about.count_unknown(kind or "without a type")

    def _update_about(self, payload: Json) -> None:
        about = self.about
        about.add_id(text(payload.get("id")) or text(payload.get("session_id")))
        about.version = text(payload.get("cli_version")) or about.version
        about.cwd = text(payload.get("cwd")) or about.cwd
        about.branch = text(mapping(payload.get("git")).get("branch")) or about.branch
        spawned = mapping(mapping(mapping(payload.get("source")).get("subagent")).get("thread_spawn"))
        parent = text(payload.get("parent_thread_id")) or text(payload.get("forked_from_id")) or text(spawned.get("parent_thread_id"))
        about.parent = parent or about.parent

    def _event_marks(self, payload: Json) -> Iterator[Mark]:
        kind = text(payload.get("type"))
        if kind in _TURN_BEGINS:
            self._answered = False
            yield Mark("begin", key=text(payload.get("turn_id")))
        elif kind == "user_message":
            yield Mark("prompt", raw(payload.get("message")))
        elif kind in {"task_complete", "turn_complete"}:
            yield self._end_mark(payload)
        elif kind == "turn_aborted":
            yield from _abort_marks(text(payload.get("reason")))
        elif kind == "thread_rolled_back":
            yield Mark("rollback", more={"turns": turns if isinstance(turns := payload.get("num_turns"), int) else 1})
        elif kind == "token_count":
            yield from self._token_marks(payload)
        elif kind == "error":
            yield Mark("error", raw(payload.get("message")), code=_code(payload.get("codex_error_info")))
        elif kind == "stream_error":
            yield Mark("retry", raw(payload.get("message")), code=_code(payload.get("codex_error_info")))

    def _end_mark(self, payload: Json) -> Mark:
        error, last = mapping(payload.get("error")), payload.get("last_agent_message")
        if error:
            return Mark("error", raw(error.get("message")), code=_code(error.get("codex_error_info")))
        if not last and not self._answered and self._limits:
            return Mark("error", self._limits, code="usage_limit_exceeded")
        return Mark("done", raw(last))

    def _item_marks(self, payload: Json) -> Iterator[Mark]:
        kind = text(payload.get("type"))
        if kind == "message" and payload.get("role") == "assistant":
            self._answered = True
            yield Mark("say" if payload.get("phase") == "commentary" else "reply", raw(joined(payload.get("content"))))
        elif kind in _CALLS:
            name = text(payload.get("name")) or "shell"
            given = payload.get("arguments") or payload.get("input")
            files = patched_files(given)
            more = {"name": name, "asks": name in ASKS} | ({"files": files} if files else {})
            yield Mark("call", call_text(given), text(payload.get("call_id")), more=more)
        elif kind.endswith("_call_output"):
            yield from _output_marks(payload)

    def _token_marks(self, payload: Json) -> Iterator[Mark]:
        self._limits = _limit(mapping(payload.get("rate_limits")))
        info = mapping(payload.get("info"))
        last, total = mapping(info.get("last_token_usage")), mapping(info.get("total_token_usage"))
        if not last or total == self._counted:
            return
        self._counted = total
        counts = token_counts(last, _TOKENS)
        counts["input"] = max(0, counts.get("input", 0) - counts.get("read", 0))
        yield Mark("usage", more=counts)


def _abort_marks(reason: str) -> Iterator[Mark]:
    if reason in {"", "interrupted"}:
        yield Mark("interrupt", "turn aborted: interrupted")
    elif reason not in {"replaced", "review_ended"}:
        yield Mark("error", f"the turn was aborted: {reason.replace('_', ' ')}", code=reason)


def _output_marks(payload: Json) -> Iterator[Mark]:
    words, key = _output_text(payload.get("output")), text(payload.get("call_id"))
    head = words[:_HEAD]
    code = _exit_code(words)
    failed = bool(_FAILED.match(head)) or (code not in {"", "0"}) or mapping(payload.get("output")).get("success") is False
    failed = failed or (head.startswith(_SCRIPT_DONE) and bool(_MACHINE_REFUSED.search(head)))
    blocked = bool(_BLOCKED.search(head)) and not code
    refused = bool(_REFUSED.search(head)) and not code and not blocked
    stopped = head.startswith(_ABORTED)
    failed = failed or refused or blocked or stopped
    yield Mark("result", raw(words if failed else words[:_HEAD]), key, ok=not failed, code=code)
    if refused or blocked:
        yield Mark("denied", raw(words), key, more={"person": refused} if refused else {})


def _output_text(output: object) -> str:
    """Return the text of an output, which is a string, an object, or a list of texts."""
    if isinstance(output, dict):
        return text(output.get("content")) or joined(output.get("content_items"))
    return joined(output)


def _exit_code(words: str) -> str:
    if words.startswith("{") and '"exit_code"' in words:
        try:
            code = mapping(mapping(orjson.loads(words)).get("metadata")).get("exit_code")
        except orjson.JSONDecodeError:
            return ""
        return str(code) if isinstance(code, int) else ""
    status = _EXIT.search(words[:_HEAD])
    return status[1] if status else ""


def _limit(limits: Json) -> str:
    """Describe the usage limit that was reached; empty if none was."""
    reached = text(limits.get("rate_limit_reached_type"))
    for name in ("primary", "secondary"):
        window = mapping(limits.get(name))
        used = window.get("used_percent")
        if isinstance(used, int | float) and used >= _FULL:
            minutes = window.get("window_minutes")
            return f"usage limit reached: {used:.0f} % of the window of {minutes} minutes is used"
    return f"usage limit reached: {reached.replace('_', ' ')}" if reached else ""


def _code(info: object) -> str:
    """Return the code of an error, which is a string or an object with the code as its only key."""
    return info if isinstance(info, str) else next(iter(mapping(info)), "")
