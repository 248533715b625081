"""Real programs behind a dispatch, and failures in plain words beside the raw ones."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_leases, beads
from smithers_nb.ledger import agents, patrol, queries, runners, summaries
from tests.ledger.paths import TRIGGERS


def run(fleet, program, **options):
    bead_id, agent_id = fleet.bead(), fleet.agent()
    done = runners.work(fleet.ledger, bead_id, agent_id, [sys.executable, "-c", program], **options)
    with fleet.ledger.reading() as connection:
        status = connection.execute(sa.select(beads.c.status).where(beads.c.bead_id == bead_id)).scalar()
        return done, status, queries.failure_of(connection, bead_id)


def test_a_program_that_succeeds_is_in_review(in_file):
    """Exit status 0 hands the work to review."""
    assert run(in_file, "print('done')") == (True, "in_review", None)


def test_a_program_that_crashes_says_why(in_file):
    """Exit status, the output word for word, the log and the run whose autopsy explains it are in the details."""
    done, status, why = run(in_file, "raise SystemExit('out of quota')", run_id="run-7")
    assert (done, status, why.code) == (False, "failed", "agent_crashed")
    assert (why.details["reason"], why.details["exit_code"], why.details["autopsy_run_id"]) == ("out of quota", 1, "run-7")
    with in_file.ledger.reading() as connection:
        assert agents.text_of(connection, why.details["log_tail_ref"]).strip() == "out of quota"


def test_a_program_that_is_killed_or_too_slow(in_file):
    """The signal is named, and a limit of time is the reason when it is reached."""
    assert run(in_file, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")[2].details["signal"] == "SIGKILL"
    assert "without a result" in run(in_file, "import time; time.sleep(60)", timeout_s=0.2)[2].details["reason"]


def test_work_without_a_commit_is_not_done(in_file, tmp_path):
    """A program that ends well but leaves no commit after the base has not done the work; with one it has. Its lease lives with it."""

    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        return subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "base")
    base = git("rev-parse", "HEAD")
    commit = "git -c user.name=t -c user.email=t@example.invalid commit -q --allow-empty -m work"
    for command, done in (("sleep 0.5", False), (f"sleep 0.5; {commit}", True)):
        bead_id, agent_id = in_file.bead(), in_file.agent()
        shell = ["sh", "-c", command]
        assert runners.work(in_file.ledger, bead_id, agent_id, shell, folder=tmp_path, base=base, lease_s=0.3) is done
        with in_file.ledger.reading() as connection:
            row = queries.bead_rows(connection, bead_id=bead_id)[0]
            assert connection.execute(sa.select(bead_leases)).all() == []
        assert (row.status, row.reason_code) == (("in_review", None) if done else ("failed", "closed_without_work"))


def test_a_program_that_runs_out_of_time_is_ended_with_what_it_started(in_file, tmp_path):
    """At its time limit a program fails, and its children are gone as well."""
    bead_id, agent_id = in_file.bead(), in_file.agent()
    command = ["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"]
    assert not runners.work(in_file.ledger, bead_id, agent_id, command, timeout_s=1)
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "status"
    deadline = time.monotonic() + 5
    while child.exists() and "State:\tZ" not in child.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or "State:\tZ" in child.read_text()
    with in_file.ledger.reading() as connection:
        assert "ended after 1 s" in queries.failure_of(connection, bead_id).message


def test_an_agent_that_ends_without_its_work_loses_it_to_the_patrol(in_file):
    """An exit that hands nothing in leaves the bead held, and after half an hour it is open again with a reason."""
    bead_id, agent_id = in_file.started()
    with in_file.ledger.writing() as connection:
        agents.agent_completed(in_file.ledger, connection, agent_id, status="completed")
    assert patrol.patrol(in_file.ledger) == []
    in_file.clock.forward(31)
    assert patrol.patrol(in_file.ledger) == [(bead_id, "dead_assignee_reopened")]


def test_a_program_that_is_not_there_is_a_failed_attempt(in_file):
    """What cannot be started gives the bead back with the error and counts as an attempt."""
    bead_id, agent_id = in_file.bead(), in_file.agent()
    assert not runners.work(in_file.ledger, bead_id, agent_id, ["/no/such/program"])
    with in_file.ledger.reading() as connection:
        row = connection.execute(sa.select(beads).where(beads.c.bead_id == bead_id)).one()
        event = queries.event_rows(connection, bead_id=bead_id, limit=1)[0]
    assert (row.status, row.dispatch_attempts, event.reason_code) == ("open", 1, "dispatch_retry")
    assert "No such file" in event.reason


@pytest.mark.parametrize("path", [path for path in TRIGGERS if path != "dispatch_exhausted"])
def test_simple_codes_get_no_summary(in_file, path):
    """A message that says everything is not repeated in other words."""
    bead_id = TRIGGERS[path][0](in_file)
    with in_file.ledger.writing() as connection:
        summaries.summarise(in_file.ledger, connection, bead_id)
        assert summaries.subject_of(connection, bead_id) is None
        assert queries.summary_of(connection, bead_id) == ""


def test_differing_errors_get_a_summary_next_to_the_raw_reason(in_file):
    """Five different errors are put into words when the bead fails, and the raw reason stays."""
    bead_id = TRIGGERS["dispatch_exhausted"][0](in_file)
    with in_file.ledger.reading() as connection:
        assert "did not answer in time" in queries.summary_of(connection, bead_id)
        assert queries.failure_of(connection, bead_id).details["distinct_errors"] == 5


def test_a_long_crash_is_redacted_before_it_is_summarised(in_file):
    """What a summary is made of has no secrets and leads to the line that matters."""
    secret = "ghp_" + "a1B2" * 9
    said = f"TOKEN={secret}\n" + "at frame\n" * 60 + "Error: Cannot find module '@/lib/auth'"
    bead_id, agent_id = in_file.started()
    with in_file.ledger.writing() as connection:
        agents.agent_completed(in_file.ledger, connection, agent_id, status="failed", reason=said)
        assert secret not in summaries.subject_of(connection, bead_id).facts
        assert "@/lib/auth could not be found" in queries.summary_of(connection, bead_id)
