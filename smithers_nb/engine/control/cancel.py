"""Stopping a run: a live execution is asked to stop and does so within a second; anything else is over at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.control.state import is_executed, resolve, run_row
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import Node, append_event, cancel_attempt
from smithers_nb.engine.journal.schema import attempts, executions, runs
from smithers_nb.engine.journal.status import set_status
from smithers_nb.errors import ControlRefused
from smithers_nb.model.moment import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    from smithers_nb.engine.place import Place


class Cancellation(NamedTuple):
    """What a cancel came to: `requested` of a live execution, or `cancelled` at once."""

    run_id: str
    result: Literal["requested", "cancelled"]


def cancel(place: Place, run_id: str, *, by: str = "cli") -> Cancellation:
    """Stop a run; what it waits for can no longer be decided.

    Args:
        place: Where its journal is.
        run_id: Its id; a unique beginning is enough.
        by: Who stops it, for the log.

    Raises:
        RunNotFound: There is no such run.
        ControlRefused: `RUN_NOT_CANCELLABLE`, it is over.
    """
    with Journal.open(place) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found) as connection:
            row = run_row(connection, found)
            if row.status in TERMINAL_STATUSES:
                raise ControlRefused(f"run {found} is over ({row.status})", code="RUN_NOT_CANCELLABLE", hint="there is nothing to stop")
            if row.cancel_requested_at_ms is None:
                connection.execute(runs.update().where(runs.c.run_id == found).values(cancel_requested_at_ms=now_ms()))
                append_event(connection, found, "RunCancelRequested", {"by": by})
            if is_executed(connection, row):
                return Cancellation(found, "requested")
            _end(connection, found)
            return Cancellation(found, "cancelled")


def _end(connection: sa.Connection, run_id: str) -> None:
    open_ones = sa.select(attempts.c.node_id, attempts.c.iteration, attempts.c.attempt).where(
        attempts.c.run_id == run_id, attempts.c.state == "in-progress"
    )
    for node_id, iteration, attempt in connection.execute(open_ones).all():
        cancel_attempt(connection, Node(run_id, node_id, iteration), attempt, "the run was cancelled")
    left = executions.update().where(executions.c.run_id == run_id, executions.c.outcome.is_(None))
    connection.execute(left.values(outcome="cancelled", finished_at_ms=now_ms()))
    set_status(connection, run_id, "cancelled")
