"""Executed notebooks are runs like any other: by file, folder, pattern and URL, with history over all of them."""

from __future__ import annotations

import os

import fsspec
import pytest

from smithers_nb import connect
from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, RunRow, TaskRow
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.smithers.journal import journal_file
from tests.support.notebooks import code, error, failed_run, good_run, notebook, printed, write

AT = "2026-11-{:02}T06:00:00+00:00"


@pytest.fixture
def runs(tmp_path):
    """Four runs of one notebook, the first of which was good, and a file of another kind."""
    folder = write(
        tmp_path / "runs",
        **{
            "in-2026-11-01": good_run(start=AT.format(1), year="2025"),
            "in-2026-11-02": failed_run("no 1", start=AT.format(2), year="2026"),
            "in-2026-11-03": failed_run("no 2", start=AT.format(3), year="2026"),
            "torn": b'{"cells": [{"cell_ty',
        },
    )
    write(folder / "deep", other=notebook(code("x", 1)))
    write(folder / ".ipynb_checkpoints", copy=failed_run())
    return folder


def test_a_folder_gives_its_runs_with_state_and_cell(runs):
    """One row per file, with the deciding cell in the error; checkpoints are no runs."""
    with connect(runs) as project:
        frame = project.runs()
        assert sorted(frame.run_id) == ["deep/other.ipynb", *(f"in-2026-11-0{day}.ipynb" for day in (1, 2, 3))]
        by_id = frame.set_index("run_id")
        assert by_id.state.to_dict()["in-2026-11-01.ipynb"] == "finished"
        assert by_id.error_message["in-2026-11-02.ipynb"] == "cell:1: ValueError: no 1"
        assert by_id.workflow["in-2026-11-02.ipynb"] == "in"
        assert [problem.where for problem in project.problems] == ["torn.ipynb"]


def test_history_over_a_folder(runs):
    """The same failure has one signature, and the last good run shows what changed."""
    with connect(runs) as project:
        assert project.signatures()["count"].to_list() == [2]
        verdict = project.run("in-2026-11-03").autopsy()
        assert verdict.recurrence.runs == 2
        assert verdict.last_good_run.run_id == "in-2026-11-01.ipynb"
        assert ("input.year", "2025", "2026") in [(change.what, change.before, change.after) for change in verdict.changed_since]


def test_a_pattern_stays_in_its_folder(runs):
    """`*` is one folder, `**` any."""
    assert open_source(f"{runs}/*.ipynb").run_ids() == [f"in-2026-11-0{day}.ipynb" for day in (1, 2, 3)] + ["torn.ipynb"]
    assert open_source(f"{runs}/*-02.ipynb").run_ids() == ["in-2026-11-02.ipynb"]
    assert open_source(f"{runs}/**/o*.ipynb").run_ids() == ["deep/other.ipynb"]


@pytest.mark.parametrize("where", ["memory://bucket/runs", "memory://bucket/runs/*.ipynb", "memory://bucket/runs/out.ipynb"])
def test_any_file_system_that_fsspec_knows(where):
    """A folder, a pattern and a file at a URL."""
    fsspec.filesystem("memory").pipe("/bucket/runs/out.ipynb", failed_run())
    with connect(where) as project:
        (row,) = project.run_rows()
        assert (row.run_id, row.state) == ("out.ipynb", "failed")
        assert project.run("out").why().commands[0].startswith("papermill in.ipynb out.ipynb")


def test_a_url_of_nothing_says_so():
    """The place is named without what is secret in it."""
    with pytest.raises(SourceNotFound, match="memory://nowhere"):
        open_source("memory://nowhere/at/all")
    with pytest.raises(SourceNotFound, match="cannot open gopher:"):
        open_source("gopher://x/y.ipynb")


def test_a_single_file_that_is_no_notebook(runs, tmp_path):
    """What it is instead is in the message."""
    with pytest.raises(SourceUnreadable, match="cut off"):
        open_source(runs / "torn.ipynb")
    with pytest.raises(SourceNotFound, match="no notebooks"):
        open_source(f"{tmp_path}/none/*.ipynb".replace("none", "runs/deep") + "x.ipynb")


def test_a_store_of_the_folder_itself_comes_first(runs):
    """`notebooks:` reads the notebooks whatever else is there."""
    journal_file(runs).parent.mkdir()
    journal_file(runs).write_bytes(b"")
    with pytest.raises(SourceUnreadable):
        open_source(runs)
    assert open_source(f"notebooks:{runs}").kind == "notebooks"


def test_a_file_is_read_again_once_it_has_changed(tmp_path):
    """A run that is looked at while it is written."""
    folder = write(tmp_path, out=failed_run())
    with connect(folder / "out.ipynb") as project:
        assert project.run_rows()[0].state == "failed"
        (folder / "out.ipynb").write_bytes(good_run())
        os.utime(folder / "out.ipynb", (1, 1))
        assert project.run_rows()[0].state == "finished"


def test_cells_are_nodes_with_their_state(runs):
    """A cell that was never run has no attempt; the parameters are the input."""
    source = open_source(runs / "in-2026-11-02.ipynb")
    assert [(row.node_id, row.state) for row in source.rows(NodeRow)] == [
        ("cell:0", "finished"),
        ("cell:1", "failed"),
        ("cell:2", "pending"),
    ]
    assert [row.node_id for row in source.rows(AttemptRow, only={"state": ["failed"]})] == ["cell:1"]
    assert [row.row for row in source.rows(OutputRow)] == ['{"year":"2026"}']
    assert [row.ordinal for row in source.rows(TaskRow)] == [0, 1, 2]
    assert source.rows(RunRow)[0].duration_s == pytest.approx(26 * 86_400 + 7 * 3600 + 39 * 60, abs=86_400)


def test_outputs_are_not_kept(tmp_path):
    """Of a notebook with ten megabytes of output next to nothing stays."""
    write(tmp_path, big=notebook(code("x", 1, printed("x" * 10_000_000)), code("y", 2, error())))
    source = open_source(tmp_path / "big.ipynb")
    source.rows(RunRow), source.rows(NodeRow)
    (known,) = source._known.values()
    assert known.outcome.cell.outputs == ()
    assert all(not hasattr(step, "outputs") for step in known.steps)


def test_hostile_words_stay_words(tmp_path):
    """Control characters, markup and a secret reach nobody as they are."""
    secret = "ghp_" + "a1B2" * 9
    write(tmp_path, out=notebook(code("\x1b]0;x\x07<script>", 1, error("ValueError", f"<img onerror=x> \x1b[2J token={secret}"))))
    with connect(tmp_path / "out.ipynb") as project:
        found = project.run("out").why()
        assert secret not in str(found.as_json())
        assert "<script>" not in found._repr_html_()
        assert "<img" not in found._repr_html_()
