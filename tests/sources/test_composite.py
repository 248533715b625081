"""A project with a store of Smithers and our journal is one place."""

from __future__ import annotations

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.errors import AmbiguousRunId, SourceError
from smithers_nb.frames import contract
from smithers_nb.model.rows import TABLES, AttemptRow, FailureRow, RunRow
from smithers_nb.project import connect
from smithers_nb.sources.base import resolve_run_id
from smithers_nb.sources.composite import Together
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores import sqlite_file as reading
from smithers_nb.workflows.autopsy.why import explain

READ = tuple(row for row in TABLES.values() if row is not FailureRow)


@pytest.fixture
def project(store, journal_runs, monkeypatch):
    """Make a project in which Smithers ran a workflow and we ran a notebook."""
    monkeypatch.setattr(reading, "_owned", set())
    root = store("invoice-rollup").parent
    with Journal.open(Location.of(root)) as journal:
        journal_runs.write_run(journal, "ours-1")
    reading._owned.clear()
    return root


@pytest.fixture
def theirs(project):
    """Id of the one run of Smithers in that project."""
    return open_source(project / "smithers.db").run_ids()[0]


def test_both_are_listed(project, theirs):
    """Reads of everything give the runs of both stores, each with its own place, as rows and as frames."""
    source = open_source(project)
    assert isinstance(source, Together)
    found = {row.run_id: row.source for row in source.rows(RunRow)}
    assert found == {theirs: str(project / "smithers.db"), "ours-1": str(project / ".smithers_nb" / "journal.db")}
    assert source.run_ids() == sorted([theirs, "ours-1"])
    assert source.run_ids("ours") == ["ours-1"]


@pytest.mark.parametrize("row", READ, ids=lambda row: row.__name__)
def test_every_grain_of_both(project, row):
    """Each table is that of the one store after that of the other, with the dtypes of the contract."""
    source = open_source(project)
    parts = [len(member.rows(row)) for member in source.members]
    frame = source.frame(row)
    assert len(source.rows(row)) == len(frame) == sum(parts)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {spec.name: spec.dtype for spec in contract(row)}


def test_one_run_is_read_where_it_is(project, theirs):
    """Rows and frames of one run come from the store that has it."""
    source = open_source(project)
    for run_id in (theirs, "ours-1"):
        assert {row.run_id for row in source.rows(AttemptRow, run_id)} == {run_id}
        assert set(source.frame(AttemptRow, run_id)["run_id"]) == {run_id}
    assert source.rows(AttemptRow, "nobody") == []


def test_snapshot_stays_in_one_store(project, theirs):
    """What is asked about a run is asked in its own store, whose kind says which engine's commands to print."""
    source = open_source(project)
    assert Snapshot(source, "ours").source.kind == "journal"
    assert Snapshot(source, theirs).source.kind == "smithers"
    assert explain(Snapshot(source, "ours"), now=2**41).failed_nodes == ("sum",)


def test_ids_resolve_over_both(project, theirs, journal_runs):
    """A beginning that runs of both stores share is ambiguous."""
    with Journal.open(Location.of(project)) as journal:
        journal_runs.write_run(journal, f"{theirs[:4]}-of-ours")
    with pytest.raises(AmbiguousRunId):
        resolve_run_id(open_source(project), theirs[:4])


def test_the_same_id_in_both_is_said(project, theirs, journal_runs):
    """Of two runs with one id Smithers' is shown, and that there is another one is a problem of what is read."""
    with Journal.open(Location.of(project)) as journal:
        journal_runs.write_run(journal, theirs)
    found = Snapshot(open_source(project), theirs)
    assert found.source.kind == "smithers"
    assert [problem.what for problem in found.problems] == [
        f"{theirs} is also in {project / '.smithers_nb' / 'journal.db'}; name that store to see it"
    ]


def test_one_alone_is_itself(project):
    """A folder with only a journal, or only a store, opens as that."""
    (project / "smithers.db").rename(project / "elsewhere.db")
    assert open_source(project).kind == "journal"
    assert open_source(project / ".smithers_nb").kind == "journal"
    (project / "elsewhere.db").rename(project / "smithers.db")
    (project / ".smithers_nb" / "journal.db").unlink()
    assert open_source(project).kind == "smithers"


def test_a_damaged_one_does_not_hide_the_other(project, theirs):
    """What of the two can be read is read, and says what cannot; when neither can, the first says so."""
    for path in (project / ".smithers_nb").glob("journal.db*"):
        path.write_bytes(b"no database at all")
    source = open_source(project)
    assert source.kind == "smithers"
    assert source.run_ids() == [theirs]
    assert any("journal.db" in problem.what for problem in source.problems)
    (project / "smithers.db").write_bytes(b"nor this")
    with pytest.raises(SourceError, match=r"smithers\.db"):
        open_source(project)


def test_shared_journal_beside_a_store(store, postgres, journal_runs, monkeypatch):
    """With a shared database in the environment the project's journal is that one."""
    root = store("invoice-rollup").parent
    monkeypatch.setenv("SMITHERS_NB_DATABASE", postgres)
    with Journal.open(Location.of(root)) as journal:
        journal_runs.write_run(journal, "ours-1")
    source = open_source(root)
    assert {row.run_id: member.kind for member in source.members for row in member.rows(RunRow)}["ours-1"] == "journal"
    source.close()


def test_project_lists_both_newest_first(project, theirs):
    """`ps` shows the runs of both by the time they started."""
    with connect(project) as location:
        assert [row.run_id for row in location.run_rows()] == ["ours-1", theirs]
        assert [run.id for run in location] == ["ours-1", theirs]
        assert len(location.failures) == len(location.failure_rows())
        assert set(location.failures["run_id"]) == {"ours-1", theirs}
