"""An executed notebook is named where a run is: by its file."""

from __future__ import annotations

import json

import pytest

from smithers_nb.cli import main
from tests.support.notebooks import failed_run, good_run, write


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with a failed and a good run, as the current folder."""
    folder = write(tmp_path / "runs", bad=failed_run(), good=good_run())
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("command", ["why", "inspect", "events", "failures", "output"])
def test_a_file_is_a_run(runs, capfdbinary, command):
    """Commands that look at a run take the file of a notebook."""
    assert main([command, "bad.ipynb"]) == 0
    assert b"ipynb" in capfdbinary.readouterr().out or command in {"events", "output", "failures"}
    assert main([command, str(runs / "good.ipynb")]) == 0


@pytest.mark.usefixtures("runs")
def test_why_as_json_has_the_words_of_a_verdict(capfdbinary):
    """State, class, cause and evidence stand at the top; a good run has no word of failure in it."""
    assert main(["why", "bad.ipynb", "--format", "json"]) == 0
    row = json.loads(capfdbinary.readouterr().out)
    assert (row["state"], row["failureClass"]) == ("failed", "workflow-bug")
    assert row["rootCause"] == row["summary"]
    assert row["evidence"][0]["ref"] == "attempt:cell:1/0/1"
    assert main(["why", "good.ipynb", "--format", "json"]) == 0
    assert b"failed" not in capfdbinary.readouterr().out


@pytest.mark.usefixtures("runs")
def test_an_autopsy_of_a_file(capfdbinary):
    """The verdict row, without a notebook of ours."""
    assert main(["autopsy", "bad.ipynb", "--no-notebook", "--format", "json"]) == 0
    row = json.loads(capfdbinary.readouterr().out)
    assert row["commands"] == ["papermill in.ipynb out.ipynb"]
    assert "Executed by papermill 2.7.0 from in.ipynb. Never run: cell:2." in row["rootCause"]


@pytest.mark.usefixtures("runs")
def test_ps_over_files(capfdbinary):
    """A pattern is a place of runs, and so is the current folder when it has no store."""
    for where in (["--source", "*.ipynb"], []):
        assert main(["ps", "--format", "jsonl", *where]) == 0
        rows = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
        assert {row["runId"]: row["state"] for row in rows} == {"bad.ipynb": "failed", "good.ipynb": "finished"}


@pytest.mark.usefixtures("runs")
def test_a_file_that_is_not_there(capfdbinary):
    """It is looked for as a file, not as a run of some store."""
    assert main(["why", "gone.ipynb"]) == 4
    assert b"there is no" in capfdbinary.readouterr().err
