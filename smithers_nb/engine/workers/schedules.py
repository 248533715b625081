"""Notebooks that workers start again and again: a schedule is a row of DBOS's database, so it outlives whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.workers.executor import Executor, executing

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.workers.dbos import Schedule


def schedule(location: Location, wanted: Schedule) -> None:
    """Let the workers of a project start a notebook at the times of a schedule; one of the same name is replaced.

    Raises:
        ParameterError: The times are none.
        JournalUnusable: The journal or DBOS's database cannot be used.
    """
    with Journal.open(location) as journal:
        executor = Executor(journal)
        with executing(executor):
            executor.dbos.schedule(wanted)


def unschedule(location: Location, name: str) -> bool:
    """Take a schedule away; False when there is none of this name.

    Raises:
        JournalUnusable: The journal or DBOS's database cannot be used.
    """
    with Journal.open(location) as journal:
        executor = Executor(journal)
        with executing(executor):
            return executor.dbos.unschedule(name)
