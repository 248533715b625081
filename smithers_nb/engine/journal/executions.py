"""The executions of a run: wanted by whoever starts, decides or resumes, handed to the queue by a worker, begun by one process.

Wanting is part of the transaction that gives the reason for it, so a decision and what follows from it are never apart. A number counts the
executions of a run from 1; one that is begun again after a crash keeps its number.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import executions
from smithers_nb.model.timestamps import now_ms


class Execution(NamedTuple):
    """One execution of a run's notebook."""

    run_id: str
    number: int

    @property
    def workflow_id(self) -> str:
        """Its workflow id in DBOS."""
        return f"{self.run_id}:{self.number}"


def want(connection: sa.Connection, run_id: str, *, queued: bool = False, starter: str | None = None) -> Execution:
    """Request another execution, in a transaction of `Journal.writing(run_id)`; a pending one that has not begun is reused.

    Args:
        connection: The transaction.
        run_id: The run.
        queued: The caller starts it itself, so that no worker does.
        starter: Owner id of that process, so that others can see when it has died.
    """
    waiting = sa.select(executions.c.number).where(executions.c.run_id == run_id, executions.c.starts == 0, executions.c.outcome.is_(None))
    number = connection.execute(waiting).scalar()
    if number is None:
        number = newest(connection, run_id) + 1
        connection.execute(executions.insert().values(run_id=run_id, number=number, wanted_at_ms=now_ms()))
    # queueing one twice is harmless, so a repeated request makes sure that it is queued
    queued_at = now_ms() if queued else None
    connection.execute(executions.update().where(*_is(Execution(run_id, number))).values(queued_at_ms=queued_at, owner=starter))
    return Execution(run_id, number)


def pending(connection: sa.Connection) -> list[Execution]:
    """Return the executions that have not been queued yet, oldest first."""
    query = sa.select(executions.c.run_id, executions.c.number).where(executions.c.queued_at_ms.is_(None), executions.c.outcome.is_(None))
    return [Execution(*row) for row in connection.execute(query.order_by(executions.c.wanted_at_ms, executions.c.run_id))]


def mark_queued(connection: sa.Connection, execution: Execution) -> None:
    """Record that an execution is queued."""
    connection.execute(executions.update().where(*_is(execution)).values(queued_at_ms=now_ms()))


def begin(connection: sa.Connection, execution: Execution, owner: str) -> int:
    """Record that a process executes it; return how often it was begun."""
    values = {"owner": owner, "started_at_ms": now_ms(), "starts": executions.c.starts + 1}
    connection.execute(executions.update().where(*_is(execution)).values(values))
    starts: int = connection.execute(sa.select(executions.c.starts).where(*_is(execution))).scalar_one()
    return starts


def end(connection: sa.Connection, execution: Execution, outcome: str, notebook: str | None = None) -> None:
    """Record how it ended."""
    connection.execute(executions.update().where(*_is(execution)).values(finished_at_ms=now_ms(), outcome=outcome, notebook=notebook))


def end_all(connection: sa.Connection, run_id: str, outcome: str) -> None:
    """Record the end of every execution of a run that is pending, queued or running."""
    left = executions.update().where(executions.c.run_id == run_id, executions.c.outcome.is_(None))
    connection.execute(left.values(finished_at_ms=now_ms(), outcome=outcome))


def is_over(connection: sa.Connection, execution: Execution) -> bool:
    """Return whether it has ended, or never existed."""
    row = connection.execute(sa.select(executions.c.outcome).where(*_is(execution))).first()
    return row is None or row.outcome is not None


def is_begun(connection: sa.Connection, execution: Execution) -> bool:
    """Return whether a process has begun it."""
    return bool(connection.execute(sa.select(executions.c.starts).where(*_is(execution))).scalar())


class Queued(NamedTuple):
    """An execution that was queued and has not begun.

    Attributes:
        at: When it was queued, epoch milliseconds.
        starter: Owner id of the process that is about to begin it; None when a worker takes it.
    """

    at: int
    starter: str | None


def queued(connection: sa.Connection, run_id: str) -> Queued | None:
    """Return the execution of a run that was queued and has not begun; None when there is none."""
    unbegun = (executions.c.starts == 0, executions.c.outcome.is_(None), executions.c.queued_at_ms.is_not(None))
    columns = executions.c.queued_at_ms, executions.c.owner
    row = connection.execute(sa.select(*columns).where(executions.c.run_id == run_id, *unbegun)).first()
    return None if row is None else Queued(*row)


def newest(connection: sa.Connection, run_id: str) -> int:
    """Return the number of the newest execution; 0 before the first."""
    number: int = connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(executions.c.number), 0)).where(executions.c.run_id == run_id)
    ).scalar_one()
    return number


class Unfinished(NamedTuple):
    """An execution that has not ended; `owner` began it last, or is about to."""

    execution: Execution
    owner: str | None


def unfinished(connection: sa.Connection) -> list[Unfinished]:
    """Return the executions that are pending, queued or running."""
    columns = executions.c.run_id, executions.c.number, executions.c.owner
    rows = connection.execute(sa.select(*columns).where(executions.c.outcome.is_(None)).order_by(*columns[:2]))
    return [Unfinished(Execution(row.run_id, row.number), row.owner) for row in rows]


def overdue(connection: sa.Connection, before_ms: int) -> list[Execution]:
    """Return the executions that were queued before an epoch millisecond and have not begun."""
    query = sa.select(executions.c.run_id, executions.c.number).where(
        executions.c.outcome.is_(None), executions.c.starts == 0, executions.c.queued_at_ms < before_ms
    )
    return [Execution(*row) for row in connection.execute(query)]


def _is(execution: Execution) -> tuple[sa.ColumnElement[bool], ...]:
    return executions.c.run_id == execution.run_id, executions.c.number == execution.number
