"""A notebook on a schedule is started by whatever worker is there, once at each time, until the schedule is taken away."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.dbos import Schedule
from smithers_nb.engine.workers.schedules import schedule, unschedule
from smithers_nb.errors import ParameterError
from tests.support.durable import Project, until


def finished(project):
    """List the finished runs of a project."""
    with Journal.open(project.location) as journal, journal.reading() as connection:
        return [row.run_id for row in connection.execute(sa.select(runs).where(runs.c.status == "finished"))]


@pytest.mark.slow
def test_a_worker_starts_what_is_due(tmp_path):
    """Each time is one run under an id with that time; after the schedule is gone there is none to take away."""
    project = Project(Location.of(tmp_path))
    first = project.submit("with open('effects', 'a') as file:\n    file.write(name + ' ')", parameters={"name": "seed"})
    notebook = project.run(first).workflow_path
    start = {"notebook": notebook, "parameters": {"name": "look"}, "cwd": str(project.root)}
    with pytest.raises(ParameterError, match="not a valid schedule"):
        schedule(project.location, Schedule("looks", "now and then", start))
    schedule(project.location, Schedule("looks", "* * * * * *", start))
    command = [sys.executable, "-m", "smithers_nb", "worker", "--concurrency", "1"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        until(lambda: len(finished(project)) >= 2, 60)
        assert unschedule(project.location, "looks")
        assert not unschedule(project.location, "looks")
        worker.terminate()
    ids = finished(project)
    assert all(run_id.startswith("looks-20") for run_id in ids)
    assert set(project.lines()) == {"look"}
