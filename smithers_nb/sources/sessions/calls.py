"""What the tool calls of a session show together: the last test run, what was changed after it, calls that failed again and again.

The exit code of a test run counts only where the command is nothing but the tests: behind a pipe or another command it is not theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from smithers_nb.sources.sessions.failed_calls import is_consequence

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_TESTS: Final = re.compile(
    r"\b(?:pytest|unittest|tox|nox|vitest|jest|mocha|phpunit|rspec|ctest|nextest|playwright test"
    r"|(?:npm|pnpm|yarn|bun|deno|cargo|go|mvn|mvnw|gradle|gradlew|dotnet|mix|swift|flutter|rake|make|just|task)\b[\w\s:./@=-]{0,40}?\b(?:tests?|check|ci))\b"
)
_MORE_THAN_TESTS: Final = re.compile(r"[|;]|&&\s*(?!.*\b(?:test|check|pytest)\b)")
_EDITS: Final = frozenset(
    {
        "Edit",
        "MultiEdit",
        "Write",
        "NotebookEdit",
        "apply_patch",
        "edit",
        "write",
        "patch",
        "replace",
        "write_file",
        "edit_file",
        "create_file",
    }
)
_AGAIN: Final = 3
"""Failures of the same call in a row from which on they are told."""

_MAX_EDITS: Final = 50
_MAX_LOOPS: Final = 20


@dataclass(slots=True)
class TestRun:
    """The last run of tests.

    Attributes:
        line: Record of its call.
        command: What was called.
        outcome: `passed` and `failed` by its exit code; `unclear`, the code is another command's; `open`, there is no result.
        code: Exit code, where the log has one.
        edits: Records of the changes of files after it.
    """

    line: int
    command: str
    outcome: Literal["passed", "failed", "unclear", "open"] = "open"
    code: str = ""
    edits: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Loop:
    """One call that failed several times in a row.

    Attributes:
        call: Tool and what it was called with.
        line: Its first failure.
        last: Its last one.
        count: How often.
    """

    call: str
    line: int
    last: int
    count: int = 1


class Calls:
    """Takes each call and its result."""

    def __init__(self) -> None:
        self.test: TestRun | None = None
        self.edits: list[int] = []
        self.loops: list[Loop] = []
        self._failing: Loop | None = None
        self._running: str = ""

    def called(self, line: int, mark: Mark) -> None:
        """Take a call."""
        name = str(mark.more.get("name") or "")
        if name in _EDITS or mark.text.lstrip('{" ').startswith("apply_patch"):
            self._edited(line)
        elif found := _TESTS.search(mark.text):
            self.test, self._running = TestRun(line, _command(mark.text, found)), mark.key

    def returned(self, line: int, mark: Mark, call: Mark | None) -> None:
        """Take a result, and the call it belongs to."""
        if self.test is not None and mark.key == self._running and self.test.outcome == "open":
            clear = not _MORE_THAN_TESTS.search(self.test.command)
            self.test.outcome = ("passed" if mark.ok else "failed") if clear else "unclear"
            self.test.code = mark.code
        if call is None or (not mark.ok and is_consequence(mark.text)):
            return
        what = f"{call.more.get('name') or 'a tool'} {call.text}".strip()
        if mark.ok:
            self._failing = None if self._failing is not None and self._failing.call == what else self._failing
        elif self._failing is not None and self._failing.call == what:
            self._failing.last, self._failing.count = line, self._failing.count + 1
            if self._failing.count == _AGAIN and len(self.loops) < _MAX_LOOPS:
                self.loops.append(self._failing)
        else:
            self._failing = Loop(what, line, line)

    def _edited(self, line: int) -> None:
        for lines in (self.edits, self.test.edits) if self.test is not None else (self.edits,):
            if len(lines) < _MAX_EDITS:
                lines.append(line)


def _command(text: str, found: re.Match[str]) -> str:
    """Return the command without what an agent always puts in front of it, such as a change of the folder."""
    before = re.sub(r"^\s*(?:cd \S+|export \S+|source \S+)\s*&&\s*", "", text[: found.start()])
    return f"{before}{text[found.start() :]}".strip()
