"""Loops that produce the same again, and reviewers that say the same no."""

from __future__ import annotations

import json

import pytest

from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.stagnation import stagnant_nodes
from smithers_nb.model.rows import OutputRow
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import NOW, LiteralSource, make


def outputs(node_id, *rows):
    """Make the outputs of a node, one for each round."""
    return [make(OutputRow, run_id="r", node_id=node_id, iteration=n, table="t", row=json.dumps(row)) for n, row in enumerate(rows)]


@pytest.fixture
def loop(run, node):
    """Make a live run that has gone round as often as it has outputs."""

    def of(*rows):
        alive = run(status="running", state="running", owner="pid:7:x", started_at=NOW - 60_000, heartbeat_at=NOW - 500)
        nodes = [node("review", iteration=n, state="finished") for n in range(len(rows))]
        return Snapshot(
            LiteralSource([alive, *nodes, node("draft", iteration=len(rows), state="in-progress"), *outputs("review", *rows)]), "r"
        )

    return of


NO = {"ok": False, "findings": ["missing rollback section"]}


def test_a_loop_that_produces_the_same_again_is_stagnant():
    """Counters may count; findings that stay the same over three rounds are told once with their range."""
    (found,) = stagnant_nodes(outputs("review", *({"round": i, "findings": ["x"] if i else ["y"]} for i in range(4))))
    assert (found.node_id, found.first_iteration, found.last_iteration, found.iterations) == ("review", 1, 3, 3)
    assert stagnant_nodes(outputs("review", *({"n": i} for i in range(9)))) == ()
    assert stagnant_nodes([]) == ()


def test_a_reviewer_that_says_the_same_no_is_told(loop):
    """Health, blockers and defects all say what it said, and that the run should be cancelled."""
    snapshot = loop(*[NO] * 12)
    bucket, reason = health(snapshot, NOW)
    assert bucket == "stuck"
    assert "review has rejected the work of this loop 12 times" in reason
    assert "missing rollback section" in reason
    (blocker,) = (b for b in blockers(snapshot, NOW) if b.kind == "loop-repeats")
    assert "cancel r" in blocker.commands[0]
    assert reason in {defect.summary for defect in find_defects(snapshot, NOW)}


@pytest.mark.parametrize(
    "rows",
    [
        [NO] * 9,
        [*[NO] * 12, {"ok": False, "findings": ["the title is missing"]}],
        [{"ready": False}] * 40,
        [{"ok": True, "text": "looks good to me"}] * 40,
    ],
)
def test_what_is_not_hopeless(loop, rows):
    """Few rounds, a new answer, a loop that polls, and one that says yes are no stagnation."""
    assert health(loop(*rows), NOW)[0] == "healthy"
