"""Runs that people put aside in the inbox; stored here, never in the store of the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import attention

if TYPE_CHECKING:
    from collections.abc import Iterable


class Mark(NamedTuple):
    """One decision to look at a run later, or not at all.

    Attributes:
        store: Location of the store that has the run.
        marked_at_ms: When, epoch milliseconds.
        action: `addressed`: failures until then are handled; `snoozed`: hidden until `until_ms`; `notified`: a notification was sent,
            and `note` is its cause.
        marked_by: The person.
        until_ms: End of a snooze, epoch milliseconds.
        note: The person's comment.
    """

    store: str
    run_id: str
    marked_at_ms: int
    action: Literal["addressed", "snoozed", "notified"]
    marked_by: str
    until_ms: int | None = None
    note: str | None = None


def add_mark(connection: sa.Connection, mark: Mark) -> None:
    """Insert a mark, in a transaction of `Journal.writing`; of two in the same millisecond the first wins."""
    same = [attention.c[name] == getattr(mark, name) for name in ("store", "run_id", "marked_at_ms")]
    if connection.execute(sa.select(attention.c.run_id).where(*same)).first() is None:
        connection.execute(attention.insert().values(**mark._asdict()))


def marks_of(connection: sa.Connection, stores: Iterable[str]) -> list[Mark]:
    """Return the marks of some stores, oldest first."""
    columns = [attention.c[name] for name in Mark._fields]
    query = sa.select(*columns).where(attention.c.store.in_(list(stores))).order_by(attention.c.marked_at_ms)
    return [Mark(*row) for row in connection.execute(query)]
