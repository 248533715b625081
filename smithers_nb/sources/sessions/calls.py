"""What the tool calls of a session show together: the last test run, edits after it, repeated failures, subagents.

The exit code of a test run counts only if the command runs nothing else: after a pipe or a second command it is not the tests' code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.sources.sessions.failed_calls import is_consequence
from smithers_nb.sources.sessions.left_behind import LeftBehind

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_TEST_COMMAND: Final = re.compile(
    r"\b(?:pytest|unittest|tox|nox|vitest|jest|mocha|phpunit|rspec|ctest|nextest|playwright test"
    r"|(?:npm|pnpm|yarn|bun|deno|cargo|go|mvn|mvnw|gradle|gradlew|dotnet|mix|swift|flutter|rake|make|just|task)\b[\w\s:./@=-]{0,40}?\b(?:tests?|check|ci))\b"
)
_MORE_THAN_TESTS: Final = re.compile(r"[|;]|&&\s*(?!.*\b(?:test|check|pytest)\b)")
EDITS: Final = frozenset(
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
_MIN_REPEATS: Final = 3
"""Identical failures in a row that make a loop worth reporting."""

SUBAGENTS: Final = frozenset({"Task", "Agent", "task", "spawn_agent"})
"""Tools that start a subagent."""

_NO_RESULT: Final = re.compile(r"\W*(?:API Error|Prompt is too long|You've hit your .{0,20}limit|\[Request interrupted)")
_LAUNCHED: Final = ("Async agent launched", "Command running in background")
_DENIED: Final = re.compile(r"\bauto-denied\b|\bPermission to use \S+ (?:with command .{1,200} )?has been denied", re.DOTALL)
_STATUS: Final = re.compile(r"<status>(completed|failed)</status>")
_AGENT_SUMMARY: Final = re.compile(r"<summary>Agent \"")
_RESULT: Final = re.compile(r"<result>(.*?)(?:</result>|\Z)", re.DOTALL)
_SUMMARY: Final = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL)
_REPORT_HEAD: Final = 400
"""Characters at the start of a subagent's report in which a denial counts; later it may only be mentioned."""

_NUMBERS: Final = re.compile(r"\b[0-9a-f]*\d[\w.]*")
_MAX_GIST: Final = 300
_MAX_EDITS: Final = 50
_MAX_LOOPS: Final = 20


@dataclass(slots=True)
class TestRun:
    """The last test run of a session.

    Attributes:
        line: Record of the call.
        command: The command that was run.
        outcome: `passed` or `failed` by exit code, `unclear` when the code belongs to another command, `open` without a result.
        code: Exit code, if the log has one.
        edits: Records of file changes after it.
    """

    line: int
    command: str
    outcome: Literal["passed", "failed", "unclear", "open"] = "open"
    code: str = ""
    edits: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Loop:
    """A call that failed several times in a row with the same message.

    Attributes:
        call: Tool and input.
        line: Record of the first failure.
        last: Record of the last failure.
        count: Number of failures.
        gist: The message they have in common, without numbers, ids and times.
        began: Record of the first call.
        since: Time of that record in epoch milliseconds.
        until: Time of the last failure in epoch milliseconds.
        tokens: Tokens used by the messages from the first call to the last failure.
    """

    call: str
    line: int
    last: int
    count: int = 1
    gist: str = ""
    began: int = 0
    since: int | None = None
    until: int | None = None
    tokens: int = 0

    @property
    def ms(self) -> int | None:
        """Duration in milliseconds; None if the log has no usable times."""
        return self.until - self.since if self.since is not None and self.until is not None and self.until >= self.since else None


@dataclass(slots=True)
class Subagents:
    """How many subagents were called, and how many delivered a result.

    Attributes:
        called: Number of calls.
        delivered: Number of calls that returned a real result.
        line: Record of the first call.
    """

    called: int = 0
    delivered: int = 0
    line: int = 0


