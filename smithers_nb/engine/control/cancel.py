"""Cancels a run: a live execution is asked to stop and does so within a second; any other run ends at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from smithers_nb.engine.control.run_state import config_of, is_executed, resolve, run_row
from smithers_nb.engine.journal import Journal, decisions, executions
from smithers_nb.engine.journal.records import append_event, cancel_attempt, open_attempts
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.journal.status import set_status
from smithers_nb.errors import ControlRefused
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.location import Location


class Cancellation(NamedTuple):
    """What a cancel came to: `requested` of a live execution, or `cancelled` at once."""

    run_id: str
    result: Literal["requested", "cancelled"]


def cancel(location: Location, run_id: str, *, by: str = "cli") -> Cancellation:
    """Stop a run; what it waits for can no longer be decided.

    Args:
        location: Where its journal is.
        run_id: Its id; a unique beginning is enough.
        by: Who stops it, for the log.

    Raises:
        RunNotFound: There is no such run.
        ControlRefused: `RUN_NOT_CANCELLABLE`, it is over.
    """
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found, durable=True) as connection:
            row = run_row(connection, found)
            if row.status in TERMINAL_STATUSES:
                raise ControlRefused(f"run {found} is over ({row.status})", code="RUN_NOT_CANCELLABLE", hint="there is nothing to stop")
            if row.cancel_requested_at_ms is None:
                connection.execute(runs.update().where(runs.c.run_id == found).values(cancel_requested_at_ms=now_ms()))
                append_event(connection, found, "RunCancelRequested", {"by": by})
            if is_executed(connection, row) and not config_of(row).get("lab"):  # a person's kernel learns of it with its next stage
                return Cancellation(found, "requested")
            _end(connection, found)
            return Cancellation(found, "cancelled")


def _end(connection: sa.Connection, run_id: str) -> None:
    for one in open_attempts(connection, run_id):
        cancel_attempt(connection, one.node, one.attempt, "the run was cancelled")
    decisions.close_requests(connection, run_id)
    executions.end_all(connection, run_id, "cancelled")
    set_status(connection, run_id, "cancelled")
