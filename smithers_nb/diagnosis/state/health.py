"""How a run is doing: one of five buckets, and why, at a moment that the caller names.

Maps the conditions of a run to a bucket and to words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.root_failure import was_masked
from smithers_nb.diagnosis.state.conditions import Case, asks_to_repeat, last_alive
from smithers_nb.diagnosis.state.progress import quota_resets_at
from smithers_nb.diagnosis.state.stagnation import in_words
from smithers_nb.model.timestamps import span, when
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import as_object, whole

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, RunRow
    from smithers_nb.model.vocabulary import Health
    from smithers_nb.sources.snapshot import Snapshot

_FOR_A_WORKER: Final = "waiting-worker"
_ON_NOBODY: Final = frozenset({"waiting-timer", "waiting-quota", _FOR_A_WORKER})
_SEVERAL: Final = 3
_SECOND_MS: Final = 1_000
_SESSIONS: Final = "sessions"


def health(snapshot: Snapshot, now: int, stale_minutes: float = 15) -> tuple[Health, str]:
    """Put a run into one bucket; the most urgent that fits wins.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.
        stale_minutes: A task without activity for longer than this counts as stuck, unless its own time limit is longer.

    Returns:
        The bucket and the reason in plain words.
    """
    case = Case(snapshot, now)
    if snapshot.source.kind == _SESSIONS:
        return _of_session(case, int(stale_minutes * 60_000))
    for bucket, test in _MOST_URGENT_FIRST:
        if reason := test(case):
            return bucket, reason
    if reason := _stuck(case, int(stale_minutes * 60_000)):
        return "stuck", reason
    return "healthy", _fine(case)


def _of_session(case: Case, quiet_ms: int) -> tuple[Health, str]:
    """Judge a session of an agent CLI: its log says how the last turn ended, and when it was written last, nothing else."""
    run, quiet = case.run, case.now - (case.last_activity or case.now)
    if run.state == "failed":
        return "failed", _failed(case)
    if run.state == "waiting":
        return "blocked", short_line(run.error_message or "it waits for a person")
    if run.state != "cut":
        return "healthy", "finished" if run.state == "finished" else short_line(run.error_message or run.state)
    if quiet <= quiet_ms:
        return "healthy", f"working; its log was written {span(quiet)} ago"
    return "stuck", f"{run.error_message}, and nothing was written for {span(quiet)}: it was ended, or waits for a permission"


def _failed(case: Case) -> str:
    run = case.run
    if run.status == "failed":
        return short_line(f"the run failed: {run.error_message}" if run.error_message else "the run failed; the reason is not recorded")
    if masked := [attempt for attempt in case.snapshot.attempts if was_masked(attempt, run.cancel_requested_at)]:
        return f"{masked[-1].node_id} failed, and the engine recorded its failure as a cancellation"
    if tries := case.fatal:
        return short_line(f"{tries.node_id} failed {tries.failed} time(s) and will not be retried: {tries.last.error_message}")
    return ""


def _blocked(case: Case) -> str:
    run = case.run
    if not case.is_parked or case.needs_resume:
        return ""
    if questions := case.open_questions:
        return short_line(f"a person must answer {questions[0].node_id or 'a question'}: {questions[0].prompt}")
    if case.open_gates:
        return _gate(case, case.open_gates[0])
    if run.status in _ON_NOBODY:
        return ""
    if run.status != "paused":
        return f"parked: {run.status}"
    return short_line(run.error_message) if run.error_code == "RESUME_METADATA_MISMATCH" else "paused by a person"


def _gate(case: Case, gate: ApprovalRow) -> str:
    if not asks_to_repeat(gate):
        return short_line(f"a person must decide {gate.node_id}" + (f": {gate.title}" if gate.title else ""))
    failed = case.last_failed(gate)
    error = f", which failed ({failed.error_message})," if failed and failed.error_message else ""
    return short_line(f"a person must decide whether {gate.node_id}{error} may repeat its side effect", 300)


def _over_budget(case: Case) -> str:
    if case.run.status != "waiting-quota":
        return ""
    reset = quota_resets_at(case.snapshot)
    if reset is None:
        return "the provider's limit is used up"
    if reset > case.now:
        return f"the provider's limit is used up until {when(reset)}"
    return f"the provider's limit was reset at {when(reset)}, so the run can be resumed"


def _stuck(case: Case, quiet_ms: int) -> str:
    if case.is_over:
        return ""
    if case.is_parked:
        return _forgotten(case)
    return _undriven(case) or _working_in_vain(case) or _silent(case, quiet_ms)


def _forgotten(case: Case) -> str:
    """Return why a parked run could go on, if nothing keeps it waiting any more."""
    if case.needs_resume:
        return "what it waited for has been decided or delivered; it must be resumed"
    for node, due in case.timers:
        if due is not None and case.is_overdue(due):
            return f"the timer {node.node_id} was due {span(case.now - due)} ago"
    return ""


def _undriven(case: Case) -> str:
    if case.lost_worker:
        return f"no process is running it; last heartbeat {span(case.now - (last_alive(case.run) or case.now))} ago"
    if case.rewound:
        return "it was rewound to an earlier frame and has not been resumed"
    if case.cancel_overdue:
        return f"a cancel requested {span(case.cancel_pending_ms or 0)} ago has not been carried out"
    return ""


def _working_in_vain(case: Case) -> str:
    for tries in case.retry_storms:
        return short_line(
            f"{tries.node_id} failed the same way {tries.streak} times and is retried without limit: {tries.last.error_message}"
        )
    if same := case.stagnant:
        return in_words(same)
    return f"its engine is alive but has done nothing for {span(case.quiet_ms)}" if case.is_zombie else ""


def _silent(case: Case, quiet_ms: int) -> str:
    quiet, attempts = case.quiet_ms, case.in_progress
    if attempts and len(case.hung(quiet_ms)) == len(attempts):
        return f"no activity from {', '.join(sorted({a.node_id for a in attempts}))} for {span(quiet)}"
    if case.run.status != "running" and quiet > quiet_ms:
        return f"no activity for {span(quiet)} (status {case.run.status})"
    return "" if attempts or case.state != "unknown" or quiet <= quiet_ms else f"it was submitted {span(quiet)} ago and never started"


_MOST_URGENT_FIRST: Final[tuple[tuple[Health, Callable[[Case], str]], ...]] = (
    ("failed", _failed),
    ("blocked", _blocked),
    ("overBudget", _over_budget),
)


def _fine(case: Case) -> str:
    status = case.run.status
    if status == "finished":
        lost = _failed_children(case.snapshot)
        return f"finished; {lost} task(s) failed and were tolerated" if lost else "finished"
    if status == "cancelled" and case.run.cancel_requested_at is not None:
        return _over_its_limit(case.run) or _cancelled(case)
    if status == "waiting-timer":
        due = [at for _, at in case.timers if at is not None]
        return f"a timer fires at {when(min(due))}" if due else "waits for a timer"
    if status == _FOR_A_WORKER:
        return "waits for a worker"
    asked = "".join(f"; a {what} was requested {span(case.now - at)} ago" for what, at in case.open_requests)
    working = sorted({attempt.node_id for attempt in case.in_progress})
    if working:
        return short_line(f"working on {', '.join(working)}; last activity {span(case.quiet_ms)} ago{asked}")
    return f"{status}{_begun_again(case.run)}{asked}"


def _cancelled(case: Case) -> str:
    """Return who asked for a cancel, as far as the store knows, when, and what it stopped."""
    run, stopped = case.run, sorted({node.node_id for node in case.snapshot.nodes if node.state == "cancelled"})
    by = f"by {run.cancel_requested_by}" if run.cancel_requested_by else "on request"
    working = f", while {', '.join(stopped)} ran" if stopped else ""
    return short_line(f"cancelled {by} at {when(run.cancel_requested_at)}{working}")


def _begun_again(run: RunRow) -> str:
    """Return how often a workflow of DBOS was begun without coming to its end; each start of its application begins it once more."""
    times = whole(as_object(run.config).get("recoveryAttempts")) or 0
    told = f"; it was begun {times} times, and no execution has come to its end"
    return told if times >= _SEVERAL and run.status == "pending" else ""


def _over_its_limit(run: RunRow) -> str:
    """Return that the time limit of a cancelled workflow had passed; DBOS records that like a cancel by a person.

    A child workflow inherits the deadline of its parent, without the limit. SQLite keeps the time of a cancel in whole seconds.
    """
    config = as_object(run.config)
    limit, deadline = whole(config.get("timeoutMs")), whole(config.get("deadline"))
    ended = run.finished_at
    if deadline is None or ended is None or ended + (0 if ended % _SECOND_MS else _SECOND_MS - 1) < deadline:
        return ""
    own = f"its own time limit of {limit / 1000:g} s" if limit else "the time limit that it inherited from its parent"
    return f"cancelled: {own} had passed"


def _failed_children(snapshot: Snapshot) -> int:
    for event in reversed(snapshot.events):
        if event.type == "RunFinished":
            count = as_object(event.payload).get("failedChildren")
            return count if isinstance(count, int) else 0
    return 0
