"""Starting agents on beads: attempts with their errors, back-off between them, and a failure that carries the last error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_agents, bead_dispatches, bead_events, beads
from smithers_nb.ledger import breaker, summaries
from smithers_nb.ledger.agents import end_lease, take_lease
from smithers_nb.ledger.items import set_agent
from smithers_nb.ledger.transition import append, locked, note, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

MAX_ATTEMPTS: Final = 5
DISPATCHED: Final = ("issue", "molecule", "merge_request")
"""Types of beads that agents work on."""

BACKOFF_MS: Final = (30_000, 60_000, 120_000, 300_000, 600_000)
"""Time that has to pass after the first, second, … failed attempt."""


class Started(NamedTuple):
    """How an attempt to start an agent ended.

    Attributes:
        ok: The agent runs.
        error: Why it does not; empty when nobody said.
        phase: How far it came: `spawn`, `container`, `server`, `session`.
        status: HTTP or exit status, when there is one.
    """

    ok: bool
    error: str = ""
    phase: str = "spawn"
    status: int | None = None
    error_type: str | None = None


Launcher = Callable[[str, str], Started]
"""Takes the ids of a bead and an agent and starts real work; `runners` has two."""


def due(ledger: Ledger, connection: sa.Connection, limit: int = 10) -> list[str]:
    """List open beads whose back-off is over, those that wait longest first."""
    query = sa.select(beads).where(beads.c.status == "open", beads.c.type.in_(DISPATCHED), beads.c.dispatch_attempts < MAX_ATTEMPTS)
    rows = connection.execute(query.order_by(beads.c.updated_at_ms, beads.c.bead_id)).all()
    return [row.bead_id for row in rows if ledger.now() >= ready_at(row)][:limit]


def ready_at(row: Any) -> int:
    """Return when a bead may be dispatched again, epoch milliseconds."""
    if not row.dispatch_attempts or row.last_dispatch_at_ms is None:
        return 0
    pause: int = row.last_dispatch_at_ms + BACKOFF_MS[min(row.dispatch_attempts, len(BACKOFF_MS)) - 1]
    return pause


def dispatch(ledger: Ledger, bead_id: str, agent_id: str, launch: Launcher, *, lease_ms: int | None = None) -> bool:
    """Start an agent on an open bead and write how that went.

    The attempt is written before the agent is started, so that a crash in between leaves it in the log as open.

    Args:
        ledger: Where the bead is.
        bead_id: The bead.
        agent_id: An agent of the ledger.
        launch: Starts it.
        lease_ms: How long the agent holds the bead without a heartbeat (`agents.renew_lease`); without it the patrol's limits count alone.

    Returns:
        Whether the agent runs now. False also when somebody else took the bead, or the breaker of its rig or of the agent is open;
        an open breaker is written into the bead's log.
    """
    with ledger.writing() as connection:
        row = locked(connection, bead_id)
        action = f"dispatch:{row.rig_id or ''}"
        if row.status != "open" or ledger.now() < ready_at(row):
            return False
        if _paused(ledger, connection, bead_id, (action, breaker.working(agent_id))):
            return False
        number = _begin(ledger, connection, row, agent_id)
        if lease_ms is not None:
            take_lease(ledger, connection, bead_id, agent_id, lease_ms)
    try:
        started = launch(bead_id, agent_id)
    except Exception as error:  # noqa: BLE001  # whatever a launcher raises is why the agent did not start
        started = Started(ok=False, error=str(error) or type(error).__name__, error_type=type(error).__name__)
    with ledger.writing() as connection:
        _end(ledger, connection, bead_id, number, started)
        (breaker.succeeded(connection, action) if started.ok else breaker.failed(ledger, connection, action, started.error))
        return started.ok


def _paused(ledger: Ledger, connection: sa.Connection, bead_id: str, actions: tuple[str, ...]) -> bool:
    """Say whether one of the actions is paused, and write why into the bead's log, once for each pause."""
    refused = [why for action in actions if (why := breaker.refusal(ledger, connection, action)) is not None]
    if not refused:
        return False
    newest = sa.select(bead_events.c.event_type, bead_events.c.reason).where(bead_events.c.bead_id == bead_id)
    last = connection.execute(newest.order_by(bead_events.c.seq.desc()).limit(1)).one()
    if tuple(last) != ("dispatch_paused", refused[0].message):
        note(connection, bead_id, "dispatch_paused", refused[0], actor="scheduler", at=ledger.now())
    return True


