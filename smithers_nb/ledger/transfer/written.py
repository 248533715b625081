"""What an import writes and tells, whichever kind of store it comes from."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.journal.schema import Words, fit

if TYPE_CHECKING:
    import sqlalchemy as sa

BATCH: Final = 5_000
"""Rows that are written at once."""


class Imported(NamedTuple):
    """What an import wrote.

    Attributes:
        beads: New beads.
        events: New lines of the log.
        lines: Other lines that were kept.
        without_reason: Failures for which nobody had recorded a reason.
        problems: What could not be read.
    """

    beads: int
    events: int
    lines: int
    without_reason: int
    problems: tuple[Any, ...]


def insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Write rows, some thousand at a time, by the driver: SQLAlchemy takes longer over the values of a row than SQLite over its triggers.

    Args:
        connection: A transaction of `Ledger.writing`.
        table: The table.
        rows: Its rows, all with the columns of the first one.
    """
    if not rows:
        return
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    statement = f"INSERT INTO {table.name} ({', '.join(rows[0])}) VALUES ({', '.join([mark] * len(rows[0]))})"
    values = itemgetter(*rows[0])
    texts = [name for name in rows[0] if isinstance(table.columns[name].type, Words)]
    for row in rows:
        for name in texts:
            if row[name]:
                row[name] = fit(row[name])
    for start in range(0, len(rows), BATCH):
        connection.exec_driver_sql(statement, list(map(values, rows[start : start + BATCH])))
