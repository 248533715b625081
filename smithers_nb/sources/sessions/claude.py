"""Records of Claude Code: `~/.claude/projects/**/SESSION.jsonl` and the stream of `claude -p --output-format stream-json`.

The format is internal and changes; a record is read by its keys, and an unknown one is counted. A reply is written once per block of its
content, an error that the CLI gave up on is a synthetic answer, and nothing says that a session has ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from smithers_nb.sources.sessions.marks import About, Json, Mark, joined, mapping, of_call, provider_words, raw, text
from smithers_nb.sources.sessions.session import NOTIFICATION

NAME: Final = "claude"
_TYPES: Final = frozenset({"user", "assistant", "system", "summary", "progress", "file-history-snapshot", "queue-operation", "result"})
_QUIET: Final = frozenset(
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
_NO_PROMPT: Final = ("<local-command-", "<bash-", "<system-reminder>", "<ide_opened_file>", "<ide_selection>", "Caveat: The messages below")
_GOODBYE: Final = frozenset({"/exit", "/quit"})
_RESUMED: Final = "Continue from where you left off."
_SYNTHETIC: Final = "<synthetic>"
_OF_A_RESULT: Final = 300
_NAMES: Final = (
    "command", "file_path", "notebook_path", "subagent_type", "skill", "description", "prompt", "shell_id", "task_id", "bash_id",
)  # fmt: skip
"""Keys of a call's input, the one first that names what it does."""

ASKS: Final = frozenset({"AskUserQuestion", "ExitPlanMode"})
"""Tools that wait for a person."""


def is_claude(record: Json) -> bool:
    """Return whether a record is one of Claude Code."""
    if record.get("type") == "system" and record.get("subtype") == "init":
        return "session_id" in record
    named = "sessionId" in record or "leafUuid" in record or "messageId" in record or "session_id" in record
    return text(record.get("type")) in _TYPES | _QUIET and named and "payload" not in record


class ClaudeCode:
    """Adapter for Claude Code; see `marks.Adapter`."""

    def __init__(self) -> None:
        self.about = About(cli="Claude Code")
        self._own: bool | None = None

    def marks(self, record: Json) -> Iterator[Mark]:
        """Describe what a record means."""
        self._note(record)
        kind = text(record.get("type"))
        if kind in {"user", "assistant"} and self._of_another(record):
            return
        if kind == "user":
            yield from _of_user(record)
        elif kind == "assistant":
            yield from self._of_assistant(record)
        elif kind == "system":
            yield from _of_system(record)
        elif kind == "result":
            yield _of_result(record)
        elif kind not in _QUIET:
            self.about.count_unknown(kind or "without a type")

    def _note(self, record: Json) -> None:
        about = self.about
        session = text(record.get("sessionId")) or text(record.get("session_id"))
        if session and session not in about.ids:
            about.ids.append(session)
        about.version = text(record.get("version")) or text(record.get("claude_code_version")) or about.version
        about.cwd = text(record.get("cwd")) or about.cwd
        about.branch = text(record.get("gitBranch")) or about.branch
        about.parent = text(record.get("sessionId")) if record.get("agentId") else about.parent

    def _of_another(self, record: Json) -> bool:
        """Return whether a record is of a subagent that older versions wrote into the file of its parent."""
        side = bool(record.get("isSidechain"))
        if self._own is None:
            self._own = side
        return side and not self._own

    def _of_assistant(self, record: Json) -> Iterator[Mark]:
        message = mapping(record.get("message"))
        words, model = joined(message.get("content")), text(message.get("model"))
        if record.get("isApiErrorMessage"):
            status = record.get("apiErrorStatus") or _status(words)
            yield Mark("error", raw(provider_words(words)[0]), code=str(status or ""), more={"name": text(record.get("error"))})
            return
        if model == _SYNTHETIC:
            return
        self.about.model = model or self.about.model
        if usage := _usage(mapping(message.get("usage"))):
            yield Mark("usage", key=text(message.get("id")), more=usage)
        continues = message.get("stop_reason") == "tool_use"
        if words.strip():
            yield Mark("say" if continues else "reply", raw(words))
        elif _thinks(message.get("content")):
            yield Mark("say")
        for block in _blocks(message.get("content")):
            if block.get("type") == "tool_use":
                name = text(block.get("name"))
                yield Mark("call", _what(block), text(block.get("id")), more={"name": name, "asks": name in ASKS})


def _of_user(record: Json) -> Iterator[Mark]:
    content = mapping(record.get("message")).get("content")
    results = [block for block in _blocks(content) if block.get("type") == "tool_result"]
    for block in results:
        yield from _of_tool_result(block)
    words = joined(content)
    if _INTERRUPTED in words[:200]:
        yield Mark("interrupt", raw(words))
    elif record.get("isMeta") or record.get("isCompactSummary") or results:
        if words.startswith(_RESUMED):
            yield Mark("resumed", raw(words))
    elif command := _COMMAND.search(words[:400]):
        yield Mark("bye" if command[1] in _GOODBYE else "command", command[1])
    else:
        own = [part for part in _texts(content) if not part.lstrip().startswith(_NO_PROMPT)]
        if any(part.strip() for part in own) or any(block.get("type") == "image" for block in _blocks(content)):
            yield Mark("prompt", raw("\n".join(own)), more={"task": own[:1] and own[0].startswith(NOTIFICATION)})


def _of_tool_result(block: Json) -> Iterator[Mark]:
    words, key = joined(block.get("content")), text(block.get("tool_use_id"))
    failed = bool(block.get("is_error"))
    exit_code = _EXIT.match(words)
    yield Mark(
        "result", raw(words if failed else words[:_OF_A_RESULT]), key, ok=not failed, code=exit_code[1] if failed and exit_code else ""
    )
    if failed and _INTERRUPTED in words[:200]:
        yield Mark("interrupt", raw(words))
    elif failed and words.startswith(_REFUSED):
        yield Mark("denied", raw(words), key, more={"person": True})
    elif failed and _DENIED.match(words):
        yield Mark("denied", raw(words), key)


def _of_system(record: Json) -> Iterator[Mark]:
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
        yield Mark("bye" if command[1] in _GOODBYE else "command", command[1])


def _of_result(record: Json) -> Mark:
    errors = listed if isinstance(listed := record.get("errors"), list) else []
    words = raw(record.get("result")) or raw("; ".join(error for error in errors if isinstance(error, str)))
    subtype = text(record.get("subtype"))
    if record.get("is_error") or subtype.startswith("error"):
        return Mark("error", words or subtype.replace("_", " "), code=str(record.get("api_error_status") or ""), more={"name": subtype})
    return Mark("done", words)


def _usage(usage: Json) -> dict[str, Any]:
    names = {"input": "input_tokens", "output": "output_tokens", "read": "cache_read_input_tokens", "write": "cache_creation_input_tokens"}
    found = {short: usage.get(name) for short, name in names.items()}
    return {short: value for short, value in found.items() if isinstance(value, int)}


def _status(words: str) -> str:
    found = _STATUS.match(words)
    return (found[1] or found[2]) if found else ""


def _what(block: Json) -> str:
    """Return the part of a call's input that names what it does."""
    given = mapping(block.get("input"))
    value = next((given[key] for key in _NAMES if given.get(key)), "")
    return of_call(value)


def _blocks(content: object) -> list[Json]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _texts(content: object) -> list[str]:
    return [content] if isinstance(content, str) else [text(block.get("text")) for block in _blocks(content) if block.get("type") == "text"]


def _thinks(content: object) -> bool:
    return any(text(block.get("type")).endswith("thinking") for block in _blocks(content))
