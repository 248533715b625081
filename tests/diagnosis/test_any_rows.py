"""Whatever a store holds, looking at it raises nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.model.rows import ApprovalRow, EventRow, QuestionRow, TaskRow

NOW = 1_800_000_000_000

times = st.none() | st.integers(NOW - 10**7, NOW + 10**7) | st.sampled_from([0, -1, 2**62])
texts = st.none() | st.sampled_from(
    ["", "{", "[]", "{}", "null", "Task failed: a", '{"resetAtMs":"x","blocked":[3]}', '{"properties":[]}', "\ud7ff<b>"]
)
states = st.sampled_from(
    ["pending", "in-progress", "failed", "finished", "waiting-timer", "waiting-event", "waiting-approval", "bound-stale", "new"]
)
statuses = st.sampled_from(
    ["running", "failed", "finished", "cancelled", "paused", "waiting-event", "waiting-quota", "waiting-timer", "waiting-x", "y"]
)
kinds = st.sampled_from(
    ["RunStarted", "NodeStarted", "TimeTravelJumped", "RunFinished", "NodeWaitingTimer", "ApprovalRequested", "AgentEvent"]
)
names = st.sampled_from(["a", "b"])


@pytest.fixture
def rows_of(
    run: Callable[..., Any], node: Callable[..., Any], attempt: Callable[..., Any], any_row: Callable[..., Any]
) -> Callable[..., Any]:
    """Draw the rows of a run that makes no sense."""

    def draw(data: st.DataObject) -> list[Any]:
        take = data.draw
        number = itertools.count(1)
        made = [
            run(
                status=take(statuses),
                owner=take(st.sampled_from([None, "pid:1:x", "odd"])),
                **{name: take(times) for name in ("created_at", "started_at", "heartbeat_at", "cancel_requested_at")},
                **{name: take(texts) for name in ("error", "error_message", "config")},
            )
        ]
        for _ in range(take(st.integers(0, 3))):
            made.append(node(take(names), state=take(states), updated_at=take(times)))
            spent = {name: take(times) for name in ("started_at", "finished_at", "heartbeat_at")}
            odd = {name: take(texts) for name in ("error", "error_message", "garbled_prompt", "response")}
            code = take(st.sampled_from([None, "INVALID_OUTPUT", "TASK_HEARTBEAT_TIMEOUT", "DB_WRITE_FAILED"]))
            limits = {"retries": take(st.none() | st.integers(0, 3)), "timeout_ms": take(st.none() | st.integers(0, 10**6))}
            made.append(attempt(take(names), next(number), state=take(states), error_code=code, **spent, **odd, **limits))
            made.append(
                any_row(EventRow, run_id="r", seq=next(number), type=take(kinds), node_id=take(names), payload=take(texts), at=take(times))
            )
            made.append(any_row(TaskRow, run_id="r", node_id=take(names), kind="approval", depends_on=take(texts), props=take(texts)))
        asked = {"run_id": "r", "node_id": take(names), "requested_at": take(times)}
        made.append(any_row(ApprovalRow, **asked, status=take(st.sampled_from(["requested", "denied", "odd"])), mode="select"))
        made.append(any_row(QuestionRow, **asked, request_id="q", status="pending", schema=take(texts), timeout_at=take(times)))
        return made

    return draw


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_row_is_too_odd(data: st.DataObject, rows_of: Callable[..., Any], snapshot: Callable[..., Any]) -> None:
    """Statuses, times and payloads nobody foresaw give findings, not exceptions."""
    seen = snapshot(*rows_of(data))
    assert all(blocker.reason for blocker in blockers(seen, NOW))
    assert health(seen, NOW)[1]
    find_defects(seen, NOW)
