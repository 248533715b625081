"""What people put aside in the list of what needs them: kept here, never in the store of the run that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import attention

if TYPE_CHECKING:
    from collections.abc import Iterable


class Mark(NamedTuple):
    """One decision to look at a run later, or no more.

    Attributes:
        store: Location of the store that has the run.
        marked_at_ms: When, epoch milliseconds.
        action: `addressed`: what failed by then is dealt with; `snoozed`: it is left out until `until_ms`;
            `notified`: somebody was told of it, and `note` is its cause.
        marked_by: Who.
        until_ms: End of a snooze, epoch milliseconds.
        note: Why, in the person's words.
    """

    store: str
    run_id: str
    marked_at_ms: int
    action: Literal["addressed", "snoozed", "notified"]
    marked_by: str
    until_ms: int | None = None
    note: str | None = None


def add_mark(connection: sa.Connection, mark: Mark) -> None:
    """Write a mark, in a transaction of `Journal.writing`; of two in one millisecond the first stands."""
    same = [attention.c[name] == getattr(mark, name) for name in ("store", "run_id", "marked_at_ms")]
    if connection.execute(sa.select(attention.c.run_id).where(*same)).first() is None:
        connection.execute(attention.insert().values(**mark._asdict()))


def marks_of(connection: sa.Connection, stores: Iterable[str]) -> list[Mark]:
    """Read the marks of some stores, oldest first."""
    columns = [attention.c[name] for name in Mark._fields]
    query = sa.select(*columns).where(attention.c.store.in_(list(stores))).order_by(attention.c.marked_at_ms)
    return [Mark(*row) for row in connection.execute(query)]
