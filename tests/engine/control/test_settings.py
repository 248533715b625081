"""A run goes on with other limits, another kernel or another place for what it writes, when somebody says so as it is resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from smithers_nb.engine.control import Settings, resume, retry_task, submit
from smithers_nb.engine.journal import executions, leases
from smithers_nb.errors import ControlRefused, ParameterError
from tests.support.durable import Project
from tests.support.history import cell, write_notebook


def config(runs):
    return json.loads(runs.row().config_json)


def test_limits_are_changed_and_logged(runs, location):
    """What is given is changed, what is not stays as it was, and the log has both."""
    runs.new("r1")
    runs.failed("r1", "work")
    before = config(runs)
    resume(location, "r1", settings=Settings(cell_timeout_s=3600, hot=True))
    now = config(runs)
    assert now["kernel"] == before["kernel"] | {"cellTimeoutS": 3600}
    assert {name for name in now if now[name] != before.get(name)} == {"kernel", "hot"}
    (told,) = runs.events("RunSettingsChanged")
    assert (told["to"]["hot"], told["to"]["kernel"]["cellTimeoutS"]) == (True, 3600)


def test_retry_task_takes_them_too(runs, location):
    """A task that ran out of time is tried again with more of it."""
    runs.new("r1")
    runs.failed("r1", "work")
    retry_task(location, "r1", "work", settings=Settings(total_timeout_s=7200, kernel="python3"))
    assert (config(runs)["kernel"]["totalTimeoutS"], config(runs)["kernel"]["name"]) == (7200, "python3")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(cell_timeout_s=0), "cell timeout is 0"),
        (Settings(kernel="nobody"), "no kernel 'nobody'"),
        (Settings(artifacts="nope://x"), "nope"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_changes(runs, location, settings, said):
    """A wrong setting resumes nothing."""
    runs.new("r1")
    runs.failed("r1", "work")
    with pytest.raises(ParameterError, match=said):
        resume(location, "r1", settings=settings)
    assert runs.row().status == "failed"


def test_a_kernel_that_is_not_there_starts_nothing(location, notebook):
    """The names that are there are listed."""
    with pytest.raises(ParameterError, match="no kernel 'julia'") as refused:
        submit(location, notebook, {}, kernel="julia")
    assert "python3" in refused.value.hint


@pytest.mark.slow
def test_a_cell_that_ran_out_of_time_goes_on_with_more(location):
    """The message says which limit it was and how to raise it; resumed with a longer one the same run is finished."""
    project = Project(location)
    run_id = project.submit("import time; time.sleep(2.5)", cell_timeout_s=1.0)
    outcome = project.execute(run_id)
    assert outcome.reason.code == "TASK_TIMEOUT"
    assert outcome.reason.message == (
        "the cell took longer than its limit of 1 s; --cell-timeout SECONDS raises it, also when the run is resumed"
    )
    resume(location, run_id, here=True, settings=Settings(cell_timeout_s=60))
    assert project.execute(run_id).status == "finished"


@pytest.mark.slow
def test_another_kernel_is_another_program(location, tmp_path, monkeypatch):
    """`kernel` goes before what the notebook names, and a kernel of ours it is not."""
    spec = tmp_path / "share" / "kernels" / "other"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Other", "language": "python", "env": {"WHICH": "other"}}))
    monkeypatch.setenv("JUPYTER_PATH", str(spec.parents[1]))
    project = Project(location)
    run_id = project.submit("import os; assert os.environ['WHICH'] == 'other'\nquit()", kernel="other")
    outcome = project.execute(run_id)  # a kernel that is not ours takes `quit()` for a wish to be shut down
    assert (outcome.status, outcome.reason.message) == ("failed", "the notebook ended early at cell 2 of 2: it called quit()")


_STARTS = """
import os, sys
from smithers_nb.engine.control import resume
from smithers_nb.engine.location import Location
resume(Location.of(sys.argv[1]), "r1", here=True)
os._exit(9)
"""


def test_a_run_whose_starter_is_dead_is_resumed_at_once(runs, location):
    """A process that was killed before it began what it had asked for holds nobody up; one that lives does."""
    runs.new("r1")
    runs.failed("r1", "work")
    assert subprocess.run([sys.executable, "-c", _STARTS, str(location.root)], check=False).returncode == 9
    assert resume(location, "r1", here=True).continues
    with pytest.raises(ControlRefused) as refused:  # this process lives, and is about to begin it
        resume(location, "r1", here=True)
    assert refused.value.code == "RUN_STILL_RUNNING"
    with runs.journal.reading() as connection:
        starter = executions.queued(connection, "r1").starter
        assert {worker.owner: worker.pid for worker in leases.known_workers(connection)}[starter] == os.getpid()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"source": None}, "cell 2 has no source"),
        ({"source": 7}, "cell 2 has a source that is not text"),
        ({"cell_type": "kode"}, "cell 2 is of type 'kode'"),
        ({"metadata": []}, "cell 2 has metadata that is not an object"),
        ({"outputs": [{}]}, "cell 2 has outputs"),
    ],
)
def test_a_notebook_that_is_not_valid_is_refused_in_words(location, tmp_path, broken, said):
    """Which cell it is and what is wrong with it is said before anything runs."""
    file = write_notebook(tmp_path / "broken.ipynb", cell("1", name="one"), cell("2", name="two"))
    document = json.loads(file.read_text())
    document["cells"][1] |= broken
    file.write_text(json.dumps(document))
    with pytest.raises(ParameterError, match=said):
        submit(location, file, {})


@pytest.mark.slow
def test_what_can_be_filled_in_is_no_fault(location):
    """A notebook written by a program that leaves out outputs, counts and metadata is executed."""
    project = Project(location)
    bare = {"nbformat": 4, "nbformat_minor": 4, "cells": [{"cell_type": "code", "source": "1 + 1"}]}
    (location.root / "bare.ipynb").write_text(json.dumps(bare))
    run_id = submit(location, location.root / "bare.ipynb", {}, cwd=location.root)
    assert project.execute(run_id).status == "finished"
