"""Each named condition of a run once: zombie, retry storm, rewound, dead worker, back-off, and what else a run can be in.

A `Case` is one run at one moment, and its properties are the conditions; none of them formulates anything. Health, blockers and defects
map them to words, so the three can never disagree on whether a run is in one. Nothing here reads the clock or asks this machine about
processes, because a store is often looked at elsewhere and later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.base import EngineCommands, engine_of
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.state.progress import Tries, fires_at, unfinished_tries
from smithers_nb.diagnosis.state.signals import delivered
from smithers_nb.diagnosis.state.stagnation import StagnantNode, stagnant_nodes
from smithers_nb.model.vocabulary import is_suspended, is_terminal

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, QuestionRow, RunRow
    from smithers_nb.sources.snapshot import Snapshot

HEARTBEAT_STALE_MS: Final = 30_000
"""No process is running a run whose last heartbeat is older than this (Smithers 0.32 uses the same age)."""

IDLE_MS: Final = 30_000
"""An engine that lives, has work to do and does none of it for this long will not begin by itself."""

STAGNANT_ROUNDS: Final = 10
"""A review that has said the same no in this many rounds in a row will say it again."""

_STATE_OF: Final = {"finished": "succeeded", "continued": "succeeded"}
_PARKED_FOR_INPUT: Final = frozenset({"waiting-approval", "waiting-event"})
_TOLERATED_OF_AGENTS: Final = frozenset({"SESSION_ERROR", "TASK_TIMEOUT", "TASK_ABORTED"})
"""Codes after which an agent's task is given up and the run goes on (Smithers 0.32)."""


