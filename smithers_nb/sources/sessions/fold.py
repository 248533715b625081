"""Fold marks into a session: each mark opens a turn, adds to it or ends it.

An error after which the work went on is a recovered trouble; only the last turn that counts decides the state of the session.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from smithers_nb.sources.sessions.calls import SUBAGENTS, Calls, Undelivered, undelivered
from smithers_nb.sources.sessions.failed_calls import trouble_of
from smithers_nb.sources.sessions.marks import About, Mark, clean
from smithers_nb.sources.sessions.session import End, Session, Trouble, TroubleKind, Turn

_CLAIMED_FIX: Final = re.compile(r"\b(?:fixed|resolved|solved|should (?:now )?work|works now|now works|root cause)\b", re.IGNORECASE)
_NOT_FIXED: Final = re.compile(
    r"\bstill\b.{0,80}\b(?:fail\w*|error\w*|broken|same|not|crash\w*)\b|^\W*still\b.{0,200}\b(?:fail\w*|error\w*|couldn.?t|can.?t|n.?t)\b"
    r"|\bsame (?:error|issue|problem)\b|\b(?:does|did|is)(?: not|n.?t) (?:work|fix)|\bnot fixed\b",
    re.IGNORECASE | re.DOTALL,
)
_INSTEAD: Final = "the user said:"
"""Part of a refusal in which the person says what to do instead, so that the agent goes on."""

_MAX_TROUBLES: Final = 400


class _Usage(NamedTuple):
    """The turn, last record and token counts of one message."""

    turn: int
    line: int
    counts: dict[str, int]


class Fold:
    """Builds a session from marks, one at a time."""

    def __init__(self, about: About, *, explicit: bool = False) -> None:
        self.session = Session(about, explicit=explicit)
        self._pending_command: tuple[int, str] | None = None
        self._open_calls: dict[str, tuple[int, Mark]] = {}
        self._retry: Trouble | None = None
        self._usage: dict[str, _Usage] = {}
        self._unkeyed_usage: list[_Usage] = []
        self._last_reply = ""
        self._calls = Calls()

    def add(self, line: int, at: int | None, mark: Mark) -> None:
        """Add one mark."""
        getattr(self, f"_on_{mark.kind}")(line, at, mark)
        if self.session.turns and mark.kind not in {"begin", "prompt", "command", "rollback"}:
            turn = self.session.turns[-1]
            turn.ended, turn.model = at or turn.ended, self.session.about.model or turn.model

    def finish(self, *, whole: bool = True) -> Session:
        """Return the session; without `whole`, only the last turn keeps its text, because redacting is slow."""
        self._count_tokens()
        calls = self._calls
        self.session.test, self.session.edits, self.session.loops = calls.test, calls.edits, calls.loops
        self.session.subagents, self.session.left = calls.subagents, calls.left
        stopped = {turn.number for turn in self.session.turns if turn.end.reason == "person"}
        for trouble in self.session.troubles:
            trouble.stopped = trouble.turn in stopped
            trouble.text = clean(trouble.text) if whole else ""
        for turn in self.session.turns:
            if not whole and turn is not self.session.last:
                turn.label = turn.end.text = ""
            turn.label, turn.end.text = clean(turn.label), clean(turn.end.text)
        for turn in self.session.turns[:-1]:
            if turn.end.state in {"cut", "waiting"} and turn is not self.session.last:
                turn.end = End("finished", "went-on", turn.end.line) if turn.end.reason not in {"killed", "silent"} else turn.end
        return self.session

    def _count_tokens(self) -> None:
        for number, line, counts in (*self._usage.values(), *self._unkeyed_usage):
            tokens = self.session.turns[number - 1].tokens
            for name, value in counts.items():
                tokens[name] = tokens.get(name, 0) + value
            for loop in self._calls.loops:
                if loop.began <= line <= loop.last:
                    loop.tokens += sum(value for name, value in counts.items() if name != "reasoning")

    def _current_turn(self, line: int, at: int | None) -> Turn:
        """Return the turn that a record belongs to; a slash command starts one once something follows it."""
        if self._pending_command is not None or not self.session.turns:
            first, label = self._pending_command or (line, "")
            self._start(first, at, label).by_command = self._pending_command is not None
            self._pending_command = None
        return self.session.turns[-1]

    def _start(self, line: int, at: int | None, label: str) -> Turn:
        self._open_calls.clear()
        self._retry, self._pending_command = None, None
        turn = Turn(len(self.session.turns) + 1, line, at, label, End("cut", "no-answer", line))
        self.session.turns.append(turn)
        return turn

    def _on_begin(self, line: int, at: int | None, mark: Mark) -> None:
        self.session.explicit = True
        self._start(line, at, "").opens_session = mark.key if mark.more.get("session") else ""

    def _on_prompt(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self.session.turns[-1] if self.session.turns else None
        missed = self._calls.add_notice(mark.text) if mark.more.get("task") else None
        before = self.session.turns[-2] if self.session.explicit and len(self.session.turns) > 1 else turn
        if before is not None and not mark.more.get("task") and before.end.state == "finished":
            self._check_claim(line, mark, before)
        if turn is None or not self.session.explicit:
            self._start(line, at, mark.text)
        elif not turn.label:
            turn.label = mark.text
        if missed is not None:
            self._note_undelivered(line, missed)

    def _note_undelivered(self, line: int, missed: Undelivered, name: str = "") -> None:
        """Record a subagent without a result; if its tools were denied, that is a permission problem."""
        kind: TroubleKind = "permission" if missed.why == "denied" else "subagent"
        code = "failed" if missed.why == "failed" else ""
        self._add_trouble(Trouble(kind, line, line, self.session.turns[-1].number, missed.words, code, name=name, recovered=True))

    def _check_claim(self, line: int, mark: Mark, before: Turn) -> None:
        """Record a prompt in which the person says that what the agent called fixed is not."""
        if _CLAIMED_FIX.search(before.end.text) and _NOT_FIXED.search(mark.text):
            number = before.number + (1 if self.session.explicit else 0)
            self._add_trouble(Trouble("claim", line, line, number, mark.text, count=before.end.line))

    def _on_command(self, line: int, at: int | None, mark: Mark) -> None:
        self._pending_command = (line, mark.text)

    def _on_say(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._working_turn(line, at)
        if mark.more.get("empty"):
            self._add_trouble(Trouble("silent", line, line, turn.number))
            turn.end = End("cut", "silent", line)
        elif not self._open_calls:
            turn.end = End("cut", "no-end", line, mark.text)

    def _on_reply(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._working_turn(line, at)
        self._last_reply = mark.text
        if not self._open_calls:
            turn.end = End("cut", "no-end", line, mark.text) if self.session.explicit else End("finished", "answered", line, mark.text)

    def _on_call(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._working_turn(line, at)
        turn.calls += 1
        self._calls.add_call(line, at, mark)
        self._open_calls[mark.key] = (line, mark)
        asks = bool(mark.more.get("asks"))
        turn.end = End("waiting" if asks else "cut", "asks" if asks else "open-call", line, mark.text, str(mark.more.get("name") or ""))

    def _on_result(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._current_turn(line, at)
        call = self._open_calls.pop(mark.key, None)
        self._calls.add_result(line, at, mark, call[1] if call else None)
        name = "" if call is None else str(call[1].more.get("name") or "")
        if not mark.ok:
            turn.failed_calls += 1
            self._failed_call(line, mark, turn, name)
        elif name in SUBAGENTS and (missed := undelivered(mark.text)):
            self._note_undelivered(line, missed, name)
        if turn.end.state in {"failed", "interrupted"}:
            return
        if self._open_calls:
            first, other = next(iter(self._open_calls.values()))
            turn.end = End("cut", "open-call", first, other.text, str(other.more.get("name") or ""))
        else:
            turn.end = End("cut", "after-result", line)

    def _failed_call(self, line: int, mark: Mark, turn: Turn, name: str) -> None:
        trouble = trouble_of(line, mark, turn, name)
        before = self.session.troubles[-1] if self.session.troubles else None
        if trouble is None:
            return
        if trouble.kind == "consequence" and before is not None and before.kind == "consequence" and before.turn == turn.number:
            before.last, before.count = line, before.count + 1
        else:
            self._add_trouble(trouble)

    def _on_retry(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._current_turn(line, at)
        limit = mark.more.get("limit")
        if self._retry is None:
            self._retry = Trouble("retry", line, line, turn.number, limit=limit if isinstance(limit, int) else None, count=0)
            self._add_trouble(self._retry)
        retry = self._retry
        retry.last, retry.count = line, retry.count + 1
        retry.text, retry.code = mark.text or retry.text, mark.code or retry.code
        turn.end = End("interrupted", "retrying", line, retry.text, retry.code)

    def _on_usage(self, line: int, at: int | None, mark: Mark) -> None:
        """Store the latest counts of a message, because each of its records repeats them."""
        number = self._current_turn(line, at).number
        if mark.key:
            self._usage[mark.key] = _Usage(number, line, mark.more)
        else:
            self._unkeyed_usage.append(_Usage(number, line, mark.more))

    def _on_error(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._current_turn(line, at)
        self._open_calls.clear()
        if turn.end.reason == "error" and turn.end.text == mark.text:
            return
        tries = self._retry.count if self._retry is not None else 1
        self._add_trouble(Trouble("error", line, line, turn.number, mark.text, mark.code, tries, name=str(mark.more.get("name") or "")))
        self._retry = None
        turn.end = End("failed", "error", line, mark.text, mark.code)

    def _on_interrupt(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._current_turn(line, at)
        self._open_calls.clear()
        if turn.end.reason == "person":
            return
        self._add_trouble(Trouble("person", line, line, turn.number, mark.text))
        turn.end = End("interrupted", "person", line, mark.text)

    def _on_denied(self, line: int, at: int | None, mark: Mark) -> None:
        turn = self._current_turn(line, at)
        kind: TroubleKind = "refused" if mark.more.get("person") else "permission"
        self._add_trouble(Trouble(kind, line, line, turn.number, mark.text, recovered=True))
        if kind == "refused" and not self._open_calls and _INSTEAD not in mark.text:
            turn.end = End("interrupted", "refused", line, mark.text)

    def _on_done(self, line: int, at: int | None, mark: Mark) -> None:
        if not self.session.turns:
            return
        turn = self.session.turns[-1]
        self._open_calls.clear()
        if turn.end.state not in {"failed", "interrupted"} and turn.end.reason not in {"no-answer", "answered"}:
            turn.end = End("finished", "done", line, mark.text or self._last_reply)
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
            self._add_trouble(Trouble("killed", turn.end.line, line, turn.number, turn.end.text, name=turn.end.code))
            turn.end = End("cut", "killed", turn.end.line, turn.end.text, turn.end.code)
            self._open_calls.clear()

    def _on_bye(self, line: int, at: int | None, mark: Mark) -> None:
        if self.session.turns and self.session.turns[-1].end.state in {"cut", "waiting"}:
            self.session.turns[-1].end = End("interrupted", "exit", line, mark.text)

    def _working_turn(self, line: int, at: int | None) -> Turn:
        """Return the current turn and mark earlier retries as recovered, because the agent is working again."""
        turn = self._current_turn(line, at)
        if self._retry is not None:
            self._retry.recovered = True
            self._retry = None
        return turn

    def _add_trouble(self, trouble: Trouble) -> None:
        if len(self.session.troubles) < _MAX_TROUBLES:
            self.session.troubles.append(trouble)
