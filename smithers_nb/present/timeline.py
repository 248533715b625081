"""What happened when, ready to be drawn: one bar per attempt, waiting times between, and marks for what else happened.

Gets attempts, events, approvals and questions of one run; gives a `Timeline` that `figures` (plotly) and `svg` draw alike. A run of
thousands of attempts is thinned out, and `notes` says how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, QuestionRow
from smithers_nb.present.rows_in import Rows, rows_of
from smithers_nb.present.text import duration, one_line, when

MAX_LANES: Final = 40
MAX_BARS: Final = 400
MAX_PER_LANE: Final = 24
_RUN_LANE: Final = "run"
_OPEN_STATES: Final = frozenset({"in-progress", "running"})
_SAID_BY_BARS: Final = frozenset({"failed", "collateral", "reset"})
_EVENT_MARKS: Final = {
    "RunAutoResumed": ("restart", "engine restarted the run by itself"),
    "RunHijacked": ("restart", "a person took the run over"),
    "RunStarted": ("restart", "engine started the run again"),
    "ReplayStarted": ("restart", "replay started"),
    "RetryTaskStarted": ("reset", "task set back for another try"),
    "RunFailed": ("failed", "run failed"),
    "RunCancelled": ("cancelled", "run cancelled"),
}


class Bar(NamedTuple):
    """A stretch of time on a lane; `tries` attempts drawn as one when there are too many."""

    lane: str
    start: int
    end: int
    state: str
    label: str
    tip: str
    tries: int = 1


class Mark(NamedTuple):
    """Something that happened at one moment; `kind` is a state that `states.look` knows."""

    lane: str
    at: int
    kind: str
    tip: str


class Timeline(NamedTuple):
    """A drawing's content. Times are epoch milliseconds; lanes are from top to bottom."""

    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    start: int
    end: int
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One sentence for whoever does not see the drawing."""
        attempts = sum(bar.tries for bar in self.bars if not bar.state.startswith("waiting"))
        failed = sum(bar.tries for bar in self.bars if bar.state in {"failed", "collateral"})
        span = f", from {when(self.start)} over {duration((self.end - self.start) / 1000)}" if self.bars else ""
        nodes = len({bar.lane for bar in self.bars})
        return f"{_counted(attempts, 'attempt')} of {_counted(nodes, 'node')}, {failed} failed{span}."


def timeline(  # noqa: PLR0913  # one parameter per grain
    attempts: Rows[AttemptRow],
    events: Rows[EventRow] = (),
    approvals: Rows[ApprovalRow] = (),
    questions: Rows[QuestionRow] = (),
    *,
    now: int | None = None,
    collateral: Collection[str] = (),
) -> Timeline:
    """Prepare the timeline of one run.

    Args:
        attempts: Rows or frame of attempts.
        events: Rows or frame of events; noise may be in it.
        approvals: Rows or frame of gates.
        questions: Rows or frame of questions to people.
        now: Where what is still open ends, epoch milliseconds; without it, at the last moment recorded.
        collateral: Node ids whose failure is a consequence of another.
    """
    tries = [row for row in rows_of(AttemptRow, attempts) if row.started_at is not None]
    log = [row for row in rows_of(EventRow, events) if row.type in _EVENT_MARKS and row.at is not None]
    gates, asked = rows_of(ApprovalRow, approvals), rows_of(QuestionRow, questions)
    end = max([now or 0, *_moments(tries, log, gates, asked)], default=0)
    marks = [
        *_event_marks(log),
        *_gate_marks(gates),
        *_question_marks(asked),
        *(_failure_mark(row, collateral) for row in tries if row.state == "failed"),
    ]
    bars = [*(_bar(row, tries, end, collateral) for row in tries), *_waits(gates, asked, end)]
    bars.sort(key=lambda bar: (bar.start, bar.lane))
    lanes = _lanes([*((row.started_at or 0, row.node_id, row.iteration) for row in tries), *_asked(gates, asked)], marks)
    return _thinned(lanes, bars, marks, end)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _asked(gates: list[ApprovalRow], asked: list[QuestionRow]) -> Iterator[tuple[int, str, int]]:
    for gate in gates:
        if gate.requested_at is not None:
            yield gate.requested_at, gate.node_id, gate.iteration
    for question in asked:
        if question.requested_at is not None:
            yield question.requested_at, question.node_id, question.iteration


def _lanes(beginnings: list[tuple[int, str, int]], marks: list[Mark]) -> list[str]:
    """Order lanes by when their node first did something, its iterations together, the run's own lane on top."""
    first: dict[str, int] = {}
    for at, node_id, _ in sorted(beginnings):
        first.setdefault(node_id, at)
    ordered = sorted({(first[node_id], node_id, iteration) for _, node_id, iteration in beginnings})
    own = [_RUN_LANE] if any(mark.lane == _RUN_LANE for mark in marks) else []
    return list(dict.fromkeys([*own, *(_lane(node_id, iteration) for _, node_id, iteration in ordered), *(mark.lane for mark in marks)]))


