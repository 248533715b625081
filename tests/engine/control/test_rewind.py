"""Going back in a run, and what is left of what came later."""

from __future__ import annotations

import pytest

from smithers_nb.engine.control import decide, frames_of, resume, rewind, rewind_plan
from smithers_nb.errors import NodeNotFound


def test_frames_are_finished_nodes_in_order(runs, location) -> None:
    """Frame n is the state after the n-th finished node, gates included; what failed is no frame."""
    runs.new()
    runs.did("r1", "b", "a")
    runs.gate("r1", "g")
    decide(location, "r1", approved=False, by="Ann", resume=False)
    runs.failed("r1", "c")
    assert [(frame.number, frame.node.node_id) for frame in frames_of(location, "r1")] == [(1, "b"), (2, "a"), (3, "g")]


@pytest.mark.parametrize("to", [1, "1", "a"])
def test_what_came_later_is_taken_out(runs, location, to) -> None:
    """A rewind by number or by node removes later rows, pauses the run, and keeps the log and an audit row."""
    runs.new()
    runs.did("r1", "a", "b")
    runs.failed("r1", "c")
    before = len(runs.rows("_smithers_events"))
    plan = rewind_plan(location, "r1", to)
    done = rewind(location, "r1", to, caller="Ann")
    assert done == plan
    assert (done.came_from, done.goes_to) == (2, 1)
    assert runs.states() == {"a": "finished"}
    assert {row.node_id for table in ("_smithers_attempts", "_smithers_nb_outputs") for row in runs.rows(table)} == {"a", "input"}
    assert (runs.row().status, runs.row().error_json) == ("paused", None)
    (audit,) = runs.rows("_smithers_time_travel_audit")
    assert (audit.from_frame_no, audit.to_frame_no, audit.caller, audit.result) == (2, 1, "Ann", "success")
    (jump,) = runs.events("TimeTravelJumped")
    assert (jump["fromFrameNo"], jump["toFrameNo"], [row["nodeId"] for row in jump["removedNodes"]]) == (2, 1, ["b", "c"])
    assert len(runs.rows("_smithers_events")) > before
    assert resume(location, "r1").continues


def test_frame_zero_is_the_beginning(runs, location) -> None:
    """Back at frame 0 nothing is left but the input."""
    runs.new()
    runs.did("r1", "a")
    runs.status("r1", "finished")
    rewind(location, "r1", 0)
    assert runs.states() == {}
    assert [row.node_id for row in runs.rows("_smithers_nb_outputs")] == ["input"]


@pytest.mark.parametrize("frame", [3, "99", -1])
def test_frames_that_are_not_there_are_refused(runs, location, refused, frame) -> None:
    """A number beyond the last frame is refused with the range."""
    runs.new()
    runs.did("r1", "a", "b")
    assert "0 to 2" in refused("FRAME_OUT_OF_RANGE", rewind, location, "r1", frame).hint


def test_a_node_that_never_finished_is_no_frame(runs, location) -> None:
    """Rewinding to a node that failed lists the frames there are."""
    runs.new()
    runs.did("r1", "a")
    runs.failed("r1", "b")
    with pytest.raises(NodeNotFound) as raised:
        rewind(location, "r1", "b")
    assert "1 a" in raised.value.hint


def test_a_busy_run_is_left_alone(runs, location, refused) -> None:
    """What a live process works on is not rewound."""
    runs.new()
    runs.did("r1", "a")
    runs.execute_elsewhere("r1")
    refused("RUN_OWNER_ALIVE", rewind, location, "r1", 0)
    assert runs.states() == {"a": "finished"}
