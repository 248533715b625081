"""From a notebook that fails to the verdict of its autopsy, on the command line alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time

import nbformat
import pytest

LINE = re.compile(r"^\[smithers-nb\] Run failed\. Post-failure autopsy launched: (\S+)\. Watch it with `smithers-nb inspect", re.MULTILINE)


@pytest.fixture
def smithers_nb(tmp_path):
    """Run our command line as a process of its own, in a project with the pack and a notebook that fails."""
    cells = [nbformat.v4.new_markdown_cell("# Add up"), nbformat.v4.new_code_cell("rows = {'a': 1}\nrows['total']")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "boom.ipynb")

    def run(*words, **environment):
        kept = {name: value for name, value in os.environ.items() if name != "SMITHERS_POST_FAILURE"}
        command = [sys.executable, "-m", "smithers_nb", *words]
        return subprocess.run(command, cwd=tmp_path, env={**kept, **environment}, capture_output=True, text=True, timeout=120, check=False)

    assert run("init").returncode == 0
    return run


@pytest.mark.slow
def test_a_failed_run_ends_in_a_verdict(smithers_nb, tmp_path):
    """`up` of a failing notebook exits with 1 and one line; `output ID output` prints the verdict row of the launched autopsy."""
    failed = smithers_nb("up", "boom.ipynb", "--run-id", "boom-1")
    assert failed.returncode == 1
    (autopsy,) = LINE.findall(failed.stderr)
    until = time.monotonic() + 90
    while (told := smithers_nb("output", autopsy, "output", "--format", "json")).returncode != 0:
        assert time.monotonic() < until, told.stderr
        time.sleep(0.5)
    (row,) = json.loads(told.stdout)
    assert (row["runId"], row["row"]["targetRunId"], row["row"]["failureClass"]) == (autopsy, "boom-1", "workflow-bug")
    assert "KeyError" in row["row"]["rootCause"]
    runs = json.loads(smithers_nb("ps", "--format", "json").stdout)
    assert {run["runId"] for run in runs} <= {"boom-1", autopsy}
    until = time.monotonic() + 30
    while not (tmp_path / "artifacts" / "autopsy" / "boom-1.html").exists():
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.slow
def test_opting_out(smithers_nb, tmp_path):
    """The flag leaves a failure without an autopsy; the exit code stays."""
    failed = smithers_nb("up", "boom.ipynb", "--no-post-failure")
    assert failed.returncode == 1
    assert "autopsy" not in failed.stderr
    assert len(list((tmp_path / ".smithers_nb" / "runs").iterdir())) == 1


@pytest.mark.slow
def test_the_printed_command_needs_no_pack(smithers_nb, tmp_path):
    """Where the pack is not installed, the command of the trigger's line looks into the run with the seeds' parameter name."""
    (tmp_path / ".smithers_nb" / "workflows" / "post-failure.ipynb").unlink()
    failed = smithers_nb("up", "boom.ipynb", "--run-id", "boom-1")
    command = failed.stderr.partition("with: ")[2].partition(" (the ")[0]
    words = shlex.split(command)
    assert words[:5] == ["smithers-nb", "workflow", "run", "post-failure", "--input"]
    assert json.loads(words[5]) == {"targetRunId": "boom-1"}
    done = smithers_nb(*words[1:], "--format", "json")
    assert done.returncode == 0, done.stderr
    autopsy = json.loads(done.stdout)["runId"]
    told = json.loads(smithers_nb("why", "boom-1", "--format", "json").stdout)
    assert [(found["runId"], found["status"]) for found in told["autopsies"]] == [(autopsy, "finished")]
    (row,) = json.loads(smithers_nb("output", autopsy, "output", "--format", "json").stdout)
    assert row["row"]["targetRunId"] == "boom-1"
    assert row["row"]["versions"]["engine"].startswith("smithers-nb ")
