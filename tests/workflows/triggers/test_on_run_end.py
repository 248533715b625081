"""What follows the end of a run: the line about an autopsy, its report, and nothing that masks the failure."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from smithers_nb.cli import main
from smithers_nb.engine.execution.outcome import Outcome, notebook_of
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import NewRun, Node, create_run, read_output, write_output
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.location import Location
from smithers_nb.workflows.autopsy import stages
from smithers_nb.workflows.autopsy.durable import PostFailureRow
from smithers_nb.workflows.autopsy.results import GateCard
from smithers_nb.workflows.pack.install import install
from smithers_nb.workflows.triggers import launch
from smithers_nb.workflows.triggers.launch import Launched, Skipped
from smithers_nb.workflows.triggers.on_run_end import after_run, on_outcome, write_report

LINE = re.compile(
    r"\[smithers-nb\] Run failed\. Post-failure autopsy launched: (post-failure-[0-9a-z]+-[0-9a-z]{6})\. "
    r"Watch it with `smithers-nb inspect \1` \(opt out with --no-post-failure or SMITHERS_POST_FAILURE=0\)\.\n"
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Let the trigger be on, and end what a test has launched."""
    monkeypatch.delenv("SMITHERS_POST_FAILURE", raising=False)
    yield
    for child in launch._started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture
def location(tmp_path):
    """A project with the pack installed."""
    found = Location(tmp_path, f"sqlite:///{tmp_path / '.smithers_nb' / 'journal.db'}")
    install(found)
    return found


@pytest.fixture
def failed(location, journal_runs):
    """Write a failed run and give its id."""

    def write(run_id="nightly-1", **options):
        with Journal.open(location) as journal:
            journal_runs.write_run(journal, run_id, **options)
        return run_id

    return write


@pytest.fixture
def cli_out(capsys):
    """Run a command of ours in a project and give what it printed."""

    def run(location, *words):
        capsys.readouterr()
        main([*words, "--source", str(location.root)])
        return capsys.readouterr().out

    return run


@pytest.fixture
def autopsy_run():
    """Write an autopsy of a run that waits at its gate, or has its verdict."""

    def write(location, target, *, finished=False, run_id="post-failure-1"):
        found = stages.investigate(stages.gather(target, str(location.root)))
        found = replace(found, root_cause="the disk was full")
        verdict = stages.verdict(found, GateCard(target_run_id=target, needed=False, reason=""))
        with Journal.open(location) as journal, journal.writing() as connection:
            if finished:
                write_output(connection, Node(run_id, "output"), "output", PostFailureRow(**vars(verdict), report="x").as_json())
                return run_id
            create_run(connection, NewRun(run_id, "post-failure", None, "h", {"target_run_id": target}, {}))
            write_output(connection, Node(run_id, "investigate"), "investigate", found.as_json())
            set_status(connection, run_id, "waiting-approval")
        notebook = notebook_of(location, run_id)
        notebook.parent.mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Why did this run fail?")]), notebook)
        return run_id

    return write


def test_one_line_tells_of_the_autopsy(location, failed, capsys):
    """The trigger prints exactly one line, on standard error, with the id, how to watch it and how to opt out."""
    done = after_run(location, failed())
    told = capsys.readouterr()
    assert LINE.fullmatch(told.err)[1] == done.autopsy_run_id
    assert told.out == ""


def test_without_the_pack_it_names_the_command(location, failed, capsys):
    """Not installed: the line has a command that needs no pack, where to type it, and what installs it; ids are quoted for the shell."""
    run_id = failed("a b'$(x)")
    launch.installed_at(location).unlink()
    assert after_run(location, run_id) == Skipped("not-installed")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    command = told.partition("with: ")[2].partition(" (the ")[0]
    *words, given = shlex.split(command)
    assert words == ["smithers-nb", "workflow", "run", "post-failure", "--input"]
    assert json.loads(given) == {"targetRunId": run_id}
    assert str(location.root) in told
    assert "`smithers-nb init`" in told


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("flag-disabled", {"postFailure": False}),
        ("ops-workflow", {"workflow": "triage-run"}),
        ("ops-workflow", {"workflow": "post-failure"}),
    ],
)
def test_what_is_skipped_says_nothing(location, failed, capsys, reason, options):
    """A run that opted out when it was started, and an ops workflow, are skipped in silence."""
    assert after_run(location, failed(**options)) == Skipped(reason)
    assert capsys.readouterr().err == ""


