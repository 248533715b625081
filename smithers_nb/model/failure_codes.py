"""Every way in which a work item fails or is given back, in one table: its code, who notices, the sentence, the fields of its details.

`reason` fills a sentence from details and refuses details that are not the path's own. The numbers 1 to 16 are those of the reference's
table of failure paths; the later ones are what bd, gascity and gt record today. `live` names the event types of those systems that are
the same path.
"""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from smithers_nb.model.failure_reason import FailureReason

_MAX_MESSAGE: Final = 300


class Path(NamedTuple):
    """One way to fail.

    Attributes:
        number: Its number in the reference's table; 0 for a later one.
        code: Word that programs tell it by; two paths may share one.
        source: Who notices: scheduler, patrol, refinery, triage, admin, container, api, lease, import.
        message: The sentence, with details in braces.
        needed: Fields that its details have, with their types.
        optional: Fields that its details may have.
        live: Event types of other systems that are this path.
        gives_back: The work goes back to `open` instead of failing.
    """

    number: int
    code: str
    source: str
    message: str
    needed: dict[str, type | tuple[type, ...]]
    optional: dict[str, type | tuple[type, ...]] = {}  # noqa: RUF012  # never changed
    live: tuple[str, ...] = ()
    gives_back: bool = False


_REVIEW: Final[dict[str, type | tuple[type, ...]]] = {"mr_bead_id": str, "source_bead_id": (str, type(None)), "message": str}
_REVIEW_MORE: Final[dict[str, type | tuple[type, ...]]] = {"branch": str, "pr_url": str, "retry_count": int, "failure_type": str}
_NUMBER: Final = (int, float)

