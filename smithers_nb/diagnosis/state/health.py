"""How a run is doing: one of five buckets, and why, at a moment the caller names.

Gets the rows of one run and `now`; nothing here reads the clock or asks this machine about processes, because a store is often
looked at elsewhere and later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.root_failure import was_masked
from smithers_nb.diagnosis.state.progress import (
    HEARTBEAT_STALE_MS,
    asks_to_repeat,
    fires_at,
    hung,
    in_progress,
    is_idle,
    is_over,
    last_activity,
    last_alive,
    last_failed,
    needs_resume,
    quota_resets_at,
    rewound,
    tolerated,
    unfinished_tries,
)
from smithers_nb.diagnosis.text.durations import clock, cut, span
from smithers_nb.model.vocabulary import Health, is_suspended
from smithers_nb.sources.stores.json_text import as_object, whole

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, RunRow
    from smithers_nb.sources.snapshot import Snapshot

_STATE_OF: Final = {"finished": "succeeded", "continued": "succeeded", "running": None}
_FOR_A_WORKER: Final = "waiting-worker"
_ON_NOBODY: Final = frozenset({"waiting-timer", "waiting-quota", _FOR_A_WORKER})
_SECOND_MS: Final = 1_000
_TOLERATED_OF_AGENTS: Final = frozenset({"SESSION_ERROR", "TASK_TIMEOUT", "TASK_ABORTED"})
"""Codes after which an agent's task is given up and the run goes on (Smithers 0.32)."""


def run_state(run: RunRow, now: int) -> str:
    """Derive what a run's status means now.

    The recorded process id is not asked for: it means something only on the machine and in the container that wrote it. So a run
    whose heartbeat is old is `stale` as long as it has an owner and `orphaned` when it has none.

    Args:
        run: The run.
        now: Epoch milliseconds.

    Returns:
        succeeded, failed, cancelled, running, stale, orphaned, unknown, waiting-…, paused, or a status never heard of as it is.
    """
    if run.status != "running":
        return _STATE_OF.get(run.status) or run.status
    alive = last_alive(run)
    if alive is None:
        return "unknown"
    if now - alive <= HEARTBEAT_STALE_MS:
        return "running"
    return "stale" if run.owner else "orphaned"


def health(snapshot: Snapshot, now: int, stale_minutes: float = 15) -> tuple[Health, str]:
    """Put a run into one bucket; the most urgent that fits wins.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.
        stale_minutes: A task that says nothing for longer than this counts as stuck, unless it was given more time.

    Returns:
        The bucket and the reason in plain words.
    """
    for bucket, test in _MOST_URGENT_FIRST:
        if reason := test(snapshot, now, stale_minutes):
            return bucket, reason
    return "healthy", _fine(snapshot, now)


def _failed(snapshot: Snapshot, now: int, stale_minutes: float) -> str:
    del now, stale_minutes
    run = snapshot.run
    if run.status == "failed":
        return cut(f"the run failed: {run.error_message}" if run.error_message else "the run failed and does not say why")
    if masked := [attempt for attempt in snapshot.attempts if was_masked(attempt)]:
        return f"{masked[-1].node_id} failed, and the engine recorded its failure as a cancellation"
    return "" if is_over(run) else _given_up(snapshot)


def _given_up(snapshot: Snapshot) -> str:
    """Name a task that used up its attempts in a run that has not ended, unless the run may go on without it."""
    spared = tolerated(snapshot)
    for tries in unfinished_tries(snapshot):
        excused = tries.node_id in spared or (tries.last.kind == "agent" and tries.last.error_code in _TOLERATED_OF_AGENTS)
        if tries.exhausted and tries.failed and not excused:
            return cut(f"{tries.node_id} failed {tries.failed} time(s) and is not tried again: {tries.last.error_message}")
    return ""


def _blocked(snapshot: Snapshot, now: int, stale_minutes: float) -> str:
    del now, stale_minutes
    run = snapshot.run
    if not is_suspended(run.status) or needs_resume(snapshot):
        return ""
    if asked := [question for question in snapshot.questions if question.status == "pending"]:
        return cut(f"a person must answer {asked[0].node_id or 'a question'}: {asked[0].prompt}")
    if gates := [gate for gate in snapshot.approvals if gate.status == "requested"]:
        return _gate(snapshot, gates[0])
    if run.status in _ON_NOBODY:
        return ""
    if run.status != "paused":
        return f"it is parked: {run.status}"
    return cut(run.error_message) if run.error_code == "RESUME_METADATA_MISMATCH" else "a person paused it"


def _gate(snapshot: Snapshot, gate: ApprovalRow) -> str:
    if not asks_to_repeat(gate):
        return cut(f"a person must decide {gate.node_id}" + (f": {gate.title}" if gate.title else ""))
    failed = last_failed(snapshot, gate.node_id, max(gate.iteration, 0))
    said = f", which failed ({failed.error_message})," if failed and failed.error_message else ""
    return cut(f"a person must decide whether {gate.node_id}{said} may do its side effect again", 300)


