"""Failures in stores of others, each looked into once: noticed by compare-and-set, then launched.

Between the two its noticer may die. Whoever finds that launches it again under the same id, which changes nothing when it was launched
after all.
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
    """One failure of one run; a run that is retried and fails again has another time, so it is another failure.

    Attributes:
        store: What tells the store from others, also when it is moved.
        failed_at_ms: When the run failed, epoch milliseconds.
    """

    store: str
    run_id: str
    failed_at_ms: int


def notice(connection: sa.Connection, failure: SeenFailure, autopsy_run_id: str) -> tuple[str, bool]:
    """Take a failure, in a transaction of `Journal.writing`.

    Args:
        connection: The transaction.
        failure: What has failed.
        autopsy_run_id: Id for its autopsy, used when nobody has noticed it before.

    Returns:
        Id of its autopsy, and whether it is the caller who has to launch it; somebody else has done that or is about to otherwise.
    """
    mine = {"noticed_by": f"{host()} {os.getpid()} {process_start(os.getpid())}", "noticed_at_ms": now_ms()}
    insert = _INSERTS[connection.dialect.name](seen_failures).on_conflict_do_nothing().returning(seen_failures.c.run_id)
    if connection.execute(insert.values(**failure._asdict(), autopsy_run_id=autopsy_run_id, **mine)).first() is not None:
        return autopsy_run_id, True
    row = connection.execute(sa.select(seen_failures).where(*_is(failure)).with_for_update()).one()
    if row.launched_at_ms is not None or _still_at_it(row):
        return row.autopsy_run_id, False
    connection.execute(seen_failures.update().where(*_is(failure)).values(mine))
    return row.autopsy_run_id, True


def mark_launched(connection: sa.Connection, failure: SeenFailure) -> None:
    """Write that the autopsy of a failure is on its way."""
    connection.execute(seen_failures.update().where(*_is(failure)).values(launched_at_ms=now_ms()))


def unlaunched(connection: sa.Connection, store: str) -> list[SeenFailure]:
    """List the failures of a store whose noticer has not launched anything yet."""
    columns = (seen_failures.c[name] for name in SeenFailure._fields)
    query = sa.select(*columns).where(seen_failures.c.store == store, seen_failures.c.launched_at_ms.is_(None))
    return [SeenFailure(*row) for row in connection.execute(query)]


def known(connection: sa.Connection, store: str, since_ms: int) -> set[SeenFailure]:
    """List the failures of a store at or after a time that are dealt with."""
    columns = (seen_failures.c[name] for name in SeenFailure._fields)
    query = sa.select(*columns).where(
        seen_failures.c.store == store, seen_failures.c.failed_at_ms >= since_ms, seen_failures.c.launched_at_ms.is_not(None)
    )
    return {SeenFailure(*row) for row in connection.execute(query)}


def _still_at_it(row: sa.Row[Any]) -> bool:
    where, pid, *start = str(row.noticed_by).split(" ")
    ticks = int(start[0]) if start and start[0].isdigit() else None
    return Worker(str(row.noticed_by), where, int(pid), int(row.noticed_at_ms), None, ticks).is_alive(now_ms())


def _is(failure: SeenFailure) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        seen_failures.c.store == failure.store,
        seen_failures.c.run_id == failure.run_id,
        seen_failures.c.failed_at_ms == failure.failed_at_ms,
    )
