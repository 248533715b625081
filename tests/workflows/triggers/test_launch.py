"""The launch guard, and the launch itself."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import INPUT, Node, read_output
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.location import Location
from smithers_nb.resources import resource
from smithers_nb.workflows.triggers import launch as launching
from smithers_nb.workflows.triggers.launch import (
    OPS_WORKFLOWS,
    REASONS,
    Failed,
    Launched,
    Skipped,
    installed_at,
    launch,
    launch_once,
    refusal,
)

FAILED = Failed("run-1", "nightly", "/p/nightly.ipynb")
AUTOPSY_ID = re.compile(r"post-failure-[0-9a-z]{8,9}-[0-9a-z]{6}")


@pytest.fixture
def location(tmp_path):
    """A project with the pack installed."""
    found = Location(tmp_path, f"sqlite:///{tmp_path / '.smithers_nb' / 'journal.db'}")
    installed_at(found).parent.mkdir(parents=True)
    installed_at(found).write_bytes(resource("notebooks/autopsy.ipynb").read_bytes())
    return found


@pytest.fixture(autouse=True)
def ended():
    """End what a test has launched."""
    yield
    for child in launching._started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def written(location):
    """Read the runs of the journal."""
    with Journal.open(location) as journal, journal.reading() as connection:
        return connection.execute(sa.select(runs)).all()


@pytest.mark.parametrize(
    ("reason", "failed", "disabled", "environment"),
    [
        ("no-run-id", Failed(None), False, {}),
        ("no-run-id", Failed(""), False, {}),
        ("flag-disabled", FAILED, True, {}),
        ("env-disabled", FAILED, False, {"SMITHERS_POST_FAILURE": "0"}),
        *(("ops-workflow", Failed("run-1", name, None), False, {}) for name in sorted(OPS_WORKFLOWS)),
        *(("ops-workflow", Failed("run-1", "workflow", f"/p/{name}.tsx"), False, {}) for name in sorted(OPS_WORKFLOWS)),
    ],
)
def test_each_guard_launches_nothing(location, reason, failed, disabled, environment):
    """Each guard alone is a reason for launching nothing: no run is written, no process started."""
    assert launch(location, failed, disabled=disabled, environment=environment) == Skipped(reason)
    assert not location.file.exists()


def test_the_guards_stand_in_smithers_order(tmp_path):
    """When several guards hold, the reason is the first in Smithers' order."""
    bare = Location(tmp_path, f"sqlite:///{tmp_path / 'journal.db'}")
    off, ops = {"SMITHERS_POST_FAILURE": "0"}, Failed("run-1", "monitor")
    found = [
        refusal(bare, Failed(None, "monitor"), disabled=True, environment=off),
        refusal(bare, ops, disabled=True, environment=off),
        refusal(bare, ops, environment=off),
        refusal(bare, ops, environment={}),
        refusal(bare, FAILED, environment={}),
    ]
    assert [*found, "looked-into", "spawn-failed"] == list(REASONS)


@pytest.mark.parametrize("value", ["1", "", "yes"])
def test_only_zero_opts_out(location, value):
    """Any other value of SMITHERS_POST_FAILURE than 0 leaves the trigger on, as in Smithers."""
    assert refusal(location, FAILED, environment={"SMITHERS_POST_FAILURE": value}) is None


@pytest.mark.parametrize("name", ["monitoring", "my-monitor", "initial", "post-failures"])
def test_a_name_that_only_looks_like_ops_is_looked_into(location, name):
    """Names are compared whole."""
    assert refusal(location, Failed("run-1", name, f"/p/{name}.ipynb"), environment={}) is None


def test_a_launch_is_a_durable_run_in_a_process_of_its_own(location, tmp_path):
    """The autopsy is in the journal at once; its process has a session of its own, the opt-out in its environment and its log in a file."""
    workflow = tmp_path / "nightly.ipynb"
    workflow.write_text("{}")
    done = launch(location, Failed("run-1", "nightly", str(workflow)), environment=dict(os.environ))
    assert isinstance(done, Launched)
    assert AUTOPSY_ID.fullmatch(done.autopsy_run_id)
    child = launching._started[-1]
    assert os.getsid(child.pid) == child.pid
    assert b"SMITHERS_POST_FAILURE=0" in Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
    assert Path(f"/proc/{child.pid}/fd/1").resolve() == Path(f"/proc/{child.pid}/fd/2").resolve() == done.log_file
    (run,) = written(location)
    config = orjson.loads(run.config_json)
    assert (run.run_id, run.workflow_name, config["postFailure"], config["hidden"]) == (done.autopsy_run_id, "post-failure", False, True)
    with Journal.open(location) as journal, journal.reading() as connection:
        asked = read_output(connection, Node(run.run_id, INPUT))
    assert asked == {"target_run_id": "run-1", "source": str(location.file), "workflow_path": str(workflow)}


def test_a_launch_can_be_repeated(location):
    """Launching again under the same id writes no second run."""
    for _ in range(2):
        assert isinstance(launch(location, FAILED, environment=dict(os.environ), autopsy_run_id="post-failure-1"), Launched)
    assert len(written(location)) == 1


def test_a_launch_that_cannot_be_is_a_reason_too(location):
    """When the notebook is none, the journal is damaged or the log cannot be written, the reason says so and nothing is raised."""
    (location.folder / "logs").write_text("a file where a folder should be")
    done = launch(location, FAILED, environment=dict(os.environ))
    assert done.reason == "spawn-failed"
    assert "logs" in done.detail
    location.file.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert launch(location, FAILED, environment={}).reason == "spawn-failed"
    installed_at(location).write_text("not a notebook")
    assert "not a notebook" in launch(location, FAILED, environment={}).detail


def test_a_failure_elsewhere_is_looked_into_once(location):
    """The second who notices the same failure of the same run is given the autopsy of the first; a later failure is a new one."""
    failed = Failed("run-1", "nightly", None, "/p/smithers.db")
    first, mine = launch_once(location, failed, "smithers.db", 5)
    second, also_mine = launch_once(location, failed, "smithers.db", 5)
    assert (mine, also_mine, first.autopsy_run_id) == (True, False, second.autopsy_run_id)
    later, again = launch_once(location, failed, "smithers.db", 6)
    assert again
    assert later.autopsy_run_id != first.autopsy_run_id
    assert len(written(location)) == 2
