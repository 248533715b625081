"""Stopping runs that are live, parked, queued or over."""

from __future__ import annotations

import pytest

from smithers_nb.engine.control import cancel, decide, pending


def test_a_live_run_is_asked_to_stop(runs, location) -> None:
    """A run that a process executes stays running until that process has seen the request."""
    runs.new()
    runs.execute_elsewhere("r1")
    assert cancel(location, "r1", by="Ann") == ("r1", "requested")
    assert runs.row().cancel_requested_at_ms
    assert runs.events("RunCancelRequested")[0]["by"] == "Ann"
    assert cancel(location, "r1").result == "requested"
    assert len(runs.events("RunCancelRequested")) == 1


def test_a_parked_run_is_over_at_once(runs, location, refused) -> None:
    """A parked run is cancelled, what it asks is no longer asked, and a decision is refused."""
    runs.new()
    runs.gate("r1", "publish")
    assert [item.node_id for item in pending(location)] == ["publish"]
    assert cancel(location, "r1").result == "cancelled"
    assert runs.row().status == "cancelled"
    assert pending(location) == []
    refused("NO_PENDING_APPROVALS", decide, location, "r1", approved=True, by="Ann")


def test_what_a_dead_process_left_open_is_closed(runs, location, monkeypatch) -> None:
    """The open attempt of a dead process and its execution end as cancelled."""
    runs.new()
    runs.execute_elsewhere("r1")
    from smithers_nb.engine.journal import records
    from smithers_nb.engine.journal.records import Node

    with runs.journal.writing("r1") as connection:
        records.start_attempt(connection, Node("r1", "load"), kind="stage")
    monkeypatch.setattr("smithers_nb.engine.journal.leases._is_running", lambda _: False)
    assert cancel(location, "r1").result == "cancelled"
    assert [row.state for row in runs.rows("_smithers_attempts")] == ["cancelled"]
    assert [row.outcome for row in runs.rows("_smithers_nb_executions")] == ["cancelled"]


@pytest.mark.parametrize("status", ["finished", "cancelled"])
def test_what_is_over_cannot_be_stopped(runs, location, refused, status: str) -> None:
    """Stopping what is over is refused."""
    runs.new()
    runs.status("r1", status)
    assert status in str(refused("RUN_NOT_CANCELLABLE", cancel, location, "r1"))
