"""A worker: takes executions from the queue, relays the outbox to it, and recovers what dead processes held."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import BEAT_S, take_from
from smithers_nb.engine.workers.dbos import POLL_INTERVAL_S, QUEUE
from smithers_nb.engine.workers.executor import Executor, executing
from smithers_nb.engine.workers.recovery import Recovery
from smithers_nb.errors import JournalUnusable
from smithers_nb.private_folder import sweep

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location

_IDLE_S: Final = 5.0
"""How long a worker that ends when idle waits for more."""

_AWAY_S: Final = 120.0
"""How long such a worker, which nobody looks after, waits for a database that is away."""


def work(
    location: Location,
    *,
    concurrency: int | None = None,
    until_idle: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Take executions from the queue until stopped.

    Args:
        location: Project and database.
        concurrency: Notebooks at once, for every worker of this database; the number of cores by default.
        until_idle: End when there has been nothing to do for some seconds.
        on_outcome: Called with the outcome of each execution, in the thread that ran it; its errors are logged and go no further.
        stop: Set by the caller to end; what is under way is taken over by the next worker.

    Raises:
        JournalUnusable: The journal cannot be opened.
    """
    from smithers_nb.engine.kernels.pool import prewarmed

    slots = concurrency or os.cpu_count() or 1
    with Journal.open(location) as journal, prewarmed() as kernels:
        executor = Executor(journal, kernels=kernels, on_outcome=on_outcome)
        with executing(executor, slots=slots):
            Worker(executor).serve_until_done(stop or threading.Event(), until_idle=until_idle)


class Worker:
    """The loop of a worker; DBOS executes in threads of its own meanwhile."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._journal = executor.journal
        self._recovery = Recovery(executor)

    def serve_until_done(self, stop: threading.Event, *, until_idle: bool) -> None:
        """Relay the outbox and recover, until stopped or idle."""
        busy_at = reached_at = time.monotonic()
        recovered_at = 0.0
        while not stop.wait(POLL_INTERVAL_S):
            try:
                self.relay_outbox()
                if time.monotonic() - recovered_at > BEAT_S:
                    recovered_at = time.monotonic()
                    self._recovery.recover()
                if until_idle and self._has_work():
                    busy_at = time.monotonic()
                if until_idle and time.monotonic() - busy_at > _IDLE_S:
                    if self.drain():
                        return
                    busy_at = time.monotonic()
                reached_at = time.monotonic()
            except JournalUnusable:  # a database that is away for a moment comes back
                if until_idle and time.monotonic() - reached_at > _AWAY_S:
                    raise

    def drain(self) -> bool:
        """Take no more work, and return whether this worker may leave: not when some came in at this very moment.

        Whoever requests work looks for a worker afterwards; a worker that leaves deregisters from the queue first and looks for work
        afterwards. So one of the two sees the other.
        """
        take_from(self._journal, self._executor.owner, None)
        if not self._has_work():
            sweep()  # what kernels of a killed worker were made of can outlive it, and its recovery, for a moment
            return True
        take_from(self._journal, self._executor.owner, QUEUE)
        return False

    def relay_outbox(self) -> None:
        """Put on DBOS's queue what the journal says is pending; twice does no harm."""
        with self._journal.reading() as connection:
            pending = executions.pending(connection)
        for execution in pending:
            if self._executor.dbos.enqueue(execution):
                with self._journal.writing() as connection:
                    executions.mark_queued(connection, execution)

    def _has_work(self) -> bool:
        return bool(self._executor.at_work) or self._recovery.has_work()
