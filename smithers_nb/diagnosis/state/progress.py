"""What a run is doing at a moment: who is working, who tries again and when, and when anything happened last.

Facts that health, blockers and defects share. Each function gets the rows of one run, and `now` where it matters; the engine's own
constants (retry delays, the age at which a heartbeat is stale) stand here once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.root_failure import attempt_signature, without_echoes
from smithers_nb.diagnosis.state.back_off import announced_retries
from smithers_nb.model.vocabulary import TERMINAL_STATUSES, logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow
    from smithers_nb.sources.snapshot import Snapshot

HEARTBEAT_STALE_MS: Final = 30_000
"""Older signs of life than this mean that nobody drives the run (Smithers 0.32 uses the same age)."""

IDLE_MS: Final = 30_000
"""An engine that lives, has work to do and does none of it for this long will not begin by itself."""

_PARKED_FOR_INPUT: Final = frozenset({"waiting-approval", "waiting-event"})
_UNITS_MS: Final = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000}
_AMOUNT: Final = re.compile(r"(\d{1,4}) ?(day|hour|minute|second)s?", re.IGNORECASE)
_TRY_AGAIN_IN: Final = re.compile(
    rf"(?:try again|resets?|retry) (?:in|after) {_AMOUNT.pattern}(?:,? (?:and )?{_AMOUNT.pattern})*", re.IGNORECASE
)
_MAX_MESSAGE: Final = 4_000
_FIRST_DELAY_MS: Final = 1_000
_MAX_DELAY_MS: Final = 300_000
_LONG_MS: Final = 15 * 60_000
_QUOTA: Final = "AGENT_QUOTA_EXCEEDED"
_PROGRAMMING_ERRORS: Final = frozenset({"TypeError", "ReferenceError", "RangeError", "SyntaxError", "EvalError", "URIError"})
_REFUSED_WRITE: Final = "constraint failed"
"""What the store says of a row that it will refuse each time, unlike one that came while it was busy."""

_PROGRAMMING_REPEATS: Final = 3
_OTHER_REPEATS: Final = 5


class Tries(NamedTuple):
    """How often a node was tried and what comes next.

    Attributes:
        last: Its newest attempt that failed.
        failed: Attempts that failed and count; waiting for a quota does not.
        allowed: Attempts it may have; None is without end.
        streak: How many attempts in a row, up to the newest, failed the same way.
        streak_since: When that streak began, epoch milliseconds.
        next_at: When the next attempt is due; None when there is none.
    """

    node_id: str
    iteration: int
    last: AttemptRow
    failed: int
    allowed: int | None
    streak: int
    streak_since: int
    next_at: int | None

    @property
    def exhausted(self) -> bool:
        """No further attempt will be made: a resume only replays the recorded error."""
        return self.last.retryable is False or (self.allowed is not None and self.failed >= self.allowed)

    @property
    def hopeless(self) -> bool:
        """It is tried without end although it fails the same way each time: by a program, by a refused row, or for a quarter of an hour."""
        if self.exhausted or self.allowed is not None:
            return False
        if self.last.error_name in _PROGRAMMING_ERRORS or _REFUSED_WRITE in (self.last.error_message or ""):
            return self.streak >= _PROGRAMMING_REPEATS
        lasted = (self.last.finished_at or self.streak_since) - self.streak_since
        return self.streak >= _OTHER_REPEATS and lasted >= _LONG_MS


def last_alive(run: RunRow) -> int | None:
    """Give the newest sign of life of a run's owner, epoch milliseconds."""
    return max((at for at in (run.heartbeat_at, run.started_at) if at is not None), default=None)


def rewound(snapshot: Snapshot) -> EventRow | None:
    """Find the jump that set a run back to `running` without anybody driving it: nothing was started since."""
    if snapshot.run.status != "running" or snapshot.run.owner is not None:
        return None
    moves = [event for event in snapshot.events if event.type in {"RunStarted", "NodeStarted", "TimeTravelJumped"}]
    return moves[-1] if moves and moves[-1].type == "TimeTravelJumped" else None


