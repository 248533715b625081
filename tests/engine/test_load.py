"""Two workers under load, with workers and kernels killed at random: nothing is lost, doubled or left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.schema import attempts, runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.client import enqueue
from smithers_nb.errors import ControlRefused
from tests.support.durable import Project

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("SMITHERS_NB_TEST_LOAD", "12"))
"""How many; a hundred and more by hand."""

WORKER = "import sys; import smithers_nb.engine.workers.worker as w; w._IDLE_S = 1.0; from smithers_nb.cli import main; sys.exit(main())"
CELLS = (
    """
import os, time
def note(where, text):
    file = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (text + ' ').encode())
    os.close(file)
def step(word):
    note('effects', f'{name}:{word}')
    time.sleep(0.05)
note('kernels', str(os.getpid()))
""",
    "from smithers_nb.engine.stages import stage\nstage('first', step, 'first')",
    "stage('second', step, 'second')",
)


@pytest.fixture(params=["sqlite", "postgres"])
def project(request):
    """A project with a short path, so that the sockets of its kernels fit into it."""
    url = request.getfixturevalue("postgres") if request.param == "postgres" else None
    root = Path(tempfile.mkdtemp(prefix="snl-", dir="/tmp"))
    (root / "t").mkdir()
    yield Project(Location.of(root, database=url))
    for pid in processes(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(root)


def worker(project):
    """Start a worker as people do; what its kernels need for themselves is in `t`."""
    url = [] if project.location.file else ["--database", project.location.url]
    command = [sys.executable, "-c", WORKER, "worker", "--until-idle", *url]
    with (project.root / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=project.root, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(project.root / "t")})


def processes(folder):
    """List the processes that work in a folder: workers, what their kernels are made of, kernels."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                at_work = (process / "cwd").readlink() == folder
                alive = (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                continue
            if at_work and alive:
                found.append(int(process.name))
    return found


def statuses(project):
    """Read the status of every run."""
    with Journal.open(project.location) as journal, journal.reading() as connection:
        return {row.run_id: row.status for row in connection.execute(sa.select(runs.c.run_id, runs.c.status))}


def workflow_statuses(project):
    """Read the statuses of the durable engine."""
    url = sa.make_url(project.location.engine_url)
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if project.location.file is None else url)
    table = "dbos.workflow_status" if project.location.file is None else "workflow_status"
    with engine.connect() as connection:
        found = set(connection.execute(sa.text(f"SELECT status FROM {table} WHERE name = 'execute_notebook'")).scalars())
    engine.dispose()
    return found


def kill_a_kernel(project, chance):
    """Kill one of the kernels that began last, if it is still there."""
    pids = [int(pid) for pid in project.lines("kernels")[-3:]]
    alive = [pid for pid in pids if pid in processes(project.root)]
    with suppress(ProcessLookupError):  # it has just ended
        if alive:
            os.kill(chance.choice(alive), signal.SIGKILL)
            return True
    return False


def until_finished(project, workers, chance):
    """Kill what can be killed until enough is, and see to it that two workers are there and failed runs go on; count what was killed."""
    killed, end = Counter(), time.monotonic() + 60 + 3 * RUNS
    while set(statuses(project).values()) != {"finished"}:
        assert time.monotonic() < end, (statuses(project), (project.root / "log").read_text()[-3000:])
        time.sleep(chance.uniform(0.2, 1.0))
        if killed["kernels"] < RUNS // 4:
            killed["kernels"] += kill_a_kernel(project, chance)
        victim = chance.randrange(2)
        if workers[victim].poll() is None and killed["workers"] < RUNS // 4:
            workers[victim].kill()
            workers[victim].wait()
            killed["workers"] += 1
        if workers[victim].poll() is not None:
            workers[victim] = worker(project)
        for run_id, status in statuses(project).items():
            if status == "failed":
                try:
                    control.resume(project.location, run_id)
                except ControlRefused:
                    continue  # somebody has it already
    return killed


def test_whatever_is_killed_nothing_is_lost_doubled_or_left_behind(project):
    """Every run ends finished with each stage kept once; no worker, process or socket remains, and the durable engine has ended all."""
    ids = [
        control.submit(project.location, project.notebook(*CELLS), {"name": f"n{i}"}, cwd=project.root, post_failure=False)
        for i in range(RUNS)
    ]
    for run_id in ids:
        enqueue(project.location, run_id)
    workers, chance = [worker(project), worker(project)], random.Random(RUNS)
    killed = until_finished(project, workers, chance)
    for process in workers:
        assert process.wait(60) == 0
    assert killed["kernels"] >= 1 <= killed["workers"]
    assert statuses(project) == dict.fromkeys(ids, "finished")
    effects = Counter(project.lines())
    for number, run_id in enumerate(ids):
        tries = project.rows(attempts, run_id)
        for word in ("first", "second"):
            mine = [row for row in tries if row.node_id == word]
            assert [row.state for row in mine].count("finished") == 1, (run_id, word)
            # a stage whose kernel died before it was kept is tried again; that is the only way to a second effect
            assert 1 <= effects[f"n{number}:{word}"] <= len(mine), (run_id, word)
    with Journal.open(project.location) as journal, journal.reading() as connection:
        assert known_workers(connection) == []
    assert workflow_statuses(project) == {"SUCCESS"}
    assert processes(project.root) == []
    assert list((project.root / "t").iterdir()) == []
