"""Which failure of the runbook a run has: on every labelled run, and on what those do not show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.errors import ParameterError
from smithers_nb.sources.rundir.commands import CommandRecord
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.profile import Profile, load_profile
from smithers_nb.workflows.incident.signatures.classify import classify
from smithers_nb.workflows.incident.target import open_target
from tests.support.data import CORPUS

CASES = sorted(path.name for path in (CORPUS / "rundirs").glob("*")) if CORPUS.is_dir() else []
PROGRAM = ("python3.11", "scripts/orchestration.py")


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("curriculum-builder")


def failed(*words: str, exit: int = 1, n: int = 1, env: dict[str, str] | None = None, **output: Any) -> CommandRecord:  # noqa: A002
    return CommandRecord(n=n, argv=(*PROGRAM, *words), env=env or {}, exit=exit, **output)


@pytest.mark.parametrize("name", CASES)
def test_labelled_runs(case: Callable[[str], Any], name: str, tmp_path: Path) -> None:
    """The signature is right on every labelled run; the subcause is right or unknown without the error's details, and right with them."""
    run, commands, label = case(name)
    found = open_target(str(run), commands=commands).classify()
    assert found.signature == label["signature"]
    assert "subcause" not in label or found.subcause in {label["subcause"], "unknown"}
    assert not label.get("escalate") or found.escalate
    assert not label.get("failure_classes") or {line.error_class for line in found.errors if not line.secondary} == set(
        label["failure_classes"]
    )
    assert found.evidence or label["signature"] is None
    if "in_process_error" in label:
        details = tmp_path / "details.json"
        details.write_text(json.dumps(label["in_process_error"]))
        assert open_target(str(run), commands=commands, details=details).classify().subcause == label.get("subcause")


TRACEBACK = 'Traceback (most recent call last):\n  File "{}", line 7, in {}\n    x\n{}'


@pytest.mark.parametrize(
    ("text", "signature", "subcause"),
    [
        (TRACEBACK.format("/usr/lib/subprocess.py", "_execute_child", "FileNotFoundError: No such: 'codex'"), "C", "CLI binary missing"),
        (TRACEBACK.format("/r/agent/llm/remote.py", "run_json", "http.client.InvalidURL: URL can't contain control characters"), "E", None),
        (TRACEBACK.format("/r/orchestration/fs.py", "load_run", "json.decoder.JSONDecodeError: Expecting value: line 1"), "F", None),
        (TRACEBACK.format("/r/agent/planning/proposer.py", "propose", "KeyError: 'nodes'"), None, None),
        ("[invalid_argument] Expected JSON object in runs/r/run.json", "F", None),
        ("[invalid_argument] Invalid run_id format. Expected YYYYMMDD-HHMMSS[-slug].", None, None),
        ("[internal_error] something nobody has seen", None, None),
        ("usage: orchestration.py [-h]\norchestration.py: error: unrecognized arguments", None, None),
        ("2026-11-20T12:00:00.1234567Z \x1b[31m[stage_conflict] Topic spec not ready: runs/r/inputs/topic_spec.json\x1b[0m", "A", None),
        ("##[error][config_error] CODING_AGENT_CMD is empty; cannot run codex_exec mode.", "C", "CODING_AGENT_CMD empty"),
        ("  ERR  Circular dependency detected", "B", None),
        ("stream error: exceeded retry limit, last status: 401 Unauthorized", "C", "agent CLI failed (auth)"),
        ("\x1b[31mERROR:\x1b[0m exceeded retry limit, last status: 401 Unauthorized, request id: r1", "C", "agent CLI failed (auth)"),
        ('{"type":"turn.failed","error":{"message":"unexpected status 401 Unauthorized: "}}', "C", "agent CLI failed (auth)"),
        ("the docs say what to do when you have exceeded retry limit, last status: 429", None, None),
        ("- [x] tests for unexpected status 401 pass", None, None),
    ],
    ids=lambda value: str(value)[-30:],
)  # fmt: skip
def test_what_a_log_says(profile: Profile, text: str, signature: str | None, subcause: str | None) -> None:
    """A log alone is classified by its typed error, its traceback or the validator's lines, also behind a CI's prefixes."""
    found = classify(profile, commands=(CommandRecord(n=1, env={}, stdout=text),))
    assert (found.signature, found.subcause) == (signature, subcause)


def test_an_unknown_failure_is_unclassified_even_beside_an_old_report(case: Callable[[str], Any], profile: Profile) -> None:
    """A typed error that no rule knows is not explained by a failing report that lies beside it."""
    run = case("B_validation_dag_cycle").run
    found = classify(profile, RunDirectory(run), (failed("run", "r", exit=10, stderr="[internal_error] new kind\n"),))
    assert (found.signature, found.rule) == (None, "unclassified")