def test_opting_out(location, failed, capsys, monkeypatch):
    """The flag and the environment variable each keep the trigger quiet."""
    run_id = failed()
    assert after_run(location, run_id, disabled=True) == Skipped("flag-disabled")
    assert after_run(location, None) == Skipped("no-run-id")
    monkeypatch.setenv("SMITHERS_POST_FAILURE", "0")
    assert after_run(location, run_id) == Skipped("env-disabled")
    assert capsys.readouterr().err == ""


def test_nothing_masks_the_failure(location, failed, capsys, tmp_path):
    """A broken journal, a writer that raises and a Smithers project that is not there: no exception, the reason is told instead."""
    run_id = failed()

    def closed(_line):
        raise BrokenPipeError

    assert isinstance(after_run(location, run_id, write=closed), Launched)
    done = after_run(location, "x", smithers=tmp_path / "nowhere")
    assert done.reason == "spawn-failed"
    for end in ("", "-wal", "-shm"):
        (location.folder / f"journal.db{end}").write_bytes(b"\xff" * 9000)
    assert after_run(location, run_id).reason == "spawn-failed"
    assert "its autopsy could not be launched" in capsys.readouterr().err


@pytest.mark.slow
def test_an_autopsy_that_fails_launches_nothing(location, capsys):
    """An autopsy of a run that is not there fails with a reason, ends with 1 and has no autopsy of its own."""
    done = launch.launch(location, launch.Failed("no-such-run", "nightly"))
    assert launch._started[-1].wait(60) == 1
    assert done.autopsy_run_id in done.log_file.read_text()
    on_outcome(location)(Outcome(done.autopsy_run_id, "failed"))
    with Journal.open(location) as journal, journal.reading() as connection:
        found = connection.exec_driver_sql("SELECT run_id, status, error_json FROM _smithers_runs").all()
    assert [(row.run_id, row.status) for row in found] == [(done.autopsy_run_id, "failed")]
    assert "no-such-run" in found[0].error_json
    assert capsys.readouterr().err == ""


def test_a_worker_looks_into_what_failed(location, failed, capsys):
    """What a worker calls at the end of an execution launches an autopsy of a failure, and of nothing else."""
    follow = on_outcome(location)
    follow(Outcome(failed("good", failed=False), "finished"))
    assert capsys.readouterr().err == ""
    follow(Outcome(failed("bad"), "failed"))
    assert LINE.fullmatch(capsys.readouterr().err)


@pytest.mark.slow
def test_the_autopsy_of_a_run_of_ours(location, failed):
    """From the failed run to the verdict row and the report, which is written down where the row says."""
    done = after_run(location, failed())
    assert launch._started[-1].wait(90) == 0, done.log_file.read_text()
    with Journal.open(location) as journal, journal.reading() as connection:
        row = read_output(connection, Node(done.autopsy_run_id, "output"))
        nodes = connection.exec_driver_sql("SELECT node_id, state FROM _smithers_nodes WHERE run_id = ?", (done.autopsy_run_id,)).all()
    assert {node: state for node, state in nodes if node != "input"} == dict.fromkeys(["gather", "investigate", "output"], "finished")
    assert (row["targetRunId"], row["failureClass"], row["bugFiled"]) == ("nightly-1", "workflow-bug", False)
    fields = {"confidence", "rootCause", "suggestion", "suggestionDetail", "commands", "bugUrl", "summary", "evidence", "report"}
    assert fields <= row.keys()
    report = location.root / "artifacts" / "autopsy" / "nightly-1.html"
    assert row["report"] == str(report)
    assert row["suggestion"] in report.read_text()


