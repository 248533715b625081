"""The commands printed for workflows of DBOS are those of its own program, and do what they say."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.dbos import VARIABLE, DbosCommands
from smithers_nb.model.rows import NodeRow, RunRow, TaskRow
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.urls import POSTGRES
from tests.support.data import SUPPORT

APP = SUPPORT / "dbos_app.py"
STATUS = "SELECT status FROM workflow_status WHERE workflow_uuid = ?"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """The database of a real application, in a folder whose name needs quoting."""
    path = tmp_path_factory.mktemp("it's a shop") / "shop.sqlite"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBOS")}
    subprocess.run([sys.executable, str(APP), f"sqlite:///{path}"], env=environment, timeout=60, check=False)
    return path


def run(line: str) -> str:
    """Run a line as a person would paste it."""
    program = shutil.which("dbos", path=str(Path(sys.executable).parent)) or "dbos"
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(line, shell=True, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=True).stdout


def status(path: Path, run_id: str) -> str:
    """What DBOS has of a workflow now."""
    connection = sqlite3.connect(path)
    found = connection.execute(STATUS, (run_id,)).fetchone()
    connection.close()
    return found[0]


@pytest.mark.slow
def test_printed_lines_work_as_printed(shop):
    """Show, steps, fork, cancel and resume do to a real workflow what they are printed for."""
    source = open_source(str(shop))
    cli = {run_id: engine_of(Snapshot(source, run_id)) for run_id in ("refused-1", "sleeper-1")}
    assert '"refused-1"' in run(cli["refused-1"].inspect("refused-1"))
    assert '"function_name": "ship"' in run(cli["refused-1"].node("refused-1", "ship"))
    assert '"forked_from": "refused-1"' in run(cli["refused-1"].resume(None, "refused-1"))
    run(cli["sleeper-1"].cancel("sleeper-1"))
    assert status(shop, "sleeper-1") == "CANCELLED"
    run(cli["sleeper-1"].resume(None, "sleeper-1"))
    assert status(shop, "sleeper-1") == "ENQUEUED"
    (forked,) = [row for row in source.rows(RunRow) if row.parent_run_id == "refused-1"]
    assert [node.node_id for node in source.rows(NodeRow, forked.run_id)] == ["charge"]
    source.close()


def test_a_fork_begins_where_it_helps(shop):
    """It begins with the step that failed, with the start of the child that failed, or after the last step when none did."""
    source = open_source(str(shop))
    begins = {"refused-1": 2, "tired-1": 2, "parent-1": 2, "own_fault-1": 3, "portable-1": 2}
    for run_id, step in begins.items():
        assert f"--step {step} " in DbosCommands(Snapshot(source, run_id)).resume(None, run_id), run_id
    source.close()


def test_every_function_of_an_engine_is_there(shop):
    """Whatever a diagnosis may print exists, starts with the program and names the workflow."""
    source = open_source(str(shop))
    cli = DbosCommands(Snapshot(source, "refused-1"))
    lines = [
        cli.retry_task(None, "refused-1", "ship"),
        cli.fresh_run(None, {}),
        cli.rewind("refused-1", 0),
        cli.events("refused-1"),
        cli.approve("refused-1", "x"),
        cli.deny("refused-1", "x"),
        cli.choose("refused-1", "x", 0, {}),
        cli.answer("human:refused-1", "{}"),
        cli.signal("refused-1", "go"),
    ]
    assert all(line.startswith("dbos workflow ") and line.endswith(" refused-1") for line in lines)
    assert cli.accepting_change(lines[0]) == lines[0]
    source.close()


def test_hostile_ids_and_passwords_stay_out_of_the_shell():
    """An id is one argument, whatever it holds, and a Postgres database is named by its variable, not by its URL."""
    run_row = SimpleNamespace(status="failed", error_code=None)
    task = TaskRow("r", "n", 0, 1, "compute", None, None, None, None)
    for scheme, run_id in product(POSTGRES, ("-x", "$(touch /tmp/x)", "a b;'\"", "--help")):
        source = SimpleNamespace(location=f"{scheme}://db.example/shop?schema=it's", kind="dbos")
        cli = DbosCommands(SimpleNamespace(run=run_row, tasks=[task], nodes=[], source=source))
        line = cli.resume(None, run_id)
        assert shlex.split(line)[-1] == run_id
        assert f'"${VARIABLE}"' in line
        assert shlex.split(line)[shlex.split(line).index("--schema") + 1] == "it's"
        assert ("-- " in line) == run_id.startswith("-")