@pytest.mark.parametrize(
    ("last_error", "subcause"),
    [
        ("codex exec timed out after 300s", "timeout"),
        ("codex exec output is not valid JSON", "malformed output"),
        ("codex exec output root must be object", "malformed output"),
        ("codex exec did not produce --output-last-message file", "no output file"),
        ("stream error: exceeded retry limit, last status: 401 Unauthorized", "agent CLI failed (auth)"),
        ("Not logged in. Please run `codex login`", "agent CLI failed (auth)"),
        ("codex exec failed with exit 137", "unknown"),
        ("Segmentation fault (core dumped)", "unknown"),
    ],
)
def test_the_details_say_which_cause(profile: Profile, last_error: str, subcause: str) -> None:
    """The printed message is the same for every cause; the details tell them apart, and what they do not tell stays unknown."""
    command = failed("run", "r", exit=10, stderr="[internal_error] codex_exec mode failed to return valid structured JSON.\n", duration=900)
    assert classify(profile, commands=(command,), details={"details": {"last_error": last_error}}).subcause == subcause


@pytest.mark.parametrize(
    ("seconds", "budget", "subcause"), [(2.1, "1", "timeout"), (1.9, "1", "unknown"), (1.1, "0", "timeout"), (1.9, "nonsense", "unknown")]
)
def test_a_timeout_shows_in_the_duration(profile: Profile, seconds: float, budget: str, subcause: str) -> None:
    """Only when every attempt ran into the limit is it called a timeout, and then with medium confidence."""
    env = {"AGENT_TIMEOUT_SECONDS": "1", "AGENT_RETRY_BUDGET": budget, "CODING_AGENT_CMD": "/bin/codex_timeout"}
    stderr = "[internal_error] codex_exec mode failed to return valid structured JSON.\n"
    found = classify(profile, commands=(failed("run", "r", exit=10, env=env, stderr=stderr, duration=seconds),))
    assert (found.subcause, found.confidence) == (subcause, "medium" if subcause == "timeout" else "high")


def test_two_faults_surface_one_after_the_other(profile: Profile) -> None:
    """After the key is set the URL is what fails; the earlier fault stays listed."""
    key = failed("run", "r", exit=7, stderr="[config_error] OPENAI_API_KEY is required for AGENT_PROVIDER=remote_llm.\n")
    url = failed("run", "r", exit=7, n=2, stderr="[config_error] OPENAI_BASE_URL is invalid for AGENT_PROVIDER=remote_llm.\n")
    found = classify(profile, commands=(key, url))
    assert found.signature == "E"
    assert [fault.signature for fault in found.faults] == ["D", "E"]


def test_a_provider_that_nobody_has(case: Callable[[str], Any], profile: Profile) -> None:
    """A misspelt provider runs another one and succeeds: no signature, and the difference is said."""
    run = case("OK_healthy_run").run
    passed = CommandRecord(n=1, argv=(*PROGRAM, "run", "r"), env={"AGENT_PROVIDER": "codexexec"}, exit=0)
    found = classify(profile, RunDirectory(run), (passed,))
    assert found.signature is None
    assert found.provider is not None
    assert (found.provider.configured, found.provider.effective) == ("codexexec", "internal")
    assert "nothing says so" in found.provider.note


def test_a_stale_run_after_a_failure_that_is_not_the_last_word(case: Callable[[str], Any], profile: Profile) -> None:
    """A failed `run` between an edit and a sequence that passed is not what is wrong now; that the run fell back is."""
    run = case("S2_stale_recovered").run
    answer = "[internal_error] codex_exec mode failed to return valid structured JSON.\n"
    commands = (failed("run", "r", exit=10, stderr=answer), CommandRecord(n=2, argv=(*PROGRAM, "iterate", "r"), env={}, exit=0))
    assert classify(profile, RunDirectory(run), commands).signature == "S"
    assert classify(profile, RunDirectory(run), commands[:1]).signature == "C"


@pytest.mark.parametrize(("at", "signature"), [("2020-01-01T00:00:00Z", "D"), ("2099-01-01T00:00:00Z", "S")])
def test_a_recovery_hides_no_failure_from_before_the_edit(case: Callable[[str], Any], profile: Profile, at: str, signature: str) -> None:
    """A `run` that failed before the edit and never passed is still what is wrong; one after it was a try, and the run is current again."""
    key = failed("run", "r", exit=7, at=at, stderr="[config_error] OPENAI_API_KEY is required for AGENT_PROVIDER=remote_llm.\n")
    commands = (key, CommandRecord(n=2, argv=(*PROGRAM, "iterate", "r"), env={}, exit=0))
    found = classify(profile, RunDirectory(case("S2_stale_recovered").run), commands)
    assert (found.signature, found.resolved) == (signature, signature == "S")


