"""`monitor-smithers` on the command line."""

from __future__ import annotations

import csv
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from smithers_nb.workflows.triggers import launch

NOW = 1795181301665


@pytest.mark.slow
def test_a_look_at_a_store(cli, own_example, tmp_path, monkeypatch):
    """It ends with the row, a report and tables; the store is as it was, with nothing beside it."""
    project = tmp_path / "here"
    (project / ".smithers_nb").mkdir(parents=True)
    monkeypatch.chdir(project)
    before = own_example.read_bytes()
    answer = cli("monitor-smithers", own_example, "--now", NOW, "--format", "json")
    assert answer.code == 0, answer.err
    row = answer.json
    assert (row["verdict"], row["runsSeen"], row["projectsSeen"]) == ("problems detected", 60, 1)
    assert sum(map(len, row["buckets"].values())) == 60
    assert "Do this first" in Path(row["reportPath"]).read_text()
    runs = next(Path(path) for path in row["frames"] if path.endswith("runs.csv"))
    assert len(list(csv.DictReader(runs.open()))) == 60
    assert own_example.read_bytes() == before
    assert [path.name for path in own_example.parent.glob("*.db*")] == [own_example.name]


def test_one_id_does_not_fit_several_looks(cli, own_example, tmp_path, monkeypatch):
    """An id for a run that is looked at several times is refused before the first look."""
    monkeypatch.chdir(tmp_path)
    answer = cli("monitor-smithers", own_example, "--run-id", "fleet-1", "--iterations", "2")
    assert answer.code == 4
    assert "--run-id" in answer.err
    assert not (tmp_path / ".smithers_nb").exists()


@pytest.mark.slow
def test_autopsies_are_launched_only_when_asked_for(cli, store, monkeypatch):
    """With --autopsies a failure gets the one autopsy that `watch` would launch, and none at the second look."""
    project = store("invoice-rollup").parent
    monkeypatch.delenv("SMITHERS_POST_FAILURE", raising=False)
    monkeypatch.chdir(project)
    assert "not installed" in cli("monitor-smithers", project, "--autopsies", "2020-01-01").err
    assert cli("init").code == 0
    first, second = (cli("monitor-smithers", project, "--autopsies", "2020-01-01", "--format", "json") for _ in range(2))
    for child in launch._started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert (first.code, second.code) == (0, 0)
    launched = first.err.partition("failed; autopsy ")[2].split()[0]
    assert cli("inspect", launched, "--format", "json").json["run"]["workflow"] == "post-failure"
    assert "autopsy" not in second.err
