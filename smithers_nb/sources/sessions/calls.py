"""What the tool calls of a session show together: the last test run, what was changed after it, rows of failures, subagents.

The exit code of a test run counts only where the command is nothing but the tests: behind a pipe or another command it is not theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.sources.sessions.failed_calls import is_consequence
from smithers_nb.sources.sessions.left_behind import LeftBehind

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_TESTS: Final = re.compile(
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
_AGAIN: Final = 3
"""Failures of the same call in a row from which on they are told."""

SUBAGENTS: Final = frozenset({"Task", "Agent", "task", "spawn_agent"})
"""Tools that start a subagent."""

_NOTHING_DELIVERED: Final = re.compile(r"\W*(?:API Error|Prompt is too long|You've hit your .{0,20}limit|\[Request interrupted)")
_LAUNCHED: Final = ("Async agent launched", "Command running in background")
_DENIED: Final = re.compile(r"\bauto-denied\b|\bPermission to use \S+ (?:with command .{1,200} )?has been denied", re.DOTALL)
_STATUS: Final = re.compile(r"<status>(completed|failed)</status>")
_OF_AN_AGENT: Final = re.compile(r"<summary>Agent \"")
_RESULT: Final = re.compile(r"<result>(.*?)(?:</result>|\Z)", re.DOTALL)
_SUMMARY: Final = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL)
_OF_A_REPORT: Final = 400
"""Characters at the beginning of a subagent's report in which it says that it could do nothing."""
_NUMBERS: Final = re.compile(r"\b[0-9a-f]*\d[\w.]*")
_OF_A_GIST: Final = 300
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
        gist: What all of these failures say.
        began: Record of the first of the calls.
        since: Time of that record, epoch milliseconds.
        until: Time of the last failure, epoch milliseconds.
        tokens: Tokens of the messages in between.
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
        """How long it took, milliseconds; None where the clock of the log does not say."""
        return self.until - self.since if self.since is not None and self.until is not None and self.until >= self.since else None


@dataclass(slots=True)
class Subagents:
    """How many subagents were called, and how many brought something back.

    Attributes:
        called: Calls of a subagent.
        delivered: Of these, with a result that is one.
        line: The first call.
    """

    called: int = 0
    delivered: int = 0
    line: int = 0


class Calls:
    """Takes each call and its result, with the time of its record."""

    def __init__(self) -> None:
        self.test: TestRun | None = None
        self.edits: list[int] = []
        self.loops: list[Loop] = []
        self.subagents = Subagents()
        self.left = LeftBehind()
        self._failing: Loop | None = None
        self._running: str = ""
        self._begun: dict[str, tuple[int, int | None]] = {}

    def called(self, line: int, at: int | None, mark: Mark) -> None:
        """Take a call."""
        self._begun[mark.key] = (line, at)
        if is_edit(mark):
            self._edited(line)
        elif found := _TESTS.search(mark.text):
            self.test, self._running = TestRun(line, _command(mark.text, found)), mark.key
        if mark.more.get("name") in SUBAGENTS:
            self.subagents.called += 1
            self.subagents.line = self.subagents.line or line

    def returned(self, line: int, at: int | None, mark: Mark, call: Mark | None) -> None:
        """Take a result, and the call it belongs to."""
        began, since = self._begun.pop(mark.key, (line, at))
        if self.test is not None and mark.key == self._running and self.test.outcome == "open":
            clear = not _MORE_THAN_TESTS.search(self.test.command)
            self.test.outcome = ("passed" if mark.ok else "failed") if clear else "unclear"
            self.test.code = mark.code
        if call is None:
            return
        self._keep(began, mark, call)
        if mark.ok or not is_consequence(mark.text):
            self._circle(_Try(began, line, since, at), mark, call)

    def _keep(self, began: int, mark: Mark, call: Mark) -> None:
        """Note what a call left behind; an edit that failed changed nothing."""
        name = call.more.get("name")
        self.left.ended(call, mark)
        if is_edit(call):
            if mark.ok:
                self.left.changed(began, call)
            else:
                self._not_edited(began)
        elif mark.ok:
            self.left.ran(began, call, mark)
            self.subagents.delivered += name in SUBAGENTS and not undelivered(mark.text) and not is_launched(mark.text)

    def notified(self, words: str) -> Undelivered | None:
        """Take a notice that something in the background is over; a subagent's holds its result.

        Returns:
            Why a subagent brought nothing back; None when it did, or when the notice is of something else.
        """
        self.left.told(words)
        status = _STATUS.search(words)
        if status is None or self.left.knew(words):
            return None
        found = _RESULT.search(words) or _SUMMARY.search(words)
        report = found[1].strip() if found else ""
        if missed := undelivered(report):
            return missed
        if status[1] == "failed":
            return Undelivered("failed", report) if _OF_AN_AGENT.search(words) else None
        if self.subagents.delivered < self.subagents.called:
            self.subagents.delivered += 1
        return None

    def _circle(self, tried: _Try, mark: Mark, call: Mark) -> None:
        """Count a call that fails again in the same way; other words are another failure, and so progress."""
        what = f"{call.more.get('name') or 'a tool'} {call.text}".strip()
        failing = self._failing if self._failing is not None and self._failing.call == what else None
        if mark.ok:
            self._failing = None if failing is not None else self._failing
            return
        gist = _gist(mark.text)
        if failing is None or failing.gist != gist:
            self._failing = Loop(what, tried.line, tried.line, gist=gist, began=tried.began, since=tried.since, until=tried.at)
            return
        failing.last, failing.until, failing.count = tried.line, tried.at, failing.count + 1
        if failing.count == _AGAIN and len(self.loops) < _MAX_LOOPS:
            self.loops.append(failing)

    def _edited(self, line: int) -> None:
        for lines in (self.edits, self.test.edits) if self.test is not None else (self.edits,):
            if len(lines) < _MAX_EDITS:
                lines.append(line)

    def _not_edited(self, line: int) -> None:
        for lines in (self.edits, self.test.edits) if self.test is not None else (self.edits,):
            if line in lines:
                lines.remove(line)


class _Try(NamedTuple):
    """One call and its result: their records and times."""

    began: int
    line: int
    since: int | None
    at: int | None


def is_edit(call: Mark) -> bool:
    """Return whether a call changes files."""
    return call.more.get("name") in EDITS or bool(call.more.get("files")) or call.text.lstrip('{" ').startswith("apply_patch")


class Undelivered(NamedTuple):
    """Why a subagent brought nothing back: it was `denied` its tools, `failed`, or was taken for `completed`; and its words."""

    why: Literal["denied", "failed", "completed"]
    words: str


def undelivered(words: str) -> Undelivered | None:
    """Return why the report of a subagent, marked as completed, is none."""
    if _NOTHING_DELIVERED.match(words):
        return Undelivered("completed", words)
    return Undelivered("denied", words) if _DENIED.search(words[:_OF_A_REPORT]) else None


def is_launched(words: str) -> bool:
    """Return whether a subagent was only started; its result comes as a notice."""
    return words.startswith(_LAUNCHED)


def _gist(words: str) -> str:
    """Return the beginning of a failure without its numbers, ids and times."""
    return _NUMBERS.sub("#", words[:_OF_A_GIST])


def _command(text: str, found: re.Match[str]) -> str:
    """Return the command without what an agent always puts in front of it, such as a change of the folder."""
    before = re.sub(r"^\s*(?:cd \S+|export \S+|source \S+)\s*&&\s*", "", text[: found.start()])
    return f"{before}{text[found.start() :]}".strip()
