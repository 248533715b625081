"""What an import writes and tells, whichever kind of store it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    """Write rows, some thousand at a time."""
    for start in range(0, len(rows), BATCH):
        connection.execute(table.insert(), rows[start : start + BATCH])
