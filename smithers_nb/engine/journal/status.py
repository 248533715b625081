"""The only writer of a run's status.

Every change of status goes through `set_status`, which writes the row and the event together. A change to `failed` without a reason is
impossible, both here (by type) and in the database (by a CHECK).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, overload

import sqlalchemy as sa

from smithers_nb.engine.journal.records import append_event, as_json, not_before
from smithers_nb.engine.journal.schema import runs
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    from smithers_nb.model.failure_reason import FailureReason

Settled = Literal["running", "finished", "cancelled", "waiting-approval", "waiting-event", "waiting-timer", "waiting-worker", "paused"]

_EXPLAINED: Final = ("failed", "paused")
_EVENTS: Final = {"running": "RunStarted", "finished": "RunFinished", "failed": "RunFailed", "cancelled": "RunCancelled"}


@overload
def set_status(connection: sa.Connection, run_id: str, status: Settled, reason: None = None) -> None: ...
@overload
def set_status(connection: sa.Connection, run_id: str, status: Literal["failed", "paused"], reason: FailureReason) -> None: ...
def set_status(connection: sa.Connection, run_id: str, status: str, reason: FailureReason | None = None) -> None:
    """Set the status of a run.

    Args:
        connection: A transaction of `Journal.writing(run_id)`.
        run_id: The run.
        status: The new status.
        reason: Why it failed or was paused; other statuses have none.

    Raises:
        ValueError: A failure without a reason, or a reason with a status that has none.
    """
    if status == "failed" and reason is None:
        raise ValueError("a failed run needs a failure reason")
    if reason is not None and status not in _EXPLAINED:
        raise ValueError(f"status {status!r} has no failure reason")
    at, over = now_ms(), status in TERMINAL_STATUSES
    error = reason.as_error() if reason else None
    values: dict[str, object] = {
        "status": status,
        "error_json": as_json(error) if error else None,
        "finished_at_ms": not_before(runs.c.started_at_ms, at) if over else None,
    }
    if status == "running":
        values["started_at_ms"] = sa.func.coalesce(runs.c.started_at_ms, at)
        values["heartbeat_at_ms"] = at
    else:
        values["runtime_owner_id"] = None
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(values))
    append_event(connection, run_id, _EVENTS.get(status, "RunStatusChanged"), {"error": error} if error else {"status": status})
