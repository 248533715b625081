"""Records of Codex: `~/.codex/sessions/YYYY/MM/DD/rollout-TIME-ID.jsonl`, each `{timestamp, type, payload}`.

A turn has a record for its beginning and for its end. An exit code stands only in the words of a tool's output, and a usage limit leaves
in older versions nothing but an end without an answer beside counters that are full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from smithers_nb.sources.sessions.marks import About, Json, Mark, joined, mapping, of_call, patched, raw, text, time_of

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
_OF_THE_MACHINE: Final = re.compile(
    r"^(?:error|fatal|warning|curl|ssh|(?:/\S+/)?(?:ba|z)?sh)\b[^\n]{0,200}?(?:Could not resolve host|Temporary failure in name resolution"
    r"|Network is unreachable|Operation not permitted|command not found)",
    re.MULTILINE | re.IGNORECASE,
)
"""What a machine refuses, in the own words of a shell or a program: a script is completed, whatever the commands in it came to."""

_REFUSED: Final = re.compile(r"rejected by user|^exec command rejected", re.IGNORECASE)
_BLOCKED: Final = re.compile(r"approval policy is|blocked by policy|rejected: .{0,40}(?:policy|sandbox)", re.IGNORECASE)
_ABORTED: Final = "aborted by user"
_CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_TURN_BEGINS: Final = frozenset({"task_started", "turn_started"})
_COPIED_WITHIN_MS: Final = 2_000
"""Within this time of its beginning a child's log holds what was copied into it."""

_FULL: Final = 100.0
ASKS: Final = frozenset({"request_user_input"})
"""Tools that wait for a person."""


def is_codex(record: Json) -> bool:
    """Return whether a record is one of a rollout of Codex."""
    return text(record.get("type")) in _TYPES and isinstance(record.get("payload"), dict)


