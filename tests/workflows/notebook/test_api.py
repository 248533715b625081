"""What a notebook's `stage`, `gate` and `ask` show, wherever it runs, and what its inbox does."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import sqlalchemy as sa

import smithers_nb
from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.schema import approvals
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages import Parked, context
from smithers_nb.workflows.notebook import api
from tests.support.durable import Project, effect, until

widgets = pytest.mark.skipif(importlib.util.find_spec("ipywidgets") is None, reason="ipywidgets is not installed (the extra `lab`)")


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """A process that nobody executes durably, in an empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.setattr(context, "_by_hand", {})
    yield Location.of(tmp_path)
    for begun in context._by_hand.values():
        context._end(begun, os.getpid())
        begun.journal.close()


def parts(widget, kind):
    """List all widgets of a kind inside of one, in order."""
    inner = [part for child in getattr(widget, "children", ()) for part in parts(child, kind)]
    return [widget, *inner] if type(widget).__name__ == kind else inner


def test_they_are_the_package_s_own_names():
    """`from smithers_nb import stage, gate, ask` is all a notebook needs."""
    assert (smithers_nb.stage, smithers_nb.gate, smithers_nb.ask) == (api.stage, api.gate, api.ask)
    assert smithers_nb.stage.__doc__.startswith("Run a step once per run")


@pytest.mark.usefixtures("by_hand")
def test_a_kept_output_is_told_to_whoever_runs_the_cell_again(capsys):
    """A person who edits a step and runs it again learns that it was not run, and how to begin anew."""
    assert api.stage("count", lambda: 1) == 1
    assert capsys.readouterr().out == ""
    assert api.stage("count", lambda: 2) == 1
    assert "count was not run again: its output of 20" in capsys.readouterr().out


@pytest.mark.usefixtures("by_hand")
def test_a_gate_without_anybody_to_click_says_how_to_run_the_notebook(capsys):
    """Where the kernel ends with the cell, no command is printed that would come too late."""
    with pytest.raises(Parked):
        api.gate("deploy", "Deploy?", "All green.", {"version": "1.2"}, on_deny="fail")
    shown = capsys.readouterr().out
    assert "◆ Deploy? (waits for a decision)" in shown
    assert "Deny: the run fails" in shown
    assert "smithers-nb up NOTEBOOK.ipynb" in shown
    assert "smithers-nb approve" not in shown


def test_a_decided_gate_and_a_question_are_shown(by_hand, capsys):
    """After the decision the notebook says who, when and why; a question says what can be answered."""
    with pytest.raises(Parked):
        api.gate("deploy", "Deploy?")
    control.decide(by_hand, context.lab_run().run_id, approved=False, by="ben@there", note="not today")
    assert not api.gate("deploy", "Deploy?").approved
    assert "Denied by ben@there on 20" in capsys.readouterr().out
    with pytest.raises(Parked):
        api.ask("colour", "Which?", options=["red", "green"])
    assert "one of: red, green" in capsys.readouterr().out


@pytest.mark.slow
def test_plain_papermill_stops_at_a_gate(tmp_path):
    """`papermill job.ipynb out.ipynb` never passes a gate: it ends there with one line and the card that says what to do."""
    node = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    node.cells = [
        nbformat.v4.new_code_cell("from smithers_nb import gate\ngate('ok', 'Sure?')"),
        nbformat.v4.new_code_cell(effect("after")),
    ]
    nbformat.write(node, tmp_path / "job.ipynb")
    command = [str(Path(sys.executable).with_name("papermill")), "job.ipynb", "out.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "“ok” waits for a person's decision." in done.stderr
    assert not (tmp_path / "effects").exists()
    outputs = [output for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells for output in cell.get("outputs", [])]
    assert any("smithers-nb up NOTEBOOK.ipynb" in output.get("data", {}).get("text/plain", "") for output in outputs)
    with Journal.open(Location.of(tmp_path)) as journal, journal.reading() as connection:
        assert connection.execute(sa.select(approvals.c.status)).scalar() == "requested"


def test_who_decides(monkeypatch):
    """A decision is written in the name of the JupyterHub user, else of the account, always with the machine."""
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert control.login().startswith("ann@")
    monkeypatch.delenv("JUPYTERHUB_USER")
    assert control.login().partition("@")[0]


@widgets
@pytest.mark.slow
def test_an_approval_in_the_inbox_continues_the_run(tmp_path, monkeypatch):
    """Approving a waiting run from a notebook beside it starts a worker, which executes the rest."""
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    project = Project(Location.of(tmp_path))
    run_id = project.submit(
        "from smithers_nb import gate\ngate('ok', 'Sure?', details={'payload': 'x' * 900}, on_deny='fail')", effect("after")
    )
    assert project.execute(run_id).status == "waiting-approval"
    with smithers_nb.connect(tmp_path) as found:
        live = found[run_id].live()
        shown = " ".join(page.value for page in parts(live.box, "HTML"))
        assert "x" * 900 in shown
        assert "the run fails" in shown
        next(one for one in parts(live.box, "Button") if one.description == "Approve").click()
    until(lambda: project.run(run_id).status == "finished", 60)
    assert project.lines() == ["after"]
    with Journal.open(project.location) as journal, journal.reading() as connection:
        for worker in known_workers(connection):
            os.kill(worker.pid, signal.SIGTERM)
    row = project.rows(approvals, run_id)[0]
    assert (row.status, row.decided_by.partition("@")[0]) == ("approved", "ann")


@widgets
def test_looking_at_runs_of_smithers_begins_no_journal(store):
    """Watching a Smithers store shows it and leaves nothing behind in its project."""
    file = store("fleet")
    with smithers_nb.connect(file) as project:
        assert "runs" in repr(project.live())
    assert [path.name for path in file.parent.iterdir()] == [file.name]
