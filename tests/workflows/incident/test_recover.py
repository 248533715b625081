"""Recoveries, taken for real on a small orchestrator: planned first, proved afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smithers_nb.errors import ControlRefused, ParameterError
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.archive import read_archive
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.recover import Recovered, plan_recovery, recover
from smithers_nb.workflows.incident.staleness import staleness_of
from tests.support.orchestrator import TEMPLATE

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator

SPEC, CURRICULUM = "inputs/topic_spec.json", "outputs/curriculum/curriculum.json"


@pytest.fixture
def case(orchestrator: Orchestrator) -> CaseFile:
    return open_case(orchestrator.run, program=orchestrator.program)


def mended(case: CaseFile, **values: str) -> Recovered:
    return recover(case, case.classify(), values, agreed_by="me")


def test_a_plan_changes_nothing(orchestrator: Orchestrator, case: CaseFile) -> None:
    """The plan says what would be run; neither the run nor the incident's folder is touched."""
    orchestrator.write(SPEC, TEMPLATE)
    before = [(entry, RunDirectory(orchestrator.run).sha256(entry.path)) for entry in RunDirectory(orchestrator.run).entries]
    plan = plan_recovery(case, case.classify(), {"scope_file": "scope.md"})
    assert [step.needed for step in plan.steps] == [True, False, False]
    assert plan.steps[0].shows.endswith("--scope-file scope.md")
    assert [(entry, RunDirectory(orchestrator.run).sha256(entry.path)) for entry in RunDirectory(orchestrator.run).entries] == before
    assert not case.folder.exists()


def test_a_spec_that_is_not_ready(orchestrator: Orchestrator, case: CaseFile, tmp_path: Path) -> None:
    """A: without a scope file it waits until somebody has filled in the spec; with one it runs through."""
    orchestrator.write(SPEC, TEMPLATE)
    case.runner().verb("run")
    assert (case.classify().signature, mended(case).outcome) == ("A", "waiting")
    (tmp_path / "scope.md").write_text("# scope")
    assert mended(case, scope_file=str(tmp_path / "scope.md")).outcome == "recovered"


def test_a_validation_that_fails(orchestrator: Orchestrator, case: CaseFile) -> None:
    """B: as long as nothing is fixed validation fails again; fixed, it goes on to plan and iterate."""
    orchestrator.write(CURRICULUM, {"nodes": [{"id": "N1", "prerequisites": ["N9"]}]})
    case.runner().verb("validate")
    failed = mended(case)
    assert (failed.outcome, failed.steps[-1].id) == ("failed", "validate")
    assert "escalate" in failed.summary
    orchestrator.write(CURRICULUM, {"nodes": [{"id": "N1", "prerequisites": []}]})
    assert mended(case).outcome == "recovered"
    assert orchestrator.read("run.json")["stage"] == "iterated"


