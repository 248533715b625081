"""Workflows of a real DBOS application, killed in the middle of things, read as runs from SQLite and from Postgres."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable

import pytest

from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.errors import RunNotFailed, SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import (
    ApprovalRow,
    AttemptRow,
    BranchRow,
    EventRow,
    NodeRow,
    OutputRow,
    RunRow,
    SignalRow,
    TaskRow,
)
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.autopsy.stages import run_autopsy

STATUSES = {
    "cancelled-1": "cancelled",
    "hang-1": "pending",
    "later-1": "waiting-timer",
    "order-1": "finished",
    "own_fault-1": "failed",
    "parent-1": "failed",
    "parent-1-2": "failed",
    "portable-1": "failed",
    "queued-1": "waiting-queue",
    "receiver-1": "waiting-event",
    "refused-1": "failed",
    "sleeper-1": "waiting-timer",
    "tired-1": "failed",
}


@pytest.fixture(params=["sqlite", "postgres"])
def where(request) -> str:
    """The URL of the application's database."""
    if request.param == "sqlite":
        return f"dbos+sqlite:///{request.getfixturevalue('dbos_file')}"
    return f"dbos+{request.getfixturevalue('dbos_url')}"


@pytest.fixture
def source(where):
    """The opened database."""
    opened = open_source(where)
    yield opened
    opened.close()


@pytest.fixture
def broken(dbos_file, tmp_path) -> Callable[..., str]:
    """A private copy of the SQLite database, with statements run on it."""

    def run(*statements: str) -> str:
        target = tmp_path / "copy.sqlite"
        for suffix in ("", "-wal", "-shm"):
            if (beside := dbos_file.with_name(dbos_file.name + suffix)).exists():
                shutil.copyfile(beside, f"{target}{suffix}")
        connection = sqlite3.connect(target)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        return f"dbos+sqlite:///{target}"

    return run


def test_every_workflow_is_a_run(source):
    """Each kind of end, wait and interruption has its status, in the words of runs; DBOS's `pending` is kept."""
    assert {run.run_id: run.status for run in source.rows(RunRow)} == STATUSES
    assert source.run_ids("parent-1") == ["parent-1", "parent-1-2"]
    assert source.kind == "dbos"
    assert source.problems == []


def test_every_grain_keeps_its_contract(source, check_grains):
    """Rows and frames of every table have the types of their contracts, also of those that DBOS has nothing for."""
    check_grains(source)
    assert source.rows(ApprovalRow) == []


def test_a_run_reads_as_in_the_whole_store(source):
    """What is read of one workflow is what the whole store says of it, and a filter only leaves rows out."""
    for row in (RunRow, NodeRow, AttemptRow, EventRow, OutputRow, TaskRow, SignalRow):
        everything = source.rows(row)
        for run_id in STATUSES:
            assert source.rows(row, run_id) == [one for one in everything if one.run_id == run_id]
    runs = source.rows(RunRow)
    for status in ("failed", "waiting-timer", "pending", "nothing"):
        assert source.rows(RunRow, only={"status": [status]}) == [run for run in runs if run.status == status]
    assert [run.run_id for run in source.rows(RunRow, only={"parent_run_id": ["parent-1"]})] == ["parent-1-2"]
    assert source.rows(RunRow, only={"status": AllBut({"failed"})}) == [run for run in runs if run.status != "failed"]
    failed = source.rows(AttemptRow, only={"state": ["failed"]})
    assert failed == [attempt for attempt in source.rows(AttemptRow) if attempt.state == "failed"]
    assert source.rows(RunRow, since_ms=2**62) == []


def test_steps_are_nodes_and_attempts(source):
    """A step called three times has three iterations, one retried three times has three attempts with their own errors."""
    assert [(node.node_id, node.iteration) for node in source.rows(NodeRow, "order-1") if node.node_id == "charge"] == [
        ("charge", 0),
        ("charge", 1),
        ("charge", 2),
    ]
    tried = [attempt for attempt in source.rows(AttemptRow, "tired-1") if attempt.state == "failed"]
    assert [(a.node_id, a.attempt, a.error_name, a.error_message) for a in tried] == [
        ("ask_carrier", number, "TimeoutError", "no answer for order 7") for number in (1, 2, 3)
    ]


def test_inputs_and_outputs_are_decoded(source):
    """What was pickled is shown as plain JSON without being unpickled."""
    outputs = {(row.node_id, row.iteration): as_object(row.row) for row in source.rows(OutputRow, "order-1")}
    assert outputs["input", 0] == {"args": [7], "kwargs": {}}
    assert outputs["charge", 2] == {"charged": 7}
    assert outputs["output", 0] == {"done": 7}


