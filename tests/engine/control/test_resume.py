"""When a run may go on, and what is said when it may not."""

from __future__ import annotations

import json

import pytest

from smithers_nb.engine.control import resume, retry_task
from smithers_nb.engine.control.parameters import Words
from smithers_nb.errors import AmbiguousRunId, ParameterError, RunNotFound
from tests.support.history import cell, write_notebook


@pytest.mark.parametrize("status", ["waiting-approval", "waiting-event", "paused", "cancelled", "failed", "running"])
def test_what_stopped_goes_on(runs, location, status: str) -> None:
    """Every status but finished leads to one more execution, and the run is told to be queued."""
    runs.new()
    if status == "failed":
        runs.failed("r1", "load")
    else:
        runs.status("r1", status)
    found = resume(location, "r1")
    assert (found.status, found.continues) == (status, True)
    assert [row.outcome for row in runs.rows("_smithers_nb_executions")] == [None]
    assert (runs.row().status, runs.row().error_json) == ("waiting-worker", None)
    assert runs.events("RunResumeRequested")[0]["status"] == status


def test_a_finished_run_has_nothing_left(runs, location) -> None:
    """Resuming what is finished does nothing and says so."""
    runs.new()
    runs.status("r1", "finished")
    assert resume(location, "r1") == ("r1", "finished", False)
    assert runs.rows("_smithers_nb_executions") == []


def test_a_live_process_keeps_its_run(runs, location, refused) -> None:
    """A run that a live process executes is left alone, also with force."""
    runs.new()
    owner = runs.execute_elsewhere("r1")
    for force in (False, True):
        assert owner in str(refused("RUN_OWNER_ALIVE", resume, location, "r1", force=force))


def test_a_dead_process_loses_its_run(runs, location, monkeypatch) -> None:
    """A run that is recorded as running, but whose process is gone, may go on."""
    runs.new()
    runs.execute_elsewhere("r1")
    monkeypatch.setattr("smithers_nb.engine.journal.leases._is_running", lambda _: False)
    assert resume(location, "r1").continues


def test_of_two_who_resume_one_wins(runs, location, refused) -> None:
    """Who resumes a run that somebody else has just resumed is told so; force takes it over."""
    runs.new()
    runs.failed("r1", "load")
    assert resume(location, "r1", here=True).continues
    refused("RUN_STILL_RUNNING", resume, location, "r1", here=True)
    assert resume(location, "r1", here=True, force=True).continues


def test_an_edited_cell_is_named(runs, location, notebook, refused) -> None:
    """After an edit a resume and a retry are refused; the message has the label, both hashes and the cell."""
    runs.new()
    runs.failed("r1", "load")
    before = runs.row().workflow_hash
    write_notebook(notebook, cell("count = 1", name="parameters", tags=("parameters",)), cell("print(count + 1)", name="work"))
    for call in (lambda: resume(location, "r1"), lambda: retry_task(location, "r1", "load")):
        said = str(refused("RESUME_METADATA_MISMATCH", call))
        assert "workflow entry file changed" in said
        assert before[:8] in said
        assert "work" in said
    assert runs.states()["load"] == "failed"


def test_an_accepted_edit_is_written_down(runs, location, notebook) -> None:
    """With consent the run gets the new hash, and its log both of them and what changed."""
    runs.new()
    runs.failed("r1", "load")
    before = runs.row().workflow_hash
    write_notebook(notebook, cell("print('new')", name="work"))
    assert resume(location, "r1", accept_workflow_change=True).continues
    (event,) = runs.events("RunWorkflowChangeAccepted")
    assert (event["from"], event["to"]) == (before, runs.row().workflow_hash)
    assert event["changed"] == ["work", "parameters"]
    assert list(json.loads(runs.row().config_json)["cells"]) == ["work"]