class Codex:
    """Adapter for rollouts of Codex; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Codex")
        self._limits = ""
        self._counted: object = None
        self._answered = False
        self._begun: int | None = None
        self._is_subagent = False
        self._replays = False

    def marks(self, record: Json) -> Iterator[Mark]:
        """Describe what a record means; what a child's log repeats of its parent is the parent's, and its tokens are counted there."""
        kind, payload = text(record.get("type")), mapping(record.get("payload"))
        if kind == "session_meta":
            self._begin(record, payload)
        elif self._is_repeated(record, payload):
            yield from () if self._is_subagent else (mark for mark in self._of_record(kind, payload) if mark.kind != "usage")
        else:
            yield from self._of_record(kind, payload)

    def _begin(self, record: Json, payload: Json) -> None:
        """Take the head of a log; a child's is followed by its parent's, where it repeats it."""
        if self.about.ids and text(payload.get("id")) == self.about.parent:
            self._replays = True
            return
        self._note(payload)
        if self._begun is None:
            self._begun = time_of(payload) or time_of(record)
            self._is_subagent = "subagent" in {text(payload.get("thread_source")), *mapping(payload.get("source"))}

    def _is_repeated(self, record: Json, payload: Json) -> bool:
        """Return whether a record is one of the parent's; the child's own begin with the first turn that is younger than its log.

        A repeated record may have its old time or that of the copy, but a turn keeps when it was started.
        """
        if self._replays and self._begun is not None and text(payload.get("type")) in _TURN_BEGINS:
            started = payload.get("started_at")
            at = started * 1_000 if isinstance(started, int) else (time_of(record) or 0) - _COPIED_WITHIN_MS
            self._replays = at < self._begun // 1_000 * 1_000
        return self._replays

    def _of_record(self, kind: str, payload: Json) -> Iterator[Mark]:
        if kind == "turn_context":
            self.about.cwd = text(payload.get("cwd")) or self.about.cwd
            self.about.model = text(payload.get("model")) or self.about.model
        elif kind == "event_msg":
            yield from self._of_event(payload)
        elif kind == "response_item":
            yield from self._of_item(payload)
        elif kind == "compacted":
            yield Mark("compact")
        elif kind not in _TYPES:
            self.about.count_unknown(kind or "without a type")

    def _note(self, payload: Json) -> None:
        about = self.about
        session = text(payload.get("id")) or text(payload.get("session_id"))
        if session and session not in about.ids:
            about.ids.append(session)
        about.version = text(payload.get("cli_version")) or about.version
        about.cwd = text(payload.get("cwd")) or about.cwd
        about.branch = text(mapping(payload.get("git")).get("branch")) or about.branch
        spawned = mapping(mapping(mapping(payload.get("source")).get("subagent")).get("thread_spawn"))
        parent = text(payload.get("parent_thread_id")) or text(payload.get("forked_from_id")) or text(spawned.get("parent_thread_id"))
        about.parent = parent or about.parent

    def _of_event(self, payload: Json) -> Iterator[Mark]:
        kind = text(payload.get("type"))
        if kind in _TURN_BEGINS:
            self._answered = False
            yield Mark("begin", key=text(payload.get("turn_id")))
        elif kind == "user_message":
            yield Mark("prompt", raw(payload.get("message")))
        elif kind in {"task_complete", "turn_complete"}:
            yield self._of_end(payload)
        elif kind == "turn_aborted":
            yield from _of_abort(text(payload.get("reason")))
        elif kind == "thread_rolled_back":
            yield Mark("rollback", more={"turns": turns if isinstance(turns := payload.get("num_turns"), int) else 1})
        elif kind == "token_count":
            yield from self._of_tokens(payload)
        elif kind == "error":
            yield Mark("error", raw(payload.get("message")), code=_code(payload.get("codex_error_info")))
        elif kind == "stream_error":
            yield Mark("retry", raw(payload.get("message")), code=_code(payload.get("codex_error_info")))

    def _of_end(self, payload: Json) -> Mark:
        error, last = mapping(payload.get("error")), payload.get("last_agent_message")
        if error:
            return Mark("error", raw(error.get("message")), code=_code(error.get("codex_error_info")))
        if not last and not self._answered and self._limits:
            return Mark("error", self._limits, code="usage_limit_exceeded")
        return Mark("done", raw(last))

    def _of_item(self, payload: Json) -> Iterator[Mark]:
        kind = text(payload.get("type"))
        if kind == "message" and payload.get("role") == "assistant":
            self._answered = True
            yield Mark("say" if payload.get("phase") == "commentary" else "reply", raw(joined(payload.get("content"))))
        elif kind in _CALLS:
            name = text(payload.get("name")) or "shell"
            given = payload.get("arguments") or payload.get("input")
            files = patched(given)
            more = {"name": name, "asks": name in ASKS} | ({"files": files} if files else {})
            yield Mark("call", of_call(given), text(payload.get("call_id")), more=more)
        elif kind.endswith("_call_output"):
            yield from _of_output(payload)

    def _of_tokens(self, payload: Json) -> Iterator[Mark]:
        self._limits = _limit(mapping(payload.get("rate_limits")))
        info = mapping(payload.get("info"))
        last, total = mapping(info.get("last_token_usage")), mapping(info.get("total_token_usage"))
        if not last or total == self._counted:
            return
        self._counted = total
        names = {"input": "input_tokens", "output": "output_tokens", "read": "cached_input_tokens", "reasoning": "reasoning_output_tokens"}
        counts: dict[str, Any] = {short: last[name] for short, name in names.items() if isinstance(last.get(name), int)}
        counts["input"] = max(0, counts.get("input", 0) - counts.get("read", 0))
        yield Mark("usage", more=counts)


def _of_abort(reason: str) -> Iterator[Mark]:
    if reason in {"", "interrupted"}:
        yield Mark("interrupt", "turn aborted: interrupted")
    elif reason not in {"replaced", "review_ended"}:
        yield Mark("error", f"the turn was aborted: {reason.replace('_', ' ')}", code=reason)


def _of_output(payload: Json) -> Iterator[Mark]:
    words, key = _output(payload.get("output")), text(payload.get("call_id"))
    head = words[:_HEAD]
    code = _exit_code(words)
    failed = bool(_FAILED.match(head)) or (code not in {"", "0"}) or mapping(payload.get("output")).get("success") is False
    failed = failed or (head.startswith(_SCRIPT_DONE) and bool(_OF_THE_MACHINE.search(head)))
    blocked = bool(_BLOCKED.search(head)) and not code
    refused = bool(_REFUSED.search(head)) and not code and not blocked
    stopped = head.startswith(_ABORTED)
    failed = failed or refused or blocked or stopped
    yield Mark("result", raw(words if failed else words[:_HEAD]), key, ok=not failed, code=code)
    if refused or blocked:
        yield Mark("denied", raw(words), key, more={"person": refused} if refused else {})


def _output(output: object) -> str:
    """Return the words of an output: a string, JSON in a string, or a list of texts."""
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
    found = _EXIT.search(words[:_HEAD])
    return found[1] if found else ""


def _limit(limits: Json) -> str:
    """Name which usage limit is reached; nothing when none is."""
    reached = text(limits.get("rate_limit_reached_type"))
    for name in ("primary", "secondary"):
        window = mapping(limits.get(name))
        used = window.get("used_percent")
        if isinstance(used, int | float) and used >= _FULL:
            minutes = window.get("window_minutes")
            return f"usage limit reached: {used:.0f} % of the window of {minutes} minutes is used"
    return f"usage limit reached: {reached.replace('_', ' ')}" if reached else ""


def _code(info: object) -> str:
    """Return the code of an error: a string, or an object with the code as its only key."""
    return info if isinstance(info, str) else next(iter(mapping(info)), "")