def _over_budget(snapshot: Snapshot, now: int, stale_minutes: float) -> str:
    del stale_minutes
    if snapshot.run.status != "waiting-quota":
        return ""
    reset = quota_resets_at(snapshot)
    if reset is None:
        return "a provider's limit is used up"
    return f"a provider's limit is used up until {clock(reset)}" + ("" if reset > now else "; that has passed, so it can be resumed")


def _stuck(snapshot: Snapshot, now: int, stale_minutes: float) -> str:
    run = snapshot.run
    if is_over(run):
        return ""
    if is_suspended(run.status):
        return _forgotten(snapshot, now)
    return _undriven(snapshot, now) or _working_in_vain(snapshot, now) or _silent(snapshot, now, int(stale_minutes * 60_000))


def _forgotten(snapshot: Snapshot, now: int) -> str:
    """Say what a parked run could go on with, if it waits for nothing any more."""
    if needs_resume(snapshot):
        return "what it waited for has been decided or delivered, and nobody has resumed it"
    for node in snapshot.nodes:
        due = fires_at(snapshot, node) if node.state == "waiting-timer" else None
        if due is not None and now - due > HEARTBEAT_STALE_MS:
            return f"the timer {node.node_id} was due {span(now - due)} ago"
    return ""


def _undriven(snapshot: Snapshot, now: int) -> str:
    run = snapshot.run
    if run_state(run, now) in {"stale", "orphaned"}:
        return f"nobody drives it: last sign of life {span(now - (last_alive(run) or now))} ago"
    if rewound(snapshot):
        return "it was set back to an earlier frame and nobody has resumed it"
    if run.cancel_requested_at is not None and now - run.cancel_requested_at > HEARTBEAT_STALE_MS:
        return f"a cancel asked for {span(now - run.cancel_requested_at)} ago has not been carried out"
    return ""


def _working_in_vain(snapshot: Snapshot, now: int) -> str:
    for tries in unfinished_tries(snapshot):
        if tries.hopeless:
            return cut(f"{tries.node_id} failed the same way {tries.streak} times and is tried without end: {tries.last.error_message}")
    if run_state(snapshot.run, now) == "running" and is_idle(snapshot, now):
        return f"its engine lives but has done nothing for {span(now - last_activity(snapshot))}"
    return ""


def _silent(snapshot: Snapshot, now: int, quiet_ms: int) -> str:
    quiet = now - last_activity(snapshot)
    attempts = in_progress(snapshot)
    if attempts and len(hung(snapshot, now, quiet_ms)) == len(attempts):
        return f"nothing was heard of {', '.join(sorted({a.node_id for a in attempts}))} for {span(quiet)}"
    if snapshot.run.status != "running" and quiet > quiet_ms:
        return f"nothing has happened for {span(quiet)} (status {snapshot.run.status})"
    return "" if attempts or run_state(snapshot.run, now) != "unknown" or quiet <= quiet_ms else f"it was never started, {span(quiet)} ago"


_MOST_URGENT_FIRST: Final[tuple[tuple[Health, Callable[[Snapshot, int, float], str]], ...]] = (
    ("failed", _failed),
    ("blocked", _blocked),
    ("overBudget", _over_budget),
    ("stuck", _stuck),
)


def _fine(snapshot: Snapshot, now: int) -> str:
    run = snapshot.run
    if run.status == "finished":
        lost = _failed_children(snapshot)
        return f"finished; {lost} task(s) failed and were tolerated" if lost else "finished"
    if run.status == "waiting-timer":
        due = [at for node in snapshot.nodes if node.state == "waiting-timer" and (at := fires_at(snapshot, node)) is not None]
        return f"a timer fires at {clock(min(due))}" if due else "it waits for a timer"
    if run.status == _FOR_A_WORKER:
        return "it waits for a worker"
    working = sorted({attempt.node_id for attempt in in_progress(snapshot)})
    if working:
        return cut(f"working on {', '.join(working)}; last activity {span(now - last_activity(snapshot))} ago")
    return _over_its_limit(run) or run.status


def _over_its_limit(run: RunRow) -> str:
    """Say that a cancelled workflow was ended by a time limit of its own, not by a person; DBOS records both alike."""
    limit = whole(as_object(run.config).get("timeoutMs"))
    lasted = (run.finished_at or 0) - (run.started_at or run.created_at or 0)
    if run.status != "cancelled" or not limit or lasted < limit - _SECOND_MS:
        return ""
    return f"cancelled: its own time limit of {limit / 1000:g} s had passed"


def _failed_children(snapshot: Snapshot) -> int:
    for event in reversed(snapshot.events):
        if event.type == "RunFinished":
            count = as_object(event.payload).get("failedChildren")
            return count if isinstance(count, int) else 0
    return 0
