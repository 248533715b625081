"""Records of Claude Code: `~/.claude/projects/**/SESSION.jsonl` and the stream of `claude -p --output-format stream-json`.

The format is internal and changes, so records are recognised by their keys and unknown ones are counted. A reply is written once per
content block, an error that the CLI gave up on is a synthetic reply, and no record marks the end of a session.
"""

from __future__ import annotations

import re
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
from smithers_nb.sources.sessions.session import NOTIFICATION

NAME: Final = "claude"
_TYPES: Final = frozenset({"user", "assistant", "system", "summary", "progress", "file-history-snapshot", "queue-operation", "result"})
_IGNORED: Final = frozenset(
    {
        "summary", "progress", "file-history-snapshot", "queue-operation", "attachment", "ai-title", "custom-title", "last-prompt",
        "permission-mode", "pr-link", "agent-name", "tag", "mode", "stream_event", "rate_limit_event", "agent-setting",
        "file-history-delta",
    }
)  # fmt: skip
_INTERRUPTED: Final = "[Request interrupted by user"
_REFUSED: Final = "The user doesn't want to "
_DENIED: Final = re.compile(
    r"^Permission to use .{1,4000}? (?:with command .*)?has been (?:auto-)?denied|^This command requires approval"
    r"|^PreToolUse:\S{1,80} hook (?:error|blocked)",
    re.DOTALL,
)
_BLOCKED: Final = re.compile(r"\w{1,40} operation blocked by hook")
_EXIT: Final = re.compile(r"^(?:Error: )?Exit code (\d+)")
_STATUS: Final = re.compile(r"^API Error:? \(?(\d{3})\b|^API Error: .{0,40}?\b(\d{3})\b")
_COMMAND: Final = re.compile(r"<command-name>\s*(/?[^<\s]+)")
_NOT_PROMPTS: Final = (
    "<local-command-",
    "<bash-",
    "<system-reminder>",
    "<ide_opened_file>",
    "<ide_selection>",
    "Caveat: The messages below",
)
_EXIT_COMMANDS: Final = frozenset({"/exit", "/quit"})
_RESUMED: Final = "Continue from where you left off."
_SYNTHETIC: Final = "<synthetic>"
_TOKENS: Final = {
    "input": "input_tokens", "output": "output_tokens", "read": "cache_read_input_tokens", "write": "cache_creation_input_tokens",
}  # fmt: skip
_INPUT_KEYS: Final = (
    "command", "file_path", "notebook_path", "subagent_type", "skill", "description", "prompt", "shell_id", "task_id", "bash_id",
)  # fmt: skip
"""Keys of a call's input, the most telling first."""

ASKS: Final = frozenset({"AskUserQuestion", "ExitPlanMode"})
"""Tools that wait for a person."""


def is_claude(record: Json) -> bool:
    """Return whether a record was written by Claude Code."""
    if record.get("type") == "system" and record.get("subtype") == "init":
        return "session_id" in record
    named = "sessionId" in record or "leafUuid" in record or "messageId" in record or "session_id" in record
    return text(record.get("type")) in _TYPES | _IGNORED and named and "payload" not in record


class ClaudeCode:
    """Adapter for Claude Code; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Claude Code")
        self._is_sidechain: bool | None = None

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of a record."""
        self._update_about(record)
        kind = text(record.get("type"))
        if kind in {"user", "assistant"} and self._is_foreign(record):
            return
        if kind == "user":
            yield from _user_marks(record)
        elif kind == "assistant":
            yield from self._assistant_marks(record)
        elif kind == "system":
            yield from _system_marks(record)
        elif kind == "result":
            yield _result_mark(record)
        elif kind not in _IGNORED:
            self.about.count_unknown(kind or "without a type")

    def _update_about(self, record: Json) -> None:
        about = self.about
        about.add_id(text(record.get("sessionId")) or text(record.get("session_id")))
        about.version = text(record.get("version")) or text(record.get("claude_code_version")) or about.version
        about.cwd = text(record.get("cwd")) or about.cwd
        about.branch = text(record.get("gitBranch")) or about.branch
        about.parent = text(record.get("sessionId")) if record.get("agentId") else about.parent

    def _is_foreign(self, record: Json) -> bool:
        """Return whether a record belongs to a subagent; older versions wrote those into the log of the parent."""
        side = bool(record.get("isSidechain"))
        if self._is_sidechain is None:
            self._is_sidechain = side
        return side and not self._is_sidechain

    def _assistant_marks(self, record: Json) -> Iterator[Mark]:
        message = mapping(record.get("message"))
        words, model = joined(message.get("content")), text(message.get("model"))
        if record.get("isApiErrorMessage"):
            status = record.get("apiErrorStatus") or _status(words)
            yield Mark("error", raw(provider_error(words)[0]), code=str(status or ""), more={"name": text(record.get("error"))})
            return
        if model == _SYNTHETIC:
            return
        self.about.model = model or self.about.model
        if usage := token_counts(mapping(message.get("usage")), _TOKENS):
            yield Mark("usage", key=text(message.get("id")), more=usage)
        continues = message.get("stop_reason") == "tool_use"
        if words.strip():
            yield Mark("say" if continues else "reply", raw(words))
        elif _thinks(message.get("content")):
            yield Mark("say")
        for block in objects(message.get("content")):
            if block.get("type") == "tool_use":
                name, words = text(block.get("name")), input_text(mapping(block.get("input")), _INPUT_KEYS)
                yield Mark("call", words, text(block.get("id")), more={"name": name, "asks": name in ASKS})


