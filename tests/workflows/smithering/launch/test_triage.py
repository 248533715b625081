"""What a triage does about a child run in trouble, and what it leaves to a person."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from smithers_nb.engine.control import pending
from smithers_nb.engine.location import Location
from smithers_nb.errors import SmitheringError
from smithers_nb.workflows.smithering.launch.child import ChildState, launch, state_of
from smithers_nb.workflows.smithering.launch.triage import REMIT, act, triage
from smithers_nb.workflows.smithering.parameters import SmitheringParameters
from smithers_nb.workflows.smithering.results.launch import MonitorPoll, MonitorTriage, OrchDesign
from smithers_nb.workflows.smithering.work import Work
from tests.workflows.smithering.hands import Hands

CHILD = """
from pathlib import Path
from smithers_nb.workflows.notebook.api import gate, stage

def build():
    tries = Path("tries")
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) < {tries}:
        raise OSError("no space left on device")
    return {{"tries": len(tries.read_text())}}

stage("build", build)
gate("checks", "Have the checks run?", on_deny="continue")
gate("prices", "Raise the prices?", on_deny="continue")
"""


def started(folder: Path, tries: int) -> Work:
    """Start a child whose task succeeds in a certain try, and return the request that watches it."""
    location = Location.of(str(folder))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CHILD.format(tries=tries), id="only")])
    nbformat.write(notebook, folder / "child.ipynb")
    given = SmitheringParameters(provider="scripted", repo=str(folder), started_by="ana")
    work = Work(given, "r1", location, Hands(), folder / "artifacts" / "smithering" / "r1")
    work.rows["orch:design"] = OrchDesign(summary="one", mechanical_gates=("checks",))
    launch(location, folder / "child.ipynb", {}, run_id="impl-r1", parent="r1", hours=1)
    return work


def settled(work: Work, *, until: Any = lambda _: True) -> ChildState:
    """Wait until the child is over or waits, and no process has it any more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = state_of(work.location, "impl-r1")
        if (state.is_over or state.waits) and not state.executed and until(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state_of(work.location, "impl-r1"))


def triaged(work: Work, taken: tuple[str, ...] = ()) -> MonitorTriage:
    state = settled(work)
    return triage(
        work, "impl-r1", MonitorPoll(status=state.status, terminal=state.is_over, needs_attention=True, detail=state.error), taken
    )


@pytest.mark.slow
def test_a_failed_task_is_tried_once_more_and_mechanical_gates_are_passed(tmp_path: Path) -> None:
    """The second try goes on; the gate that the design names is approved for whoever asked; the other one is a person's."""
    work = started(tmp_path, tries=2)
    assert triaged(work).actions_taken == ("retry-task build",)
    settled(work, until=lambda state: state.waits)
    assert triaged(work).actions_taken == ("approve-mechanical-gate checks",)
    settled(work, until=lambda _: [item.node_id for item in pending(work.location, "impl-r1")] == ["prices"])
    left = triaged(work)
    assert (left.escalate, left.actions_taken) == (True, ())
    assert "prices: Raise the prices?" in left.reason
    with pytest.raises(SmitheringError, match="build has not failed"):
        act(work, "impl-r1", "retry-task build")
    with pytest.raises(SmitheringError, match="has not lost its process"):
        act(work, "impl-r1", "resume")
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.slow
def test_a_task_that_fails_twice_is_a_persons(tmp_path: Path) -> None:
    """The failed task is tried a second time and no third time, whatever the cycles before are known to have done."""
    work = started(tmp_path, tries=9)
    first = triaged(work)
    assert first.actions_taken == ("retry-task build",)
    settled(work, until=lambda _: len((tmp_path / "tries").read_text()) == 2)
    for taken, why in (((), "failed after 2 tries"), (first.actions_taken, "was tried before")):
        again = triaged(work, taken)
        assert again.escalate
        assert why in again.reason
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.parametrize("action", ["answer colour", "edit-code app.py", "edit-schema prd", "rewind", "cancel", "retry-tasks build", ""])
def test_what_is_not_in_the_remit_is_refused(tmp_path: Path, action: str) -> None:
    """Code, schemas, answers and what cannot be undone are refused before anything is looked at."""
    work = Work(SmitheringParameters(provider="scripted", repo=str(tmp_path)), "r1", Location.of(str(tmp_path)), Hands(), tmp_path)
    assert set(REMIT) == {"resume", "retry-task", "approve-mechanical-gate"}
    with pytest.raises(SmitheringError, match="outside of the remit"):
        act(work, "impl-r1", action)
    assert not (tmp_path / ".smithers_nb").exists()
