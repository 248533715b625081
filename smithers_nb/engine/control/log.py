"""The log of a run as it grows: events since a position, and how the run stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import events, runs
from smithers_nb.model.rows import EventRow
from smithers_nb.model.vocabulary import event_category
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal


class LogPage(NamedTuple):
    """What happened in a run since the last look.

    Attributes:
        events: Lines of its log, oldest first.
        status: Its status now.
    """

    events: list[EventRow]
    status: str


def read_log(journal: Journal, run_id: str, after: int = -1) -> LogPage:
    """Read a run's log after a position; -1 is its beginning."""
    query = sa.select(events.c.seq, events.c.timestamp_ms, events.c.type, events.c.payload_json)
    since = query.where(events.c.run_id == run_id, events.c.seq > after).order_by(events.c.seq)
    with journal.reading() as connection:
        rows = connection.execute(since).all()
        status = connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id)).scalar_one()
    return LogPage([_event(run_id, *row) for row in rows], status)


def _event(run_id: str, seq: int, at: int, kind: str, payload: str) -> EventRow:
    about = as_object(payload)
    return EventRow(run_id, seq, at, kind, event_category(kind), about.get("nodeId"), about.get("iteration"), about.get("attempt"), payload)