@dataclass(frozen=True)
class Case:
    """A run at one moment.

    Attributes:
        snapshot: The run.
        now: Epoch milliseconds.
    """

    snapshot: Snapshot
    now: int

    @property
    def run(self) -> RunRow:
        """The run itself."""
        return self.snapshot.run

    @cached_property
    def engine(self) -> EngineCommands:
        """The engine that owns the run."""
        return engine_of(self.snapshot)

    def resume(self, *, force: bool = False) -> str:
        """Return the command that resumes the run."""
        return self.engine.resume(self.run.workflow_path, self.run.run_id, force=force)

    @property
    def is_over(self) -> bool:
        """The run has ended."""
        return is_terminal(self.run.status)

    @cached_property
    def state(self) -> str:
        """What the run's status means now, see `run_state`."""
        return run_state(self.run, self.now)

    @property
    def is_alive(self) -> bool:
        """An engine is running the run, as far as its heartbeat tells."""
        return self.state == "running"

    @property
    def lost_worker(self) -> bool:
        """The run is marked running, but the process that ran it has stopped sending heartbeats."""
        return self.state in {"stale", "orphaned"}

    @cached_property
    def last_activity(self) -> int:
        """When anything other than the engine's own heartbeat happened last, epoch milliseconds."""
        run, snapshot = self.run, self.snapshot
        times = [run.created_at, run.started_at, *(event.at for event in snapshot.events)]
        for attempt in snapshot.attempts:
            times += (attempt.started_at, attempt.finished_at, attempt.heartbeat_at)
        return _latest(*times) or 0

    @property
    def quiet_ms(self) -> int:
        """How long nothing has happened."""
        return self.now - self.last_activity

    @cached_property
    def rewound(self) -> EventRow | None:
        """The jump that set the run back to `running` without a process to run it: nothing was started since."""
        if self.run.status != "running" or self.run.owner is not None:
            return None
        moves = [event for event in self.snapshot.events if event.type in {"RunStarted", "NodeStarted", "TimeTravelJumped"}]
        return moves[-1] if moves and moves[-1].type == "TimeTravelJumped" else None

    @property
    def cancel_pending_ms(self) -> int | None:
        """How long ago a cancel was asked for that has not been carried out."""
        at = self.run.cancel_requested_at
        return None if at is None or self.is_over else self.now - at

    @property
    def cancel_overdue(self) -> bool:
        """A cancel was asked for so long ago that nobody will carry it out."""
        return (self.cancel_pending_ms or 0) > HEARTBEAT_STALE_MS

    @property
    def open_requests(self) -> list[tuple[str, int]]:
        """What people have asked of a run that has not ended, besides a cancel, with the moment of each."""
        run = self.run
        asked = (("pause", run.pause_requested_at), ("hijack", run.hijack_requested_at))
        return [(what, at) for what, at in asked if at is not None and not self.is_over and run.status != "paused"]

    @cached_property
    def stagnant(self) -> StagnantNode | None:
        """The reviewer of a loop that still goes round and has said the same no, in the same words, each of the last many times.

        A loop that polls says the same for as long as it waits, and is right to; what tells them apart is that there are words to it.
        """
        rounds = {node.node_id: node.iteration for node in self.snapshot.nodes if node.iteration >= STAGNANT_ROUNDS}
        if not rounds or self.run.status != "running":
            return None
        found = stagnant_nodes((row for row in self.snapshot.outputs if row.node_id in rounds), several=STAGNANT_ROUNDS)
        newest = {row.node_id: row.iteration for row in sorted(self.snapshot.outputs, key=lambda row: row.iteration)}
        return next((one for one in found if one.rejection and one.last_iteration == newest.get(one.node_id)), None)

    @cached_property
    def tries(self) -> list[Tries]:
        """The nodes whose newest attempt failed and that nothing has settled since, in order of their failure."""
        return unfinished_tries(self.snapshot)

    def given_up(self, tries: Tries) -> bool:
        """Return whether a task will not be tried again by itself and its failure counts."""
        return (tries.exhausted or self.is_over) and not self.snapshot.may_fail(tries.node_id, tries.iteration)

    @property
    def fatal(self) -> Tries | None:
        """The first task that was given up in a run which has not ended and cannot end well without it."""
        for tries in self.tries if not self.is_over else ():
            excused = tries.last.kind == "agent" and tries.last.error_code in _TOLERATED_OF_AGENTS
            if tries.failed and self.given_up(tries) and not excused:
                return tries
        return None

    @property
    def retry_storms(self) -> list[Tries]:
        """Tasks that fail the same way each time and are tried without end."""
        return [tries for tries in self.tries if tries.hopeless]

    @cached_property
    def announced_retries(self) -> set[tuple[str, int]]:
        """Node and iteration of each retry that was announced and has not begun: its delay need not be recorded anywhere."""
        waiting: set[tuple[str, int]] = set()
        for event in self.snapshot.events:
            key = event.node_id or "", event.iteration or 0
            if event.type == "NodeRetrying":
                waiting.add(key)
            elif event.type == "NodeStarted":
                waiting.discard(key)
        return waiting

    @cached_property
    def in_progress(self) -> list[AttemptRow]:
        """The attempts that are being worked on."""
        return [attempt for attempt in self.snapshot.attempts if attempt.state == "in-progress"]

    def hung(self, quiet_ms: int) -> list[AttemptRow]:
        """List attempts that should have recorded something by now: past their time limit, or silent for `quiet_ms` without one."""
        return [attempt for attempt in self.in_progress if self.now - (_heard_of(attempt) or self.now) > _patience(attempt, quiet_ms)]

    @cached_property
    def is_zombie(self) -> bool:
        """The engine is alive but has stopped working: nothing in progress, nothing awaited, nothing to try again.

        Between two stages of a notebook its own code may work for any time without a record, so there it is never assumed.
        """
        if not (self.engine.idles and self.is_alive) or self.rewound or self.run.cancel_requested_at is not None:
            return False
        busy = any(node.state == "in-progress" or node.state.startswith("waiting-") for node in self.snapshot.nodes)
        due = any(not tries.exhausted and (tries.next_at or 0) > self.now - IDLE_MS for tries in self.tries)
        waits = busy or due or self.in_progress or self.announced_retries
        return not waits and self.quiet_ms > IDLE_MS

    @cached_property
    def open_gates(self) -> list[ApprovalRow]:
        """Gates that nobody has decided."""
        return [gate for gate in self.snapshot.approvals if gate.status == "requested"]

    @cached_property
    def open_questions(self) -> list[QuestionRow]:
        """Questions that nobody has answered."""
        return [question for question in self.snapshot.questions if question.status == "pending"]

    @cached_property
    def needs_resume(self) -> bool:
        """The run is parked although what it was parked for has come: decided, answered or delivered, and not resumed."""
        if self.run.status not in _PARKED_FOR_INPUT or not self.snapshot.nodes or self.open_gates or self.open_questions:
            return False
        waiting = [node for node in self.snapshot.nodes if node.state.startswith("waiting-") or node.state == "bound-stale"]
        return not waiting or (not self.engine.wakes_itself and all(delivered(self.snapshot, node) for node in waiting))

    @property
    def is_parked(self) -> bool:
        """The run waits for something outside the engine."""
        return is_suspended(self.run.status)

    @cached_property
    def timers(self) -> list[tuple[NodeRow, int | None]]:
        """Nodes that wait for a time, with the time, epoch milliseconds."""
        return [(node, fires_at(self.snapshot, node)) for node in self.snapshot.nodes if node.state == "waiting-timer"]

    def is_overdue(self, due: int | None) -> bool:
        """Return whether something should have happened by itself at a time, and so long ago that it will not."""
        return due is not None and self.now - due > HEARTBEAT_STALE_MS

    def last_failed(self, gate: ApprovalRow) -> AttemptRow | None:
        """Return the newest failed attempt of the node that a gate belongs to."""
        key = (gate.node_id, max(gate.iteration, 0), "failed")
        return max((a for a in self.snapshot.attempts if (a.node_id, a.iteration, a.state) == key), key=by_start, default=None)