def _user_marks(record: Json) -> Iterator[Mark]:
    content = mapping(record.get("message")).get("content")
    results = [block for block in objects(content) if block.get("type") == "tool_result"]
    for block in results:
        yield from _tool_result_marks(block)
    words = joined(content)
    if _INTERRUPTED in words[:200]:
        yield Mark("interrupt", raw(words))
    elif record.get("isMeta") or record.get("isCompactSummary") or results:
        if words.startswith(_RESUMED):
            yield Mark("resumed", raw(words))
    elif command := _COMMAND.search(words[:400]):
        yield Mark("bye" if command[1] in _EXIT_COMMANDS else "command", command[1])
    else:
        own = [part for part in _texts(content) if not part.lstrip().startswith(_NOT_PROMPTS)]
        if any(part.strip() for part in own) or any(block.get("type") == "image" for block in objects(content)):
            yield Mark("prompt", raw("\n".join(own)), more={"task": own[:1] and own[0].startswith(NOTIFICATION)})


def _tool_result_marks(block: Json) -> Iterator[Mark]:
    words, key = joined(block.get("content")), text(block.get("tool_use_id"))
    failed = bool(block.get("is_error"))
    exit_code = _EXIT.match(words)
    yield Mark("result", result_text(words, ok=not failed), key, ok=not failed, code=exit_code[1] if failed and exit_code else "")
    if failed and _INTERRUPTED in words[:200]:
        yield Mark("interrupt", raw(words))
    elif failed and words.startswith(_REFUSED):
        yield Mark("denied", raw(words), key, more={"person": True})
    elif failed and _DENIED.match(words):
        yield Mark("denied", raw(words), key)


def _system_marks(record: Json) -> Iterator[Mark]:
    subtype = text(record.get("subtype"))
    if subtype == "api_error":
        error = mapping(record.get("error"))
        inner = mapping(mapping(mapping(error.get("error")).get("error")) or error.get("error"))
        cause = mapping(record.get("cause"))
        words = text(inner.get("message")) or text(error.get("message")) or text(cause.get("code")) or text(record.get("content"))
        more = {"attempt": record.get("retryAttempt"), "limit": record.get("maxRetries"), "name": text(inner.get("type"))}
        yield Mark("retry", raw(words), code=str(error.get("status") or ""), more=more)
    elif subtype == "compact_boundary":
        yield Mark("compact", text(mapping(record.get("compactMetadata")).get("trigger")))
    elif subtype == "stop_hook_summary" and record.get("preventedContinuation"):
        yield Mark("error", f"a hook stopped the agent: {raw(record.get('stopReason')) or 'no reason is recorded'}", code="hook")
    elif _BLOCKED.match(text(record.get("content"))):
        yield Mark("error", raw(record.get("content")), code="hook")
    elif subtype in {"stop_hook_summary", "turn_duration"}:
        yield Mark("done")
    elif subtype == "local_command" and (command := _COMMAND.search(text(record.get("content"))[:400])):
        yield Mark("bye" if command[1] in _EXIT_COMMANDS else "command", command[1])


def _result_mark(record: Json) -> Mark:
    errors = listed if isinstance(listed := record.get("errors"), list) else []
    words = raw(record.get("result")) or raw("; ".join(error for error in errors if isinstance(error, str)))
    subtype = text(record.get("subtype"))
    if record.get("is_error") or subtype.startswith("error"):
        return Mark("error", words or subtype.replace("_", " "), code=str(record.get("api_error_status") or ""), more={"name": subtype})
    return Mark("done", words)


def _status(words: str) -> str:
    status = _STATUS.match(words)
    return (status[1] or status[2]) if status else ""


def _texts(content: object) -> list[str]:
    return [content] if isinstance(content, str) else [text(block.get("text")) for block in objects(content) if block.get("type") == "text"]


def _thinks(content: object) -> bool:
    return any(text(block.get("type")).endswith("thinking") for block in objects(content))