PATHS: Final[dict[str, Path]] = {
    "refinery_exit_without_merge": Path(
        1,
        "refinery_exit_without_merge",
        "refinery",
        "Refinery exited without merging: {message}",
        _REVIEW,
        _REVIEW_MORE,
        ("merge_skipped",),
    ),
    "invalid_pr_url": Path(
        2,
        "invalid_pr_url",
        "refinery",
        "Refinery gave a pull request URL that is not https: {pr_url}",
        {"pr_url": str},
        {"source_bead_id": str},
    ),
    "review_failed": Path(3, "review_failed", "refinery", "Review failed: {message}", _REVIEW, _REVIEW_MORE, ("merge_failed",)),
    "merge_conflict": Path(
        4,
        "merge_conflict",
        "refinery",
        "Merge conflict of {branch} with {target_branch}: {message}",
        {"branch": str, "target_branch": str, "message": str},
        {"files": list, "escalation_bead_id": str, "source_bead_id": str, "mr_bead_id": str},
    ),
    "triage_closed": Path(
        5,
        "triage_closed",
        "triage",
        "Closed by triage: {notes}",
        {"triage_request_id": str, "action": str, "notes": str},
    ),
    "pr_closed_without_merge": Path(
        6, "pr_closed_without_merge", "refinery", "PR closed without merge: {pr_url}", {"pr_url": str, **_REVIEW}, _REVIEW_MORE
    ),
    "dispatch_exhausted": Path(
        7,
        "dispatch_exhausted",
        "scheduler",
        "Agent failed to start {attempts} times. Last error: {last_error}",
        {"attempts": int, "max_attempts": int, "last_error": str, "last_error_at": int, "errors": list, "distinct_errors": int},
        {"role": str},
        ("control.stalled", "scheduler_dispatch_failed"),
    ),
    "orphaned_work": Path(
        8,
        "orphaned_work",
        "patrol",
        "Agent was idle with a hooked bead for over {threshold_minutes} minutes with no dispatch activity",
        {"agent_id": str, "idle_minutes": int, "threshold_minutes": int, "dispatch_attempts": int, "last_activity_at": int},
        {},
        ("session.stranded", "session.drain_acked_with_assigned_work"),
    ),
    "timeout": Path(
        9,
        "timeout",
        "patrol",
        "Bead exceeded its timeout of {timeout_minutes} minutes (in_progress for {elapsed_minutes} minutes)",
        {"timeout_ms": int, "elapsed_ms": int, "started_at": int, "timeout_minutes": _NUMBER, "elapsed_minutes": _NUMBER},
        {},
        ("session.max_age_killed", "execution.step_stalled"),
    ),
    "agent_crashed": Path(
        10,
        "agent_crashed",
        "container",
        "Agent process exited with status: {exit_status}. Reason: {reason}",
        {"agent_id": str, "exit_status": str, "reason": str},
        {"exit_code": int, "signal": str, "log_tail_ref": str, "role": str, "reason_ref": str, "autopsy_run_id": str},
        ("session.crashed", "session_death", "mass_death"),
    ),
    "missing_rig_id": Path(
        11, "missing_rig_id", "scheduler", "Merge request bead has no rig_id — cannot determine which rig to review", {}
    ),
    "missing_rig_config": Path(
        12, "missing_rig_config", "scheduler", "Rig configuration not found in storage for rig {rig_id}", {"rig_id": str}
    ),
    "refinery_start_failed": Path(
        13,
        "container_start_failed",
        "container",
        "Failed to start {role} container: {error}",
        {"role": str, "phase": str, "error": str},
        {"status": int, "error_type": str, "timeout_ms": int},
        ("session.cold_start_timeout", "session.start_refused_cwd"),
    ),
    "admin_force_fail": Path(14, "admin_force_fail", "admin", "Manually failed by {actor}", {"actor": str, "note": (str, type(None))}),
    "triage_start_failed": Path(
        15,
        "container_start_failed",
        "container",
        "Failed to start {role} container: {error}",
        {"role": str, "phase": str, "error": str},
        {"status": int, "error_type": str, "timeout_ms": int},
    ),
    "manual_status_change": Path(
        16, "manual_status_change", "api", "Set to failed by {actor}: {note}", {"actor": str, "note": str}, {"route": str}
    ),
    "pr_poll_failed": Path(
        0,
        "pr_poll_failed",
        "refinery",
        "Pull request {pr_url} could not be polled ({kind}) {failures} times: {error}",
        {"pr_url": str, "kind": str, "failures": int, "error": str},
        {"status": int},
    ),
    "pr_review_orphaned": Path(
        0,
        "pr_review_orphaned",
        "patrol",
        "Nobody has worked on the review for {idle_minutes} minutes",
        {"idle_minutes": int, "threshold_minutes": int},
    ),
    "no_pr_url": Path(0, "no_pr_url", "refinery", "Review is off for this rig and the agent gave no pull request URL", {"agent_id": str}),
    "refinery_dispatch_exhausted": Path(
        0,
        "refinery_dispatch_exhausted",
        "scheduler",
        "Refinery failed to start {attempts} times. Last error: {last_error}",
        {"attempts": int, "max_attempts": int, "last_error": str, "last_error_at": int, "errors": list, "distinct_errors": int},
    ),
    "attempts_used_up": Path(
        0,
        "attempts_used_up",
        "patrol",
        "Dispatched {attempts} times, and the work came back each time. Last reason: {last_reason}",
        {"attempts": int, "last_reason": str},
    ),
    "agent_lost": Path(
        0,
        "agent_lost",
        "patrol",
        "Agent {agent_id} was lost {times} times while it held the bead",
        {"agent_id": str, "times": int, "threshold_minutes": int},
        {},
        ("session.unknown_state", "session.reset_stalled"),
    ),
    "refinery_hook_lost": Path(
        0, "refinery_hook_lost", "refinery", "Refinery finished without a pull request URL after it had lost its hook", {"agent_id": str}
    ),
    "landing_mr_exhausted": Path(
        0,
        "landing_mr_exhausted",
        "scheduler",
        "Landing of the convoy failed {attempts} times: {last_error}",
        {"attempts": int, "last_error": str},
    ),
    "bead_cancelled": Path(0, "bead_cancelled", "admin", "Cancelled by {actor}: {note}", {"actor": str, "note": str}),
    "convoy_members_failed": Path(
        0,
        "convoy_members_failed",
        "scheduler",
        "{failed} of {total} beads of the convoy failed: {members}",
        {"failed": int, "closed": int, "total": int, "members": str},
    ),
    "breaker_open": Path(
        0,
        "breaker_open",
        "scheduler",
        "{action} failed {failures} times within {window_minutes} minutes and is paused. Last error: {last_error}",
        {"action": str, "failures": int, "window_minutes": int, "last_error": str},
        {},
        ("order.suppressed", "provider.health_gate_alert"),
    ),
    "closed_without_work": Path(
        0, "closed_without_work", "refinery", "Closed as done without any change: {evidence}", {"evidence": str}, {"agent_id": str}
    ),
    "shipped_without_commit": Path(
        0, "shipped_without_commit", "refinery", "Stated as shipped, but {evidence}", {"evidence": str}, {"commit": str}
    ),
    "verification_failed": Path(
        0,
        "verification_failed",
        "refinery",
        "Not landed after {attempts} attempts: {message}",
        {"attempts": int, "message": str},
        {"evidence": str},
    ),
    "verification_infrastructure": Path(
        0,
        "verification_infrastructure",
        "refinery",
        "Could not be verified for a reason outside of the code: {message}",
        {"message": str},
        {"evidence": str},
    ),
    "tip_red": Path(0, "tip_red", "refinery", "The integration branch itself is red: {message}", {"message": str}, {"evidence": str}),
    "left_worktree": Path(
        0, "left_worktree", "refinery", "Something outside of the worktree changed: {message}", {"message": str}, {"evidence": str}
    ),
    "credential_missing": Path(
        0, "credential_missing", "scheduler", "Stopped for want of a credential: {message}", {"message": str}, {"evidence": str}
    ),
    "person_needed": Path(0, "person_needed", "scheduler", "Stopped until a person acts: {message}", {"message": str}, {"evidence": str}),
    "budget_spent": Path(
        0, "budget_spent", "scheduler", "Stopped because the run's budget is spent: {message}", {"message": str}, {"evidence": str}
    ),
    "dependency_failed": Path(0, "dependency_failed", "scheduler", "Depends on {ticket}, which has not landed", {"ticket": str}),
    "order_failed": Path(
        0, "order_failed", "scheduler", "Order {order} failed: {error}", {"order": str, "error": str}, {}, ("order.failed",)
    ),
    "blocked_without_reason": Path(0, "blocked_without_reason", "import", "Blocked, and nothing says by what", {"status": str}),
    "second_reason_dropped": Path(
        0,
        "second_reason_dropped",
        "api",
        "Came after the bead was closed, which keeps its first reason: {reason}",
        {"reason": str, "kept": str},
    ),
    "close_reverted": Path(0, "close_reverted", "import", "An older export undid the close: {reason}", {"reason": str}),
    "unknown": Path(0, "unknown", "import", "No reason recorded", {}, {"text": str, "event_type": str, "status": str}),
    "lease_reclaimed": Path(
        0,
        "lease_reclaimed",
        "lease",
        "Lease of {holder} ran out {expired_minutes} minutes ago and the work was taken back",
        {"holder": str, "expired_minutes": int, "heartbeat_at": (int, type(None)), "never_renewed": bool},
        {},
        ("lease_reclaimed", "hook.claim.reclaimed_stale", "bead.lease_reclaimed"),
        gives_back=True,
    ),
    "given_back": Path(
        0,
        "given_back",
        "api",
        "Given back by {actor}: {note}",
        {"actor": str, "note": str},
        {},
        ("unclaimed", "unhook", "bead.unclaimed"),
        gives_back=True,
    ),
    "dead_assignee_reopened": Path(
        0,
        "dead_assignee_reopened",
        "patrol",
        "{agent_id} is gone; the work is open again",
        {"agent_id": str, "idle_minutes": int},
        {},
        ("bead.dead_assignee_reopened",),
        gives_back=True,
    ),
    "rejected_for_rework": Path(
        0,
        "rejected_for_rework",
        "refinery",
        "Sent back for rework: {message}",
        {"message": str, "retry_count": int},
        {"mr_bead_id": str},
        gives_back=True,
    ),
    "dispatch_retry": Path(
        0,
        "dispatch_retry",
        "scheduler",
        "Agent failed to start ({attempts} of {max_attempts}): {last_error}",
        {"attempts": int, "max_attempts": int, "last_error": str},
        gives_back=True,
    ),
}
"""Path name to what it is; a new failure is one entry here."""

