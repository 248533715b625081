"""What follows an incident: nothing is closed that is not mended, and the test that is written replays the captured run."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smithers_nb.errors import ControlRefused
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.close import Closed, ClosingAnswers, close
from smithers_nb.workflows.incident.recover import recover
from tests.support import orchestrator as orchestrator_program

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator

CURRICULUM = "outputs/curriculum/curriculum.json"
SAID = {"prevention": "the generator checks prerequisites", "docs": "no change: the runbook says it"}


@pytest.fixture
def broken(orchestrator: Orchestrator) -> CaseFile:
    orchestrator.write(CURRICULUM, {"nodes": [{"id": "N1", "prerequisites": ["N9"]}]})
    case = open_case(orchestrator.run, program=orchestrator.program)
    case.snapshot()
    case.runner().verb("validate")
    return case


def mended(case: CaseFile, **told: str | bool) -> Closed:
    (case.run.root / CURRICULUM).write_text('{"nodes": [{"id": "N1", "prerequisites": []}]}')
    assert recover(case, case.classify(), agreed_by="me").outcome == "recovered"
    return close(case, case.classify(), ClosingAnswers(**{"gate": False, **told}))  # type: ignore[arg-type]


def test_what_is_not_mended_is_not_closed(broken: CaseFile) -> None:
    """An open failure is refused, and the recovery is named."""
    with pytest.raises(ControlRefused, match="not mended"):
        close(broken, broken.classify(), ClosingAnswers(gate=False))


def test_what_nobody_said_keeps_it_open(broken: CaseFile) -> None:
    """Without prevention and a word about the documentation it stays open; with both it is closed and the summary has them."""
    done = mended(broken)
    assert done.outcome == "open"
    assert len(done.missing) == 2
    again = close(broken, broken.classify(), ClosingAnswers(gate=False, **SAID))
    assert again.outcome == "closed"
    assert "the generator checks prerequisites" in again.markdown
    assert "### Timeline (UTC)" in again.markdown
    assert Path(again.file).read_text() == again.markdown


def test_people_are_not_named(broken: CaseFile) -> None:
    """Wording about people is pointed out, and addresses are taken out of the summary."""
    done = mended(broken, cause="somebody forgot the check, see jane.doe@example.com", **SAID)
    assert "forgot" in done.notes[0]
    assert "jane.doe" not in done.markdown


def test_a_gate_that_fails_keeps_it_open(broken: CaseFile) -> None:
    """The gate command is run and its result is in the summary; here there is no Makefile."""
    done = mended(broken, gate=True, **SAID)
    assert (done.outcome, done.gate) == ("gate-failed", "make gate")
    assert "`make gate` failed" in done.markdown


def test_the_written_test_replays_the_captured_run(broken: CaseFile, tmp_path: Path) -> None:
    """As long as the command fails on the captured run the test fails; its capture is checked by hash."""
    done = mended(broken, code_defect=True, **SAID)
    replay = runpy.run_path(done.test)["test_the_command_of_the_incident_passes"]
    with pytest.raises(AssertionError, match="prerequisite 'N9' does not exist"):
        replay(tmp_path / "replay")


def test_the_written_test_passes_once_the_code_is_mended(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """The program of the incident is mended and the captured run stays: the same test passes then, and the capture is not touched by it."""
    program = tmp_path / "program.py"
    program.write_text(Path(orchestrator_program.__file__).read_text())
    orchestrator.write(CURRICULUM, {"nodes": [{"id": "N1", "prerequisites": ["N9"]}]})
    case = open_case(orchestrator.run, program=shlex.join([sys.executable, "-S", str(program)]))
    case.snapshot()
    case.runner().verb("validate")
    done = mended(case, code_defect=True, **SAID)
    replay = runpy.run_path(done.test)["test_the_command_of_the_incident_passes"]
    with pytest.raises(AssertionError, match="N9"):
        replay(tmp_path / "before")
    program.write_text(program.read_text().replace("if name not in known", "if name not in known and False"))
    replay(tmp_path / "after")
    replay(tmp_path / "again")
    assert f"**Regression test:** {done.test}" in done.markdown
