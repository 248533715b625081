"""The triage: a copy first, commands up to the first that fails, and again once somebody says it is fixed."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.cli import main
from smithers_nb.engine import control
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.foreground import run_here
from smithers_nb.errors import ArtifactsNotWritten, ParameterError
from smithers_nb.resources import resource
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.archive import difference, extract, read_archive, write_archive
from smithers_nb.workflows.incident.casefile import open_case
from smithers_nb.workflows.incident.profile import load_profile
from smithers_nb.workflows.incident.runner import Runner, StepLog, lacking_program
from smithers_nb.workflows.incident.triage import mend, triage
from smithers_nb.workflows.incident.views import flow_chart

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator

BROKEN = {"nodes": [{"id": "N1", "prerequisites": ["N9"]}]}
MENDED = {"nodes": [{"id": "N1", "prerequisites": []}]}
CURRICULUM = "outputs/curriculum/curriculum.json"


@pytest.mark.slow
def test_a_durable_triage_waits_for_the_fix_and_goes_on(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """It stops at the failed validation, and after an approval only what failed and what follows is run."""
    orchestrator.do("run")
    orchestrator.write(CURRICULUM, BROKEN)
    location = Location.of(tmp_path)
    given = {"run": str(orchestrator.run), "program": orchestrator.program, "artifacts": str(tmp_path / "artifacts")}
    run_id = control.submit(location, resource("notebooks/incident.ipynb"), given, post_failure=False)
    assert run_here(location, run_id).status == "waiting-approval"
    asked = control.pending(location, run_id)[0]
    assert asked.node_id == "fix-validate"
    assert "validator rejects" in asked.summary
    orchestrator.write(CURRICULUM, MENDED)
    control.decide(location, run_id, approved=True, by="me", node_id=asked.node_id)
    assert run_here(location, run_id).status == "finished"
    log = open_case(orchestrator.run, program=orchestrator.program).log.steps()
    assert [(step["step"], step["decision"]) for step in log] == [
        ("snapshot", "done"),
        ("status", "passed"),
        ("validate", "failed"),
        ("validate", "passed"),
        ("plan", "passed"),
        ("iterate", "passed"),
    ]


@pytest.mark.slow
def test_a_recovery_is_taken_behind_a_gate(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """What would mend the run is shown and asked about, refused when another failure is there by the approval, taken else, and proved."""
    orchestrator.do("run")
    commands = tmp_path / "commands.jsonl"

    def failed_on(error: str) -> None:
        commands.write_text(json.dumps({"argv": ["x", "run", orchestrator.run.name], "exit": 7, "stderr": f"[config_error] {error}."}))

    failed_on(no_key := "OPENAI_API_KEY is required for AGENT_PROVIDER=remote_llm")
    given: dict[str, Any] = {"run": str(orchestrator.run), "program": orchestrator.program, "commands": str(commands)}
    given |= {"artifacts": str(tmp_path / "artifacts"), "apply": True, "given": {"AGENT_PROVIDER": "internal"}}
    location = Location.of(tmp_path)
    run_id = control.submit(location, resource("notebooks/incident.ipynb"), given, post_failure=False)
    assert run_here(location, run_id).status == "waiting-approval"
    asked = control.pending(location, run_id)[0]
    assert asked.node_id == "recover"
    case = open_case(orchestrator.run, program=orchestrator.program)
    assert [step["step"] for step in case.log.steps()] == ["snapshot", "status", "validate", "plan", "iterate"]
    failed_on("OPENAI_BASE_URL is invalid for AGENT_PROVIDER=remote_llm")
    control.decide(location, run_id, approved=True, by="ann", node_id="recover")
    refused = run_here(location, run_id)
    assert (refused.status, "no longer the one that was approved" in str(refused)) == ("failed", True)
    assert len(case.log.steps()) == 5
    failed_on(no_key)
    control.resume(location, run_id)
    assert run_here(location, run_id).status == "finished"
    log = case.log.steps()[5:]
    assert [(step["step"], step["decision"]) for step in log] == [
        ("recover", "approved"),
        ("recover:switch", "done"),
        ("run", "passed"),
        ("recovered", "recovered"),
    ]
    assert "agreed by ann: D" in log[0]["because"]


def test_a_plan_is_all_that_is_shown_unless_asked_for(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """Without `apply` the steps are listed with their commands and nothing is done; a run without a failure has nothing to fix."""
    case = open_case(orchestrator.run, program=orchestrator.program)
    orchestrator.do("run")
    assert "Nothing to fix" in mend(open_case(orchestrator.run, program=orchestrator.program)).text
    orchestrator.write("run.json", {"run_id": "x"})
    card = mend(case)
    assert "init case-fresh" in card.text
    assert card.text.index("verified copy") < card.text.index("init case-fresh")
    assert "<button" not in card.html
    assert not (tmp_path / "artifacts").exists()


def test_outside_a_durable_run_the_first_failure_ends_it(orchestrator: Orchestrator) -> None:
    """Nobody can be asked, so it stops and says what the failure is; the copy is older than anything that was run."""
    case = open_case(orchestrator.run, program=orchestrator.program)
    before = {entry.path: entry.mtime_ns for entry in RunDirectory(orchestrator.run).entries}
    archive = case.snapshot()
    found = triage(case)
    assert (found.outcome, found.stopped_at, found.classification.signature) == ("stopped", "validate", "B")
    assert [step.verb for step in found.path] == ["status", "validate"]
    assert archive.mtimes() == before
    assert case.snapshot() == archive
    assert "validate failed" in found.card().text


def test_the_chart_shows_the_way_taken() -> None:
    """Without a way the chart is the profile's flow; it names the question, what to look at and the fix."""
    card = flow_chart(load_profile("curriculum-builder"))
    assert card.text == "incident detected → status → validate → plan → iterate → resolved"
    assert "validation passes? no" in card.html
    assert "inspect validation_report.md → apply fix → validate again" in card.html


