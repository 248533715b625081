"""What is kept of a log: its turns, how each ended, what went wrong on the way. The last turn that counts is the state of the session.

A turn that was rolled back counts for nothing but its tokens.
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
"""How a prompt begins that no person wrote: a subagent in the background has ended."""


@dataclass(slots=True)
class End:
    """How a turn ended.

    Attributes:
        state: In one word.
        reason: Why that is known.
        line: The record that shows it, from 1.
        text: Its words.
        code: Status or code of an error.
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
        kind: What it is; a `retry` is a row of them.
        line: Its first record.
        last: Its last record.
        turn: Number of its turn.
        text: Words of the record.
        code: Status, exit code or the CLI's own code.
        count: Records that it stands for.
        limit: Tries that were allowed.
        name: Tool that it is about.
        recovered: The same turn went on after it.
        own: Of something missing: the agent named it by itself, and something of that name is there.
        stopped: A person interrupted its turn, so the agent did not get over it.
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
    """From one prompt to the next.

    Attributes:
        number: From 1.
        line: Its first record.
        at: When, epoch milliseconds.
        label: What was asked.
        end: How it ended.
        ended: When its last record was written, epoch milliseconds.
        model: Model that answered.
        calls: Tool calls in it.
        failed_calls: Of these, reported as failed.
        dead: It was rolled back.
        by_command: A slash command began it.
        opens_session: Id of the session that the log says begins with it.
        tokens: Counts of its messages.
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
        about: What it says of itself.
        turns: Its turns.
        troubles: What went wrong, in the order of the file, at most some hundreds.
        compactions: Records at which the context was summarised.
        started: Time of the first record, epoch milliseconds.
        ended: Time of the last record, epoch milliseconds.
        lines: Records read.
        torn: Lines that are no JSON, by number.
        tail: The last line is torn: it is being written, or was when the process ended.
        explicit: The log has a record for the beginning and the end of each turn, so that an answer alone ends none.
        test: The last run of tests; None without any.
        edits: Records that changed files, at most some dozens.
        loops: Calls that failed again and again.
        subagents: How many were called, and how many delivered; None before all is read.
        left: Changes of files and processes that were left; None before all is read.
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
        """The last turn that counts; of several sessions in one file, that of the newest whose end is recorded.

        An end that is recorded says more than a log that stops, and the session that stops is another one.
        """
        newest = self.newest
        if newest is None or not newest.opens_session or newest.end.state != "cut":
            return newest
        ended = (turn for turn in reversed(self.turns) if not turn.dead and turn.end.reason in {"done", "error"})
        return next(ended, newest)

    @property
    def newest(self) -> Turn | None:
        """The last turn of the file that was not rolled back."""
        return next((turn for turn in reversed(self.turns) if not turn.dead), None)

    @property
    def asked_again(self) -> list[int]:
        """Records at which a person had to ask again, because the turn before had failed or died without a word."""
        alive = [turn for turn in self.turns if not turn.dead and not turn.label.startswith(NOTIFICATION)]
        return [turn.line for before, turn in pairwise(alive) if before.end.state == "failed" or before.end.reason == "silent"]

    @property
    def end(self) -> End:
        """How it ended."""
        return self.last.end if self.last else End("cut", "nothing", max(self.lines, 1))

    def counting(self) -> list[Trouble]:
        """List the troubles of turns that were not rolled back."""
        dead = {turn.number for turn in self.turns if turn.dead}
        return [trouble for trouble in self.troubles if trouble.turn not in dead]
