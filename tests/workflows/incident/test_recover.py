"""Recoveries, taken for real on a small orchestrator: planned first, proved afterwards."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pytest

from smithers_nb.errors import ControlRefused, ParameterError
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.archive import read_archive
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.recover import Recovered, plan_recovery, recover
from smithers_nb.workflows.incident.staleness import staleness_of
from tests.support.orchestrator import TEMPLATE, install_agent

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


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install the agent CLI in a mood, in front of PATH; other variables may be set with it."""
    monkeypatch.setenv("AGENT_PROVIDER", "codex_exec")
    monkeypatch.setenv("AGENT_TIMEOUT_SECONDS", "10")
    monkeypatch.setenv("AGENT_RETRY_BUDGET", "0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def install(mood: str, **env: str) -> None:
        install_agent(tmp_path / "bin", mood)
        for name, value in env.items():
            monkeypatch.setenv(name, value)

    return install


def test_only_what_fits_the_cause_is_planned(case: CaseFile, agent: Callable[..., None]) -> None:
    """C: a refused login needs neither another model nor more time, a timeout no login."""
    agent("logged-out")
    case.runner().verb("run")
    login = {"details": {"last_error": "last status: 401 Unauthorized"}}
    plan = plan_recovery(case, case.classify(login))
    assert [step.id for step in plan.steps if step.needed] == ["keep", "log-in", "rerun"]
    slow = {"details": {"last_error": "codex exec timed out after 10s"}}
    steps = {step.id: step for step in plan_recovery(case, case.classify(slow)).steps if step.needed}
    assert steps.keys() == {"keep", "raise-timeout", "rerun"}
    assert steps["raise-timeout"].shows == "export AGENT_TIMEOUT_SECONDS=40"


@pytest.mark.parametrize(
    ("mood", "env", "subcause", "step"),
    [
        ("slow", {"AGENT_TIMEOUT_SECONDS": "0.5"}, "timeout", "raise-timeout"),
        ("well", {"AGENT_MODEL": "o9"}, "AGENT_MODEL incompatible", "unset-model"),
        ("well", {"CODING_AGENT_CMD": ""}, "CODING_AGENT_CMD empty", "default-command"),
    ],
)
def test_an_agent_that_can_answer_is_made_to(  # noqa: PLR0913, PLR0917  # fixtures and a row of the table
    orchestrator: Orchestrator, case: CaseFile, agent: Callable[..., None], mood: str, env: dict[str, str], subcause: str, step: str
) -> None:
    """C: the agent CLI is too slow, refuses the model or is not named; the step for this cause is taken, and then it answers."""
    agent(mood, **env)
    assert case.runner().verb("run").exit != 0
    found = case.classify()
    assert (found.signature, found.subcause) == ("C", subcause)
    done = recover(case, found, agreed_by="me")
    assert (done.outcome, done.bundle) == ("recovered", "")
    assert [taken.id for taken in done.steps if taken.id not in {"keep", "program", "rerun"}] == [step]
    assert orchestrator.read("run.json")["stage"] == "iterated"
    assert {name: os.environ[name] for name in env} == env


def test_a_missing_agent_is_waited_for(case: CaseFile, agent: Callable[..., None], tmp_path: Path) -> None:
    """C: as long as the program is not there nothing is run; once it is installed the command passes."""
    agent("well")
    (tmp_path / "bin/codex").unlink()
    case.runner().verb("run")
    assert case.classify().subcause == "CLI binary missing"
    assert (mended(case).outcome, mended(case).steps[-1].id) == ("waiting", "program")
    agent("well")
    assert mended(case).outcome == "recovered"


@pytest.mark.parametrize("mood", ["garbled", "silent", "logged-out"])
def test_an_agent_that_cannot_answer_is_escalated(case: CaseFile, agent: Callable[..., None], mood: str) -> None:
    """C: the printed message holds no cause; what it lets try is tried, and when that fails it escalates with logs and settings."""
    agent(mood)
    case.runner().verb("run")
    found = case.classify()
    assert found.subcause == "unknown"
    done = recover(case, found, agreed_by="me")
    assert done.outcome == "failed"
    assert done.bundle in done.summary
    assert verify_bundle(Path(done.bundle)).ok
    with tarfile.open(done.bundle) as tar:
        texts = {name: cast("IO[bytes]", tar.extractfile(name)).read().decode() for name in ("env.json", "steps.jsonl", "report.md")}
    assert "failed to return valid structured JSON" in texts["report.md"]
    assert '"AGENT_TIMEOUT_SECONDS": "40"' in texts["steps.jsonl"]  # the rerun had more time, and that is on record
    assert json.loads(texts["env.json"])["here"]["AGENT_TIMEOUT_SECONDS"] == "10"


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


def test_two_faults_surface_one_after_the_other(orchestrator: Orchestrator, case: CaseFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """D hides A: with another provider the command gets further and fails on the spec; the first is mended, the second is named."""
    monkeypatch.setenv("AGENT_PROVIDER", "remote_llm")
    case.runner().verb("run")
    assert case.classify().signature == "D"
    orchestrator.write(SPEC, TEMPLATE)
    done = mended(case, AGENT_PROVIDER="internal")
    assert (done.outcome, done.now.signature) == ("surfaced", "A")
    assert "another fault" in done.summary


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
