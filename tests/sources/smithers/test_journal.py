"""Our own journal, read like any store."""

from __future__ import annotations

import re
import sqlite3
import threading

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.frames import frame_from_rows
from smithers_nb.model.rows import TABLES, ApprovalRow, AttemptRow, EventRow, FailureRow, NodeRow, OutputRow, QuestionRow, RunRow
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.smithers import source as smithers_source
from smithers_nb.sources.stores import sqlite_file as reading

READ = tuple(row for row in TABLES.values() if row is not FailureRow)
EMPTY = {"tool_calls", "tokens", "tasks", "signals", "branches", "loops"}


@pytest.fixture
def project(tmp_path, journal_runs, monkeypatch):
    """Make a project folder whose journal has a failed run; this process writes no file any more."""
    monkeypatch.setattr(reading, "_owned", set())
    with Journal.open(Location.of(tmp_path)) as journal:
        journal_runs.write_run(journal, "r1")
    reading._owned.clear()
    return tmp_path


def test_every_grain_of_a_journal_fits_its_contract(project, check_grains):
    """Rows and frames of all tables have the columns and types that a Smithers store gives."""
    source = open_source(project / ".smithers_nb" / "journal.db")
    check_grains(source)
    assert source.kind == "journal"
    assert source.problems == []
    assert {name for name, row in TABLES.items() if row is not FailureRow and not source.rows(row)} == EMPTY


@pytest.mark.parametrize("row", READ, ids=lambda row: row.__name__)
def test_rows_and_frames_are_equal(project, row):
    """Both ways out of a journal give the same cells, through either SQLite library."""
    source = open_source(project)
    frame = source.frame(row)
    assert frame.equals(frame_from_rows(row, source.rows(row)))
    reading.own(source.file.path)
    assert open_source(project).frame(row).equals(frame)


def test_what_an_execution_wrote_is_read_back(project):
    """Run, nodes, attempts, gate, question and outputs say what was written."""
    source = open_source(project)
    (run,) = source.rows(RunRow)
    assert (run.run_id, run.workflow, run.status, run.error_code, run.error_message) == ("r1", "nightly", "failed", "KeyError", "'total'")
    assert (run.workflow_path, run.root) == (str(project / "nightly.ipynb"), str(project))
    assert {node.node_id: node.state for node in source.rows(NodeRow)} == {
        "load": "finished",
        "ship": "finished",
        "sum": "failed",
        "who": "finished",
    }
    failed = next(attempt for attempt in source.rows(AttemptRow) if attempt.state == "failed")
    assert (failed.node_id, failed.kind, failed.attempt, failed.error_code) == ("sum", "stage", 1, "KeyError")
    assert "sum.py" in (failed.error_stack or "")
    (gate,) = source.rows(ApprovalRow)
    assert (gate.status, gate.title, gate.summary, gate.decided_by, gate.note) == ("approved", "Ship it?", "three orders", "ann", "go")
    assert gate.requested_at is not None
    (question,) = source.rows(QuestionRow)
    assert (question.status, question.answer, question.options) == ("answered", '"bob"', '["ann","bob"]')
    assert {row.node_id: row.row for row in source.rows(OutputRow)}["input"] == '{"day":3,"who":"ann"}'
    assert [event.seq for event in source.rows(EventRow)] == list(range(len(source.rows(EventRow))))


def test_outputs_of_one_run(project, journal_runs):
    """The input and the outputs of a run are found by its id, and by the node that wrote them."""
    with Journal.open(Location.of(project)) as journal:
        journal_runs.write_run(journal, "r2")
    source = open_source(project)
    assert {row.run_id for row in source.rows(OutputRow, "r2")} == {"r2"}
    assert [row.table for row in source.rows(OutputRow, "r2", only={"node_id": ["load"]})] == ["cell"]


def test_a_journal_by_url(project, monkeypatch):
    """`journal:` names our own runs alone, by project, by file, or of the current folder."""
    monkeypatch.chdir(project)
    file = project / ".smithers_nb" / "journal.db"
    for where in (f"journal:{project}", f"journal:{file}", "journal:", f"sqlite:///{file}"):
        assert open_source(where).location == str(file)
    assert Location.of(f"sqlite:///{file}").root == project


def test_open_journal_is_read_through_the_standard_library(tmp_path, journal_runs, monkeypatch):
    """While this process writes a journal, no second SQLite library touches it, whichever way it is read."""
    monkeypatch.setattr(
        smithers_source, "read_arrow", lambda *_: pytest.fail("opened a file that this process writes with another library")
    )
    monkeypatch.setattr(reading, "_head", lambda _: pytest.fail("opened a file that this process writes"))
    with Journal.open(Location.of(tmp_path)) as journal:
        stop, wrong = threading.Event(), []
        writer = threading.Thread(target=write_until, args=(journal, journal_runs, stop, wrong))
        writer.start()
        try:
            counts = []
            for _ in range(6):
                source = open_source(tmp_path)
                counts.append(len(source.frame(RunRow)))
                assert all(len(source.frame(row)) <= len(source.rows(row)) for row in READ)
                source.close()
        finally:
            stop.set()
            writer.join()
        assert wrong == []
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]
        assert source.problems == []
    with sqlite3.connect(tmp_path / ".smithers_nb" / "journal.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def write_until(journal, journal_runs, stop, wrong):
    """Write one run after the other."""
    number = 0
    try:
        while not stop.is_set():
            journal_runs.write_run(journal, f"run-{number:04}")
            number += 1
    except Exception as error:  # noqa: BLE001 - the test looks at it
        wrong.append(error)


def test_damaged_journal_gives_what_it_has(project, change):
    """A journal without its outputs, or with a table of another kind of application beside it, is still read."""
    file = project / ".smithers_nb" / "journal.db"
    change(file, "DROP TABLE _smithers_nb_outputs")
    change(file, "CREATE TABLE extra (run_id TEXT, x TEXT)")
    source = open_source(project)
    assert source.rows(OutputRow) == []
    assert len(source.rows(RunRow)) == 1


def test_journal_in_postgres(postgres, journal_runs, project):
    """The journal of a shared database gives the same rows as the file."""
    with Journal.open(postgres) as journal:
        journal_runs.write_run(journal, "r1")
    shared, file = open_source(postgres), open_source(project)
    assert shared.kind == "journal"
    for row in READ:
        assert [comparable(one) for one in shared.rows(row)] == [comparable(one) for one in file.rows(row)], row
    assert shared.problems == []
    shared.close()


def comparable(row):
    """Leave out what differs between two writings of the same run: times, places, process ids."""
    differing = ("_at", "_ms", "duration_s", "at", "source", "payload", "config", "root", "repository", "workflow_path")
    return tuple(re.sub(r"\d{13}", "", str(cell)) for name, cell in row._asdict().items() if not name.endswith(differing))