class Calls:
    """Collects calls and their results in the order of the log."""

    def __init__(self) -> None:
        self.test: TestRun | None = None
        self.edits: list[int] = []
        self.loops: list[Loop] = []
        self.subagents = Subagents()
        self.left = LeftBehind()
        self._failing: Loop | None = None
        self._test_key: str = ""
        self._starts: dict[str, tuple[int, int | None]] = {}

    def add_call(self, line: int, at: int | None, mark: Mark) -> None:
        """Add a call."""
        self._starts[mark.key] = (line, at)
        if is_edit(mark):
            self._add_edit(line)
        elif tests := _TEST_COMMAND.search(mark.text):
            self.test, self._test_key = TestRun(line, _command(mark.text, tests)), mark.key
        if mark.more.get("name") in SUBAGENTS:
            self.subagents.called += 1
            self.subagents.line = self.subagents.line or line

    def add_result(self, line: int, at: int | None, mark: Mark, call: Mark | None) -> None:
        """Add a result and the call it belongs to."""
        began, since = self._starts.pop(mark.key, (line, at))
        if self.test is not None and mark.key == self._test_key and self.test.outcome == "open":
            clear = not _MORE_THAN_TESTS.search(self.test.command)
            self.test.outcome = ("passed" if mark.ok else "failed") if clear else "unclear"
            self.test.code = mark.code
        if call is None:
            return
        self._record_effects(began, mark, call)
        if mark.ok or not is_consequence(mark.text):
            self._count_repeats(_Try(began, line, since, at), mark, call)

    def _record_effects(self, began: int, mark: Mark, call: Mark) -> None:
        """Record the files and processes that a call left behind; a failed edit changed nothing."""
        name = call.more.get("name")
        self.left.drop_ended(call, mark)
        if is_edit(call):
            if mark.ok:
                self.left.add_files(began, call)
            else:
                self._drop_edit(began)
        elif mark.ok:
            self.left.add_command(began, call, mark)
            self.subagents.delivered += name in SUBAGENTS and not undelivered(mark.text) and not is_launched(mark.text)

    def add_notice(self, words: str) -> Undelivered | None:
        """Add a notice that a background task has ended; that of a subagent contains its result.

        Returns:
            Why a subagent delivered nothing; None if it did, or if the notice is about another kind of task.
        """
        self.left.drop_reported(words)
        status = _STATUS.search(words)
        if status is None or self.left.has_started(words):
            return None
        body = _RESULT.search(words) or _SUMMARY.search(words)
        report = body[1].strip() if body else ""
        if missed := undelivered(report):
            return missed
        if status[1] == "failed":
            return Undelivered("failed", report) if _AGENT_SUMMARY.search(words) else None
        if self.subagents.delivered < self.subagents.called:
            self.subagents.delivered += 1
        return None

    def _count_repeats(self, tried: _Try, mark: Mark, call: Mark) -> None:
        """Count a call that fails again in the same way; a different message means progress and starts over."""
        signature = f"{call.more.get('name') or 'a tool'} {call.text}".strip()
        failing = self._failing if self._failing is not None and self._failing.call == signature else None
        if mark.ok:
            self._failing = None if failing is not None else self._failing
            return
        gist = _gist(mark.text)
        if failing is None or failing.gist != gist:
            self._failing = Loop(signature, tried.line, tried.line, gist=gist, began=tried.began, since=tried.since, until=tried.at)
            return
        failing.last, failing.until, failing.count = tried.line, tried.at, failing.count + 1
        if failing.count == _MIN_REPEATS and len(self.loops) < _MAX_LOOPS:
            self.loops.append(failing)

    def _add_edit(self, line: int) -> None:
        for lines in self._edit_lists():
            if len(lines) < _MAX_EDITS:
                lines.append(line)

    def _drop_edit(self, line: int) -> None:
        for lines in self._edit_lists():
            if line in lines:
                lines.remove(line)

    def _edit_lists(self) -> list[list[int]]:
        return [self.edits, self.test.edits] if self.test is not None else [self.edits]


class _Try(NamedTuple):
    """Records and times of one call and its result."""

    began: int
    line: int
    since: int | None
    at: int | None


def is_edit(call: Mark) -> bool:
    """Return whether a call changes files."""
    return call.more.get("name") in EDITS or bool(call.more.get("files")) or call.text.lstrip('{" ').startswith("apply_patch")


class Undelivered(NamedTuple):
    """A subagent that delivered nothing.

    Attributes:
        why: It was `denied` its tools, it `failed`, or it was marked `completed` without a result.
        words: Its report.
    """

    why: Literal["denied", "failed", "completed"]
    words: str


def undelivered(words: str) -> Undelivered | None:
    """Return why a subagent delivered nothing although it was marked as completed; None if its report is a real one."""
    if _NO_RESULT.match(words):
        return Undelivered("completed", words)
    return Undelivered("denied", words) if _DENIED.search(words[:_REPORT_HEAD]) else None


def is_launched(words: str) -> bool:
    """Return whether a subagent was only started; its result arrives later as a notice."""
    return words.startswith(_LAUNCHED)


def _gist(words: str) -> str:
    """Return the beginning of an error message without numbers, ids and times."""
    return _NUMBERS.sub("#", words[:_MAX_GIST])


def _command(text: str, tests: re.Match[str]) -> str:
    """Return a test command without the set-up that agents put in front of it, such as `cd FOLDER &&`."""
    before = re.sub(r"^\s*(?:cd \S+|export \S+|source \S+)\s*&&\s*", "", text[: tests.start()])
    return f"{before}{text[tests.start() :]}".strip()
