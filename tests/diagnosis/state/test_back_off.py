"""A run in its retry back-off is healthy, whatever the store knows of the delay."""

from __future__ import annotations

import json

import pytest

from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.model.rows import EventRow
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import NOW, LiteralSource, make

MINUTE = 60_000


@pytest.fixture
def in_back_off(run, node, attempt):
    """Make a live run whose only task failed a minute ago; events as given."""

    def of(*types):
        alive = run(status="running", state="running", owner="pid:7:x", started_at=NOW - 2 * MINUTE, heartbeat_at=NOW - 500)
        error = json.dumps({"message": "connect ECONNREFUSED 127.0.0.1:80"})
        failed = attempt("call", started_at=NOW - MINUTE, finished_at=NOW - MINUTE, retries=4, error=error, error_message="refused")
        events = [make(EventRow, run_id="r", seq=n, type=kind, node_id="call", at=NOW - MINUTE) for n, kind in enumerate(types)]
        return Snapshot(LiteralSource([alive, node("call", state="pending"), failed, *events]), "r")

    return of


def test_an_announced_retry_is_waited_for(in_back_off):
    """Nothing happens for a minute, and yet it is no zombie, is not to be ended, and nothing is due."""
    snapshot = in_back_off("NodeStarted", "NodeFailed", "NodeRetrying")
    assert health(snapshot, NOW)[0] == "healthy"
    assert "zombie" not in {defect.kind for defect in find_defects(snapshot, NOW)}
    (blocker,) = blockers(snapshot, NOW)
    assert blocker.kind == "retry-backoff"
    assert blocker.commands == ()
    assert "due now" not in blocker.reason


@pytest.mark.parametrize("types", [("NodeStarted", "NodeFailed"), ("NodeStarted", "NodeRetrying", "NodeStarted", "NodeFailed")])
def test_a_retry_that_nobody_announced(in_back_off, types):
    """Without an announcement, or after the attempt that it announced, an engine that does nothing is stuck."""
    assert health(in_back_off(*types), NOW)[0] == "stuck"
