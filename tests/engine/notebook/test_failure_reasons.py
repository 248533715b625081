"""No path to a failure works without its reason: with every reason taken away, the database refuses each of them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from smithers_nb.engine.execution.lease import MAX_STARTS
from smithers_nb.engine.execution.run_execution import abandon
from smithers_nb.engine.journal import Journal, executions, leases, records
from smithers_nb.engine.journal.schema import attempts
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages import context, stage
from smithers_nb.model.failure_reason import FailureReason
from tests.support.durable import Project


@pytest.fixture
def project(tmp_path):
    """An empty project."""
    return Project(Location.of(tmp_path))


def of_a_cell(project, _monkeypatch):
    """A cell raises."""
    run_id = project.submit("1 / 0")
    yield run_id
    project.execute(run_id)


def of_a_notebook_that_is_gone(project, _monkeypatch):
    """There is nothing to execute."""
    run_id = project.submit("1")
    (project.root / "job.ipynb").unlink()
    yield run_id
    project.execute(run_id)


def of_the_engine(project, monkeypatch):
    """Our own code has a bug."""
    run_id = project.submit("1")
    monkeypatch.setattr("smithers_nb.engine.execution.run_execution.execute", lambda *_, **__: 1 / 0)
    yield run_id
    project.execute(run_id)


def of_giving_up(project, _monkeypatch):
    """Its process died each time."""
    run_id = project.submit("1")
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        execution = executions.want(connection, run_id)
        for _ in range(MAX_STARTS):
            executions.begin(connection, execution, "pid:1:dead")
    yield run_id
    project.execute(run_id, execution)


def of_a_stage(project, monkeypatch):
    """A function raises."""
    run_id = project.submit("1")
    owner = leases.new_owner()
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        leases.take_lease(connection, run_id, owner)
    for name, value in ((context.RUN, run_id), (context.JOURNAL, project.location.url), (context.OWNER, owner)):
        monkeypatch.setenv(name, value)
    yield run_id
    stage("divide", lambda: 1 / 0)


def of_a_kept_output_that_does_not_fit(project, monkeypatch):
    """A stage's schema was changed."""
    steps = of_a_stage(project, monkeypatch)
    run_id = next(steps)
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        node = records.Node(run_id, "kept")
        records.write_output(connection, node, "json", {"value": "x"})
        records.finish_attempt(connection, node, records.start_attempt(connection, node, kind="stage"))
    yield run_id
    stage("kept", lambda: 1, schema=int)


def of_a_kernel_by_hand(project, _monkeypatch):
    """A person's kernel died in a stage."""
    run_id = "lab-1"
    with Journal.open(project.location) as journal, journal.writing() as connection:
        records.create_run(connection, records.NewRun(run_id, "notebook", None, None, {}, {"lab": True}))
        execution = executions.want(connection, run_id, queued=True)
        records.start_attempt(connection, records.Node(run_id, "cut-off"), kind="stage")
    yield run_id
    with Journal.open(project.location) as journal:
        abandon(journal, execution)


PATHS = (
    of_a_cell,
    of_a_notebook_that_is_gone,
    of_the_engine,
    of_giving_up,
    of_a_stage,
    of_a_kept_output_that_does_not_fit,
    of_a_kernel_by_hand,
)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_no_path_fails_without_its_reason(project, monkeypatch, path):
    """Were a reason forgotten anywhere, the failure itself could not be written: neither of the run nor of an attempt."""
    going = path(project, monkeypatch)
    run_id = next(going)
    monkeypatch.setattr(FailureReason, "as_error", lambda _: {})
    with pytest.raises(sa.exc.IntegrityError, match="has_a_reason"):
        next(going)
    assert project.run(run_id).status != "failed"
    assert "failed" not in project.states(run_id).values()
    assert "failed" not in {row.state for row in project.rows(attempts, run_id)}
