"""The words of the domain."""

from __future__ import annotations

import pytest

from smithers_nb.model.verdict import ResetNode, ResetPreview
from smithers_nb.model.vocabulary import event_category, is_suspended, is_terminal, logical_id


@pytest.mark.parametrize(
    ("event_type", "category"),
    [
        ("RunStarted", "run"),
        ("RunAutoResumed", "supervisor"),
        ("RunForked", "time-travel"),
        ("NodeFailed", "node"),
        ("NodeOutput", "agent"),
        ("TaskHeartbeat", "heartbeat"),
        ("SandboxHeartbeat", "heartbeat"),
        ("SandboxCreated", "sandbox"),
        ("TimeTravelJumped", "time-travel"),
        ("TokenUsageReported", "tokens"),
        ("SomethingNew", "other"),
    ],
)
def test_events_have_a_group(event_type: str, category: str) -> None:
    """The longest known beginning of an event's type names its group; an unknown type has one as well."""
    assert event_category(event_type) == category


@pytest.mark.parametrize(
    ("status", "over", "parked"),
    [
        ("finished", True, False),
        ("continued", True, False),
        ("failed", True, False),
        ("cancelled", True, False),
        ("running", False, False),
        ("paused", False, True),
        ("waiting-something-new", False, True),
    ],
)
def test_statuses(status: str, over: bool, parked: bool) -> None:
    """A run is over, parked, or neither."""
    assert (is_terminal(status), is_suspended(status)) == (over, parked)


def test_rounds_of_a_task_are_one_task() -> None:
    """The suffix of a loop's round is no part of a task's name."""
    assert (logical_id("review@@round=2"), logical_id("review")) == ("review", "review")


@pytest.mark.parametrize(
    ("others", "end"), [(8, "n7#1); 8 finished one(s) run again"), (9, "n7#1 and 1 more); 9 finished one(s) run again")]
)
def test_a_long_reset_is_cut(others: int, end: str) -> None:
    """What a reset takes along is named as far as a line goes, and counted."""
    taken = [ResetNode(run_id="r", node_id=f"n{i}", iteration=1, state="finished", why="after-target") for i in range(others)]
    target = ResetNode(run_id="r", node_id="t", iteration=0, state="failed", why="target")
    summary = ResetPreview(run_id="r", node_id="t", iteration=0, nodes=(target, *taken)).summary
    assert summary.startswith(f"resets t and {others} other node(s) (n0#1, ")
    assert summary.endswith(end)
