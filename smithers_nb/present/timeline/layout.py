"""What happened when, ready to be drawn: one bar per attempt, waiting times between, and marks for what else happened.

Gets attempts, events, approvals and questions of one run; gives a `Timeline` that `figures` (plotly) and `svg` draw alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, QuestionRow
from smithers_nb.model.timestamps import duration, when
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.present.html.row_input import Rows, rows_of
from smithers_nb.present.html.text import one_line
from smithers_nb.present.timeline.model import RUN_LANE, Bar, Mark, Timeline, thinned

_OPEN_STATES: Final = frozenset({"in-progress", "running"})
_EVENT_MARKS: Final = {
    "RunAutoResumed": ("restart", "engine restarted the run by itself"),
    "SessionResumed": ("restart", "session resumed"),
    "RunHijacked": ("restart", "a person took the run over"),
    "RunStarted": ("restart", "engine started the run again"),
    "ReplayStarted": ("restart", "replay started"),
    "RetryTaskStarted": ("reset", "task set back for another try"),
    "RunFailed": ("failed", "run failed"),
    "RunCancelled": ("cancelled", "run cancelled"),
}
_ENDINGS: Final = frozenset({"RunFinished", "RunFailed", "RunCancelled", "RunContinuedAsNew"})
_BEGINNINGS: Final = frozenset({"RunStarted", "RunAutoResumed", "RunHijacked", "RetryTaskStarted", "ReplayStarted"})
_MANY_ITERATIONS: Final = 8
_CELL: Final = re.compile(r"cell:\d+")
"""Id of a node that is a cell: a number, so its lane also has the label."""


class _Beginning(NamedTuple):
    at: int
    node_id: str
    iteration: int


def timeline(  # noqa: PLR0913  # one parameter per table
    attempts: Rows[AttemptRow],
    events: Rows[EventRow] = (),
    approvals: Rows[ApprovalRow] = (),
    questions: Rows[QuestionRow] = (),
    *,
    nodes: Rows[NodeRow] = (),
    now: int | None = None,
    collateral: Collection[str] = (),
) -> Timeline:
    """Prepare the timeline of one run.

    Args:
        attempts: Rows or frame of attempts.
        events: Rows or frame of events; noise may be in it.
        approvals: Rows or frame of gates.
        questions: Rows or frame of questions to people.
        nodes: Rows or frame of nodes; the lane of a notebook's cell shows its label.
        now: Where what is still open ends, epoch milliseconds; without it, and once the run is over, at the last moment recorded.
        collateral: Node ids whose failure is a consequence of another.
    """
    tries = [row for row in rows_of(AttemptRow, attempts) if row.started_at is not None]
    log = [row for row in rows_of(EventRow, events) if row.type in _EVENT_MARKS and row.at is not None]
    gates, asked = rows_of(ApprovalRow, approvals), rows_of(QuestionRow, questions)
    recorded = max(_moments(tries, log, gates, asked), default=0)
    end = max(recorded, now or 0) if _still_open(tries, gates, asked) and not _over(rows_of(EventRow, events)) else recorded
    lanes = _Lanes(
        [*(_Beginning(row.started_at or 0, row.node_id, row.iteration) for row in tries), *_asked(gates, asked)], rows_of(NodeRow, nodes)
    )
    marks = [
        *_event_marks(log, lanes),
        *_gate_marks(gates, lanes),
        *_question_marks(asked, lanes),
        *(_failure_mark(row, lanes, collateral) for row in tries if row.state == "failed"),
    ]
    bars = [
        *(_bar(row, lanes, stop, collateral) for row, stop in zip(tries, _ends(tries, end), strict=True)),
        *_waits(gates, asked, lanes, end),
    ]
    bars.sort(key=lambda bar: (bar.start, bar.lane))
    return thinned(lanes.ordered(mark.lane for mark in marks), bars, marks, end)


class _Lanes:
    """Names of lanes, one per node and iteration; a node with many iterations has a single lane for all of them."""

    def __init__(self, beginnings: list[_Beginning], nodes: list[NodeRow]) -> None:
        self._labels = {node.node_id: node.label for node in nodes if node.label and _CELL.fullmatch(node.node_id)}
        self._beginnings = sorted(set(beginnings))
        turns = Counter(logical_id(node_id) for node_id, _ in {(begun.node_id, begun.iteration) for begun in beginnings})
        self._crowded = {task: number for task, number in turns.items() if number > _MANY_ITERATIONS}

    def name(self, node_id: str, iteration: int | None) -> str:
        task = logical_id(node_id)
        if task in self._crowded:
            return one_line(f"{task} ({self._crowded[task]} iterations)", 80)
        label = self._labels.get(node_id)
        return one_line(f"{node_id} #{iteration}" if iteration else f"{node_id} {label}" if label else node_id, 80)

    def turn(self, node_id: str, iteration: int | None) -> str:
        """Name which iteration it is where the lane does not."""
        return f"{node_id} #{iteration or 0}, " if logical_id(node_id) in self._crowded else ""

    def ordered(self, marked: Iterable[str]) -> list[str]:
        """Order lanes by when their node first did something, its iterations together, the run's own lane on top."""
        first: dict[str, int] = {}
        for begun in self._beginnings:
            first.setdefault(begun.node_id, begun.at)
        places = sorted({(first[begun.node_id], begun.node_id, begun.iteration) for begun in self._beginnings})
        named = [*(self.name(node_id, iteration) for _, node_id, iteration in places), *marked]
        return list(dict.fromkeys([*(RUN_LANE for lane in named if lane == RUN_LANE), *named]))


