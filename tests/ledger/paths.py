"""The sixteen ways to fail, and the later ones, each made to happen as it does in a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from smithers_nb.ledger import admin, agents, dispatch, items, patrol, pr_poll, review, triage
from smithers_nb.ledger.dispatch import Started

FALSE = Started(ok=False, phase="server", error="timeout waiting for server after 30s")


def complete(result: str) -> Callable:
    def happen(fleet) -> str:
        _, mr_id, _ = fleet.reviewed()
        with fleet.ledger.writing() as connection:
            review.complete(fleet.ledger, connection, mr_id, result, "tests are red", files=["a.py"] if result == "conflict" else None)
        return mr_id

    return happen


def invalid_pr_url(fleet) -> str:
    _, mr_id, refinery = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        assert not review.pr_created(fleet.ledger, connection, mr_id, "javascript:alert(1)", actor=refinery)
    return mr_id


def triage_closed(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        request = triage.request(fleet.ledger, connection, "stuck_agent", bead_id=bead_id, agent_id=agent_id, context="silent for an hour")
        triage.resolve(fleet.ledger, connection, request, "CLOSE_BEAD", "the feature was dropped")
    return bead_id


def pr_closed_without_merge(fleet) -> str:
    _, mr_id, _ = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        review.pr_closed(fleet.ledger, connection, mr_id, "https://github.com/o/r/pull/1", merged=False)
    return mr_id


def dispatch_exhausted(fleet) -> str:
    bead_id, agent_id = fleet.bead(rig_id=f"rig-of-{fleet.agent()}"), fleet.agent()
    for number in range(dispatch.MAX_ATTEMPTS):
        fleet.clock.forward(11)
        failed = Started(ok=False, phase="container", error=f"error {number}" if number < 4 else "container timeout after 30s")
        assert not dispatch.dispatch(fleet.ledger, bead_id, agent_id, lambda *_, how=failed: how)
    return bead_id


def orphaned_work(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        items.set_agent(connection, agent_id, status="idle")
        connection.execute(dispatch.beads.update().where(dispatch.beads.c.bead_id == bead_id).values(dispatch_attempts=5))
    fleet.clock.forward(31)
    patrol.patrol(fleet.ledger)
    return bead_id


def timeout(fleet) -> str:
    bead_id, _ = fleet.started(metadata={"timeout_ms": 3_600_000})
    fleet.clock.forward(72)
    patrol.patrol(fleet.ledger)
    return bead_id


def agent_crashed(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        agents.agent_completed(fleet.ledger, connection, agent_id, status="failed", reason="out of memory")
    return bead_id


def missing_rig_id(fleet) -> str:
    _, mr_id = fleet.submitted()
    assert not review.start_review(fleet.ledger, mr_id, fleet.agent("refinery"), lambda *_: Started(ok=True))
    return mr_id


def missing_rig_config(fleet) -> str:
    _, mr_id = fleet.submitted(rig_id="xyz")
    assert not review.start_review(fleet.ledger, mr_id, fleet.agent("refinery"), lambda *_: Started(ok=True))
    return mr_id


def refinery_start_failed(fleet) -> str:
    with fleet.ledger.writing() as connection:
        items.add_rig(connection, rig := f"r-{fleet.clock.at}-{next(fleet._numbers)}", {})
    _, mr_id = fleet.submitted(rig_id=rig)
    assert not review.start_review(fleet.ledger, mr_id, fleet.agent("refinery"), lambda *_: FALSE)
    return mr_id


def admin_force_fail(fleet) -> str:
    bead_id, _ = fleet.started()
    with fleet.ledger.writing() as connection:
        admin.force_fail(fleet.ledger, connection, bead_id)
    return bead_id


def triage_start_failed(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        request = triage.request(fleet.ledger, connection, "help_request", bead_id=bead_id, agent_id=agent_id, context="help")
        triage.agent_not_started(fleet.ledger, connection, request, FALSE)
    return request


def manual_status_change(fleet) -> str:
    bead_id = fleet.bead()
    with fleet.ledger.writing() as connection:
        admin.set_status(fleet.ledger, connection, bead_id, "failed", actor="mayor", note="the customer left")
    return bead_id


def bead_cancelled(fleet) -> str:
    bead_id = fleet.bead()
    with fleet.ledger.writing() as connection:
        admin.cancel(fleet.ledger, connection, bead_id, actor="mayor", note="no longer wanted")
    return bead_id


def pr_review_orphaned(fleet) -> str:
    _, mr_id, _ = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        review.transition(fleet.ledger, connection, mr_id, "in_review", actor="refinery")
    fleet.clock.forward(31)
    patrol.patrol(fleet.ledger)
    return mr_id


def pr_poll_failed(fleet) -> str:
    _, mr_id, refinery = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        review.pr_created(fleet.ledger, connection, mr_id, "https://github.com/o/r/tree/1", actor=refinery)
    for _ in range(3):
        pr_poll.poll_all(fleet.ledger)
    return mr_id


def agent_lost(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        items.set_agent(connection, agent_id, status="dead", times_lost=2)
    fleet.clock.forward(31)
    patrol.patrol(fleet.ledger)
    return bead_id


TRIGGERS: Final = {
    "refinery_exit_without_merge": (complete("exited"), "refinery_exit_without_merge", "refinery"),
    "invalid_pr_url": (invalid_pr_url, "invalid_pr_url", "refinery"),
    "review_failed": (complete("failed"), "review_failed", "refinery"),
    "merge_conflict": (complete("conflict"), "merge_conflict", "refinery"),
    "triage_closed": (triage_closed, "triage_closed", "triage"),
    "pr_closed_without_merge": (pr_closed_without_merge, "pr_closed_without_merge", "refinery"),
    "dispatch_exhausted": (dispatch_exhausted, "dispatch_exhausted", "scheduler"),
    "orphaned_work": (orphaned_work, "orphaned_work", "patrol"),
    "timeout": (timeout, "timeout", "patrol"),
    "agent_crashed": (agent_crashed, "agent_crashed", "container"),
    "missing_rig_id": (missing_rig_id, "missing_rig_id", "scheduler"),
    "missing_rig_config": (missing_rig_config, "missing_rig_config", "scheduler"),
    "refinery_start_failed": (refinery_start_failed, "container_start_failed", "container"),
    "admin_force_fail": (admin_force_fail, "admin_force_fail", "admin"),
    "triage_start_failed": (triage_start_failed, "container_start_failed", "container"),
    "manual_status_change": (manual_status_change, "manual_status_change", "api"),
    "bead_cancelled": (bead_cancelled, "bead_cancelled", "admin"),
    "pr_review_orphaned": (pr_review_orphaned, "pr_review_orphaned", "patrol"),
    "pr_poll_failed": (pr_poll_failed, "pr_poll_failed", "refinery"),
    "agent_lost": (agent_lost, "agent_lost", "patrol"),
}
"""Path to what makes it happen, its code and its source; each trigger gives the bead that fails."""
