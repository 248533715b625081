"""`watch` and `init --smithers` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from smithers_nb.workflows.triggers import launch

PROGRAM = [sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Let the trigger be on, and end what a test has launched."""
    monkeypatch.delenv("SMITHERS_POST_FAILURE", raising=False)
    yield
    for child in launch._started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture
def project(store, cli):
    """A Smithers project with one failed run and our pack."""
    folder = store("invoice-rollup").parent
    assert cli("init", folder).code == 0
    return folder


def test_one_look(cli, project):
    """`watch --once` launches what is missing, one JSON line each, and ends; a second look has nothing to do."""
    first = cli("watch", project, "--once", "--since", "2000-01-01", "--format", "jsonl")
    assert (first.code, first.err) == (0, "")
    (line,) = first.lines
    assert line["workflow"] == "invoice-rollup"
    assert line["autopsyRunId"].startswith("post-failure-")
    again = cli("watch", "--source", project / "smithers.db", "--once", "--since", "2000-01-01", "--format", "jsonl")
    assert (again.code, again.out) == (0, "")


def test_a_table_says_how_to_follow_it(cli, project):
    """For people each line has the run, its autopsy and the command that watches it."""
    told = cli("watch", project, "--once", "--since", "2000-01-01")
    assert "invoice-rollup" in told.out
    assert "watch it with `smithers-nb inspect post-failure-" in told.out


def test_what_a_watch_needs(cli, project, store, tmp_path, monkeypatch):
    """No Smithers project and no installed pack are user errors with a hint; an opt-out ends the watch at once and says why."""
    (tmp_path / "empty").mkdir()
    nowhere = cli("watch", tmp_path / "empty", "--once")
    assert nowhere.code == 4
    assert "not in a Smithers project" in nowhere.err
    assert "there is no" in cli("watch", project / "typo", "--once").err
    bare = cli("watch", store("lint-fixer").parent, "--once")
    assert bare.code == 4
    assert "run `smithers-nb init`" in bare.err
    monkeypatch.setenv("SMITHERS_POST_FAILURE", "0")
    off = cli("watch", project, "--since", "2000-01-01")
    assert (off.code, off.out) == (0, "")
    assert "SMITHERS_POST_FAILURE=0" in off.err


def test_it_goes_on_whatever_happens_to_the_store(project):
    """A store that goes away and comes back is told once each, and a failure after that is looked into; Ctrl-C ends it."""
    (project / ".smithers").mkdir()
    file, away = project / "smithers.db", project / "away.db"
    command = [*PROGRAM, "watch", str(project), "--interval", "0.2", "--since", "2000-01-01", "--format", "jsonl"]
    file.rename(away)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        try:
            assert b"no Smithers store" in watching.stderr.readline()
            time.sleep(0.6)
            away.rename(file)
            assert json.loads(watching.stdout.readline())["autopsyRunId"].startswith("post-failure-")
            assert watching.stderr.readline() == b"the store can be read again\n"
        finally:
            watching.send_signal(signal.SIGINT)
            watching.wait(30)
    assert watching.returncode == 2


def test_a_smithers_project_gets_the_workflow(cli, project):
    """`init --smithers` writes each workflow, says so, and is as good as nothing the second time."""
    (project / ".smithers").mkdir()
    first, second = (cli("init", project, "--smithers", "--format", "json").json["files"] for _ in range(2))
    names = ("post-failure", "monitor", "monitor-smithers", "triage-run")
    assert [row["file"] for row in first] == [str(project / ".smithers" / "workflows" / f"{name}.tsx") for name in names]
    assert ({row["done"] for row in first}, {row["done"] for row in second}) == ({"written"}, {"unchanged"})
