"""Makes this process an executor of notebooks: registered in the journal, with a heartbeat, and with DBOS launched.

DBOS cannot know that a process on another machine is dead. Every executing process has a row in `workers` and keeps its heartbeat fresh;
that row decides whether another process may take over a run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb.engine.control.submit import submit
from smithers_nb.engine.execution.run_execution import execute_run
from smithers_nb.engine.journal import executions
from smithers_nb.engine.journal.leases import beat_until, deregister, new_owner, register
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.workers.dbos import QUEUE, Dbos
from smithers_nb.errors import ControlRefused, JournalUnusable

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.notebook.papermill_engine import Progress

ANNOUNCED: Final = "SMITHERS_NB_ANNOUNCED_AS"
"""Environment variable with the owner id under which the starter announced this process."""

_log: Final = logging.getLogger("smithers_nb")


class Executor:
    """Executes notebooks in this process.

    Attributes:
        owner: Id of this process, in DBOS and the journal.
        at_work: Executions running here.
        ended: The last execution that ended here, and its outcome.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        kernels: KernelPool | None = None,
        progress: Progress | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
        owner: str | None = None,
    ) -> None:
        self.journal = journal
        self.owner = owner or new_owner()
        self.dbos = Dbos(journal.location, self.owner, self.execute, self.begin)
        self.at_work: set[Execution] = set()
        self.ended: dict[Execution, Outcome] = {}
        self._kernels, self._progress, self._on_outcome = kernels, progress, on_outcome

    def execute(self, execution: Execution) -> Outcome:
        """Execute a notebook; called by DBOS."""
        self.at_work.add(execution)
        try:
            outcome = execute_run(self.journal, execution, self.owner, kernels=self._kernels, progress=self._progress)
            self.ended = {execution: outcome}
            self._report(outcome)
        finally:
            self.at_work.discard(execution)
        return outcome

    def begin(self, run_id: str, start: dict[str, Any]) -> None:
        """Start a scheduled run; called by DBOS, and again in another process if this one dies in between."""
        about = {**start, "cwd": Path(start["cwd"])}
        try:
            submit(self.journal.location, run_id=run_id, **about)
        except ControlRefused as refused:
            if refused.code != "RUN_EXISTS":
                raise
        with self.journal.writing(run_id) as connection:
            if not executions.newest(connection, run_id):
                executions.want(connection, run_id)

    def _report(self, outcome: Outcome) -> None:
        if self._on_outcome is None:
            return
        try:
            self._on_outcome(outcome)
        except Exception:  # noqa: BLE001  # the outcome is recorded; a failing callback must not undo that
            _log.exception("the callback after run %s failed", outcome.run_id)

    def is_executing(self) -> bool:
        """Return whether this process executes a run or holds a lease."""
        if self.at_work:
            return True
        with self.journal.reading() as connection:
            return connection.execute(sa.select(runs.c.run_id).where(runs.c.runtime_owner_id == self.owner)).first() is not None


@contextmanager
def executing(executor: Executor, *, slots: int = 0) -> Iterator[None]:
    """Register this process and launch DBOS; deregister at the end.

    Args:
        executor: The executor of this process.
        slots: How many queued notebooks it may execute at once; 0 for none.

    Raises:
        JournalUnusable: The journal or DBOS's database cannot be used.
    """
    journal, over = executor.journal, threading.Event()
    register(journal, executor.owner, QUEUE if slots else None, announced_as=os.environ.pop(ANNOUNCED, None))
    heartbeat = threading.Thread(target=beat_until, args=(journal, executor.owner, over), name="heartbeat", daemon=True)
    heartbeat.start()
    try:
        executor.dbos.launch(slots)
        yield
    finally:
        over.set()
        heartbeat.join()
        executor.dbos.destroy()
        with suppress(JournalUnusable):
            if not executor.is_executing():  # otherwise the next worker takes over once this process is dead
                deregister(journal, executor.owner)