def test_the_story_is_told_in_order(source):
    """Events come out of the times in the tables: steps, what the workflow said, its end, and messages it got."""
    told = [event.type for event in source.rows(EventRow, "order-1")]
    assert told[0] == "RunStarted"
    assert told[-1] == "RunFinished"
    assert told.count("NodeFinished") == 4
    assert "EventSet" in told
    (signal,) = source.rows(SignalRow, "receiver-1")
    assert (signal.signal_name, signal.payload) == ("other", '{"ok":true}')
    assert "SignalReceived" in [event.type for event in source.rows(EventRow, "receiver-1")]
    assert [event.seq for event in source.rows(EventRow, "hang-1")] == [0, 1, 2]


@pytest.mark.parametrize("run_id", ["refused-1", "portable-1"])
def test_a_failed_step_is_the_failure(source, run_id):
    """The failure is the step's, with its exception's class and words, pickled or portable, though nobody can import the class."""
    failure = find_failure(Snapshot(source, run_id))
    assert (failure.kind, failure.node_id, failure.message) == ("attempt", "ship", "the warehouse refused order 7")
    assert failure.chain[0].name == "Refused"


def test_a_failed_child_is_followed(source):
    """A workflow that failed because its child did leads to the step of the child."""
    failure = find_failure(Snapshot(source, "parent-1"))
    assert (failure.run_id, failure.node_id) == ("parent-1-2", "ship")
    assert failure.parents == ("parent-1",)


def test_a_survived_step_is_not_blamed(source):
    """An error that the workflow caught is beside the point when the workflow then fails by itself."""
    failure = find_failure(Snapshot(source, "own_fault-1"))
    assert (failure.kind, failure.message, failure.collateral) == ("run", "'missing'", ("ship",))


def test_an_autopsy_is_the_ordinary_one(where):
    """A failed workflow gets a verdict with evidence and with commands of DBOS's own program; others are refused."""
    row = run_autopsy(where, "tired-1")
    assert "no answer for order 7" in row.root_cause
    assert {item.ref for item in row.evidence} >= {"attempt:ask_carrier/0/3", "run:tired-1"}
    assert all(line.startswith("dbos workflow fork --step 2 --sys-db-url ") for line in row.commands)
    for run_id in ("hang-1", "order-1", "queued-1"):
        with pytest.raises(RunNotFailed):
            run_autopsy(where, run_id)


def test_waits_are_told(source):
    """A sleeper, a receiver, a delayed and a queued workflow say what they wait for and who ends it."""
    now = source.rows(RunRow, "hang-1")[0].started_at + 1_000
    reasons = {run_id: [b.reason for b in blockers(Snapshot(source, run_id), now)] for run_id in STATUSES}
    assert "sleeps until" in reasons["sleeper-1"][0]
    assert "waits for a message" in reasons["receiver-1"][0]
    assert "delayed until" in reasons["later-1"][0]
    assert "behind hang-1" in reasons["queued-1"][0]
    assert reasons["hang-1"] == reasons["order-1"] == []
    assert [len(reasons[run_id]) for run_id in ("sleeper-1", "receiver-1", "later-1", "queued-1")] == [1, 1, 1, 1]


def test_a_pending_workflow_names_its_unfinished_child(broken):
    """A child that has begun and not ended is named at once; a child that has ended is not."""
    where = broken(
        "UPDATE workflow_status SET status = 'PENDING', parent_workflow_id = 'hang-1' WHERE workflow_uuid = 'order-1'",
        "UPDATE workflow_status SET parent_workflow_id = 'hang-1' WHERE workflow_uuid = 'refused-1'",
    )
    parent = Snapshot(open_source(where), "hang-1")
    (child,) = blockers(parent, parent.run.started_at + 1_000)
    assert child.kind == "waiting-child"
    assert "child workflow order-1 has not ended" in child.reason
    later = blockers(parent, parent.run.started_at + 3 * 3_600_000)
    left = next(blocker for blocker in later if blocker.kind == "left-pending")
    assert "perhaps waiting for child workflow order-1, which has not ended" in left.reason
    assert "long step" not in left.reason


def test_a_workflow_that_waits_behind_its_own_parent(broken):
    """A queue's only slot may be held by the workflow that waits for the queued one: no restart is promised to help."""
    where = broken(
        "UPDATE workflow_status SET parent_workflow_id = 'order-1' WHERE workflow_uuid = 'queued-1'",
        "UPDATE workflow_status SET parent_workflow_id = 'hang-1' WHERE workflow_uuid = 'order-1'",
    )
    queued = Snapshot(open_source(where), "queued-1")
    (behind,) = blockers(queued, queued.run.created_at + 3 * 3_600_000)
    assert "hang-1 started it, directly or through others" in behind.reason
    assert "that wait cannot end" in behind.reason
    assert "recovers it" not in behind.reason


