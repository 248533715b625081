"""Where the notebooks of durable runs go, and that nothing about it changes how a run ends."""

from __future__ import annotations

import json

import nbformat
import pytest
import sqlalchemy as sa
from fsspec.implementations.memory import MemoryFileSystem

from smithers_nb.engine.artifacts import store
from smithers_nb.engine.execution.outcome import notebook_of
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import events, runs
from smithers_nb.engine.location import Location
from smithers_nb.errors import ParameterError
from tests.support.durable import Project, effect, ended

GATE = "from smithers_nb.engine.stages import gate\ngate('ship', 'Ship it?')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, and little patience with stores that fail."""
    monkeypatch.setattr(store, "_WAITS_S", (0.01,))
    MemoryFileSystem.store.clear()
    return Project(Location.of(tmp_path))


def told(project, run_id):
    """Read the events about artifacts."""
    rows = sorted(project.rows(events, run_id), key=lambda row: row.seq)
    return [(row.type, json.loads(row.payload_json)) for row in rows if row.type.startswith("Artifact")]


@pytest.mark.parametrize(("cell", "status"), [("1 + 1", "finished"), ("1 / 0", "failed"), (GATE, "waiting-approval")])
def test_every_execution_brings_its_notebook(project, cell, status):
    """However an execution ends, its notebook as far as it got is where artifacts go before the run has that status."""
    run_id = project.submit(cell, artifacts="memory://bucket/x")
    assert project.execute(run_id).status == status
    written = MemoryFileSystem().cat(f"/bucket/x/job/{run_id}.ipynb")
    assert written == notebook_of(project.location, run_id).read_bytes()
    assert nbformat.reads(written.decode(), as_version=4).cells[-1].source == cell
    assert told(project, run_id)[0][1]["artifact"] == f"memory://bucket/x/job/{run_id}.ipynb"
    types = project.event_types(run_id)
    assert types.index("ArtifactWritten") < len(types) - 1 <= types.index(types[-1])


def test_a_folder_is_found_from_where_the_run_was_started(project):
    """A relative folder means the one in which the run was started, whoever executes it."""
    run_id = project.submit("1", artifacts="out")
    project.execute(run_id)
    assert (project.root / "out" / "job" / f"{run_id}.ipynb").is_file()


@pytest.mark.parametrize("cell", ["1 + 1", "1 / 0"])
def test_a_store_that_fails_changes_no_outcome_and_is_told(project, cell, caplog):
    """A notebook that cannot be brought is an event with the reason and a line; the run ends as it would have."""
    plain, other = project.submit(cell), None
    (project.root / "blocked").write_text("a file where a folder should be")
    other = project.submit(cell, artifacts=f"file://{project.root}/blocked")
    assert project.execute(plain).status == project.execute(other).status
    ((kind, event),) = told(project, other)
    assert kind == "ArtifactNotWritten"
    assert event["artifact"].endswith(f"/blocked/job/{other}.ipynb")
    assert "blocked" in event["error"]
    assert f"run {other}: its notebook stays at" in caplog.text


@pytest.mark.slow
def test_workers_bring_notebooks_too(project):
    """Runs that a worker takes from the queue bring their notebooks from its process."""
    from smithers_nb.engine.workers.client import enqueue

    run_id = project.submit(effect("done"), artifacts=f"file://{project.root}/out")
    enqueue(project.location, run_id)
    assert ended([project.process()]) == [f"{run_id} finished\n"]
    assert (project.root / "out" / "job" / f"{run_id}.ipynb").is_file()


def test_a_place_that_cannot_work_is_refused_before_the_run_is_written(project):
    """A run that could bring its notebook nowhere is not begun at all."""
    with pytest.raises(ParameterError, match="nope://x"):
        project.submit("1", artifacts="nope://x")
    with Journal.open(project.location) as journal, journal.reading() as connection:
        assert connection.execute(sa.select(runs)).all() == []