def runner(tmp_path: Path, script: str, **options: Any) -> tuple[Runner, list[str]]:
    profile = load_profile("curriculum-builder")
    return Runner(profile, "r", StepLog(tmp_path / "steps.jsonl"), folder=tmp_path, **options), [sys.executable, "-S", "-c", script]


@pytest.mark.parametrize(
    ("script", "because"),
    [
        ("import time; time.sleep(60)", "took longer"),
        ("while True: print('x' * 1_000_000)", "wrote more than"),
        ("input()", "exit code 1"),
        ("import sys; sys.exit(3)", "exit code 3"),
    ],
)
def test_a_command_that_does_not_end_floods_or_asks(tmp_path: Path, script: str, because: str) -> None:
    """Each ends as a failed step that says why; nothing hangs."""
    run, argv = runner(tmp_path, script)
    began = time.monotonic()
    step = run.argv(argv, step="try", timeout_s=1.5)
    assert step.decision == "failed"
    assert because in step.because
    assert time.monotonic() - began < 20


def test_a_program_that_is_not_there_is_a_failed_step(tmp_path: Path) -> None:
    """What cannot be started is written down like any failure."""
    run, _ = runner(tmp_path, "")
    assert "could not be started" in run.argv(["/nothing/here"], step="try").because


def test_commands_see_only_what_the_profile_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other variables stay here, a secret reaches the command and is a length in the log, also where the command prints it."""
    secret = "sk-proj-" + "a1B2" * 12
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("MY_TOKEN", "not for it")
    script = "import os; print(sorted(os.environ)); print(os.environ['OPENAI_API_KEY'])"
    run, argv = runner(tmp_path, script, changes={"AGENT_MODEL": "m", "MY_TOKEN": "x"})
    step = run.argv(argv, step="try")
    assert "MY_TOKEN" not in step.stdout
    assert step.env_redacted["OPENAI_API_KEY"] == f"<set: len={len(secret)}>"
    assert step.env_redacted["AGENT_MODEL"] == "m"
    assert secret not in (tmp_path / "steps.jsonl").read_text()
    assert run.argv(argv, step="again").n == 2


def test_a_log_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """A line that a killed process left half written does not swallow the next one."""
    log = StepLog(tmp_path / "steps.jsonl")
    log.append("one", decision="done")
    with log.file.open("ab") as file:
        file.write(b'{"n": 2, "step": "cu')
    log.append("two", decision="done")
    assert [step["step"] for step in log.steps()] == ["one", "two"]


def test_values_of_a_command_must_be_given(tmp_path: Path) -> None:
    """A place in a command without a value is refused before anything is run; no shell would see the value."""
    run, _ = runner(tmp_path, "", values={"scope_file": "a; rm -rf /"})
    assert run.command("run-scope")[-1] == "a; rm -rf /"
    with pytest.raises(ParameterError, match="name"):
        run.command("init")
    with pytest.raises(ParameterError, match="nothing"):
        run.command("nothing")


def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    """A directory whose name the orchestrator would refuse as an id is refused at once, a hostile one above all."""
    folder = tmp_path / "--help"
    (folder / "inputs").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "inputs/scope.md").write_text("")
    with pytest.raises(ParameterError, match="not an id"):
        open_case(folder)


def test_a_copy_is_verified_and_the_same_bytes_each_time(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """Links are named and not followed, times come back, a changed copy is noticed, and equal evidence is equal bytes."""
    (orchestrator.run / "leak").symlink_to("/etc/passwd")
    (Path(os.fsdecode(os.fsencode(orchestrator.run) + b"/\xff\nname"))).write_text("x")
    first, second = (write_archive(RunDirectory(orchestrator.run), tmp_path / name / "before.tar") for name in "ab")
    assert first == second
    assert {item.path: item.target for item in first.files if item.kind == "link"} == {"leak": "/etc/passwd"}
    back = tmp_path / "back"
    back.mkdir()
    extract(tmp_path / "a/before.tar", first, back)
    assert (back / "run.json").stat().st_mtime_ns == (orchestrator.run / "run.json").stat().st_mtime_ns
    assert not (back / "leak").is_symlink()
    data = bytearray((tmp_path / "a/before.tar").read_bytes())
    data[700] ^= 1
    (tmp_path / "a/before.tar").write_bytes(data)
    assert difference(tmp_path / "a/before.tar", first)
    assert read_archive(tmp_path / "a/before.tar") is None


def test_a_verified_copy_that_changes_is_not_trusted(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """A copy that this process has verified is read again as soon as the file, its manifest or what stands in its place is another."""
    file = tmp_path / "before.tar"
    archive = write_archive(RunDirectory(orchestrator.run), file)
    os.utime(file, ns=(10**18, 10**18))
    assert read_archive(file) == read_archive(file) == archive
    whole = file.read_bytes()
    file.write_bytes(whole[:700] + bytes([whole[700] ^ 1]) + whole[701:])
    assert read_archive(file) is None
    file.write_bytes(whole)
    assert read_archive(file) == archive
    manifest = file.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace(archive.sha256, "0" * 64))
    assert read_archive(file) is None
    manifest.unlink()
    assert read_archive(file) is None


def test_a_full_disk_leaves_nothing(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """When there is no room for the copy nothing of it stays, and nothing else is done."""
    import resource as limits

    (orchestrator.run / "big").write_bytes(os.urandom(3_000_000))
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(ArtifactsNotWritten):
            write_archive(RunDirectory(orchestrator.run), tmp_path / "out" / "before.tar")
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_the_program_is_a_command_line(orchestrator: Orchestrator) -> None:
    """`--program` is split into words like a shell does it, and then no shell sees them."""
    case = open_case(orchestrator.run, program=orchestrator.program)
    assert case.runner().command("status") == (*shlex.split(orchestrator.program), "status", orchestrator.run.name)


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program", "python3 scripts/nothing.py", "python3 -S scripts/nothing.py"])
def test_without_the_orchestrator_nothing_is_run(
    orchestrator: Orchestrator, tmp_path: Path, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine that has only the run's directory, triage says what is not here instead of taking that for the run's failure."""
    assert main(["incident", "triage", str(orchestrator.run), "--program", program]) == 4
    said = capsys.readouterr().err
    assert "was not found" in said
    assert "--program" in said
    assert not (tmp_path / "artifacts").exists()


def test_programs_that_can_start(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """A module, an interpreter with options and a script that is there are taken as they are."""
    able = [orchestrator.program, f"{sys.executable} -m smithers_nb", "sh -c true", shlex.quote(sys.executable)]
    assert [lacking_program(shlex.split(program), tmp_path) for program in able] == [""] * 4
