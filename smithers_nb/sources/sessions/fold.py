"""From marks to a session: its turns, how each ended, what went wrong on the way, and how the last turn ended, which is the state.

Only the last turn that counts decides the state, and an error that the work went on after is a trouble that was recovered. A turn that
was rolled back counts for nothing but its tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from smithers_nb.sources.sessions.calls import Calls, Loop, TestRun
from smithers_nb.sources.sessions.marks import About, Mark, clean

State = Literal["finished", "failed", "interrupted", "waiting", "cut"]
Reason = Literal[
    "answered", "done", "error", "retrying", "person", "exit", "asks", "open-call", "after-result", "no-answer", "no-end", "killed",
    "went-on", "nothing",
]  # fmt: skip
TroubleKind = Literal["error", "retry", "person", "refused", "permission", "missing", "mcp", "environment", "killed", "claim", "subagent"]

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
    r"|Could not resolve host|Temporary failure in name resolution|Network is unreachable|command timed out after",
    re.IGNORECASE,
)
_FIXED: Final = re.compile(r"\b(?:fixed|resolved|solved|should (?:now )?work|works now|now works|root cause)\b", re.IGNORECASE)
_STILL: Final = re.compile(
    r"\bstill\b.{0,80}\b(?:fail\w*|error\w*|broken|same|not|crash\w*)\b|^\W*still\b.{0,200}\b(?:fail\w*|error\w*|couldn.?t|can.?t|n.?t)\b"
    r"|\bsame (?:error|issue|problem)\b|\b(?:does|did|is)(?: not|n.?t) (?:work|fix)|\bnot fixed\b",
    re.IGNORECASE | re.DOTALL,
)
_SUBAGENTS: Final = frozenset({"Task", "Agent"})
_NOTHING_DELIVERED: Final = re.compile(r"\W*(?:API Error|Prompt is too long|You've hit your .{0,20}limit|\[Request interrupted)")
"""How the result of a subagent begins that is marked as completed and brought nothing."""

_MAX_TROUBLES: Final = 400


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

    @property
    def last(self) -> Turn | None:
        """The last turn that counts."""
        return next((turn for turn in reversed(self.turns) if not turn.dead), None)

    @property
    def end(self) -> End:
        """How it ended."""
        return self.last.end if self.last else End("cut", "nothing", max(self.lines, 1))

    def counting(self) -> list[Trouble]:
        """List the troubles of turns that were not rolled back."""
        dead = {turn.number for turn in self.turns if turn.dead}
        return [trouble for trouble in self.troubles if trouble.turn not in dead]


class Fold:
    """Takes marks one by one and builds a session."""

    def __init__(self, about: About, *, explicit: bool = False) -> None:
        self.session = Session(about, explicit=explicit)
        self._command: tuple[int, str] | None = None
        self._open: dict[str, tuple[int, Mark]] = {}
        self._retry: Trouble | None = None
        self._usage: dict[str, tuple[int, dict[str, int]]] = {}
        self._counted: list[tuple[int, dict[str, int]]] = []
        self._said = ""
        self._calls = Calls()

    def add(self, line: int, at: int | None, mark: Mark) -> None:
        """Take one mark."""
        getattr(self, f"_on_{mark.kind}")(line, at, mark)
        if self.session.turns and mark.kind not in {"begin", "prompt", "command", "rollback"}:
            turn = self.session.turns[-1]
            turn.ended, turn.model = at or turn.ended, self.session.about.model or turn.model

    def finish(self, *, whole: bool = True) -> Session:
        """Return the session; without `whole` only the words of its last turn are cleaned and so fit to be shown."""
        for number, counts in (*self._usage.values(), *self._counted):
            tokens = self.session.turns[number - 1].tokens if number else {}
            for name, value in counts.items():
                tokens[name] = tokens.get(name, 0) + value
        self.session.test, self.session.edits, self.session.loops = self._calls.test, self._calls.edits, self._calls.loops
        for trouble in self.session.troubles:
            trouble.text = clean(trouble.text) if whole else ""
        for turn in self.session.turns:
            if not whole and turn is not self.session.last:
                turn.label = turn.end.text = ""
            turn.label, turn.end.text = clean(turn.label), clean(turn.end.text)
        for turn in self.session.turns[:-1]:
            if turn.end.state in {"cut", "waiting"} and turn is not self.session.last:
                turn.end = End("finished", "went-on", turn.end.line) if turn.end.reason != "killed" else turn.end
        return self.session

    def _turn(self, line: int, at: int | None) -> Turn:
        """Return the turn that a record belongs to; a slash command that is answered begins one."""
        if self._command is not None or not self.session.turns:
            first, label = self._command or (line, "")
            self._start(first, at, label).by_command = self._command is not None
            self._command = None
        return self.session.turns[-1]

    def _start(self, line: int, at: int | None, label: str) -> Turn:
        self._open.clear()
        self._retry, self._command = None, None
        turn = Turn(len(self.session.turns) + 1, line, at, label, End("cut", "no-answer", line))
        self.session.turns.append(turn)
        return turn

    def _on_begin(self, line: int, at: int | None, mark: Mark) -> None:
        self.session.explicit = True
        self._start(line, at, "")

    def _on_prompt(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self.session.turns[-1] if self.session.turns else None
        before = self.session.turns[-2] if self.session.explicit and len(self.session.turns) > 1 else turn
        if before is not None and not mark.more.get("task") and before.end.state == "finished":
            self._check_claim(line, mark, before)
        if turn is None or not self.session.explicit:
            self._start(line, at, mark.text)
        elif not turn.label:
            turn.label = mark.text

    def _check_claim(self, line: int, mark: Mark, before: Turn) -> None:
        """Note where the person says that what was told to be fixed is not."""
        if _FIXED.search(before.end.text) and _STILL.search(mark.text):
            number = before.number + (1 if self.session.explicit else 0)
            self._note(Trouble("claim", line, line, number, mark.text, count=before.end.line))

    def _on_command(self, line: int, at: int | None, mark: Mark) -> None:
        self._command = (line, mark.text)

    def _on_say(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._went_on(line, at)
        if not self._open:
            turn.end = End("cut", "no-end", line, mark.text)

    def _on_reply(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._went_on(line, at)
        self._said = mark.text
        if not self._open:
            turn.end = End("cut", "no-end", line, mark.text) if self.session.explicit else End("finished", "answered", line, mark.text)

    def _on_call(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._went_on(line, at)
        turn.calls += 1
        self._calls.called(line, mark)
        self._open[mark.key] = (line, mark)
        asks = bool(mark.more.get("asks"))
        turn.end = End("waiting" if asks else "cut", "asks" if asks else "open-call", line, mark.text, str(mark.more.get("name") or ""))

    def _on_result(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._turn(line, at)
        call = self._open.pop(mark.key, None)
        self._calls.returned(line, mark, call[1] if call else None)
        name = "" if call is None else str(call[1].more.get("name") or "")
        if not mark.ok:
            turn.failed_calls += 1
            self._failed_call(line, mark, turn, name)
        elif name in _SUBAGENTS and _NOTHING_DELIVERED.match(mark.text):
            self._note(Trouble("subagent", line, line, turn.number, mark.text, name=name))
        if turn.end.state in {"failed", "interrupted"}:
            return
        if self._open:
            first, other = next(iter(self._open.values()))
            turn.end = End("cut", "open-call", first, other.text, str(other.more.get("name") or ""))
        else:
            turn.end = End("cut", "after-result", line)

    def _failed_call(self, line: int, mark: Mark, turn: Turn, name: str) -> None:
        missing = _MISSING.search(mark.text[:400])
        if missing:
            wanted = next(group for group in missing.groups() if group)
            listed = _AVAILABLE.search(mark.text)
            there = bool(listed) and any(one.strip().endswith(f":{wanted}") for one in (listed[1] if listed else "").split(","))
            self._note(Trouble("missing", line, line, turn.number, mark.text, name=wanted, own=there and not turn.by_command))
        elif _MCP.search(mark.text):
            self._note(Trouble("mcp", line, line, turn.number, mark.text, name=name))
        elif _MACHINE.search(mark.text):
            self._note(Trouble("environment", line, line, turn.number, mark.text, mark.code, name=name))

    def _on_retry(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._turn(line, at)
        limit = mark.more.get("limit")
        if self._retry is None:
            self._retry = Trouble("retry", line, line, turn.number, limit=limit if isinstance(limit, int) else None, count=0)
            self._note(self._retry)
        retry = self._retry
        retry.last, retry.count = line, retry.count + 1
        retry.text, retry.code = mark.text or retry.text, mark.code or retry.code
        turn.end = End("interrupted", "retrying", line, retry.text, retry.code)

    def _on_usage(self, line: int, at: int | None, mark: Mark) -> None:
        """Keep the last counts of a message, which each of its records repeats."""
        number = self._turn(line, at).number
        if mark.key:
            self._usage[mark.key] = (number, mark.more)
        else:
            self._counted.append((number, mark.more))

    def _on_error(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._turn(line, at)
        self._open.clear()
        if turn.end.reason == "error" and turn.end.text == mark.text:
            return
        tries = self._retry.count if self._retry is not None else 1
        self._note(Trouble("error", line, line, turn.number, mark.text, mark.code, tries, name=str(mark.more.get("name") or "")))
        self._retry = None
        turn.end = End("failed", "error", line, mark.text, mark.code)

    def _on_interrupt(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._turn(line, at)
        self._open.clear()
        if turn.end.reason == "person":
            return
        self._note(Trouble("person", line, line, turn.number, mark.text))
        turn.end = End("interrupted", "person", line, mark.text)

    def _on_denied(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._turn(line, at)
        kind: TroubleKind = "refused" if mark.more.get("person") else "permission"
        self._note(Trouble(kind, line, line, turn.number, mark.text, recovered=True))

    def _on_done(self, line: int, at: int | None, mark: Mark) -> None:
        if not self.session.turns:
            return
        turn = self.session.turns[-1]
        self._open.clear()
        if turn.end.state not in {"failed", "interrupted"} and turn.end.reason not in {"no-answer", "answered"}:
            turn.end = End("finished", "done", line, mark.text or self._said)
        elif turn.end.reason == "no-answer" and self.session.explicit:
            turn.end = End("finished", "done", line, mark.text)

    def _on_compact(self, line: int, at: int | None, mark: Mark) -> None:
        if not self.session.compactions or line - self.session.compactions[-1] > 3:  # noqa: PLR2004  # Codex writes two records for one
            self.session.compactions.append(line)

    def _on_rollback(self, line: int, at: int | None, mark: Mark) -> None:
        alive = [turn for turn in self.session.turns if not turn.dead]
        for turn in alive[-int(mark.more.get("turns") or 1) :]:
            turn.dead = True

    def _on_resumed(self, line: int, at: int | None, mark: Mark) -> None:
        if self.session.turns and self.session.turns[-1].end.state == "cut":
            turn = self.session.turns[-1]
            self._note(Trouble("killed", turn.end.line, line, turn.number, turn.end.text, name=turn.end.code))
            turn.end = End("cut", "killed", turn.end.line, turn.end.text, turn.end.code)
            self._open.clear()

    def _on_bye(self, line: int, at: int | None, mark: Mark) -> None:
        if self.session.turns and self.session.turns[-1].end.state in {"cut", "waiting"}:
            self.session.turns[-1].end = End("interrupted", "exit", line, mark.text)

    def _went_on(self, line: int, at: int | None) -> Turn:
        """The agent does something: retries before it were recovered."""
        turn = self._turn(line, at)
        if self._retry is not None:
            self._retry.recovered = True
            self._retry = None
        return turn

    def _note(self, trouble: Trouble) -> None:
        if len(self.session.troubles) < _MAX_TROUBLES:
            self.session.troubles.append(trouble)