def run_state(run: RunRow, now: int) -> str:
    """Derive what a run's status means now.

    The recorded process id is not checked: it means something only on the machine and in the container that wrote it. So a run
    whose heartbeat is old is `stale` as long as it has an owner and `orphaned` when it has none.

    Args:
        run: The run.
        now: Epoch milliseconds.

    Returns:
        succeeded, failed, cancelled, running, stale, orphaned, unknown, waiting-…, paused, or an unknown status as it is. Where the
        source's own state is the status, as with executed notebooks, it stays: of those nobody knows more than that they finished.
    """
    if run.status != "running":
        return run.state if run.state == run.status else _STATE_OF.get(run.status, run.status)
    alive = last_alive(run)
    if alive is None:
        return "unknown"
    if now - alive <= HEARTBEAT_STALE_MS:
        return "running"
    return "stale" if run.owner else "orphaned"


def needs_a_look(state: str) -> bool:
    """Return whether a derived state is one that somebody has to look at: failed, without its process, or waiting for something."""
    return state in {"failed", "interrupted", "stale", "orphaned"} or state.startswith("waiting-")


def last_alive(run: RunRow) -> int | None:
    """Return when the process that runs a run was last known to be alive, epoch milliseconds."""
    return _latest(run.heartbeat_at, run.started_at)


def asks_to_repeat(gate: ApprovalRow) -> bool:
    """Return whether a gate is the engine's own, which asks whether a side effect may be repeated."""
    return gate.mode == "ReplayUnsafeApproval"


def _latest(*times: int | None) -> int | None:
    return max((at for at in times if at is not None), default=None)


def _heard_of(attempt: AttemptRow) -> int | None:
    return attempt.started_at if attempt.timeout_ms is not None else _latest(attempt.heartbeat_at, attempt.started_at)


def _patience(attempt: AttemptRow, quiet_ms: int) -> int:
    return quiet_ms if attempt.timeout_ms is None else attempt.timeout_ms + HEARTBEAT_STALE_MS