CODES: Final = frozenset(path.code for path in PATHS.values())
LIVE: Final = {event_type: path for path in PATHS.values() for event_type in path.live}
"""Event type of another system to the path that it is."""


def reason(path: str, **details: Any) -> FailureReason:
    """Write the reason of one path.

    Args:
        path: Its name in `PATHS`.
        details: Fields of its details; the sentence is filled from them.

    Raises:
        ValueError: A field is missing, unknown, or of another type.
    """
    from smithers_nb.model.failure_reason import FailureReason  # pydantic; whoever only looks a code up does without

    spec = PATHS[path]
    check_details(spec, details)
    words = {name: "nobody said why" if value in (None, "") else value for name, value in details.items()}
    message = Formatter().vformat(spec.message, (), words)
    text = message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"
    return FailureReason(code=spec.code, message=text, source=spec.source, details=details)


def check_details(spec: Path, details: dict[str, Any]) -> None:
    """Refuse details that are not the path's own.

    Raises:
        ValueError: A field is missing, unknown, or of another type.
    """
    known = spec.needed | spec.optional
    wrong = [name for name in spec.needed if name not in details]
    wrong += [name for name, value in details.items() if name not in known or not isinstance(value, known[name])]
    if wrong:
        raise ValueError(f"details of {spec.code} do not fit: {', '.join(sorted(wrong))}")


def fits_code(failure: FailureReason) -> bool:
    """Return whether a reason has a known code, and details of one of the paths with that code."""
    for spec in PATHS.values():
        if spec.code == failure.code and spec.source == failure.source:
            try:
                check_details(spec, failure.details)
            except ValueError:
                continue
            return True
    return False
