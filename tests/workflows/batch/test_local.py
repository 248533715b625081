"""Many autopsies at once: a row for each, whatever happens to one of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from smithers_nb.errors import SourceNotFound
from smithers_nb.project import connect
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy.stages import run_autopsy
from smithers_nb.workflows.batch.local import AutopsyRow, batch_frame, failed_runs, run_autopsies

NOW = 1_790_000_000_000

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(store):
    """Fourteen runs of which eight failed."""
    return store("fleet")


def test_every_failed_run_gets_its_autopsy(fleet, tmp_path):
    """Each row says what an autopsy alone would say, in the order asked for, and its notebook and report are there."""
    run_ids = ["mail-002", "close-004", "rep-001"]
    told = []
    rows = run_autopsies(
        run_ids, fleet, artifacts=tmp_path / "out", now=NOW, progress=lambda done, whole, row: told.append((done, whole, row.run_id))
    )
    assert [row.run_id for row in rows] == run_ids
    for row in rows:
        alone = run_autopsy(fleet, row.run_id, now=NOW)
        assert (row.failure_class, row.confidence, row.suggestion, row.signature) == (
            alone.failure_class,
            alone.confidence,
            alone.suggestion,
            alone.signature,
        )
        assert row.error is None
        assert nbformat.read(row.notebook, as_version=4).cells[-1].outputs
        assert row.run_id in Path(row.report).read_text("utf-8")
    assert [step[:2] for step in told] == [(1, 3), (2, 3), (3, 3)]
    assert {step[2] for step in told} == set(run_ids)


@pytest.mark.parametrize("workers", [2, 4])
def test_one_that_fails_stops_no_other(fleet, tmp_path, workers):
    """A run that is not there, one that did not fail and one whose report cannot be written have a row that says so."""
    (tmp_path / "out" / "autopsy" / "rep-001.html").mkdir(parents=True)
    rows = run_autopsies(
        ["no-such", "close-001", "rep-001", "close-004", "close-004"], fleet, artifacts=tmp_path / "out", now=NOW, workers=workers
    )
    missing, finished, unwritten, good = rows
    assert "no-such" in missing.error
    assert "did not fail" in finished.error
    assert "could not be written" in unwritten.error
    assert (good.failure_class, good.error) == ("workflow-bug", None)
    frame = batch_frame(rows)
    assert list(frame["error"].isna()) == [False, False, False, True]
    assert list(frame.columns) == list(AutopsyRow._fields)


def test_failed_runs_are_named_newest_first(fleet, store):
    """Only failed runs, the newest first, since a time when asked; a child whose parent failed is left to the parent's autopsy."""
    source = open_source(fleet)
    ended = {run.run_id: run.finished_at for run in connect(fleet).run_rows(status="failed")}
    names = failed_runs(source)
    assert names == sorted(ended, key=lambda run_id: -ended[run_id])
    assert failed_runs(source, ended[names[2]]) == names[:3]
    assert failed_runs(source, NOW * 2) == []
    source.close()
    nested = open_source(store("grandchild"))
    assert len(failed_runs(nested)) == 1
    nested.close()


def test_a_project_hands_out_the_frame(fleet, tmp_path):
    """`Project.autopsy_all` gives one row per failed run since a time."""
    with connect(fleet, now=NOW) as project:
        newest = project.run_rows(status="failed", limit=1)[0]
        frame = project.autopsy_all(since_ms=newest.finished_at, artifacts=tmp_path)
    assert list(frame["run_id"]) == [newest.run_id]
    assert frame["error"].isna().all()


def test_a_store_that_is_not_there_is_in_every_row(tmp_path):
    """Nothing can be read: each row says so, and nothing is written."""
    rows = run_autopsies(["a", "b"], tmp_path / "none.db", artifacts=tmp_path / "out")
    with pytest.raises(SourceNotFound) as caught:
        open_source(tmp_path / "none.db")
    assert [row.error for row in rows] == [str(caught.value)] * 2
    assert not (tmp_path / "out").exists()


def children_of(pid):
    """Every process below one."""
    below = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return below + [one for child in below for one in children_of(child)]


def runs(pid):
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def many(fleet, count):
    """Copy one failed run so often that a batch takes a while."""
    with sqlite3.connect(fleet) as connection:
        for table in ("_smithers_runs", "_smithers_nodes", "_smithers_attempts", "_smithers_events"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
            for k in range(count):
                values = ", ".join(f"'close-004-{k:03}'" if name == "run_id" else f'"{name}"' for name in names)
                listed = ", ".join(f'"{name}"' for name in names)
                connection.execute(f"INSERT INTO {table} ({listed}) SELECT {values} FROM {table} WHERE run_id = 'close-004'")
    connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("workers", "end"), [("2", signal.SIGINT), ("4", signal.SIGINT), ("4", signal.SIGKILL)])
def test_an_end_in_the_middle_leaves_what_is_finished_whole(fleet, tmp_path, workers, end):
    """After Ctrl-C or kill -9 every report is whole, and no process and no half-written file is left."""
    many(fleet, 60)
    out = tmp_path / "out"
    command = ["autopsy", "--all-failed", "-s", fleet, "--artifacts", out, "--workers", workers]
    batch = subprocess.Popen(
        [sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    limit = time.monotonic() + 120
    while len(list(out.glob("autopsy/*.html"))) < 4 and time.monotonic() < limit:
        time.sleep(0.02)
    below = children_of(batch.pid)
    batch.send_signal(end)
    said = batch.communicate(timeout=120)[1]
    assert batch.returncode == (2 if end == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in said
    limit = time.monotonic() + 60
    while any(map(runs, below)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert [pid for pid in below if runs(pid)] == []
    reports = list(out.glob("autopsy/*.html"))
    assert 4 <= len(reports) < 60
    assert all(report.read_text("utf-8").rstrip().endswith("</html>") for report in reports)
    if end == signal.SIGINT:
        assert list(out.rglob("*.part")) == list(out.rglob(".*.part")) == []
        assert list(tmp_path.glob("snb-*")) == []
