"""What is kept of a log: its turns, how each ended and what went wrong. The last turn that counts decides the state of the session.

Only the tokens of a rolled back turn count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.calls import Loop, Subagents, TestRun
    from smithers_nb.sources.sessions.left_behind import LeftBehind
    from smithers_nb.sources.sessions.marks import About

State = Literal["finished", "failed", "interrupted", "waiting", "cut"]
Reason = Literal[
    "answered", "done", "error", "retrying", "person", "refused", "exit", "asks", "open-call", "after-result", "no-answer", "no-end",
    "killed", "went-on", "silent", "nothing",
]  # fmt: skip
TroubleKind = Literal[
    "error", "retry", "person", "refused", "permission", "missing", "mcp", "environment", "killed", "claim", "subagent",
    "consequence", "silent",
]  # fmt: skip

NOTIFICATION: Final = "<task-notification>"
"""Beginning of a prompt from the CLI, not from a person: a background task has ended."""


@dataclass(slots=True)
class End:
    """How a turn ended.

    Attributes:
        state: How it ended, in one word.
        reason: What shows that.
        line: The record that shows it, starting at 1.
        text: Text of that record.
        code: Status or code of an error; name of the tool for an open call.
    """

    state: State
    reason: Reason
    line: int
    text: str = ""
    code: str = ""


@dataclass(slots=True)
class Trouble:
    """One thing that went wrong.

    Attributes:
        kind: Kind of trouble; a `retry` is a series of retries.
        line: Its first record.
        last: Its last record.
        turn: Number of its turn.
        text: Text of the record.
        code: Status, exit code or the CLI's own code.
        count: Number of records that it stands for.
        limit: Number of tries that were allowed.
        name: Tool that it is about.
        recovered: The same turn went on after it.
        own: For something missing: the agent chose the name itself, and an agent of that name exists under a prefix.
        stopped: A person interrupted its turn, so the agent did not recover.
    """

    kind: TroubleKind
    line: int
    last: int
    turn: int
    text: str = ""
    code: str = ""
    count: int = 1
    limit: int | None = None
    name: str = ""
    recovered: bool = False
    own: bool = False
    stopped: bool = False


@dataclass(slots=True)
class Turn:
    """The part of a session from one prompt to the next.

    Attributes:
        number: Its number, starting at 1.
        line: Its first record.
        at: When it started, in epoch milliseconds.
        label: The prompt.
        end: How it ended.
        ended: Time of its last record in epoch milliseconds.
        model: Model that answered.
        calls: Number of tool calls.
        failed_calls: Number of failed tool calls.
        dead: It was rolled back.
        by_command: A slash command started it.
        opens_session: Id of the session that starts with it, if the log records that.
        tokens: Token counts of its messages.
    """

    number: int
    line: int
    at: int | None
    label: str
    end: End
    ended: int | None = None
    model: str = ""
    calls: int = 0
    failed_calls: int = 0
    dead: bool = False
    by_command: bool = False
    opens_session: str = ""
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass
class Session:
    """What is kept of a log.

    Attributes:
        about: Metadata of the log.
        turns: Its turns.
        troubles: What went wrong, in file order, up to a limit.
        compactions: Records at which the context was summarised.
        started: Time of the first record in epoch milliseconds.
        ended: Time of the last record in epoch milliseconds.
        lines: Number of records read.
        torn: Numbers of the lines that are not JSON.
        tail: The last line is torn: it is still being written, or was when the process ended.
        explicit: The log records the start and end of each turn, so an answer alone does not end a turn.
        test: The last test run; None if there is none.
        edits: Records that changed files, up to a limit.
        loops: Calls that failed repeatedly.
        subagents: How many subagents were called and delivered; None before the log is read to its end.
        left: Changed files and processes left behind; None before the log is read to its end.
    """

    about: About
    turns: list[Turn] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    compactions: list[int] = field(default_factory=list)
    started: int | None = None
    ended: int | None = None
    lines: int = 0
    torn: list[int] = field(default_factory=list)
    tail: bool = False
    explicit: bool = False
    test: TestRun | None = None
    edits: list[int] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    subagents: Subagents | None = None
    left: LeftBehind | None = None

    @property
    def last(self) -> Turn | None:
        """The last turn that counts; in a file of several sessions, the last turn of the newest one with a recorded end.

        A recorded end says more than a log that just stops.
        """
        newest = self.newest
        if newest is None or not newest.opens_session or newest.end.state != "cut":
            return newest
        recorded = (turn for turn in reversed(self.turns) if not turn.dead and turn.end.reason in {"done", "error"})
        return next(recorded, newest)

    @property
    def newest(self) -> Turn | None:
        """The last turn of the file that was not rolled back."""
        return next((turn for turn in reversed(self.turns) if not turn.dead), None)

    @property
    def asked_again(self) -> list[int]:
        """Records at which a person had to ask again because the turn before failed or ended without output."""
        alive = [turn for turn in self.turns if not turn.dead and not turn.label.startswith(NOTIFICATION)]
        return [turn.line for before, turn in pairwise(alive) if before.end.state == "failed" or before.end.reason == "silent"]

    @property
    def end(self) -> End:
        """How the session ended."""
        return self.last.end if self.last else End("cut", "nothing", max(self.lines, 1))

    def counting(self) -> list[Trouble]:
        """Return the troubles of turns that were not rolled back."""
        dead = {turn.number for turn in self.turns if turn.dead}
        return [trouble for trouble in self.troubles if trouble.turn not in dead]
