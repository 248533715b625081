"""Nothing that was finished, decided or answered is given up without a terminal unless somebody says `--yes`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from smithers_nb.engine.control import resume, retry_task
from smithers_nb.engine.execution.outcome import notebook_of
from smithers_nb.engine.journal import decisions
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.location import Location
from smithers_nb.engine.notebook.file import read_notebook
from tests.support.history import Runs, cell, write_notebook

LOAD = "stage('load', print)\ngate('ok', 'Ship?')\nask('where', 'Where?')\nstage('send', print)"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A finished run with two stages, a decided gate and an answered question."""
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.chdir(tmp_path)
    notebook = write_notebook(tmp_path / "job.ipynb", cell("", name="parameters", tags=("parameters",)), cell(LOAD, name="work"))
    found = Runs(Location.of(tmp_path), notebook)
    found.new()
    found.did("r1", "load")
    with found.journal.writing("r1") as connection:
        decisions.request_approval(connection, Node("r1", "ok", 0), title="Ship?")
        decisions.decide(connection, Node("r1", "ok", 0), approved=True, by="ann")
        asked = decisions.request_answer(connection, Node("r1", "where", 0), prompt="Where?", kind="ask", schema=None)
        decisions.answer(connection, asked, "eu", by="bob")
    found.did("r1", "send")
    executed = notebook_of(found.journal.location, "r1")
    executed.parent.mkdir(parents=True)
    shutil.copyfile(notebook, executed)
    yield found
    found.journal.close()


def edit(notebook: Path, before: str, after: str) -> None:
    """Replace text in the cells of a notebook."""
    notebook.write_text(notebook.read_text("utf-8").replace(before, after), "utf-8")
    assert read_notebook(notebook)


def test_a_retry_that_loses_something_needs_a_yes(cli, runs: Runs) -> None:
    """On a finished run an approval, an answer and outputs are named, and nothing is changed."""
    before = runs.states()
    refused = cli("retry-task", "r1", "load")
    assert refused.code == 4
    assert "CONFIRMATION_REQUIRED" in refused.err
    for told in ("approved by ann: is asked again", "answered by bob: is asked again", "send (its output is dropped", "--yes"):
        assert told in refused.err
    assert runs.states() == before
    assert runs.rows("_smithers_approvals")[0].status == "approved"


def test_a_retry_of_what_only_failed_needs_none(cli, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed node holds nothing that anybody would miss."""
    handed: list[str] = []
    monkeypatch.setattr("smithers_nb.cli.run.control.execute", lambda *about, **_: handed.append(about[-1]) or 0)
    runs.failed("r1", "mail")
    assert cli("retry-task", "r1", "mail").code == 0
    assert handed == ["r1"]


@pytest.mark.parametrize("words", [("resume", "r1"), ("up", "job.ipynb", "--run-id", "r1", "--resume")])
def test_a_resume_whose_edit_gives_something_up_needs_a_yes(cli, runs: Runs, words: tuple[str, ...], monkeypatch) -> None:
    """A gate and a stage that the edited notebook calls otherwise would be asked and done anew, so they are named first."""
    monkeypatch.setattr("smithers_nb.cli.run.control.execute", lambda *_, **__: 0)
    runs.failed("r1", "mail")
    edit(runs.notebook, "'send'", "'send2'")
    edit(runs.notebook, "'ok'", "'sure'")
    refused = cli(*words, "--accept-workflow-change")
    assert refused.code == 4
    assert "ok (approved by ann: is asked again)" in refused.err
    assert "send (its output is dropped" in refused.err
    assert "load" not in refused.err
    assert runs.row().status == "failed"
    assert cli(*words, "--accept-workflow-change", "--yes").code == 0
    assert runs.row().status == "waiting-worker"


def test_a_resume_whose_edit_keeps_everything_needs_none(cli, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that leaves the names of stages, gates and questions as they are costs nothing."""
    monkeypatch.setattr("smithers_nb.cli.run.control.execute", lambda *_, **__: 0)
    runs.failed("r1", "mail")
    edit(runs.notebook, "Ship?", "Ship it?")
    assert cli("resume", "r1", "--accept-workflow-change").code == 0


def test_the_library_acts_as_it_is_told(runs: Runs) -> None:
    """Confirming is for the command line: a program that calls the library has decided."""
    runs.failed("r1", "mail")
    assert [item.node.node_id for item in retry_task(runs.journal.location, "r1", "send").items] == ["send", "mail"]
    assert resume(runs.journal.location, "r1", force=True).continues