def unfinished_tries(snapshot: Snapshot) -> list[Tries]:
    """List the nodes whose newest attempt failed and that nothing has settled since, in order of their failure."""
    states = {(node.node_id, node.iteration): node.state for node in snapshot.nodes}
    found = []
    for key, attempts in without_echoes(snapshot, _by_node(snapshot.attempts)).items():
        newest = max(attempts, key=by_start)
        if newest.state == "failed" and states.get(key, "failed") in {"failed", "pending", "in-progress", "stalled"}:
            found.append(_tries(snapshot, attempts))
    return sorted(found, key=lambda tries: tries.last.finished_at or 0)


def last_failed(snapshot: Snapshot, node_id: str, iteration: int) -> AttemptRow | None:
    """Find the newest attempt of a node that failed."""
    failed = [a for a in snapshot.attempts if (a.node_id, a.iteration, a.state) == (node_id, iteration, "failed")]
    return max(failed, key=by_start, default=None)


def asks_to_repeat(gate: ApprovalRow) -> bool:
    """Tell the engine's own gate, which asks whether a side effect may be repeated, from one that an author wrote."""
    return gate.mode == "ReplayUnsafeApproval"


def in_progress(snapshot: Snapshot) -> list[AttemptRow]:
    """List the attempts that are being worked on."""
    return [attempt for attempt in snapshot.attempts if attempt.state == "in-progress"]


def last_activity(snapshot: Snapshot) -> int:
    """Tell when anything happened in a run other than the engine's own heartbeat, epoch milliseconds."""
    run = snapshot.run
    times = [run.created_at, run.started_at, *(event.at for event in snapshot.events)]
    for attempt in snapshot.attempts:
        times += (attempt.started_at, attempt.finished_at, attempt.heartbeat_at)
    return max((at for at in times if at is not None), default=0)


def hung(snapshot: Snapshot, now: int, quiet_ms: int) -> list[AttemptRow]:
    """List attempts that should have said something by now: past their time limit, or silent for `quiet_ms` without one."""
    return [attempt for attempt in in_progress(snapshot) if now - (_heard_of(attempt) or now) > _patience(attempt, quiet_ms)]


def is_idle(snapshot: Snapshot, now: int) -> bool:
    """Tell whether a live engine has stopped working: nothing in progress, nothing awaited, nothing to try again.

    Between two stages of a notebook its own code may work for any time without a record, so there it is never told.
    """
    if not engine_of(snapshot).idles or announced_retries(snapshot):
        return False
    busy = any(node.state == "in-progress" or node.state.startswith("waiting-") for node in snapshot.nodes)
    due = [tries for tries in unfinished_tries(snapshot) if not tries.exhausted and (tries.next_at or 0) > now - IDLE_MS]
    return not busy and not in_progress(snapshot) and not due and now - last_activity(snapshot) > IDLE_MS


def needs_resume(snapshot: Snapshot) -> bool:
    """Tell whether a run is parked although what it was parked for has come: decided, answered or delivered, and not resumed."""
    if snapshot.run.status not in _PARKED_FOR_INPUT or not snapshot.nodes:
        return False
    if any(node.state.startswith("waiting-") or node.state == "bound-stale" for node in snapshot.nodes):
        return False
    asked = any(gate.status == "requested" for gate in snapshot.approvals)
    return not asked and not any(question.status == "pending" for question in snapshot.questions)


def tolerated(snapshot: Snapshot) -> set[str]:
    """Name the tasks that may fail without failing the run (`continueOnFail`)."""
    return {task.node_id for task in snapshot.tasks if as_object(task.props).get("continueOnFail") in {"true", True}}