def test_a_later_failure_that_is_over_hides_no_open_one(profile: Profile) -> None:
    """The validation passes again, and the `run` that lacks a key has not passed since: it is what is wrong."""
    key = failed("run", "r", exit=7, stderr="[config_error] OPENAI_API_KEY is required for AGENT_PROVIDER=remote_llm.\n")
    broken = failed("validate", "r", n=2, stdout="  ERR  Circular dependency detected\n")
    found = classify(profile, commands=(key, broken, CommandRecord(n=3, argv=(*PROGRAM, "validate", "r"), env={}, exit=0)))
    assert (found.signature, found.resolved) == ("D", False)


def test_files_without_commands_do_not_say_that_nothing_failed(case: Callable[[str], Any], profile: Profile) -> None:
    """A command that fails may leave no trace, so without the commands it is unclear, and the record is asked for."""
    run, commands, _ = case("D_openai_key_missing")
    found = open_target(str(run)).classify()
    assert (found.signature, found.state) == (None, "unclear")
    assert "--commands" in found.summary
    assert open_target(str(run), commands=commands).classify().signature == "D"
    passed = CommandRecord(n=1, argv=(*PROGRAM, "status", "r"), env={}, exit=0)
    assert classify(profile, RunDirectory(run), (passed,)).state == "finished"


def test_files_alone_tell(case: Callable[[str], Any], profile: Profile) -> None:
    """Without recorded commands a broken run.json, a failing report and an unfilled spec are seen, with medium confidence."""
    names = {"F4_metadata_invalid_json": "F", "B_validation_dag_cycle": "B", "A_stage_conflict": "A", "S_stale_curriculum_edited": "S"}
    found = {name: classify(profile, RunDirectory(case(name).run)) for name in names}
    assert {name: item.signature for name, item in found.items()} == names
    assert found["F4_metadata_invalid_json"].escalation[0].id == "E3"


def test_the_same_errors_after_a_good_baseline_escalate(case: Callable[[str], Any], profile: Profile) -> None:
    """The validator that fails twice in the same way after it had passed is escalated; once, or without a baseline, is not."""
    run = RunDirectory(case("S2_stale_recovered").run)
    errors = "  ERR  Circular dependency detected\n"
    once = (failed("validate", "r", stdout=errors),)
    twice = (*once, failed("validate", "r", n=2, stdout=errors))
    assert [rule.id for rule in classify(profile, run, twice).escalation] == ["E2"]
    assert classify(profile, run, once).escalation == ()
    assert classify(profile, commands=twice).escalation == ()


def test_quality_errors_of_a_broken_node_are_secondary(profile: Profile) -> None:
    """A node with a schema error also throws quality errors; those of other nodes count by themselves."""
    texts = ("Node N1: missing fields: ['title']", "Node N1: pitfalls should have 2 entries", "Node N2: pitfalls should have 2 entries")
    lines = "".join(f"  ERR  {text}\n" for text in texts)
    found = classify(profile, commands=(failed("validate", "r", stdout=lines),))
    assert [(line.error_class, line.secondary) for line in found.errors] == [("schema", False), ("quality", True), ("quality", False)]


def test_secrets_do_not_come_out(profile: Profile) -> None:
    """A key in an output is not in the classification."""
    secret = "sk-proj-" + "a1B2" * 12
    found = classify(profile, commands=(failed("run", "r", stderr=f"boom {secret}\n"),))
    assert secret not in json.dumps(found.as_json())


def test_a_profile_with_a_typing_mistake_is_refused(tmp_path: Path) -> None:
    """An unknown key, a bad pattern and a signature that is not declared are named, not ignored."""
    start = 'name = "x"\ntitle = "X"\n[program]\nargv = ["x"]\n'
    for wrong, said in (
        ('[[rules]]\nid = "r"\nlayer = "typed"\nsignatur = "A"\n', "signatur"),
        ('[[rules]]\nid = "r"\nlayer = "typed"\nmatch = "("\n', "regular expression"),
        ('[[rules]]\nid = "r"\nlayer = "typed"\nsignature = "Z"\n', "not declared: Z"),
        ("[[rules]\n", "not valid TOML"),
    ):
        (tmp_path / "p.toml").write_text(start + wrong)
        with pytest.raises(ParameterError, match=said):
            load_profile(tmp_path / "p.toml")
