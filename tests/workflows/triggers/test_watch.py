"""A watched Smithers project: each failure looked into once, whatever happens to the watcher and the store."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.location import Location
from smithers_nb.errors import SourceError, SourceNotFound, SourceUnreadable
from smithers_nb.workflows.pack.install import install
from smithers_nb.workflows.triggers import launch, watch
from smithers_nb.workflows.triggers.watch import Watcher, looked_into

INVOICE = "invoice-rollup"
KILLED = """
import os, signal, sys
from pathlib import Path
from smithers_nb.workflows.triggers import launch as triggers
from smithers_nb.engine.location import Location
from smithers_nb.workflows.triggers.watch import Watcher
triggers.launch = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
Watcher(Location.of(sys.argv[1]), Path(sys.argv[1]), since_ms=0).look()
"""


@pytest.fixture(autouse=True)
def ended():
    """End what a test has launched; what an autopsy finds is tested elsewhere."""
    yield
    for child in launch._started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture
def project(store):
    """Return a project that has a store of tests/data and our pack."""

    def make(name=INVOICE):
        folder = store(name).parent
        install(Location.of(folder))
        return folder

    return make


def watcher(folder, since_ms=0):
    """Start a watcher, as a restart would."""
    return Watcher(Location.of(folder), folder, since_ms=since_ms)


def change(folder, sql, *values):
    """Let the engine write to the store."""
    with closing(sqlite3.connect(folder / "smithers.db")) as connection:
        connection.execute(sql, values)
        connection.commit()


def launched(folder):
    """Read which autopsies are in the journal."""
    with Journal.open(Location.of(folder)) as journal, journal.reading() as connection:
        return sorted(connection.execute(sa.select(runs.c.run_id)).scalars())


def test_a_failure_is_looked_into_once(project):
    """One autopsy of one failure: not again by the same watcher, by another one, or after a restart."""
    folder = project()
    one = watcher(folder)
    (seen,) = one.look()
    assert (seen.workflow, seen.problem, one.settled) == (INVOICE, "", True)
    assert one.look() == watcher(folder).look() == []
    assert launched(folder) == [seen.autopsy_run_id]


def test_a_watch_begins_now(project):
    """What failed before the time that a watch begins at is left alone."""
    assert watcher(project(), since_ms=2_000_000_000_000).look() == []


def test_a_run_that_fails_again_is_a_new_failure(project):
    """After a retry that fails again there is a second autopsy; while it runs there is none."""
    folder = project()
    one = watcher(folder)
    one.look()
    change(folder, "UPDATE _smithers_runs SET status = 'running'")
    assert one.look() == []
    change(folder, "UPDATE _smithers_runs SET status = 'failed', finished_at_ms = finished_at_ms + 60000")
    assert len(one.look()) == 1
    assert len(launched(folder)) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE _smithers_runs SET workflow_name = 'post-failure'",
        "UPDATE _smithers_runs SET workflow_name = 'workflow', workflow_path = '/p/.smithers/workflows/monitor.tsx'",
        "UPDATE _smithers_runs SET run_id = 'a:child:b:0'",
        "UPDATE _smithers_runs SET status = 'cancelled'",
        "UPDATE _smithers_runs SET status = 'waiting-approval'",
    ],
)
def test_what_is_no_failure_of_its_own_is_left_alone(project, sql):
    """Ops workflows, Smithers' own autopsies, child runs, cancellations and waiting runs get no autopsy."""
    folder = project("lint-fixer")
    change(folder, sql)
    one = watcher(folder)
    assert one.look() == []
    assert one.settled


def test_a_failure_that_was_filed_as_a_cancellation_counts(project):
    """A run that the engine recorded as cancelled although it failed gets its autopsy."""
    assert len(watcher(project("masked-abort")).look()) == 1


def test_a_child_is_looked_into_with_its_parent(project):
    """Of a parent and its child runs that all failed, the parent gets the autopsy."""
    (seen,) = watcher(project("grandchild")).look()
    assert ":child:" not in seen.run_id


def test_many_failures_wait_for_their_turn(project, monkeypatch):
    """No more autopsies are started at once than there is room for; the next looks start the rest."""
    monkeypatch.setattr(watch, "_MAX_AUTOPSIES", 2)
    folder = project("pricing")
    one = watcher(folder)
    assert len(one.look()) == 2
    assert not one.settled
    assert one.look() == []
    for child in launch._started:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert len(one.look()) == 2
    assert len(launched(folder)) == 4


@pytest.mark.slow
def test_killed_before_the_launch(project):
    """A watcher killed between noticing a failure and launching its autopsy: the next one launches it, whatever time it begins at, once."""
    folder = project()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert launched(folder) == []
    assert len(watcher(folder, since_ms=2_000_000_000_000).look()) == 1
    assert watcher(folder).look() == []
    assert len(launched(folder)) == 1


