"""Each named condition is decided once, so health, blockers and defects agree on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.conditions import IDLE_MS, Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.model.rows import EventRow, TaskRow

NOW = 1_800_000_000_000
Make = Callable[..., Any]


@pytest.mark.parametrize(("cancelled", "zombie"), [(None, True), (NOW - 1_000, False)])
def test_everything_agrees_on_a_zombie(snapshot: Make, run: Make, node: Make, cancelled: int | None, zombie: bool) -> None:
    """An idle engine is a zombie to health, blockers and defects alike, unless it has a cancel to carry out."""
    long_ago = NOW - IDLE_MS - 1
    alive = run(status="running", owner="pid:1:x", started_at=long_ago, heartbeat_at=NOW, cancel_requested_at=cancelled)
    rows = snapshot(alive, node("a", state="pending"))
    assert Case(rows, NOW).is_zombie is zombie
    assert (health(rows, NOW)[0] == "stuck") is zombie
    assert ("zombie" in [blocker.kind for blocker in blockers(rows, NOW)]) is zombie
    assert ("zombie" in [defect.kind for defect in find_defects(rows, NOW)]) is zombie


def test_everything_agrees_on_a_retry_storm(snapshot: Make, run: Make, attempt: Make) -> None:
    """A program that fails the same way three times without a limit is a storm wherever it is named."""
    alive = run(status="running", owner="pid:1:x", started_at=NOW, heartbeat_at=NOW)
    tries = [attempt("a", number, started_at=NOW + number, error_name="TypeError", error_message="x is null") for number in (1, 2, 3)]
    rows = snapshot(alive, *tries)
    assert [storm.node_id for storm in Case(rows, NOW).retry_storms] == ["a"]
    assert "without limit" in health(rows, NOW)[1]
    assert [found.kind for found in (*blockers(rows, NOW), *find_defects(rows, NOW))] == ["retry-storm", "retry-storm"]
    assert Case(snapshot(alive, *tries[:2]), NOW).retry_storms == []


def test_everything_agrees_on_a_rewound_run(snapshot: Make, run: Make, any_row: Make) -> None:
    """After a jump the run says running although no process runs it, until something starts."""
    jump = any_row(EventRow, run_id="r", seq=2, type="TimeTravelJumped", at=NOW)
    rows = snapshot(run(status="running", started_at=NOW), jump)
    assert Case(rows, NOW).rewound == jump
    assert "rewound" in health(rows, NOW)[1]
    assert [blocker.kind for blocker in blockers(rows, NOW)] == ["rewound"]
    assert [defect.kind for defect in find_defects(rows, NOW)] == ["rewound-run-looks-running"]
    started = any_row(EventRow, run_id="r", seq=3, type="NodeStarted", at=NOW)
    assert Case(snapshot(run(status="running", started_at=NOW), jump, started), NOW).rewound is None


@pytest.mark.parametrize("mark", ["true", True])
def test_a_task_that_may_fail_is_no_reason(snapshot: Make, run: Make, attempt: Make, any_row: Make, mark: object) -> None:
    """`continueOnFail` excuses a task however the graph writes it, with any space in its JSON."""
    props = json.dumps({"continueOnFail": mark}, indent=1)
    alive = run(status="running", owner="pid:1:x", started_at=NOW, heartbeat_at=NOW)
    spared = attempt("a", retries=0, error_message="no")
    rows = snapshot(alive, spared, any_row(TaskRow, run_id="r", node_id="a", props=props))
    assert (Case(rows, NOW).fatal, health(rows, NOW)[0], blockers(rows, NOW)) == (None, "healthy", ())
    assert Case(snapshot(alive, spared), NOW).fatal is not None


def test_what_may_fail_is_known_for_each_iteration(snapshot: Make, run: Make, any_row: Make) -> None:
    """An iteration that the graph has decides by itself; one that it no longer has follows the others."""
    rows = [
        any_row(TaskRow, run_id="r", node_id="a", iteration=at, props=props) for at, props in ((0, '{"continueOnFail":"true"}'), (1, "{}"))
    ]
    rows = snapshot(run(), *rows)
    assert [rows.may_fail("a", iteration) for iteration in (0, 1, 2)] == [True, False, True]
    assert not rows.may_fail("b", 0)


def test_a_grandchild_is_named_once(snapshot: Make, run: Make, attempt: Make) -> None:
    """The reference of a defect two runs down names that run and no other."""
    ids = ["r", "r:child:s:0", "r:child:s:0:child:t:0"]
    family = [run(run_id=run_id, parent_run_id=parent, status="finished") for run_id, parent in zip(ids, [None, *ids], strict=False)]
    garbled = attempt("n", run_id=ids[2], state="finished", garbled_prompt="[object Object]")
    (defect,) = find_defects(snapshot(*family, garbled), NOW)
    assert defect.evidence[0].ref == f"{ids[2]}/attempt:n/0/1"
