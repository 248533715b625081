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
"""How long a worker that exits when idle waits for more work."""

_AWAY_S: Final = 120.0
"""How long such an unattended worker waits for an unavailable database."""


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
        concurrency: Notebooks at once, per worker; defaults to the number of cores.
        until_idle: Return after some seconds without work.
        on_outcome: Called with the outcome of each execution, in the thread that ran it; its errors are only logged.
        stop: Set by the caller to stop; running executions are taken over by the next worker.

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
    """The main loop of a worker; DBOS executes notebooks in its own threads."""

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
            except JournalUnusable:  # the database may be unavailable for a moment
                if until_idle and time.monotonic() - reached_at > _AWAY_S:
                    raise

    def drain(self) -> bool:
        """Stop taking work, and return whether this worker may exit, which it may not if work has just arrived.

        A requester looks for a worker after it has requested work; a worker that exits leaves the queue first and then looks for work. So
        one of the two sees the other.
        """
        take_from(self._journal, self._executor.owner, None)
        if not self._has_work():
            sweep()  # the zygote of a killed worker can outlive it, and its recovery, for a moment
            return True
        take_from(self._journal, self._executor.owner, QUEUE)
        return False

    def relay_outbox(self) -> None:
        """Put the journal's pending executions on DBOS's queue; doing so twice is harmless."""
        with self._journal.reading() as connection:
            pending = executions.pending(connection)
        for execution in pending:
            if self._executor.dbos.enqueue(execution):
                with self._journal.writing() as connection:
                    executions.mark_queued(connection, execution)

    def _has_work(self) -> bool:
        return bool(self._executor.at_work) or self._recovery.has_work()
