"""Autopsies through the queue of a shared database: each once, whatever happens to the workers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.schema import nodes, outputs, runs
from smithers_nb.engine.location import Location
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy.stages import run_autopsy
from smithers_nb.workflows.batch import distributed
from smithers_nb.workflows.batch.local import failed_runs
from smithers_nb.workflows.triggers import background

pytestmark = pytest.mark.slow

NOW = 1_790_000_000_000
WORKER = "import sys; import smithers_nb.engine.workers.worker as w; w._IDLE_S = 1.0; from smithers_nb.cli import main; sys.exit(main())"


@pytest.fixture
def location(store, postgres):
    """A project whose store has eight failed runs, and a shared database."""
    return Location.of(store("fleet").parent, database=postgres)


@pytest.fixture
def failed(location):
    """The failures of that store, newest first."""
    source = open_source(location.root)
    yield distributed.failures(source, failed_runs(source))
    source.close()


def worker(location):
    """Start a worker as people do."""
    command = [sys.executable, "-c", WORKER, "worker", "--until-idle", "--database", location.url]
    with (location.root / "worker.log").open("ab") as log:
        return subprocess.Popen(command, cwd=location.root, stdout=log, stderr=log)


@pytest.fixture
def brisk(monkeypatch):
    """Workers that the batch itself starts end sooner than they usually do."""
    started = []

    def ensure(location):
        with Journal.open(location) as journal, journal.reading() as connection:
            if not known_workers(connection):
                started.append(worker(location))

    monkeypatch.setattr(background, "ensure_worker", ensure)
    yield
    for process in started:
        process.wait(60)


def settled(location):
    """Wait until every worker has gone in good order."""
    for _ in range(1200):
        with Journal.open(location) as journal, journal.reading() as connection:
            if not known_workers(connection):
                return
        time.sleep(0.1)
    raise AssertionError("workers are left")


def rows_of(location, query):
    """Read from the journal."""
    with Journal.open(location) as journal, journal.reading() as connection:
        return connection.execute(query).all()


def workflow_statuses(location):
    """Count the workflows of the durable engine by status."""
    engine = sa.create_engine(sa.make_url(location.engine_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT status FROM dbos.workflow_status WHERE name = 'execute_notebook'")).scalars().all()
    engine.dispose()
    return Counter(found)


def test_killed_workers_lose_and_double_no_autopsy(location, failed, tmp_path):
    """Three workers of which one is killed every second do eight autopsies: eight runs, verdicts, notebooks and reports, no more."""
    out, chance, told = tmp_path / "out", random.Random(7), []
    result = []
    asking = threading.Thread(
        target=lambda: result.extend(
            distributed.queue_autopsies(
                location,
                failed,
                source=str(location.root / "smithers.db"),
                artifacts=f"file://{out}",
                now=NOW,
                progress=lambda done, whole, _row: told.append((done, whole)),
            )
        )
    )
    crew = [worker(location) for _ in range(3)]
    asking.start()
    killed = 0
    while asking.is_alive():
        asking.join(chance.uniform(0.5, 2.0))
        victim = chance.randrange(len(crew))
        if killed < 8 and crew[victim].poll() is None:
            crew[victim].kill()
            killed += crew[victim].wait() == -signal.SIGKILL
            crew[victim] = worker(location)
    for process in crew:
        process.wait(60)
    settled(location)
    assert killed >= 3
    assert [row.run_id for row in result] == [one.run_id for one in failed]
    assert [row.error for row in result] == [None] * 8
    assert told == [(done, 8) for done in range(1, 9)]
    assert {(row.run_id, row.status) for row in rows_of(location, sa.select(runs))} == {(one.autopsy_id, "finished") for one in failed}
    verdicts = rows_of(location, sa.select(outputs.c.run_id).where(outputs.c.node_id == "output"))
    assert len(verdicts) == len(set(verdicts)) == 8
    assert {row.state for row in rows_of(location, sa.select(nodes.c.state))} == {"finished"}
    assert sorted(path.name for path in (out / "autopsy").iterdir()) == sorted(f"{one.run_id}.html" for one in failed)
    assert sorted(path.stem for path in (out / "post-failure").iterdir()) == sorted(one.autopsy_id for one in failed)
    assert set(workflow_statuses(location)) == {"SUCCESS"}
    for row in result[:2]:
        alone = run_autopsy(location.root, row.run_id, now=NOW)
        assert (row.failure_class, row.suggestion, row.signature) == (alone.failure_class, alone.suggestion, alone.signature)
        assert nbformat.read(row.notebook.removeprefix("file://"), as_version=4).cells[-1].outputs
        assert row.run_id in Path(row.report.removeprefix("file://")).read_text("utf-8")


def test_asking_twice_is_asking_once(location, failed, tmp_path):
    """Two people who ask at the same moment, and one who asks again later, get the rows of the same two autopsies."""
    asked = {"source": str(location.root / "smithers.db"), "artifacts": tmp_path / "out", "now": NOW}
    both = [[], []]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(distributed.queue_autopsies(location, failed[:2], **asked))) for mine in both
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert both[0] == both[1] == distributed.queue_autopsies(location, failed[:2], **asked)
    assert len(rows_of(location, sa.select(runs))) == 2
    assert workflow_statuses(location) == {"SUCCESS": 2}
    settled(location)


@pytest.mark.usefixtures("brisk")
def test_an_autopsy_that_failed_itself_is_begun_again(location, failed, tmp_path):
    """A store that was not there is in the row; once it is, asking again repeats what failed under the same id."""
    asked = {"source": str(location.root / "moved.db"), "artifacts": tmp_path / "out", "now": NOW}
    (row,) = distributed.queue_autopsies(location, failed[:1], **asked)
    assert "moved.db" in row.error
    os.link(location.root / "smithers.db", location.root / "moved.db")
    (again,) = distributed.queue_autopsies(location, failed[:1], **asked)
    assert (again.error, again.failure_class is None) == (None, False)
    assert len(rows_of(location, sa.select(runs))) == 1
    settled(location)


@pytest.mark.usefixtures("brisk")
def test_one_that_waits_for_a_person_has_its_verdict(store, postgres, endpoint, tmp_path):
    """A suspected bug of the engine parks its autopsy; the batch ends all the same, says what it found, and has sent nothing."""
    location = Location.of(store("prod-rollout").parent, database=postgres)
    source = open_source(location.root)
    (failure,) = distributed.failures(source, failed_runs(source))
    source.close()
    (row,) = distributed.queue_autopsies(
        location, [failure], source=str(location.root / "smithers.db"), artifacts=tmp_path / "out", now=NOW
    )
    assert (row.failure_class, row.error) == ("smithers-bug", None)
    assert Path(row.notebook).is_file()
    assert failure.run_id in Path(row.report).read_text("utf-8")
    assert [one.status for one in rows_of(location, sa.select(runs.c.status))] == ["waiting-approval"]
    assert endpoint.requests == []
    settled(location)


def test_a_failure_has_one_id(failed):
    """The id of an autopsy follows from store, run and time of the failure, and from nothing else."""
    one = failed[0]
    assert one.autopsy_id == one._replace().autopsy_id
    others = [one._replace(store="/elsewhere"), one._replace(failed_at=one.failed_at + 1), one._replace(run_id="other"), failed[1]]
    assert len({one.autopsy_id, *(other.autopsy_id for other in others)}) == 5
