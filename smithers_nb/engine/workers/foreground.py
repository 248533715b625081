"""Executes one run in this process, to its end or its next gate."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import known_workers, process_start
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.workers.executor import Executor, executing
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.notebook.papermill_engine import Progress


def run_here(location: Location, run_id: str, *, progress: Progress | None = None) -> Outcome:
    """Execute a run in this process, to its end or its next gate; Ctrl-C cancels it.

    Args:
        location: Project and database of the run.
        run_id: A run prepared by `control.submit` or `control.resume`.
        progress: Called before each cell.

    Raises:
        JournalUnusable: The journal cannot be written.
    """
    if not _in_a_loop():
        return _run_here(location, run_id, progress)
    with ThreadPoolExecutor(1, "run") as beside:  # DBOS refuses to block a running event loop, such as a kernel's
        return beside.submit(_run_here, location, run_id, progress).result()


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_here(location: Location, run_id: str, progress: Progress | None) -> Outcome:
    with Journal.open(location) as journal:
        executor = Executor(journal, progress=progress, owner=_introduced(journal, run_id))
        with executing(executor):
            with journal.writing(run_id) as connection:
                execution = executions.want(connection, run_id, queued=True, starter=executor.owner)
            return _run(executor, _unknown_to_dbos(executor, execution))


def _introduced(journal: Journal, run_id: str) -> str | None:
    """Return the owner id under which this process requested the execution (`control.resume`); None if it did not."""
    with journal.reading() as connection:
        queued = executions.queued(connection, run_id)
        workers = known_workers(connection)
    mine = os.getpid(), process_start(os.getpid())
    starter = next((worker for worker in workers if queued is not None and worker.owner == queued.starter), None)
    return starter.owner if starter is not None and (starter.pid, starter.process_start) == mine else None


def _run(executor: Executor, execution: Execution) -> Outcome:
    handle = executor.dbos.start(execution)
    cancelled = False
    while True:
        try:
            return executor.dbos.result(handle)
        except KeyboardInterrupt:
            if cancelled:
                raise
            cancelled = True
            with executor.journal.writing(execution.run_id) as connection:
                connection.execute(runs.update().where(runs.c.run_id == execution.run_id).values(cancel_requested_at_ms=now_ms()))
        except Exception:
            if execution in executor.ended:  # DBOS could not record what the journal already has
                return executor.ended[execution]
            raise


def _unknown_to_dbos(executor: Executor, execution: Execution) -> Execution:
    """Replace an execution that DBOS knows already: starting it would only wait for a worker, or return an older journal's result."""
    while executor.dbos.workflows([execution]):
        with executor.journal.writing(execution.run_id) as connection:
            if executions.is_begun(connection, execution):
                break  # a worker was faster
            executions.end(connection, execution, "superseded")
            execution = executions.want(connection, execution.run_id, queued=True, starter=executor.owner)
    return execution