def test_a_deadline_that_had_passed(broken):
    """DBOS cancels at a deadline as a person does; the column with the deadline tells them apart."""
    passed = (
        "UPDATE workflow_status SET workflow_timeout_ms = {}, workflow_deadline_epoch_ms = updated_at WHERE workflow_uuid = 'cancelled-1'"
    )
    for limit, told in ((5_000, "its own time limit of 5 s"), ("NULL", "the time limit that it inherited from its parent")):
        cancelled = Snapshot(open_source(broken(passed.format(limit))), "cancelled-1")
        assert health(cancelled, cancelled.run.finished_at) == ("healthy", f"cancelled: {told} had passed")


def test_a_workflow_left_pending_is_named(source):
    """A killed process leaves its workflow pending with a queue behind it: both say so once nothing was recorded for a while."""
    later = source.rows(RunRow, "hang-1")[0].started_at + 3 * 3_600_000
    (behind,) = blockers(Snapshot(source, "queued-1"), later)
    assert "if no process is running it any more" in behind.reason
    assert any(line.startswith("dbos workflow cancel ") and line.endswith(" hang-1") for line in behind.commands)
    (left,) = blockers(Snapshot(source, "hang-1"), later)
    assert left.kind == "left-pending"
    assert "It holds a slot of queue mail" in left.reason
    (overdue,) = blockers(Snapshot(source, "sleeper-1"), later)
    assert "no process is running it" in overdue.reason
    assert overdue.commands


def test_a_workflow_that_was_given_up_says_so(broken):
    """One that DBOS stopped recovering is a failure with a code and a reason, and is resumed rather than forked."""
    where = broken(
        "UPDATE workflow_status SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', recovery_attempts = 101 WHERE workflow_uuid = 'hang-1'"
    )
    source = open_source(where)
    (run,) = source.rows(RunRow, "hang-1")
    assert (run.status, run.error_code) == ("failed", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
    assert "101 times" in run.error_message
    verdict = run_autopsy(where, "hang-1")
    assert "101 times" in verdict.root_cause


def test_a_fork_is_a_branch(broken):
    """A forked workflow names the one it comes from, and an unknown status is kept."""
    where = broken(
        "UPDATE workflow_status SET forked_from = 'refused-1', status = 'ASLEEP' WHERE workflow_uuid = 'queued-1'",
    )
    source = open_source(where)
    (branch,) = source.rows(BranchRow)
    assert (branch.run_id, branch.parent_run_id) == ("queued-1", "refused-1")
    assert source.rows(RunRow, "queued-1")[0].status == "ASLEEP"
    assert [run.run_id for run in source.rows(RunRow, only={"parent_run_id": ["refused-1"]})] == ["queued-1"]


def test_older_and_damaged_databases(broken):
    """Missing tables and columns, and values of any kind, give fewer values and no error."""
    where = broken(
        "DROP TABLE workflow_input",
        "DROP TABLE notifications",
        "DROP TABLE streams",
        "DROP INDEX idx_workflow_status_completed_at",
        "ALTER TABLE workflow_status DROP COLUMN completed_at",
        "ALTER TABLE workflow_status DROP COLUMN attributes",
        "ALTER TABLE operation_outputs DROP COLUMN started_at_epoch_ms",
        "UPDATE operation_outputs SET error = 'gASVBROKEN' WHERE error IS NOT NULL",
        "UPDATE workflow_output SET error = x'00ff', output = 12",
        "UPDATE workflow_status SET created_at = 'yesterday', name = NULL WHERE workflow_uuid = 'order-1'",
    )
    source = open_source(where)
    assert len(source.rows(RunRow)) == len(STATUSES)
    for run_id in STATUSES:
        snapshot = Snapshot(source, run_id)
        find_failure(snapshot)
        blockers(snapshot, 1_900_000_000_000)
        assert source.rows(OutputRow, run_id) is not None
    assert source.problems == []


def test_the_database_is_recognised(dbos_file, postgres_server, tmp_path, request):
    """A file of DBOS is known by its tables; what is none is refused in one line."""
    assert open_source(str(dbos_file)).kind == "dbos"
    plain = open_source(request.getfixturevalue("dbos_url"))
    assert plain.kind == "dbos"
    plain.close()
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(SourceUnreadable, match="DBOS"):
        open_source(f"dbos+sqlite:///{other}")
    with pytest.raises(SourceUnreadable, match="not a Smithers store"):
        open_source(str(other))
    with pytest.raises(SourceNotFound):
        open_source(f"dbos+sqlite:///{tmp_path / 'nothing.db'}")
    with pytest.raises(SourceUnreadable, match="DBOS"):
        open_source(f"dbos+{postgres_server}")
