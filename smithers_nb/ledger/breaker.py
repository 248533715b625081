"""A circuit breaker per repeated action: what failed several times in a row is paused, whatever asks for it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import breakers
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.model.failure_reason import FailureReason

WINDOW_MS: Final = 30 * 60_000
LIMIT: Final = 20
"""Failures of one action within the window that open its breaker; an action that names a limit of its own has that one."""

PAUSE_MS: Final = 30 * 60_000


CRASHES: Final = 3
"""Crashes of one agent within the window after which it gets no work for a while."""


def working(agent_id: str) -> str:
    """Name the action of an agent at work, whose breaker its crashes open."""
    return f"agent:{agent_id}"


def refusal(ledger: Ledger, connection: sa.Connection, action: str) -> FailureReason | None:
    """Return why an action is paused; None while it is allowed."""
    row = connection.execute(sa.select(breakers).where(breakers.c.action == action)).first()
    if row is None or row.open_until_ms is None or row.open_until_ms <= ledger.now():
        return None
    window = WINDOW_MS // 60_000
    return reason("breaker_open", action=action, failures=row.failures, window_minutes=window, last_error=row.last_error or "")


def failed(ledger: Ledger, connection: sa.Connection, action: str, error: str, limit: int = LIMIT) -> bool:
    """Count a failure of an action and return whether its breaker is open now."""
    at = ledger.now()
    row = connection.execute(sa.select(breakers).where(breakers.c.action == action).with_for_update()).first()
    begun = None if row is None else row.first_failure_at_ms
    fresh = begun is None or at - begun > WINDOW_MS
    count = 1 if fresh or row is None else row.failures + 1
    is_open = count >= limit
    values = {"failures": count, "first_failure_at_ms": at if fresh else begun, "last_error": error}
    values["open_until_ms"] = at + PAUSE_MS if is_open else None
    if row is None:
        connection.execute(breakers.insert().values(action=action, **values))
    else:
        connection.execute(breakers.update().where(breakers.c.action == action).values(values))
    return is_open


def succeeded(connection: sa.Connection, action: str) -> None:
    """Forget the failures of an action."""
    values = {"failures": 0, "first_failure_at_ms": None, "open_until_ms": None, "last_error": None}
    connection.execute(breakers.update().where(breakers.c.action == action).values(values))