def _moments(tries: list[AttemptRow], log: list[EventRow], gates: list[ApprovalRow], asked: list[QuestionRow]) -> Iterator[int]:
    for row in tries:
        yield from (moment for moment in (row.started_at, row.finished_at, row.heartbeat_at) if moment is not None)
    yield from (row.at for row in log if row.at is not None)
    for gate in gates:
        yield from (moment for moment in (gate.requested_at, gate.decided_at) if moment is not None)
    for question in asked:
        yield from (moment for moment in (question.requested_at, question.answered_at) if moment is not None)


def _lane(node_id: str, iteration: int | None) -> str:
    return one_line(f"{node_id} #{iteration}" if iteration else node_id, 80)


def _bar(row: AttemptRow, tries: list[AttemptRow], end: int, collateral: Collection[str]) -> Bar:
    start = row.started_at or 0
    stop = row.finished_at if row.finished_at is not None else _end_of_open(row, tries, end)
    state = _state(row, collateral)
    told = [f"try {row.attempt}: {state}", when(start), duration(max(stop - start, 0) / 1000), one_line(row.error_message, 160)]
    return Bar(
        _lane(row.node_id, row.iteration),
        start,
        max(stop, start),
        state,
        str(row.attempt) if row.attempt > 1 else "",
        " · ".join(part for part in told if part),
    )


def _state(row: AttemptRow, collateral: Collection[str]) -> str:
    if row.reset:
        return "reset"
    return "collateral" if row.state == "failed" and row.node_id in collateral else row.state.replace("_", "-")


def _end_of_open(row: AttemptRow, tries: list[AttemptRow], end: int) -> int:
    """An attempt without an end lasts until the next one of its node begins, while it runs until the end, else to its last sign of life."""
    later = [
        other.started_at or 0
        for other in tries
        if other.node_id == row.node_id and other.iteration == row.iteration and other.attempt > row.attempt
    ]
    if later:
        return min(later)
    return end if row.state in _OPEN_STATES or row.state.startswith("waiting") else row.heartbeat_at or row.started_at or end


def _waits(gates: list[ApprovalRow], asked: list[QuestionRow], end: int) -> Iterator[Bar]:
    for gate in gates:
        if gate.requested_at is not None and not gate.for_question:
            until = gate.decided_at if gate.decided_at is not None else end
            yield _wait(gate.node_id, gate.iteration, gate.requested_at, until, "waiting-approval")
    for question in asked:
        if question.requested_at is not None:
            until = question.answered_at if question.answered_at is not None else end
            yield _wait(question.node_id, question.iteration, question.requested_at, until, "waiting-answer")


def _wait(node_id: str, iteration: int, start: int, end: int, state: str) -> Bar:
    length = duration(max(end - start, 0) / 1000)
    return Bar(_lane(node_id, iteration), start, max(start, end), state, "", f"{state.replace('-', ' for ', 1)} {length}")


def _failure_mark(row: AttemptRow, collateral: Collection[str]) -> Mark:
    state = _state(row, collateral)
    return Mark(
        _lane(row.node_id, row.iteration),
        row.finished_at or row.started_at or 0,
        state,
        f"try {row.attempt} {state}: {one_line(row.error_message, 160)}",
    )