def test_only_what_fits_the_cause_is_done(case: CaseFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """C: a refused login needs neither another model nor more time; what does not succeed advises escalation."""
    monkeypatch.setenv("AGENT_PROVIDER", "codex_exec")
    monkeypatch.setenv("AGENT_TIMEOUT_SECONDS", "10")
    case.runner().verb("run")
    login = {"details": {"last_error": "last status: 401 Unauthorized"}}
    plan = plan_recovery(case, case.classify(login))
    assert [step.id for step in plan.steps if step.needed] == ["keep", "log-in", "rerun"]
    slow = {"details": {"last_error": "codex exec timed out after 10s"}}
    steps = {step.id: step for step in plan_recovery(case, case.classify(slow)).steps if step.needed}
    assert steps.keys() == {"keep", "raise-timeout", "rerun"}
    assert steps["raise-timeout"].shows == "export AGENT_TIMEOUT_SECONDS=40"
    done = recover(case, case.classify(slow), agreed_by="me")
    assert done.outcome == "failed"
    assert verify_bundle(Path(done.bundle)).ok
    assert next(step for step in reversed(case.log.steps()) if step["argv"])["env_redacted"]["AGENT_TIMEOUT_SECONDS"] == "40"
    assert os.environ["AGENT_TIMEOUT_SECONDS"] == "10"


def test_a_missing_key_is_only_looked_for(case: CaseFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """D: it waits for the key, never shows one, and offers another provider."""
    monkeypatch.setenv("AGENT_PROVIDER", "remote_llm")
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    case.runner().verb("run")
    assert (case.classify().signature, mended(case).outcome) == ("D", "waiting")
    with pytest.raises(ParameterError, match="AGENT_PROVIDER"):
        mended(case, AGENT_PROVIDER="remote_llm")
    assert mended(case, AGENT_PROVIDER="internal").outcome == "recovered"
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2hunter2")
    case.runner().verb("run")
    assert "hunter2" not in case.log.file.read_text()


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "http://a b/v1", "https://", "http://host:port/"])
def test_a_bad_url_is_not_replaced_by_another_bad_one(case: CaseFile, url: str, tmp_path: Path) -> None:
    """E: only an http(s) URL with a host is taken."""
    record = {"argv": ["x", "run", "r"], "exit": 7, "stderr": "[config_error] OPENAI_BASE_URL is invalid for AGENT_PROVIDER=remote_llm."}
    (tmp_path / "commands.jsonl").write_text(json.dumps(record))
    known = open_case(case.run.root, commands=tmp_path / "commands.jsonl", program="true")
    with pytest.raises(ParameterError):
        plan_recovery(known, known.classify(), {"OPENAI_BASE_URL": url})
    assert mended(known).outcome == "waiting"
    assert mended(known, OPENAI_BASE_URL="https://api.example.com/v1").outcome == "recovered"


def test_a_broken_run_is_begun_anew_and_never_deleted(orchestrator: Orchestrator, case: CaseFile) -> None:
    """F: the orchestrator's own `archive` cannot read it; a verified copy, a fresh run and its inputs can."""
    orchestrator.write("run.json", {"run_id": "x"})
    assert orchestrator.do("archive") == 2
    case.runner().verb("status")
    done = mended(case)
    assert (done.outcome, [step.id for step in done.steps]) == ("recovered", ["archive", "fresh", "copy", "run", "status"])
    assert done.run_id != orchestrator.run.name
    assert orchestrator.read("run.json") == {"run_id": "x"}
    assert read_archive(case.before) is not None


def test_real_and_false_staleness(orchestrator: Orchestrator, case: CaseFile, tmp_path: Path) -> None:
    """S: a touched input is a false alarm and an edited one is real, told by content; previous files are kept before the rerun."""
    import shutil

    orchestrator.do("run")
    good = shutil.copytree(orchestrator.run, tmp_path / "good")
    os.utime(orchestrator.run / SPEC)
    assert case.classify().signature == "S"
    assert staleness_of(case).verdict == "unknown"
    assert staleness_of(case, good).verdict == "false-alarm"
    orchestrator.write(CURRICULUM, {"nodes": [{"id": "N2", "prerequisites": []}, {"id": "N3", "prerequisites": []}]})
    found = staleness_of(case, good)
    assert (found.verdict, CURRICULUM in found.because, SPEC in found.because) == ("real", True, False)
    done = mended(case)
    assert (done.outcome, done.staleness and done.staleness.verdict) == ("recovered", "real")
    assert orchestrator.read("run.json")["stage"] == "iterated"
    assert any("curriculum.json" in file.name for file in (case.folder / "kept").iterdir())


def test_without_a_recovery_it_is_refused(orchestrator: Orchestrator, case: CaseFile) -> None:
    """A failure that is none of the runbook's has no recovery, and escalation is named."""
    orchestrator.do("run")
    with pytest.raises(ControlRefused, match="no recovery"):
        mended(case)
