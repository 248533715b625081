"""A runbook is tried, not believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.cli.investigate.incident import linted_page
from smithers_nb.errors import ParameterError
from smithers_nb.workflows.incident.lint import Linted, lint
from smithers_nb.workflows.incident.profile import load_profile

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator


def outcomes(found: Linted) -> dict[str, str]:
    return {row.id: row.outcome for row in found.steps}


def test_captured_commands_disprove_what_cannot_work(corpus: Path, cli: Callable[..., Any]) -> None:
    """What was found by hand is found again, each with the captured output; what no capture shows is not tried."""
    found = lint(load_profile("curriculum-builder"), corpus / "rundirs")
    assert found.drift
    rows = {row.id: row for row in found.steps}
    assert {row.id for row in found.steps if row.outcome == "fails"} == {"1.status", "B.report", "F.archive"}
    assert "Invalid run metadata" in rows["F.archive"].output
    assert "auto-sync" in rows["1.status"].output
    assert {rows[name].outcome for name in ("A.scope-file", "F.init", "F.run", "S.validate", "S.plan", "S.iterate")} == {"works"}
    assert rows["C.rerun"].outcome == "not tried here"
    assert found.proved_on.startswith("2026-11-20")
    assert cli("incident", "lint", "curriculum-builder", "--captures", corpus / "rundirs").code == 1


def test_without_captures_nothing_is_found(tmp_path: Path) -> None:
    """No finding without a run or a capture; a folder without captures is refused."""
    found = lint(load_profile("curriculum-builder"))
    assert not found.drift
    assert set(outcomes(found).values()) == {"not tried here"}
    with pytest.raises(ParameterError, match="no captures"):
        lint(load_profile("curriculum-builder"), tmp_path)


def test_steps_are_tried_in_a_copy(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """With the orchestrator at hand a step is run on a copy: `archive` of a broken run fails, `init` works, the capture stays as it is."""
    orchestrator.write("run.json", {"run_id": "x"})
    capture = tmp_path / "captures" / "broken"
    capture.mkdir(parents=True)
    shutil.move(orchestrator.run, capture / "run")
    command = {
        "argv": ["x", "status", orchestrator.run.name],
        "exit": 2,
        "stderr": "[invalid_argument] Invalid run metadata in r; delete\n",
    }
    (capture / "commands.jsonl").write_text(json.dumps(command))
    before = sorted((path, path.stat().st_mtime_ns) for path in capture.rglob("*"))
    found = lint(load_profile("curriculum-builder"), tmp_path / "captures", program=orchestrator.program)
    rows = {row.id: row for row in found.steps}
    assert (rows["F.archive"].outcome, rows["F.init"].outcome) == ("fails", "works")
    assert rows["F.archive"].where == "sandbox of broken"
    assert rows["F.archive"].instead
    assert sorted((path, path.stat().st_mtime_ns) for path in capture.rglob("*")) == before


@pytest.mark.parametrize("name", ["smithers", "notebooks"])
def test_a_profile_without_steps_does_not_look_clean(name):
    """Nothing was tried, and both the row and the page say so."""
    found = lint(load_profile(name))
    assert found.summary == f"{name} documents no steps: nothing was tried."
    assert "unclear" in "\n".join(linted_page(found))
