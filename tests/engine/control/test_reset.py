"""What a retry-task resets, and that it is what the preview said."""

from __future__ import annotations

import json

import pytest

from smithers_nb.engine.control import decide, reset_plan, retry_task
from smithers_nb.errors import NodeNotFound


def test_a_task_and_what_began_after_it_are_reset(runs, location) -> None:
    """Later nodes lose output and state, earlier ones keep theirs; the preview says exactly that."""
    runs.new()
    runs.did("r1", "a", "b", "c")
    runs.failed("r1", "d")
    plan = reset_plan(location, "r1", "b")
    assert [(item.node.node_id, item.state) for item in plan.items] == [("b", "finished"), ("c", "finished"), ("d", "failed")]
    assert runs.states() == {"a": "finished", "b": "finished", "c": "finished", "d": "failed"}
    assert retry_task(location, "r1", "b") == plan
    assert runs.states() == {"a": "finished", "b": "pending", "c": "pending", "d": "pending"}
    assert [row.node_id for row in runs.rows("_smithers_nb_outputs")] == ["a", "input"]
    assert (runs.row().status, runs.row().error_json) == ("waiting-worker", None)
    assert len(runs.rows("_smithers_nb_executions")) == 1


def test_a_failed_try_stays_readable(runs, location) -> None:
    """The failed attempt becomes a cancelled one with its error and the mark of Smithers; a finished one stays."""
    runs.new()
    runs.did("r1", "a")
    runs.failed("r1", "b")
    retry_task(location, "r1", "a")
    by_node = {row.node_id: row for row in runs.rows("_smithers_attempts")}
    assert (by_node["a"].state, by_node["b"].state) == ("finished", "cancelled")
    assert json.loads(by_node["b"].meta_json)["resetCancelled"] is True
    assert json.loads(by_node["b"].error_json)["message"] == "no such table"


def test_events_of_the_same_millisecond_are_in_order(runs, location, monkeypatch) -> None:
    """What began after what is taken from the log, also when a clock stands still or goes backwards."""
    runs.new()
    clock = iter(range(1_000_000, 0, -1))
    monkeypatch.setattr("smithers_nb.engine.journal.records.now_ms", lambda: next(clock))
    runs.did("r1", "z", "m", "a")
    assert [item.node.node_id for item in reset_plan(location, "r1", "m").items] == ["m", "a"]


def test_without_deps_only_the_target(runs, location) -> None:
    """`deps=False` leaves everything else as it is."""
    runs.new()
    runs.did("r1", "a", "b")
    runs.failed("r1", "c")
    retry_task(location, "r1", "a", deps=False)
    assert runs.states() == {"a": "pending", "b": "finished", "c": "failed"}


def test_a_decision_made_after_the_target_is_asked_again(runs, location) -> None:
    """A gate that was decided after the target began is withdrawn, the preview says whose decision that was, and the log keeps it."""
    runs.new()
    runs.did("r1", "load")
    runs.gate("r1", "publish")
    decide(location, "r1", approved=True, by="Ann", resume=False)
    runs.failed("r1", "send")
    plan = reset_plan(location, "r1", "load")
    assert [(item.node.node_id, item.withdrawn) for item in plan.items] == [("load", ""), ("publish", "approved by Ann"), ("send", "")]
    retry_task(location, "r1", "load")
    assert runs.rows("_smithers_approvals") == []
    (event,) = runs.events("RetryTaskStarted")
    assert event["resetNodes"][1] == {"nodeId": "publish", "iteration": 0, "state": "finished", "withdrawn": "approved by Ann"}
    assert runs.events("RetryTaskFinished")[0]["success"] is True


def test_a_decision_made_before_the_target_stands(runs, location) -> None:
    """A gate before the target is not asked again."""
    runs.new()
    runs.gate("r1", "publish")
    decide(location, "r1", approved=True, by="Ann", resume=False)
    runs.failed("r1", "send")
    retry_task(location, "r1", "send")
    assert [row.status for row in runs.rows("_smithers_approvals")] == ["approved"]


def test_a_node_that_is_not_there_is_refused(runs, location) -> None:
    """An unknown node lists those there are; an unknown iteration is named."""
    runs.new()
    runs.did("r1", "a")
    with pytest.raises(NodeNotFound) as raised:
        retry_task(location, "r1", "b")
    assert "a" in raised.value.hint
    with pytest.raises(NodeNotFound, match="iteration 3"):
        retry_task(location, "r1", "a", 3)


def test_a_run_that_waits_or_runs_is_refused(runs, location, refused) -> None:
    """A run that waits for a person is reset by force only, one that is executed never."""
    runs.new()
    runs.did("r1", "a")
    runs.gate("r1", "g")
    assert "at g" in str(refused("RUN_STILL_RUNNING", retry_task, location, "r1", "a"))
    assert retry_task(location, "r1", "a", force=True).items[1].node.node_id == "g"
    runs.execute_elsewhere("r1")
    refused("RUN_OWNER_ALIVE", retry_task, location, "r1", "a", force=True)


def test_what_was_decided_no_longer_waits(runs, location) -> None:
    """A run whose gate is decided, but which nobody has continued, may be reset without force."""
    runs.new()
    runs.did("r1", "a")
    runs.gate("r1", "g")
    decide(location, "r1", approved=True, by="Ann", resume=False)
    assert len(retry_task(location, "r1", "a").items) == 2