@pytest.mark.slow
def test_in_a_shared_journal(tmp_path, postgres, journal_runs):
    """A run of a journal in Postgres is looked into the same way, and neither the journal nor the process list has its password."""
    location = Location(tmp_path, postgres.replace("postgres@", "postgres:se-cret@"))
    install(location)
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "nightly-1")
    done = after_run(location, "nightly-1")
    child = launch._started[-1]
    assert b"se-cret" not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert child.wait(90) == 0, done.log_file.read_text()
    with Journal.open(location) as journal, journal.reading() as connection:
        row = read_output(connection, Node(done.autopsy_run_id, "output"))
        kept = connection.exec_driver_sql("SELECT row_json FROM _smithers_nb_outputs").scalars()
        assert not any("se-cret" in text for text in kept)
    assert (row["targetRunId"], row["failureClass"]) == ("nightly-1", "workflow-bug")


def test_only_autopsies_have_a_report(location, failed):
    """A run of another workflow gets none, and an unknown one is no error."""
    assert write_report(location, failed()) is None
    assert write_report(location, "no-such-run") is None
    assert not (location.root / "artifacts").exists()


def test_a_report_that_cannot_be_written(location, failed, capsys):
    """A report that cannot be written says so and takes nothing from the verdict."""
    run_id = failed("post-failure-1", workflow="post-failure")
    (location.folder / "runs" / run_id).mkdir(parents=True)
    (location.folder / "runs" / run_id / "notebook.ipynb").write_text("{}")
    with Journal.open(location) as journal, journal.writing() as connection:
        write_output(connection, Node(run_id, "input"), "input", {"target_run_id": "x"})
    assert write_report(location, run_id) is None
    assert "could not be written" in capsys.readouterr().err


def test_the_line_is_found_in_the_run_afterwards(location, failed, cli_out):
    """Whoever ran it in the background finds the trigger's line in its log, and the autopsy in `why`, `inspect` and `ps`."""
    done = after_run(location, failed(), write=lambda _line: None)
    assert f"autopsy launched: {done.autopsy_run_id}" in cli_out(location, "logs", "nightly-1", "--no-output")
    for command in (("why", "nightly-1"), ("inspect", "nightly-1"), ("ps", "--all")):
        assert done.autopsy_run_id in cli_out(location, *command), command
    (found,) = json.loads(cli_out(location, "why", "nightly-1", "--format", "json"))["autopsies"]
    assert (found["runId"], found["targetRunId"], found["source"]) == (done.autopsy_run_id, "nightly-1", "journal")
    assert "nightly-1" in cli_out(location, "inspect", done.autopsy_run_id)
    (row,) = [row for row in json.loads(cli_out(location, "ps", "--all", "--format", "json")) if row["runId"] == "nightly-1"]
    assert row["autopsy"]["runId"] == done.autopsy_run_id


def test_an_autopsy_of_an_earlier_failure_is_none_of_this_one(location, failed, cli_out):
    """A run that is tried again and fails again has not been looked into yet."""
    after_run(location, failed(), write=lambda _line: None)
    with Journal.open(location) as journal, journal.writing() as connection:
        connection.exec_driver_sql("UPDATE _smithers_runs SET finished_at_ms = finished_at_ms + 999999 WHERE run_id = 'nightly-1'")
    assert json.loads(cli_out(location, "why", "nightly-1", "--format", "json"))["autopsies"] == []


def test_a_report_with_a_verdict_is_never_replaced_by_one_without(location, failed, autopsy_run):
    """A second autopsy that waits at its gate has a report under its own name, with what it found so far; once decided, it replaces."""
    folder = location.root / "artifacts" / "autopsy"
    folder.mkdir(parents=True)
    (folder / "nightly-1.html").write_text("the first verdict")
    failed()
    run_id = autopsy_run(location, "nightly-1")
    assert write_report(location, run_id) == str(folder / f"{run_id}.html")
    waiting = (folder / f"{run_id}.html").read_text()
    assert "A person decides whether it is reported" in waiting
    assert "the disk was full" in waiting
    assert (folder / "nightly-1.html").read_text() == "the first verdict"
    autopsy_run(location, "nightly-1", finished=True)
    assert write_report(location, run_id) == str(folder / "nightly-1.html")
    assert "the disk was full" in (folder / "nightly-1.html").read_text()
    assert [file.name for file in folder.iterdir()] == ["nightly-1.html"]
