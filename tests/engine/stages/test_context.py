"""A run of a kernel that nobody executes durably ends with that kernel, however the kernel ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import sqlalchemy as sa

from smithers_nb.engine import control
from smithers_nb.engine.execution.run_execution import abandon
from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages import context, stage
from smithers_nb.errors import LeaseLost
from smithers_nb.project import connect

KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def project(tmp_path):
    """An empty project."""
    (tmp_path / ".smithers_nb").mkdir()
    return Location.of(tmp_path)


def killed(project, *lines):
    """Run lines in a process of its own until it is killed, and give its run."""
    code = "\n".join(("import os, signal", "from smithers_nb import gate, stage", *lines))
    assert subprocess.run([sys.executable, "-c", code], cwd=project.root, check=False, capture_output=True).returncode < 0
    with Journal.open(project) as journal, journal.reading() as connection:
        return connection.execute(sa.select(runs.c.run_id)).scalar_one()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"stage('whole', lambda: 1)\nstage('cut-off', lambda: {KILL})"], "failed"),
        ([f"stage('outer', lambda: stage('inner', lambda: {KILL}))"], "failed"),
        (["stage('whole', lambda: 1)", KILL], "finished"),
        (["try:\n    gate('ship', 'Ship?')\nexcept BaseException: pass", KILL], "cancelled"),
    ],
    ids=["in a stage", "in a stage of a stage", "between two", "at a gate"],
)
def test_a_kernel_that_was_killed(project, lines, status):
    """Its run is not running for ever: a worker that finds it ends it, once, with a reason where a stage was under way."""
    run_id = killed(project, *lines)
    with Journal.open(project) as journal:
        for _ in range(2):
            abandon(journal, executions.Execution(run_id, 1))
        with journal.reading() as connection:
            row = connection.execute(sa.select(runs)).one()
            assert executions.unfinished(connection) == []
    assert (row.status, row.runtime_owner_id) == (status, None)
    if status == "failed":
        assert json.loads(row.error_json)["code"] == "KERNEL_DIED"
        with connect(project.root) as found:
            why = found.run(run_id).why()
        assert "the kernel ended in the middle of" in why.summary
        assert why.advice.commands == ("smithers-nb up NOTEBOOK.ipynb",)
        assert "starts a durable run" in why.advice.detail


def test_a_live_kernel_gives_signs_of_life(project, monkeypatch):
    """Who looks from another machine sees that the kernel of a person lives, until it has ended."""
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(context, "_by_hand", {})
    monkeypatch.setattr(context, "_BEAT_S", 0.01)
    run = context.lab_run()
    with run.journal.reading() as connection:
        (first,) = known_workers(connection)
    later = first
    while later.heartbeat_at_ms == first.heartbeat_at_ms:
        with run.journal.reading() as connection:
            (later,) = known_workers(connection)
    context._end(run, first.pid)
    with run.journal.reading() as connection:
        assert known_workers(connection) == []
    run.journal.close()


def test_a_run_by_hand_that_is_cancelled(project, monkeypatch):
    """It is over at once, because nobody watches its kernel, and the kernel learns of it with its next stage."""
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(context, "_by_hand", {})
    run = context.lab_run()
    assert control.cancel(project, run.run_id).result == "cancelled"
    with pytest.raises(LeaseLost, match="cancelled and no longer executed"):
        stage("late", lambda: 1)
    run.over.set()
    run.journal.close()
