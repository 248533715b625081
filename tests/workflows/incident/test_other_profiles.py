"""Profiles of engines whose runs are rows: our own notebooks and Smithers runs, captured into files and otherwise the same."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from smithers_nb.engine import control
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.foreground import run_here
from smithers_nb.errors import ParameterError, SourceUnreadable
from smithers_nb.model.rows import AttemptRow, NodeRow, RunRow
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.bundle import write_bundle
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.profile import FOLDER, load_profile, shipped
from smithers_nb.workflows.incident.recover import plan_recovery, recover
from smithers_nb.workflows.incident.signatures.classify import classify
from tests.diagnosis.conftest import NOW, LiteralSource, make

MINUTE = 60_000
OURS = shlex.join([sys.executable, "-m", "smithers_nb"])


def test_no_orchestrator_is_named_in_code() -> None:
    """What the modules know about an orchestrator is in its profile; none of the first one's words is in the Python here."""
    profile = load_profile("curriculum-builder")
    words = {"curriculum", "codex", "topic_spec", "openai", "validation_report", "AGENT_", "orchestration.py", "remote_llm"}
    words |= {*profile.program.env, *profile.program.secret_env, *(file.path for file in profile.files.values())}
    code = "".join(file.read_text() for file in FOLDER.parent.rglob("*.py")).lower()
    assert sorted(word for word in words if re.search(rf"\b{re.escape(word.lower())}(?!\()", code)) == []


@pytest.mark.parametrize("name", shipped())
def test_shipped_profiles_are_whole(name: str) -> None:
    """Each loads, and each of its signatures has a recovery and words for a person."""
    profile = load_profile(name)
    assert profile.recovery.keys() == profile.signatures.keys()
    assert all(signature.title and signature.advice for signature in profile.signatures.values())


def run_with(tmp_path: Path, why: str) -> RunDirectory:
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "why.json").write_text(why)
    return RunDirectory(tmp_path / "r1")


@pytest.mark.parametrize(
    ("status", "state", "signature"),
    [
        ("failed", "failed", "failed"),
        ("running", "orphaned", "stale"),
        ("running", "stale", "stale"),
        ("running", "running", None),
        ("waiting-approval", "waiting-approval", "parked"),
        ("paused", "paused", "stopped"),
        ("finished", "succeeded", None),
    ],
)
@pytest.mark.parametrize("name", ["notebooks", "smithers"])
def test_states_have_a_signature(tmp_path: Path, name: str, status: str, state: str, signature: str | None) -> None:
    """Failed, parked, stopped and stale runs are told apart; one that runs or is finished has no signature."""
    run = run_with(tmp_path, f'{{"runId": "r1", "status": "{status}", "state": "{state}", "summary": "said"}}')
    found = classify(load_profile(name), run)
    assert found.signature == signature
    assert signature is None or found.evidence[-1].quote == "said"


@pytest.mark.parametrize(("limit_ms", "signature"), [(None, "stuck"), (10 * MINUTE, "stuck"), (60 * MINUTE, None)])
def test_a_cell_that_hangs_under_a_live_process(tmp_path: Path, limit_ms: int | None, signature: str | None) -> None:
    """It is stuck once it is silent for longer than it may be, told from what `why` says; its cell is mended before the run is stopped."""
    run = make(
        RunRow, run_id="r1", status="running", state="running", owner="pid:1:x", started_at=NOW - 21 * MINUTE, heartbeat_at=NOW - 500
    )
    times = {"started_at": NOW - 20 * MINUTE, "finished_at": None, "timeout_ms": limit_ms}
    rows = [run, make(NodeRow, run_id="r1", node_id="c1", logical_id="c1", state="in-progress")]
    rows.append(make(AttemptRow, run_id="r1", node_id="c1", attempt=1, state="in-progress", **times))
    why = explain(Snapshot(LiteralSource(rows), "r1"), now=NOW)
    profile, directory = load_profile("notebooks"), run_with(tmp_path, json.dumps(why.as_json()))
    found = classify(profile, directory)
    assert found.signature == signature
    case = CaseFile(profile, directory, tmp_path / "incident")
    assert [step.id for step in plan_recovery(case, found).steps] == (["mend", "cancel", "resume"] if signature else [])


@pytest.mark.slow
def test_a_failed_notebook_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A durable run that failed is classified, waits for a person, is resumed after the fix, and can be escalated."""
    monkeypatch.chdir(tmp_path)
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(node, tmp_path / "job.ipynb")
    location = Location.of(tmp_path)
    run_here(location, control.submit(location, tmp_path / "job.ipynb", {}, run_id="job-1", post_failure=False))
    case = open_case("job-1", profile="notebooks", program=OURS)
    found = case.classify()
    assert found.signature == "failed"
    assert "division by zero" in found.evidence[-1].quote
    assert recover(case, found, agreed_by="me").outcome == "waiting"
    assert verify_bundle(Path(write_bundle(case, found).file)).ok
    node.cells[0].source = "1"
    nbformat.write(node, tmp_path / "job.ipynb")
    assert recover(case, found, {"done": "mend"}, agreed_by="me").outcome == "recovered"


def test_a_smithers_run_is_read_from_its_store(store: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed run of a real store is classified by its id, and what would change it is the engine's own command."""
    project = store("invoice-rollup").parent
    monkeypatch.chdir(project)
    run_id = _only_run(project)
    case = open_case(run_id, profile="smithers", program=OURS, artifacts=tmp_path / "artifacts")
    plan = plan_recovery(case, case.classify(), {"workflow": "w.tsx", "node": "compute"})
    assert plan.signature == "failed"
    assert plan.steps[-1].shows == f"bunx smithers-orchestrator retry-task w.tsx --run-id {run_id} --node-id compute"


def _only_run(project: Path) -> Any:
    from smithers_nb import connect

    return connect(project).run_rows()[0].run_id


def test_a_run_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that nobody knows is refused with what the engine says; one that would be an option is refused at once."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceUnreadable, match="nothing-1"):
        open_case("nothing-1", profile="notebooks", program=OURS)
    with pytest.raises(ParameterError, match="not an id"):
        open_case("--help", profile="notebooks", program=OURS)