def fires_at(snapshot: Snapshot, node: NodeRow) -> int | None:
    """Tell when a timer fires, epoch milliseconds."""
    for event in reversed(snapshot.events):
        payload = as_object(event.payload) if event.type in {"NodeWaitingTimer", "TimerCreated"} else {}
        if (event.node_id or payload.get("timerId")) == node.node_id and event.iteration in {None, node.iteration}:
            due = payload.get("firesAtMs")
            return int(due) if isinstance(due, int | float) else None
    return None


def quota_resets_at(snapshot: Snapshot) -> int | None:
    """Tell when a provider's limit resets, epoch milliseconds: as recorded, else as the provider said ("try again in 3 days")."""
    reset = as_object(snapshot.run.error).get("resetAtMs")
    if isinstance(reset, int | float):
        return int(reset)
    refused = max((a for a in snapshot.attempts if a.error_code == _QUOTA), key=by_start, default=None)
    said = _TRY_AGAIN_IN.search((refused.error_message or "")[:_MAX_MESSAGE]) if refused else None
    if refused is None or refused.finished_at is None or said is None:
        return None
    return refused.finished_at + sum(int(count) * _UNITS_MS[unit.lower()] for count, unit in _AMOUNT.findall(said[0]))


def is_over(run: RunRow) -> bool:
    """Tell whether a run has ended."""
    return run.status in TERMINAL_STATUSES


def _by_node(attempts: Iterable[AttemptRow]) -> dict[tuple[str, int], list[AttemptRow]]:
    grouped: dict[tuple[str, int], list[AttemptRow]] = {}
    for attempt in attempts:
        if not attempt.reset:
            grouped.setdefault((attempt.node_id, attempt.iteration), []).append(attempt)
    return grouped


def _tries(snapshot: Snapshot, attempts: list[AttemptRow]) -> Tries:
    failed = sorted((a for a in attempts if a.state == "failed"), key=by_start)
    last = failed[-1]
    same = failed
    for place, attempt in enumerate(reversed(failed)):
        if attempt_signature(attempt) != attempt_signature(last):
            same = failed[-place:]
            break
    tries = Tries(
        node_id=last.node_id,
        iteration=last.iteration,
        last=last,
        failed=sum(attempt.error_code != _QUOTA for attempt in failed),
        allowed=None if last.retries is None else last.retries + 1,
        streak=len(same),
        streak_since=same[0].started_at or 0,
        next_at=None,
    )
    waits = not tries.exhausted and not is_over(snapshot.run) and last.error_code != _QUOTA
    return tries._replace(next_at=_next_try(snapshot, last)) if waits else tries


def _next_try(snapshot: Snapshot, last: AttemptRow) -> int:
    """Work out when the engine tries again: by the task's own policy, else twice as long each time, up to five minutes."""
    policy: dict[str, Any] = {}
    for task in snapshot.tasks:
        if logical_id(task.node_id) == logical_id(last.node_id):
            given = as_object(task.props).get("retryPolicy")
            policy = given if isinstance(given, dict) else as_object(given) if isinstance(given, str) else policy
    first = policy.get("initialDelayMs", _FIRST_DELAY_MS if not policy else 0)
    first = max(0, int(first)) if isinstance(first, int | float) else 0
    number = min(max(last.attempt, 1), 32)
    grown = {"linear": first * number, "exponential": first << (number - 1)}
    delay = grown.get(str(policy.get("backoff", "fixed" if policy else "exponential")), first)
    return (last.finished_at or last.started_at or 0) + min(delay, _MAX_DELAY_MS)


def _heard_of(attempt: AttemptRow) -> int | None:
    if attempt.timeout_ms is not None:
        return attempt.started_at
    return max((at for at in (attempt.heartbeat_at, attempt.started_at) if at is not None), default=None)


def _patience(attempt: AttemptRow, quiet_ms: int) -> int:
    return quiet_ms if attempt.timeout_ms is None else attempt.timeout_ms + HEARTBEAT_STALE_MS
