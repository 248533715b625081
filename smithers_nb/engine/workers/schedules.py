"""Schedules of notebooks, stored in DBOS's database, so that they outlive the process that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.workers.executor import Executor, executing

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.workers.dbos import Schedule


def schedule(location: Location, wanted: Schedule) -> None:
    """Schedule a notebook to be started by the workers of a project; a schedule of the same name is replaced.

    Raises:
        ParameterError: The cron expression is invalid.
        JournalUnusable: The journal or DBOS's database cannot be used.
    """
    with Journal.open(location) as journal:
        executor = Executor(journal)
        with executing(executor):
            executor.dbos.schedule(wanted)


def unschedule(location: Location, name: str) -> bool:
    """Remove a schedule; return False when there is none of this name.

    Raises:
        JournalUnusable: The journal or DBOS's database cannot be used.
    """
    with Journal.open(location) as journal:
        executor = Executor(journal)
        with executing(executor):
            return executor.dbos.unschedule(name)
