"""A worker that ends when idle, and work that comes in the moment it does."""

from __future__ import annotations

from pathlib import Path

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers, register
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.client import enqueue
from smithers_nb.engine.workers.dbos import QUEUE
from smithers_nb.engine.workers.executor import Executor
from smithers_nb.engine.workers.worker import Worker
from tests.support.durable import Project


def test_a_worker_does_not_leave_work_behind(tmp_path: Path) -> None:
    """Work that comes in while a worker leaves is either seen by it, or by somebody who sees that no worker takes it."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit("1")
    with Journal.open(project.location) as journal:
        executor = Executor(journal)
        worker = Worker(executor)
        register(journal, executor.owner, QUEUE)
        assert worker.drain()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [None]
        enqueue(project.location, run_id)
        assert not worker.drain()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [QUEUE]
