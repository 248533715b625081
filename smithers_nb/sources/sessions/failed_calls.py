"""What a call that failed shows: something that is not there, a server or a machine that refused, or only a call beside it that failed.

Most failed calls are work, such as a test that fails, and show nothing of the kind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.sources.sessions.session import Trouble, Turn

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_MISSING: Final = re.compile(
    r"(?:Agent type|Subagent type) '([^']+)' (?:is )?not found|Unknown (?:skill|agent|slash command):? ?'?([\w:./-]+)"
    r"|No such tool available: (\S+)|Skill \"([\w:./-]+)\" not found"
)
_AVAILABLE: Final = re.compile(r"Available agents: (.+)", re.DOTALL)
_MCP: Final = re.compile(
    r"\bMCP error -?\d+|MCP server .{1,60} (?:is )?not connected|MCP server .{1,60}(?:failed|disconnected)"
    r"|MCP tool .{1,60} reported tool error"
)
_MACHINE: Final = re.compile(
    r"has no installed distributions|not recognized as (?:an internal|the name of)|command not found|\bE(?:PERM|ACCES|NOSPC|ROFS)\b"
    r"|Operation not permitted|Permission denied|No space left on device|Read-only file system|Cannot connect to the Docker daemon"
    r"|Could not resolve host|Temporary failure in name resolution|Network is unreachable|command timed out after"
    r"|terminated command after exceeding timeout|connect to host .{1,80}: Connection (?:timed out|refused)|error connecting to"
    r"|You are not logged in(?:to)?\b|could not read Username for|Host key verification failed|Authentication failed for",
    re.IGNORECASE,
)
_CONSEQUENCE: Final = re.compile(r"(?:<tool_use_error>)?Sibling tool call errored")
"""What Claude Code answers for the calls that were made in one message with one that failed."""

_HEAD: Final = 400


def is_consequence(words: str) -> bool:
    """Return whether a call failed only because another call of its message did."""
    return bool(_CONSEQUENCE.match(words))


def trouble_of(line: int, mark: Mark, turn: Turn, name: str) -> Trouble | None:
    """Describe what a failed call shows; None when it shows nothing but that the work is not done.

    Args:
        line: Record of its result.
        mark: The result.
        turn: Its turn.
        name: Tool that was called.
    """
    if missing := _MISSING.search(mark.text[:_HEAD]):
        wanted = next(group for group in missing.groups() if group)
        listed = _AVAILABLE.search(mark.text)
        there = listed is not None and any(one.strip().endswith(f":{wanted}") for one in listed[1].split(","))
        return Trouble("missing", line, line, turn.number, mark.text, name=wanted, own=there and not turn.by_command)
    if _MCP.search(mark.text):
        return Trouble("mcp", line, line, turn.number, mark.text, name=name)
    if _MACHINE.search(mark.text):
        return Trouble("environment", line, line, turn.number, mark.text, mark.code, name=name)
    if is_consequence(mark.text):
        return Trouble("consequence", line, line, turn.number, mark.text, name=name)
    return None