def _asked(gates: list[ApprovalRow], asked: list[QuestionRow]) -> Iterator[_Beginning]:
    for gate in gates:
        if gate.requested_at is not None:
            yield _Beginning(gate.requested_at, gate.node_id, gate.iteration)
    for question in asked:
        if question.requested_at is not None:
            yield _Beginning(question.requested_at, question.node_id, question.iteration)


def _moments(tries: list[AttemptRow], log: list[EventRow], gates: list[ApprovalRow], asked: list[QuestionRow]) -> Iterator[int]:
    for row in tries:
        yield from (moment for moment in (row.started_at, row.finished_at, row.heartbeat_at) if moment is not None)
    yield from (row.at for row in log if row.at is not None)
    for gate in gates:
        yield from (moment for moment in (gate.requested_at, gate.decided_at) if moment is not None)
    for question in asked:
        yield from (moment for moment in (question.requested_at, question.answered_at) if moment is not None)


def _still_open(tries: list[AttemptRow], gates: list[ApprovalRow], asked: list[QuestionRow]) -> bool:
    return (
        any(row.finished_at is None and _lasts(row) for row in tries)
        or any(gate.requested_at is not None and gate.decided_at is None for gate in gates)
        or any(question.requested_at is not None and question.answered_at is None for question in asked)
    )


def _over(log: list[EventRow]) -> bool:
    """Return whether the run's last word was an end."""
    last = next((row.type for row in reversed(log) if row.type in _ENDINGS or row.type in _BEGINNINGS), "")
    return last in _ENDINGS


def _lasts(row: AttemptRow) -> bool:
    return row.state in _OPEN_STATES or row.state.startswith("waiting")


def _bar(row: AttemptRow, lanes: _Lanes, stop: int, collateral: Collection[str]) -> Bar:
    start = row.started_at or 0
    state = _state(row, collateral)
    told = [
        f"{lanes.turn(row.node_id, row.iteration)}try {row.attempt}: {state}",
        when(start),
        duration(max(stop - start, 0) / 1000),
        one_line(row.error_message, 160),
    ]
    return Bar(
        lanes.name(row.node_id, row.iteration),
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


def _ends(tries: list[AttemptRow], end: int) -> list[int]:
    """Find where each attempt ends.

    One without an end lasts until the next one of its node begins; the last one until the end while it runs or waits, else to its
    last sign of life.
    """
    following: dict[tuple[str, int], int] = {}
    ends: dict[int, int] = {}
    for position, row in sorted(enumerate(tries), key=lambda numbered: -numbered[1].attempt):
        open_end = end if _lasts(row) else row.heartbeat_at or row.started_at or end
        recorded = row.finished_at if row.finished_at is not None else following.get((row.node_id, row.iteration), open_end)
        ends[position] = recorded
        following[row.node_id, row.iteration] = row.started_at or end
    return [ends[position] for position in range(len(tries))]


def _waits(gates: list[ApprovalRow], asked: list[QuestionRow], lanes: _Lanes, end: int) -> Iterator[Bar]:
    for gate in gates:
        if gate.requested_at is not None and not gate.for_question:
            until = gate.decided_at if gate.decided_at is not None else end
            yield _wait(lanes.name(gate.node_id, gate.iteration), gate.requested_at, until, "waiting-approval")
    for question in asked:
        if question.requested_at is not None:
            until = question.answered_at if question.answered_at is not None else end
            yield _wait(lanes.name(question.node_id, question.iteration), question.requested_at, until, "waiting-answer")


def _wait(lane: str, start: int, end: int, state: str) -> Bar:
    length = duration(max(end - start, 0) / 1000)
    return Bar(lane, start, max(start, end), state, "", f"{state.replace('-', ' for ', 1)} {length}")


def _failure_mark(row: AttemptRow, lanes: _Lanes, collateral: Collection[str]) -> Mark:
    state = _state(row, collateral)
    return Mark(
        lanes.name(row.node_id, row.iteration),
        row.finished_at or row.started_at or 0,
        state,
        f"{lanes.turn(row.node_id, row.iteration)}try {row.attempt} {state}: {one_line(row.error_message, 160)}",
    )


def _event_marks(log: list[EventRow], lanes: _Lanes) -> Iterator[Mark]:
    started = False
    for row in log:
        first_start, started = row.type == "RunStarted" and not started, started or row.type == "RunStarted"
        if not first_start:
            kind, words = _EVENT_MARKS[row.type]
            lane = lanes.name(row.node_id, row.iteration) if row.node_id else RUN_LANE
            yield Mark(lane, row.at or 0, kind, f"{words} · {when(row.at)}")


def _gate_marks(gates: list[ApprovalRow], lanes: _Lanes) -> Iterator[Mark]:
    for gate in gates:
        lane = lanes.name(gate.node_id, gate.iteration)
        if gate.requested_at is not None and not gate.for_question:
            yield Mark(lane, gate.requested_at, "gate", f"gate: {one_line(gate.title, 120)} · {when(gate.requested_at)}")
        if gate.decided_at is not None and not gate.for_question:
            who = "nobody (automatic)" if gate.auto_approved else one_line(gate.decided_by, 60)
            yield Mark(lane, gate.decided_at, gate.status, f"{gate.status} by {who or 'unknown'} · {when(gate.decided_at)}")


def _question_marks(asked: list[QuestionRow], lanes: _Lanes) -> Iterator[Mark]:
    for row in asked:
        if row.requested_at is not None:
            yield Mark(lanes.name(row.node_id, row.iteration), row.requested_at, "question", f"asked: {one_line(row.prompt, 120)}")
        if row.answered_at is not None:
            yield Mark(
                lanes.name(row.node_id, row.iteration),
                row.answered_at,
                "answered",
                f"answered by {one_line(row.answered_by, 60) or 'unknown'}",
            )