def test_an_edited_module_is_named(runs, location, notebook, refused) -> None:
    """A module of the project that the notebook imports counts as its source."""
    module = notebook.parent / "steps_of_this_test.py"
    module.write_text("x = 1\n")
    write_notebook(notebook, cell("import steps_of_this_test", name="work"))
    runs.new()
    runs.status("r1", "cancelled")
    module.write_text("x = 2\n")
    said = str(refused("RESUME_METADATA_MISMATCH", resume, location, "r1"))
    assert "workflow module graph changed" in said
    assert "steps_of_this_test.py" in said


def test_a_notebook_that_is_gone_cannot_be_accepted(runs, location, notebook, refused) -> None:
    """Consent to an edit is no consent to a missing notebook."""
    runs.new()
    runs.failed("r1", "load")
    notebook.unlink()
    assert "workflow entry hash unavailable" in str(
        refused("RESUME_METADATA_MISMATCH", resume, location, "r1", accept_workflow_change=True)
    )


def test_saving_or_running_a_notebook_is_no_edit(runs, location, notebook) -> None:
    """Outputs, execution counts and metadata may change."""
    runs.new()
    runs.failed("r1", "load")
    node = json.loads(notebook.read_text())
    for one in node["cells"]:
        one |= {"execution_count": 7, "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
    node["metadata"]["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.write_text(json.dumps(node, indent=2))
    assert resume(location, "r1").continues


def test_other_parameters_are_refused(runs, location, refused) -> None:
    """A resume keeps the parameters of its run; the same ones may be repeated, also as words."""
    runs.new()
    runs.failed("r1", "load")
    assert "count" in str(refused("RESUME_INPUT_MISMATCH", resume, location, "r1", parameters={"count": Words("4")}))


def test_the_same_parameters_may_be_repeated(runs, location, notebook) -> None:
    """Repeating what a run was given is no change."""
    from smithers_nb.engine.control import submit

    submit(location, notebook, {"count": 4}, run_id="r1")
    runs.failed("r1", "load")
    assert resume(location, "r1", notebook=notebook, parameters={"count": Words("4")}).continues


def test_another_notebook_is_refused(runs, location, tmp_path, refused) -> None:
    """A run goes on with its own notebook only."""
    runs.new()
    assert "workflow path changed" in str(refused("RESUME_METADATA_MISMATCH", resume, location, "r1", notebook=tmp_path / "other.ipynb"))


def test_a_run_that_went_on_elsewhere_cannot_be_resumed(runs, location, refused) -> None:
    """`continued` is the one status that nothing leads out of."""
    runs.new()
    with runs.journal.writing("r1") as connection:
        connection.exec_driver_sql("UPDATE _smithers_runs SET status = 'continued'")
    refused("RUN_NOT_RESUMABLE", resume, location, "r1")


def test_runs_are_found_by_their_beginning(runs, location) -> None:
    """A unique beginning will do; an ambiguous one lists what it could be, and LIKE's wildcards are letters; case counts."""
    for name in ("nightly-1", "nightly-2", "other"):
        runs.new(name)
    assert resume(location, "oth").run_id == "other"
    with pytest.raises(AmbiguousRunId) as raised:
        resume(location, "nightly")
    assert raised.value.candidates == ("nightly-1", "nightly-2")
    for nothing in ("", "%", "_ther", "x", "OTH"):
        with pytest.raises(RunNotFound):
            resume(location, nothing)


def test_resume_clears_an_old_cancel(runs, location) -> None:
    """A cancelled run that is resumed is not cancelled again by the old request."""
    from smithers_nb.engine.control import cancel

    runs.new()
    cancel(location, "r1")
    resume(location, "r1")
    assert runs.row().cancel_requested_at_ms is None


def test_bad_parameters_of_a_resume_are_told(runs, location) -> None:
    """A parameter that the notebook does not have is told as such."""
    runs.new()
    with pytest.raises(ParameterError, match="no parameter"):
        resume(location, "r1", parameters={"nope": 1})
