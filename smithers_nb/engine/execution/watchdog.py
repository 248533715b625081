"""Watches, while a notebook is executed, for a cancellation or a takeover by another process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import runs
from smithers_nb.errors import JournalUnusable

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal

_POLL_INTERVAL_S: Final = 0.5


class Watchdog:
    """A thread that polls the run's row.

    Attributes:
        stop: Set when the execution should end.
        lost: Whether another process holds the run now.
    """

    def __init__(self, journal: Journal, run_id: str, owner: str) -> None:
        self.stop = threading.Event()
        self.lost = False
        self._over = threading.Event()
        self._journal, self._run_id, self._owner = journal, run_id, owner
        self._thread = threading.Thread(target=self._look, name=f"watch {run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        columns = (runs.c.cancel_requested_at_ms, runs.c.runtime_owner_id)
        while not self._over.wait(_POLL_INTERVAL_S):
            with suppress(JournalUnusable), self._journal.reading() as connection:
                asked, owner = connection.execute(sa.select(*columns).where(runs.c.run_id == self._run_id)).one()
                self.lost = owner != self._owner
                if asked is not None or self.lost:
                    self.stop.set()
                    return
