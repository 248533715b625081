"""How often tasks were tried, when the engine tries them again, and when a wait ends by itself.

Gets the rows of one run. The engine's own retry delays stand here once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.root_failure import attempt_signature, without_echoes
from smithers_nb.model.vocabulary import TERMINAL_STATUSES, logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, NodeRow
    from smithers_nb.sources.snapshot import Snapshot

_UNITS_MS: Final = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000}
_AMOUNT: Final = re.compile(r"(\d{1,4}) ?(day|hour|minute|second)s?", re.IGNORECASE)
_TRY_AGAIN_IN: Final = re.compile(
    rf"(?:try again|resets?|retry) (?:in|after) {_AMOUNT.pattern}(?:,? (?:and )?{_AMOUNT.pattern})*", re.IGNORECASE
)
_MAX_MESSAGE: Final = 4_000
_FIRST_DELAY_MS: Final = 1_000
_MAX_DELAY_MS: Final = 300_000
_LONG_MS: Final = 15 * 60_000
QUOTA: Final = "AGENT_QUOTA_EXCEEDED"
_PROGRAMMING_ERRORS: Final = frozenset({"TypeError", "ReferenceError", "RangeError", "SyntaxError", "EvalError", "URIError"})
_REFUSED_WRITE: Final = "constraint failed"
"""In the store's error for a row that it will refuse each time, unlike one that came while it was busy."""

_PROGRAMMING_REPEATS: Final = 3
_OTHER_REPEATS: Final = 5


class Tries(NamedTuple):
    """How often a node was tried and what comes next.

    Attributes:
        last: Its newest attempt that failed.
        failed: Attempts that failed and count; waiting for a quota does not.
        allowed: Attempts it may have; None means no limit.
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
        """It is retried without limit and fails the same way each time: by a program, by a refused row, or for a quarter of an hour."""
        if self.exhausted or self.allowed is not None:
            return False
        if self.last.error_name in _PROGRAMMING_ERRORS or _REFUSED_WRITE in (self.last.error_message or ""):
            return self.streak >= _PROGRAMMING_REPEATS
        lasted = (self.last.finished_at or self.streak_since) - self.streak_since
        return self.streak >= _OTHER_REPEATS and lasted >= _LONG_MS


def unfinished_tries(snapshot: Snapshot) -> list[Tries]:
    """List the nodes whose newest attempt failed and that nothing has settled since, in order of their failure."""
    states = {(node.node_id, node.iteration): node.state for node in snapshot.nodes}
    found = []
    for key, attempts in without_echoes(snapshot, _by_node(snapshot.attempts)).items():
        newest = max(attempts, key=by_start)
        if newest.state == "failed" and states.get(key, "failed") in {"failed", "pending", "in-progress", "stalled"}:
            found.append(_tries(snapshot, attempts))
    return sorted(found, key=lambda tries: tries.last.finished_at or 0)


def fires_at(snapshot: Snapshot, node: NodeRow) -> int | None:
    """Return when a timer fires, epoch milliseconds."""
    for event in reversed(snapshot.events):
        payload = as_object(event.payload) if event.type in {"NodeWaitingTimer", "TimerCreated"} else {}
        if (event.node_id or payload.get("timerId")) == node.node_id and event.iteration in {None, node.iteration}:
            due = payload.get("firesAtMs")
            return int(due) if isinstance(due, int | float) else None
    return None


def quota_resets_at(snapshot: Snapshot) -> int | None:
    """Return when a provider's limit resets, epoch milliseconds: as recorded, else as in the provider's message ("try again in 3 days")."""
    reset = as_object(snapshot.run.error).get("resetAtMs")
    if isinstance(reset, int | float):
        return int(reset)
    refused = max((a for a in snapshot.attempts if a.error_code == QUOTA), key=by_start, default=None)
    hint = _TRY_AGAIN_IN.search((refused.error_message or "")[:_MAX_MESSAGE]) if refused else None
    if refused is None or refused.finished_at is None or hint is None:
        return None
    return refused.finished_at + sum(int(count) * _UNITS_MS[unit.lower()] for count, unit in _AMOUNT.findall(hint[0]))


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
        failed=sum(attempt.error_code != QUOTA for attempt in failed),
        allowed=None if last.retries is None else last.retries + 1,
        streak=len(same),
        streak_since=same[0].started_at or 0,
        next_at=None,
    )
    waits = not tries.exhausted and snapshot.run.status not in TERMINAL_STATUSES and last.error_code != QUOTA
    return tries._replace(next_at=_next_try(snapshot, last)) if waits else tries


def _next_try(snapshot: Snapshot, last: AttemptRow) -> int:
    """Return when the engine tries again: by the task's own policy, else twice as long each time, up to five minutes."""
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
