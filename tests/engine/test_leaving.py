"""A worker that ends when idle, and work that comes in the moment it does."""

from __future__ import annotations

from pathlib import Path

from smithers_nb.engine import runtime
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.claims import known_workers, register
from smithers_nb.engine.place import Place
from tests.engine.durable import Project


def test_a_worker_does_not_leave_work_behind(tmp_path: Path) -> None:
    """Work that comes in while a worker leaves is either seen by it, or by somebody who sees that no worker takes it."""
    project = Project(Place.of(tmp_path))
    run_id = project.submit("1")
    with Journal.open(project.place) as journal:
        worker = runtime._Engine(journal, None, None, None)
        register(journal, worker.owner, runtime.QUEUE)
        assert worker._leaves()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [None]
        runtime.enqueue(project.place, run_id)
        assert not worker._leaves()
        with journal.reading() as connection:
            assert [found.queue for found in known_workers(connection)] == [runtime.QUEUE]
