"""Recovery: what dead processes held goes back on the queue, and what DBOS has lost is requested anew.

DBOS knows which executor holds a workflow, the journal knows which executors are alive; recovery joins the two. Any worker does it, every
few seconds. Which of the two decides what, and the test that kills a process there, stands in `CONTRIBUTING.md`.
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
    """Recovers what dead processes have left, for one worker."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._journal, self._dbos = executor.journal, executor.dbos
        self._looked_for_overdue = 0.0
        self._suspects: set[str] = set()

    def has_work(self) -> bool:
        """Return whether an execution waits or was left behind, or a process has died: even the end of one has to be followed."""
        with self._journal.reading() as connection:
            others = [worker for worker in known_workers(connection) if worker.owner != self._executor.owner]
            alive = {worker.owner for worker in others if worker.is_alive(now_ms())}
            return len(alive) < len(others) or any(left.owner not in alive for left in executions.unfinished(connection))

    def recover(self) -> None:
        """Requeue what dead processes held, and request anew what DBOS has lost or given up."""
        with self._journal.reading() as connection:
            workers = known_workers(connection)
            alive = self._alive(workers)
            left = [unfinished for unfinished in executions.unfinished(connection) if self._is_left(unfinished, alive)]
            doubtful = {unfinished.execution for unfinished in left} | self._overdue(connection)
        dead = [worker.owner for worker in workers if worker.owner not in alive]
        for owner in dead:  # also what had ended in the journal and not in DBOS yet
            for workflow_id in self._dbos.held_by(owner):
                self._dbos.resume(workflow_id)
        for unfinished in left:  # among them what this process could not end while the journal was away
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
        """Return the owners that can still be at work, one whose lease has just run out among them.

        After an outage of the journal, or when a machine wakes up, every lease has run out; who is alive renews it within a moment.
        """
        suspects = {worker.owner for worker in workers if worker.is_stale(now_ms())}
        dead = {worker.owner for worker in workers if worker.is_gone()} | (suspects & self._suspects)
        self._suspects = suspects
        return {worker.owner for worker in workers if worker.owner == self._executor.owner or worker.owner not in dead}

    def _is_left(self, unfinished: Unfinished, alive: set[str]) -> bool:
        """Return whether nobody works on an execution that somebody has begun."""
        if unfinished.owner is None:
            return False
        here = unfinished.owner == self._executor.owner
        return unfinished.owner not in alive or (here and unfinished.execution not in self._executor.at_work)

    def _overdue(self, connection: sa.Connection) -> set[Execution]:
        """Find, now and then, what was queued long ago and has not begun: mostly it just waits for its turn."""
        if time.monotonic() - self._looked_for_overdue < _OVERDUE_S:
            return set()
        self._looked_for_overdue = time.monotonic()
        return set(executions.overdue(connection, now_ms() - round(_OVERDUE_S * 1000)))
