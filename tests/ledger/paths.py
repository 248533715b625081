"""The sixteen ways to fail, and the later ones, each made to happen as it does in a fleet."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smithers_nb.ledger import admin, agents, breaker, dispatch, items, patrol, pr_poll, review, transfer, triage
from smithers_nb.ledger.dispatch import Started
from smithers_nb.workflows.smithering.building.scheduler import TicketState
from smithers_nb.workflows.smithering.building.ticket_ledger import TicketLedger
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph

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


def attempts_used_up(fleet) -> str:
    bead_id, _ = fleet.started()
    with fleet.ledger.writing() as connection:
        agents.give_back(fleet.ledger, connection, bead_id, actor="ana", note="the brief is unclear")
        connection.execute(dispatch.beads.update().where(dispatch.beads.c.bead_id == bead_id).values(dispatch_attempts=5))
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


def no_pr_url(fleet) -> str:
    with fleet.ledger.writing() as connection:
        items.add_rig(connection, rig := f"unreviewed-{next(fleet._numbers)}", {"review": False})
    _, mr_id = fleet.submitted(rig_id=rig)
    assert not review.start_review(fleet.ledger, mr_id, fleet.agent("refinery"), lambda *_: Started(ok=True))
    return mr_id


def refinery_dispatch_exhausted(fleet) -> str:
    _, mr_id = fleet.submitted(rig_id=f"rig-of-{fleet.agent()}")
    for _ in range(dispatch.MAX_ATTEMPTS):
        fleet.clock.forward(11)
        assert not dispatch.dispatch(fleet.ledger, mr_id, fleet.agent("refinery"), lambda *_: FALSE)
    return mr_id


def refinery_hook_lost(fleet) -> str:
    _, mr_id, refinery = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        items.set_agent(connection, refinery, hook_bead_id=None)
        assert not review.refinery_done(fleet.ledger, connection, mr_id, refinery, None)
    return mr_id


def landing_mr_exhausted(fleet) -> str:
    convoy = fleet.bead(type="convoy", metadata={"feature_branch": "feature"})
    for _ in range(review.MAX_LANDINGS):
        with fleet.ledger.writing() as connection:
            mr_id = review.submit_landing(fleet.ledger, connection, convoy, branch="feature", rig_id=None, actor="mayor")
            review.complete(fleet.ledger, connection, mr_id, "failed", "tests are red")
    return convoy


def convoy_members_failed(fleet) -> str:
    convoy, member = fleet.bead(type="convoy"), fleet.bead()
    with fleet.ledger.writing() as connection:
        items.track(fleet.ledger, connection, member, convoy)
    with fleet.ledger.writing() as connection:
        admin.force_fail(fleet.ledger, connection, member)
    return convoy


def finished(**stated) -> Callable:
    def happen(fleet) -> str:
        bead_id, agent_id = fleet.started()
        with fleet.ledger.writing() as connection:
            assert not agents.finish_work(fleet.ledger, connection, agent_id, commits=0, **stated)
        return bead_id

    return happen


def ticket(code: str, state: str = "blocked") -> Callable:
    def happen(fleet) -> str:
        tickets = TicketLedger(fleet.ledger, f"run-{next(fleet._numbers)}", "smithering/r/integration")
        tickets.create(TicketGraph([Ticket(id="login", title="Login")]))
        tickets.changed(TicketState(ticket_id="login", state="working", attempt=1))
        tickets.changed(TicketState(ticket_id="login", state=state, code=code, detail="npm test is red", attempt=3, on=("api",)))
        return tickets.bead("login")

    return happen


def given_back(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        agents.give_back(fleet.ledger, connection, bead_id, actor=agent_id, note="the interface is not decided yet")
    return bead_id


def lease_reclaimed(fleet) -> str:
    bead_id, agent_id = fleet.bead(), fleet.agent()
    assert dispatch.dispatch(fleet.ledger, bead_id, agent_id, lambda *_: Started(ok=True), lease_ms=300_000)
    fleet.clock.forward(4)
    with fleet.ledger.writing() as connection:
        assert agents.renew_lease(fleet.ledger, connection, agent_id)
    fleet.clock.forward(16)
    assert (bead_id, "lease_reclaimed") in patrol.patrol(fleet.ledger)
    return bead_id


def dead_assignee_reopened(fleet) -> str:
    bead_id, agent_id = fleet.started()
    with fleet.ledger.writing() as connection:
        items.set_agent(connection, agent_id, status="dead")
    fleet.clock.forward(31)
    patrol.patrol(fleet.ledger)
    return bead_id


def rejected_for_rework(fleet) -> str:
    source, mr_id, _ = fleet.reviewed()
    with fleet.ledger.writing() as connection:
        review.complete(fleet.ledger, connection, mr_id, "rework", "the tests do not cover the empty list")
    return source


def dispatch_retry(fleet) -> str:
    bead_id = fleet.bead(rig_id=f"rig-of-{fleet.agent()}")
    assert not dispatch.dispatch(fleet.ledger, bead_id, fleet.agent(), lambda *_: FALSE)
    return bead_id


def breaker_open(fleet) -> str:
    rig = f"rig-of-{fleet.agent()}"
    bead_id = fleet.bead(rig_id=rig)
    with fleet.ledger.writing() as connection:
        for _ in range(breaker.LIMIT):
            breaker.failed(fleet.ledger, connection, f"dispatch:{rig}", "no container")
    assert not dispatch.dispatch(fleet.ledger, bead_id, fleet.agent(), lambda *_: Started(ok=True))
    return bead_id


def second_reason_dropped(fleet) -> str:
    bead_id = fleet.bead()
    with fleet.ledger.writing() as connection:
        for note in ("fixed in 3f2a", "no, it was fixed in 77be"):
            admin.close(fleet.ledger, connection, bead_id, actor="me", note=note)
    return bead_id


def imported(bead_id: str, *lines: dict) -> Callable:
    """Import a store that somebody else wrote, and give the bead that it tells of."""

    def happen(fleet) -> str:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store.jsonl"
            store.write_text("".join(json.dumps(line) + "\n" for line in lines))
            transfer.import_store(fleet.ledger, store)
        return bead_id

    return happen


def journalled(seq: int, op: str, at: str, updated_at: str, **issue) -> dict:
    row = {"id": "bd-9", "title": "t", "updated_at": f"2026-10-01T{updated_at}:00Z", **issue}
    return {"seq": seq, "ts": f"2026-10-01T{at}:00Z", "op": op, "issue_id": "bd-9", "actor": "a", "issue": row}


REVERTED = (
    journalled(1, "create", "08:00", "08:00", status="open"),
    journalled(2, "close", "10:00", "10:00", status="closed", close_reason="fixed in 3f2a"),
    journalled(3, "update", "11:00", "09:00", status="open"),
)
FAILED_WITHOUT_A_WORD = {"bead_event_id": "e", "bead_id": "kg-1", "event_type": "status_changed", "old_value": "in_progress"}
FAILED_WITHOUT_A_WORD |= {"new_value": "failed", "metadata": {}, "created_at": "2026-04-01T10:00:00Z"}
ORDER = {"seq": 1, "type": "order.failed", "ts": "2026-10-01T10:00:00Z", "actor": "controller", "subject": "nightly"}
ORDER |= {"payload": {"error": "no pool is free"}}
BLOCKED = {"_type": "issue", "id": "bd-8", "title": "t", "status": "blocked", "updated_at": "2026-10-01T10:00:00Z"}


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
    "attempts_used_up": (attempts_used_up, "attempts_used_up", "patrol"),
    "agent_lost": (agent_lost, "agent_lost", "patrol"),
    "no_pr_url": (no_pr_url, "no_pr_url", "refinery"),
    "refinery_dispatch_exhausted": (refinery_dispatch_exhausted, "refinery_dispatch_exhausted", "scheduler"),
    "refinery_hook_lost": (refinery_hook_lost, "refinery_hook_lost", "refinery"),
    "landing_mr_exhausted": (landing_mr_exhausted, "landing_mr_exhausted", "scheduler"),
    "convoy_members_failed": (convoy_members_failed, "convoy_members_failed", "scheduler"),
    "closed_without_work": (finished(), "closed_without_work", "refinery"),
    "shipped_without_commit": (finished(commit="3f2a9c1"), "shipped_without_commit", "refinery"),
    "verification_failed": (ticket("verification_failed"), "verification_failed", "refinery"),
    "verification_infrastructure": (ticket("verification_infrastructure"), "verification_infrastructure", "refinery"),
    "tip_red": (ticket("tip_red"), "tip_red", "refinery"),
    "left_worktree": (ticket("left_worktree"), "left_worktree", "refinery"),
    "credential_missing": (ticket("credential_missing", "needs-credential"), "credential_missing", "scheduler"),
    "person_needed": (ticket("person_needed", "waiting-human"), "person_needed", "scheduler"),
    "budget_spent": (ticket("budget_spent", "waiting-human"), "budget_spent", "scheduler"),
    "dependency_failed": (ticket("dependency_failed"), "dependency_failed", "scheduler"),
}
"""Path to what makes it happen, its code and its source; each trigger gives the bead that fails."""

BEFORE: Final = {"landing_mr_exhausted": "review_failed", "convoy_members_failed": "admin_force_fail"}
"""Paths that happen only after another bead has failed, and by which."""

GIVEN_BACK: Final = {
    "given_back": (given_back, "api"),
    "lease_reclaimed": (lease_reclaimed, "lease"),
    "dead_assignee_reopened": (dead_assignee_reopened, "patrol"),
    "rejected_for_rework": (rejected_for_rework, "refinery"),
    "dispatch_retry": (dispatch_retry, "scheduler"),
}
"""Path to what makes work go back to `open`, and who notices; each gives the bead."""

NOTED: Final = {
    "breaker_open": (breaker_open, "scheduler"),
    "second_reason_dropped": (second_reason_dropped, "api"),
    "order_failed": (imported("nightly", ORDER), "scheduler"),
    "close_reverted": (imported("bd-9", *REVERTED), "import"),
    "unknown": (imported("kg-1", FAILED_WITHOUT_A_WORD), "import"),
    "blocked_without_reason": (imported("bd-8", BLOCKED), "import"),
}
"""Path to what makes it be written about a bead without a failure of ours, and who notices; each gives the bead."""
