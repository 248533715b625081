"""A worker that ends when idle, and work that comes in the moment it does."""

from __future__ import annotations

from pathlib import Path

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers, register
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers import worker as engine_worker
from tests.support.durable import Project


def test_a_worker_does_not_leave_work_behind(tmp_path: Path) -> None:
    """Work that comes in while a worker leaves is either seen by it, or by somebody who sees that no worker takes it."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit("1")
    with Journal.open(project.location) as journal:
        worker = engine_worker._Engine(journal, None, None, None)
        register(journal, worker.owner, engine_worker.QUEUE)
        assert worker._leaves()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [None]
        engine_worker.enqueue(project.location, run_id)
        assert not worker._leaves()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [engine_worker.QUEUE]
