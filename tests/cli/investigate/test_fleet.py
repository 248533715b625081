"""`monitor-smithers` on the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

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