def test_two_watchers_at_once(project):
    """Two watchers that start at the same time share the failures: each gets one autopsy, told by one of them."""
    folder = project("pricing")
    change(
        folder,
        "UPDATE _smithers_runs SET status = 'paused' WHERE run_id NOT IN (SELECT run_id FROM _smithers_runs "
        "WHERE status = 'failed' LIMIT 2)",
    )
    code = "import sys; from smithers_nb.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "watch", str(folder), "--once", "--since", "2000-01-01", "--format", "jsonl"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    told = [line for watching in both for line in watching.communicate(timeout=120)[0].splitlines()]
    assert [watching.returncode for watching in both] == [0, 0]
    assert len(told) == 2
    assert len(launched(folder)) == 2


def test_a_store_in_trouble(project, tmp_path):
    """A store that is missing, damaged, locked or replaced raises each look, and the next look at a good one goes on."""
    folder = project()
    file, good = folder / "smithers.db", tmp_path / "good.db"
    shutil.copyfile(file, good)
    one = watcher(folder)
    file.unlink()
    with pytest.raises(SourceNotFound):
        one.look()
    file.write_bytes(b"no database at all")
    with pytest.raises(SourceUnreadable):
        one.look()
    shutil.copyfile(good, file)
    assert len(one.look()) == 1
    file.write_bytes(good.read_bytes()[:8192])
    with pytest.raises(SourceError):
        one.look()
    file.unlink()
    shutil.copyfile(good, file)
    change(folder, "UPDATE _smithers_runs SET run_id = 'another', finished_at_ms = finished_at_ms + 1")
    (seen,) = one.look()
    assert seen.run_id == "another"


def test_a_locked_store_is_read_all_the_same(project):
    """An engine that holds the store for writing does not hold up a watch."""
    folder = project()
    with closing(sqlite3.connect(folder / "smithers.db", isolation_level=None)) as engine:
        engine.execute("PRAGMA journal_mode = WAL")
        engine.execute("BEGIN IMMEDIATE")
        engine.execute("UPDATE _smithers_runs SET heartbeat_at_ms = 1")
        assert len(watcher(folder).look()) == 1


def test_the_store_is_only_read(project):
    """Watching changes nothing in the store and leaves nothing beside it."""
    folder = project()
    before = (folder / "smithers.db").read_bytes()
    watcher(folder).look()
    assert (folder / "smithers.db").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [".smithers_nb", "smithers.db"]


def test_a_trigger_and_a_watcher_share_one_autopsy(project):
    """A failure that the command line has launched an autopsy for is no news for a watcher, and the other way round."""
    folder = project()
    location = Location.of(folder)
    with closing(sqlite3.connect(folder / "smithers.db")) as connection:
        ((run_id,),) = connection.execute("SELECT run_id FROM _smithers_runs").fetchall()
    _, done = looked_into(location, folder, run_id)
    assert watcher(folder).look() == []
    assert looked_into(location, folder, run_id)[1] == done
    assert looked_into(location, folder, "no-such-run")[1].reason == "no-run-id"
    assert launched(folder) == [done.autopsy_run_id]


def their_autopsy(folder, target, at_ms):
    """Let Smithers' own trigger launch one."""
    change(
        folder,
        "INSERT INTO _smithers_runs (run_id, workflow_name, status, created_at_ms, started_at_ms) "
        "VALUES (?, 'post-failure', 'running', ?, ?)",
        *("post-failure-abc-123456", at_ms, at_ms),
    )
    change(folder, "ALTER TABLE input ADD COLUMN target_run_id TEXT")
    change(folder, "INSERT INTO input (run_id, target_run_id) VALUES ('post-failure-abc-123456', ?)", target)


def failure_of(folder):
    """Read which run failed, and when."""
    with closing(sqlite3.connect(folder / "smithers.db")) as connection:
        return connection.execute("SELECT run_id, finished_at_ms FROM _smithers_runs").fetchone()


def test_what_their_trigger_looks_into_is_left_alone(project):
    """A failure that has an autopsy in the target's own store gets no second one; one that failed again since does."""
    folder = project()
    run_id, failed_at = failure_of(folder)
    their_autopsy(folder, run_id, failed_at + 900)
    one = watcher(folder)
    assert (one.look(), one.settled) == ([], True)
    assert looked_into(Location.of(folder), folder, run_id)[1].reason == "looked-into"
    assert launched(folder) == []
    change(folder, "UPDATE _smithers_runs SET finished_at_ms = finished_at_ms + 60000 WHERE run_id = ?", run_id)
    assert len(one.look()) == 1


def test_their_trigger_goes_first(project, monkeypatch):
    """Where Smithers' trigger has a workflow to launch, a watcher gives it some seconds before it launches one itself."""
    folder = project()
    run_id, failed_at = failure_of(folder)
    (folder / ".smithers" / "workflows").mkdir(parents=True)
    (folder / ".smithers" / "workflows" / "post-failure.tsx").write_text("export default 1;")
    monkeypatch.setattr(watch, "now_ms", lambda: failed_at + 3_000)
    one = watcher(folder)
    assert (one.look(), one.settled) == ([], False)
    monkeypatch.setattr(watch, "now_ms", lambda: failed_at + 20_000)
    assert [seen.run_id for seen in one.look()] == [run_id]
