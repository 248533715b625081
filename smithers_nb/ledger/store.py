"""The ledger as a place: the journal's database, a clock, and the two kinds of transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from smithers_nb.engine.journal import Journal
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.location import Location


class Ledger:
    """Work items in the journal's database.

    Attributes:
        journal: The journal that has the tables.
        now: The clock, epoch milliseconds.
    """

    def __init__(self, journal: Journal, now: Callable[[], int] = now_ms) -> None:
        self.journal = journal
        self.now = now

    @classmethod
    def open(cls, where: Location | str | Path | None = None, *, now: Callable[[], int] = now_ms) -> Ledger:
        """Open the ledger of a project or of a shared database, made when it is not there.

        Raises:
            JournalUnusable: It cannot be opened.
        """
        return cls(Journal.open(where), now)

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection whose writes happen together or not at all."""
        return self.journal.writing()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection whose reads are of one moment."""
        return self.journal.reading()

    def close(self) -> None:
        """Let go of the database."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
