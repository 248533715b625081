"""What people have asked of a run, and what follows when a task ends right after it."""

from __future__ import annotations

import json

import pytest

from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.model.rows import ApprovalRow
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import NOW, LiteralSource, make


@pytest.mark.parametrize("what", ["pause", "hijack"])
def test_an_open_request_is_told(run, attempt, what):
    """A pause or a takeover that has not happened yet stands in health and among the blockers, with its age."""
    asked = {f"{what}_requested_at": NOW - 12_000}
    alive = run(status="running", state="running", owner="pid:7:x", started_at=NOW - 60_000, heartbeat_at=NOW - 500, **asked)
    snapshot = Snapshot(LiteralSource([alive, attempt("build", state="in-progress", started_at=NOW - 30_000)]), "r")
    assert health(snapshot, NOW)[0] == "healthy"
    assert f"a {what} was requested 12" in health(snapshot, NOW)[1]
    assert [b.kind for b in blockers(snapshot, NOW)] == [f"{what}-pending"]


def test_a_stop_that_a_person_asked_for_outranks_an_exit_status(run, node, attempt):
    """Exit status 143 after a cancel is the cancel, and before it or long after it is not."""

    def judged(cancelled_at):
        broken = run(status="failed", error_message="Task failed: build", cancel_requested_at=cancelled_at, finished_at=NOW)
        error = json.dumps({"message": "Command failed with exit code 143: make", "exitCode": 143})
        tried = attempt("build", finished_at=NOW, error=error, error_message="Command failed with exit code 143: make")
        return classify(find_failure(Snapshot(LiteralSource([broken, node("build", state="failed"), tried]), "r")))

    assert judged(NOW - 2_000).rule == "stopped-by-a-person"
    assert "cancel" in judged(NOW - 2_000).reason
    assert judged(None).rule != "stopped-by-a-person"
    assert judged(NOW - 3_600_000).rule != "stopped-by-a-person"


def test_a_no_that_the_run_went_on_from_is_no_failure(run, node):
    """A denied gate with `onDeny="continue"` is an answer; the run failed of something else."""
    broken = run(status="failed", finished_at=NOW)
    gate = make(ApprovalRow, run_id="r", node_id="ok?", iteration=0, status="denied", decided_by="kim")
    went_on = Snapshot(LiteralSource([broken, node("ok?", state="finished"), gate]), "r")
    assert find_failure(went_on).kind == "none"
    assert find_failure(Snapshot(LiteralSource([broken, node("ok?", state="failed"), gate]), "r")).kind == "denied"
