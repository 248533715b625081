"""Recovery where the two owners of it meet: what the journal says is pending, and what DBOS has of it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import executions, workers
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.client import enqueue
from tests.support.durable import Project, effect, ended, until

SUSPENDED = """
import os, time
from smithers_nb.engine.stages import stage
def first():
    open('first', 'w').close()
    time.sleep(1.5)
    return 1
stage('first', first)
def second():
    with open('effects', 'a') as file:
        file.write('second ')
    return 2
stage('second', second)
"""


@pytest.mark.slow
def test_a_decision_without_a_worker_is_followed_by_the_next_one(project):
    """A decision made while no worker is alive is an outbox row; the first worker that comes relays it."""
    run_id = project.submit("from smithers_nb.engine.stages import gate\ngate('ship', 'Ship it?')", effect("shipped"))
    assert project.execute(run_id).status == "waiting-approval"
    control.decide(project.location, run_id, approved=True, by="ann")
    assert [row.queued_at_ms for row in project.rows(executions, run_id) if row.outcome is None] == [None]
    assert ended([project.process()]) == [f"{run_id} finished\n"]
    assert project.lines() == ["shipped"]


@pytest.mark.slow
def test_a_queue_row_that_was_lost_is_requested_anew(tmp_path):
    """An execution that was queued long ago and that DBOS does not know, its database restored or deleted, is queued again once."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(effect("done"))
    execution = enqueue(project.location, run_id)
    with Journal.open(project.location) as journal, journal.writing() as connection:
        long_ago = executions.update().values(queued_at_ms=int(time.time() * 1000) - 3_600_000)
        connection.execute(long_ago.where(executions.c.run_id == execution.run_id))
    assert ended([project.process()]) == [f"{run_id} finished\n"]
    assert [row.outcome for row in project.rows(executions, run_id)] == ["lost", "finished"]
    assert project.lines() == ["done"]


@pytest.mark.slow
def test_a_suspended_process_loses_its_run_and_begins_no_further_stage(project):
    """A process whose heartbeat has stood still is overruled although its pid lives; awake again, it writes and begins nothing more."""
    run_id = project.submit(SUSPENDED)
    first = project.process(run_id)
    until((project.root / "first").exists)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        with Journal.open(project.location) as journal, journal.writing() as connection:
            connection.execute(workers.update().values(heartbeat_at_ms=1))
        second = project.process()
        assert ended([second]) == [f"{run_id} finished\n"]
    finally:
        os.kill(first.pid, signal.SIGCONT)
    ended([first])
    assert project.run(run_id).status == "finished"
    assert project.lines() == ["second"]
