"""What a failed call shows: something is missing, a server or the machine refused, or a call next to it failed.

Most failed calls are ordinary work, such as a failing test, and show none of these.
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
"""What Claude Code returns for the other calls of a message in which one call failed."""

_HEAD: Final = 400


def is_consequence(words: str) -> bool:
    """Return whether a call failed only because another call in its message did."""
    return bool(_CONSEQUENCE.match(words))


def trouble_of(line: int, mark: Mark, turn: Turn, name: str) -> Trouble | None:
    """Return the trouble that a failed call shows; None for ordinary failures such as a failing test.

    Args:
        line: Record of the result.
        mark: The result.
        turn: The turn of the call.
        name: The tool that was called.
    """
    if missing := _MISSING.search(mark.text[:_HEAD]):
        wanted = next(group for group in missing.groups() if group)
        listed = _AVAILABLE.search(mark.text)
        exists = listed is not None and any(agent.strip().endswith(f":{wanted}") for agent in listed[1].split(","))
        return Trouble("missing", line, line, turn.number, mark.text, name=wanted, own=exists and not turn.by_command)
    if _MCP.search(mark.text):
        return Trouble("mcp", line, line, turn.number, mark.text, name=name)
    if _MACHINE.search(mark.text):
        return Trouble("environment", line, line, turn.number, mark.text, mark.code, name=name)
    if is_consequence(mark.text):
        return Trouble("consequence", line, line, turn.number, mark.text, name=name)
    return None