def _event_marks(log: list[EventRow]) -> Iterator[Mark]:
    started = False
    for row in log:
        first_start, started = row.type == "RunStarted" and not started, started or row.type == "RunStarted"
        if not first_start:
            kind, words = _EVENT_MARKS[row.type]
            lane = _lane(row.node_id, row.iteration) if row.node_id else _RUN_LANE
            yield Mark(lane, row.at or 0, kind, f"{words} · {when(row.at)}")


def _gate_marks(gates: list[ApprovalRow]) -> Iterator[Mark]:
    for gate in gates:
        lane = _lane(gate.node_id, gate.iteration)
        if gate.requested_at is not None and not gate.for_question:
            yield Mark(lane, gate.requested_at, "gate", f"gate: {one_line(gate.title, 120)} · {when(gate.requested_at)}")
        if gate.decided_at is not None and not gate.for_question:
            who = "nobody (automatic)" if gate.auto_approved else one_line(gate.decided_by, 60)
            yield Mark(lane, gate.decided_at, gate.status, f"{gate.status} by {who or 'unknown'} · {when(gate.decided_at)}")


def _question_marks(asked: list[QuestionRow]) -> Iterator[Mark]:
    for row in asked:
        if row.requested_at is not None:
            yield Mark(_lane(row.node_id, row.iteration), row.requested_at, "question", f"asked: {one_line(row.prompt, 120)}")
        if row.answered_at is not None:
            yield Mark(
                _lane(row.node_id, row.iteration), row.answered_at, "answered", f"answered by {one_line(row.answered_by, 60) or 'unknown'}"
            )


def _thinned(lanes: list[str], bars: list[Bar], marks: list[Mark], end: int) -> Timeline:
    notes: list[str] = []
    start = min([*(bar.start for bar in bars), *(mark.at for mark in marks)], default=end)
    if len(lanes) > MAX_LANES:
        failed = {bar.lane for bar in bars if bar.state == "failed"}
        kept = set(sorted(lanes, key=lambda lane: (lane != _RUN_LANE, lane not in failed, lanes.index(lane)))[:MAX_LANES])
        notes.append(f"{len(lanes) - MAX_LANES} of {len(lanes)} nodes are not drawn, {len(failed - kept)} of which failed.")
        lanes = [lane for lane in lanes if lane in kept]
        bars, marks = [bar for bar in bars if bar.lane in kept], [mark for mark in marks if mark.lane in kept]
    if len(bars) > MAX_BARS:
        total = len(bars)
        bars = _merged(bars, max(min(MAX_BARS // max(len(lanes), 1), MAX_PER_LANE), 1), start, end)
        marks = _few([mark for mark in marks if mark.kind not in _SAID_BY_BARS])
        notes.append(
            f"{total:,} attempts are drawn as {len(bars)} bars: attempts of a node that follow each other in the same state are one."
        )
    return Timeline(tuple(lanes), tuple(bars), tuple(marks), start, end, tuple(notes))


def _few(marks: list[Mark]) -> list[Mark]:
    """Keep the first marks of each kind on each lane."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        seen[mark.lane, mark.kind] += 1
        kept += [mark] if seen[mark.lane, mark.kind] <= MAX_PER_LANE // 4 else []
    return kept


def _merged(bars: list[Bar], per_lane: int, start: int, end: int) -> list[Bar]:
    """Join bars of a lane that follow each other in the same state and begin in the same slice of time."""
    width = max((end - start) // per_lane, 1)
    in_order = sorted(bars, key=lambda bar: (bar.lane, bar.start))
    groups = groupby(in_order, key=lambda bar: (bar.lane, (bar.start - start) // width, bar.state))
    return sorted((_joined(list(group)) for _, group in groups), key=lambda bar: (bar.start, bar.lane))


def _joined(parts: list[Bar]) -> Bar:
    first = parts[0]
    if len(parts) == 1:
        return first._replace(label="")
    end = max(part.end for part in parts)
    tip = f"{len(parts)} attempts {first.state}, from {when(first.start)} to {when(end)}"
    return first._replace(end=end, tries=len(parts), label=f"\u00d7{len(parts)}", tip=tip)