def attempts(connection: sa.Connection, bead_id: str) -> list[Any]:
    """List the attempts to dispatch a bead since it was last reopened, oldest first."""
    row = connection.execute(sa.select(beads.c.dispatch_attempts).where(beads.c.bead_id == bead_id)).scalar_one()
    query = sa.select(bead_dispatches).where(bead_dispatches.c.bead_id == bead_id).order_by(bead_dispatches.c.n.desc()).limit(row)
    return list(reversed(connection.execute(query).all()))


def _begin(ledger: Ledger, connection: sa.Connection, row: Any, agent_id: str) -> int:
    newest = sa.select(sa.func.coalesce(sa.func.max(bead_dispatches.c.n), 0)).where(bead_dispatches.c.bead_id == row.bead_id)
    number: int = connection.execute(newest).scalar_one() + 1
    at = ledger.now()
    connection.execute(bead_dispatches.insert().values(bead_id=row.bead_id, agent_id=agent_id, n=number, started_at_ms=at))
    values = {"dispatch_attempts": row.dispatch_attempts + 1, "last_dispatch_at_ms": at, "assignee": agent_id}
    connection.execute(beads.update().where(beads.c.bead_id == row.bead_id).values(values))
    transition(ledger, connection, row.bead_id, "in_progress", actor="scheduler", agent_id=agent_id, more={"attempt": number})
    set_agent(connection, agent_id, status="working", hook_bead_id=row.bead_id, last_activity_at_ms=at)
    return number


def _end(ledger: Ledger, connection: sa.Connection, bead_id: str, number: int, started: Started) -> None:
    at = ledger.now()
    outcome = "ok" if started.ok else "timeout" if started.error_type == "TimeoutError" else "error" if started.error else "false"
    values = {"ended_at_ms": at, "outcome": outcome, "phase": started.phase, "error": started.error or None, "status": started.status}
    mine = bead_dispatches.c.bead_id == bead_id, bead_dispatches.c.n == number
    connection.execute(bead_dispatches.update().where(*mine).values(error_type=started.error_type, **values))
    row = locked(connection, bead_id)
    if started.ok:
        append(connection, bead_id, "agent_spawned", actor="scheduler", at=at, agent_id=row.assignee, metadata={"attempt": number})
        return
    if row.status != "in_progress":
        return  # somebody else has ended it meanwhile; the attempt has its error
    last = started.error or "the launcher returned false and gave no error"
    connection.execute(
        bead_agents.update().where(bead_agents.c.hook_bead_id == bead_id).values(status="idle", hook_bead_id=None, last_activity_at_ms=at)
    )
    end_lease(connection, bead_id)
    if row.dispatch_attempts >= MAX_ATTEMPTS:
        exhaust(ledger, connection, row)
        return
    why = reason("dispatch_retry", attempts=row.dispatch_attempts, max_attempts=MAX_ATTEMPTS, last_error=last)
    transition(ledger, connection, bead_id, "open", actor="scheduler", reason=why)


def exhaust(ledger: Ledger, connection: sa.Connection, row: Any) -> None:
    """Fail a bead whose attempts are used up, with all their errors, the last one first in the sentence."""
    tried = attempts(connection, row.bead_id)
    errors = [{"n": one.n, "at": one.started_at_ms, "phase": one.phase, "error": _error(one)} for one in tried]
    last = tried[-1]
    path = "refinery_dispatch_exhausted" if row.type == "merge_request" else "dispatch_exhausted"
    why = reason(
        path,
        attempts=row.dispatch_attempts,
        max_attempts=MAX_ATTEMPTS,
        last_error=_error(last),
        last_error_at=last.ended_at_ms or last.started_at_ms,
        errors=errors,
        distinct_errors=len({_error(one) for one in tried}),
    )
    transition(ledger, connection, row.bead_id, "failed", actor="scheduler", reason=why)
    summaries.summarise(ledger, connection, row.bead_id)


def _error(attempt: Any) -> str:
    return attempt.error or "the launcher returned false and gave no error"
