"""Recovery: puts executions of dead processes back on the queue, and requests again what DBOS has lost.

DBOS knows which executor holds a workflow, the journal knows which executors are alive; recovery combines the two. Every worker does it,
every few seconds. `CONTRIBUTING.md` has a table of which of the two decides what, with the test that kills a process there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.execution.run_execution import abandon
from smithers_nb.engine.journal import executions
from smithers_nb.engine.journal.leases import deregister, known_workers, release
from smithers_nb.model.timestamps import now_ms
from smithers_nb.private_folder import sweep

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.executions import Execution, Unfinished
    from smithers_nb.engine.journal.leases import Worker
    from smithers_nb.engine.workers.executor import Executor

_OVERDUE_S: Final = 30.0


class Recovery:
    """Recovers the executions of dead processes, for one worker."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._journal, self._dbos = executor.journal, executor.dbos
        self._looked_for_overdue = 0.0
        self._suspects: set[str] = set()

    def has_work(self) -> bool:
        """Return whether an execution is waiting or was left behind, or a dead worker is still registered."""
        with self._journal.reading() as connection:
            others = [worker for worker in known_workers(connection) if worker.owner != self._executor.owner]
            alive = {worker.owner for worker in others if worker.is_alive(now_ms())}
            return len(alive) < len(others) or any(left.owner not in alive for left in executions.unfinished(connection))

    def recover(self) -> None:
        """Requeue the executions of dead processes, and request again those that DBOS has lost or given up."""
        with self._journal.reading() as connection:
            workers = known_workers(connection)
            alive = self._alive(workers)
            left = [unfinished for unfinished in executions.unfinished(connection) if self._is_left(unfinished, alive)]
            doubtful = {unfinished.execution for unfinished in left} | self._overdue(connection)
        dead = [worker.owner for worker in workers if worker.owner not in alive]
        for owner in dead:  # including those that had ended in the journal but not in DBOS
            for workflow_id in self._dbos.held_by(owner):
                self._dbos.resume(workflow_id)
        for unfinished in left:  # including those that this process could not end while the journal was unavailable
            release(self._journal, unfinished.execution.run_id, str(unfinished.owner))
        known = self._dbos.workflows(doubtful)
        for execution in doubtful:
            workflow = known.get(execution.workflow_id)
            if workflow is None or workflow.is_over:
                abandon(self._journal, execution)
            elif workflow.status == "PENDING" and workflow.executor not in alive:
                self._dbos.resume(workflow.id)
        for owner in dead:
            deregister(self._journal, owner)
        if dead:
            sweep()

    def _alive(self, workers: list[Worker]) -> set[str]:
        """Return the owners that may still be working, including those whose lease has only just expired.

        After an outage of the journal, or when a machine wakes up, every lease has expired; live workers renew theirs within a moment.
        """
        suspects = {worker.owner for worker in workers if worker.is_stale(now_ms())}
        dead = {worker.owner for worker in workers if worker.is_gone()} | (suspects & self._suspects)
        self._suspects = suspects
        return {worker.owner for worker in workers if worker.owner == self._executor.owner or worker.owner not in dead}

    def _is_left(self, unfinished: Unfinished, alive: set[str]) -> bool:
        """Return whether an execution was begun but no process works on it."""
        if unfinished.owner is None:
            return False
        here = unfinished.owner == self._executor.owner
        return unfinished.owner not in alive or (here and unfinished.execution not in self._executor.at_work)

    def _overdue(self, connection: sa.Connection) -> set[Execution]:
        """Return, at most every 30 s, executions that were queued long ago and have not begun; most just wait for a slot."""
        if time.monotonic() - self._looked_for_overdue < _OVERDUE_S:
            return set()
        self._looked_for_overdue = time.monotonic()
        return set(executions.overdue(connection, now_ms() - round(_OVERDUE_S * 1000)))
