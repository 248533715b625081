"""Failures in other stores, each investigated once: claimed by compare-and-set, then launched.

The claiming process may die between the two steps. The next one to find the failure then launches it again under the same id, which changes
nothing if it was launched after all.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from smithers_nb.engine.journal.leases import Worker, host, process_start
from smithers_nb.engine.journal.schema import seen_failures
from smithers_nb.model.timestamps import now_ms

_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SeenFailure(NamedTuple):
    """One failure of one run; a run that is retried and fails again has a new time, so it is another failure.

    Attributes:
        store: Identity of the store, which stays the same when it is moved.
        failed_at_ms: When the run failed, epoch milliseconds.
    """

    store: str
    run_id: str
    failed_at_ms: int


def notice(connection: sa.Connection, failure: SeenFailure, autopsy_run_id: str) -> tuple[str, bool]:
    """Claim a failure, in a transaction of `Journal.writing`.

    Args:
        connection: The transaction.
        failure: The failure.
        autopsy_run_id: Id for its autopsy, used when it is claimed for the first time.

    Returns:
        The id of its autopsy, and whether the caller has to launch it.
    """
    mine = {"noticed_by": f"{host()} {os.getpid()} {process_start(os.getpid())}", "noticed_at_ms": now_ms()}
    insert = _INSERTS[connection.dialect.name](seen_failures).on_conflict_do_nothing().returning(seen_failures.c.run_id)
    if connection.execute(insert.values(**failure._asdict(), autopsy_run_id=autopsy_run_id, **mine)).first() is not None:
        return autopsy_run_id, True
    row = connection.execute(sa.select(seen_failures).where(*_is(failure)).with_for_update()).one()
    if row.launched_at_ms is not None or _claimant_is_alive(row):
        return row.autopsy_run_id, False
    connection.execute(seen_failures.update().where(*_is(failure)).values(mine))
    return row.autopsy_run_id, True


def mark_launched(connection: sa.Connection, failure: SeenFailure) -> None:
    """Record that the autopsy of a failure was launched."""
    connection.execute(seen_failures.update().where(*_is(failure)).values(launched_at_ms=now_ms()))


def unlaunched(connection: sa.Connection, store: str) -> list[SeenFailure]:
    """Return the failures of a store that were claimed but not launched."""
    columns = (seen_failures.c[name] for name in SeenFailure._fields)
    query = sa.select(*columns).where(seen_failures.c.store == store, seen_failures.c.launched_at_ms.is_(None))
    return [SeenFailure(*row) for row in connection.execute(query)]


def known(connection: sa.Connection, store: str, since_ms: int) -> set[SeenFailure]:
    """Return the failures of a store since a time whose autopsies were launched."""
    columns = (seen_failures.c[name] for name in SeenFailure._fields)
    query = sa.select(*columns).where(
        seen_failures.c.store == store, seen_failures.c.failed_at_ms >= since_ms, seen_failures.c.launched_at_ms.is_not(None)
    )
    return {SeenFailure(*row) for row in connection.execute(query)}


def _claimant_is_alive(row: sa.Row[Any]) -> bool:
    where, pid, *start = str(row.noticed_by).split(" ")
    ticks = int(start[0]) if start and start[0].isdigit() else None
    return Worker(str(row.noticed_by), where, int(pid), int(row.noticed_at_ms), None, ticks).is_alive(now_ms())


def _is(failure: SeenFailure) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        seen_failures.c.store == failure.store,
        seen_failures.c.run_id == failure.run_id,
        seen_failures.c.failed_at_ms == failure.failed_at_ms,
    )
