"""Repair loops over families of workflows, and unchanged gates."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.history.gate_rounds import gate_rounds
from smithers_nb.diagnosis.history.repair_loops import repair_loop_of, repair_loops
from smithers_nb.diagnosis.history.workflow_families import families, is_repair, stem
from smithers_nb.model.rows import ApprovalRow, FailureRow, OutputRow, RunRow
from smithers_nb.sources.smithers.source import SmithersSource


@pytest.fixture
def fleet(run, any_row):
    """Make runs and failures from (workflow, status, signature), in order of time."""

    def make(*told, **values):
        runs = [
            run(**{"run_id": f"r{i}", "workflow": w, "status": s, "started_at": i + 1, "finished_at": i + 2, **values})
            for i, (w, s, _) in enumerate(told)
        ]
        failed = [
            any_row(FailureRow, run_id=row.run_id, node_id="n", attempt=1, at=row.started_at, signature=sig, message=f"says {sig}")
            for row, (_, _, sig) in zip(runs, told, strict=True)
            if sig
        ]
        return runs, failed

    return make


@pytest.fixture
def outputs(any_row):
    """Make outputs from (run, node, iteration, row)."""
    return lambda *told: [any_row(OutputRow, run_id=r, node_id=n, iteration=i, table="t", row=json.dumps(row)) for r, n, i, row in told]


@pytest.mark.parametrize(
    "name",
    [
        "checkout",
        "checkout-repair-2",
        "fix-checkout",
        "checkout-final-r3",
        "CheckoutRound4",
        "checkout_v2",
        "checkout-retry-20260101",
        "2-checkout",
    ],
)
def test_rounds_of_the_same_work_share_a_stem(name):
    """However people name the next round, it is the same family."""
    assert stem(name) == "checkout"


@pytest.mark.parametrize("name", ["lint-fixer", "price-fixing", "mp3-encoder", "nightly-report", "final", "retry", "repair-round-2"])
def test_a_name_of_its_own_is_kept(name):
    """Words that only look like rounds, and names made of nothing else, stay whole."""
    assert stem(name) == name


def test_a_repair_of_part_belongs_to_the_whole_when_that_exists():
    """`auth-repair-login` repairs `auth` if there is one."""
    assert families(["auth", "auth-repair-login-2"])["auth-repair-login-2"] == "auth"
    assert families(["auth-repair-login"])["auth-repair-login"] == "auth-repair-login"
    assert families(["auth", "auth-login"])["auth-login"] == "auth-login"


@given(st.text(max_size=40))
def test_every_name_has_a_stem(name):
    """No name is too strange, a stem is never empty for a name that is not, and is its own stem."""
    found = stem(name)
    assert bool(found) == bool(name)
    assert is_repair(name) in {True, False}


def test_the_same_failure_in_several_runs_is_a_loop(fleet):
    """Three runs with one signature are a loop, whatever lies between; the reason can be read."""
    (loop,) = repair_loops(*fleet(("w", "failed", "s"), ("w", "finished", ""), ("w", "failed", "s"), ("w", "failed", "s")))
    assert loop.kinds == ("same-failure",)
    assert (loop.repeated[0].signature, loop.repeated[0].runs, loop.streak, loop.longest_streak) == ("s", 3, 2, 2)
    assert loop.reason == "3 of 4 ended runs of w failed, 3 of them with the same failure"
    assert repair_loop_of([loop], "w", "s").startswith("3 runs of w met this same failure")


def test_failing_in_a_row_is_a_loop_even_in_different_ways(fleet):
    """Three failures without a success between are a loop of the whole family."""
    (loop,) = repair_loops(*fleet(("w", "failed", "a"), ("w-fix", "failed", "b"), ("w-final", "failed", "c")))
    assert loop.kinds == ("in-a-row",)
    assert loop.workflows == ("w", "w-final", "w-fix")
    assert "3 in a row" in repair_loop_of([loop], "w-fix", "b")


def test_only_runs_that_ended_count(fleet):
    """A run that is under way, or was cancelled, neither failed nor broke a row; one that continued as another did."""
    (loop,) = repair_loops(*fleet(*[("w", s, "") for s in ("failed", "running", "failed", "cancelled", "failed")]))
    assert (loop.runs, loop.failed, loop.longest_streak) == (3, 3, 3)
    assert repair_loops(*fleet(*[("w", s, "") for s in ("failed", "failed", "continued", "failed")])) == ()


def test_worst_loop_comes_first(fleet):
    """Families are listed by how often they failed; a failure of another workflow is in no loop."""
    found = repair_loops(*fleet(*[("a", "failed", "s")] * 3, *[("b", "failed", "t")] * 4))
    assert [loop.family for loop in found] == ["b", "a"]
    assert repair_loop_of(found, "c", "s") == ""


def test_repair_workflows_written_by_hand_are_a_loop(fleet):
    """A person who writes the second repair workflow has become the loop."""
    (loop,) = repair_loops(*fleet(("w", "failed", "a"), ("w-repair-1", "finished", ""), ("w-repair-2", "failed", "b")))
    assert loop.kinds == ("repair-workflows",)
    assert "2 workflows were written to repair it" in repair_loop_of([loop], "w", "new")


def test_two_failures_and_a_success_are_no_loop(fleet):
    """What happens to everybody is not reported."""
    assert repair_loops(*fleet(("w", "failed", "a"), ("w", "failed", "b"), ("w", "finished", ""))) == ()


def test_children_and_autopsies_are_not_rounds(fleet):
    """Runs that nobody launched by hand do not count."""
    assert repair_loops(*fleet(*[("w", "failed", "s")] * 4, parent_run_id="p", run_id="p:child:n:0")) == ()


def test_an_empty_store_has_no_loops():
    """Nothing in, nothing out."""
    assert repair_loops([], []) == ()
    assert gate_rounds([], [], []) == ()


def test_unchanged_red_gates_are_stagnation(fleet, outputs):
    """Three runs with the same vector and something red in it have got nowhere."""
    runs, _ = fleet(("w", "failed", "a"), ("w-r2", "failed", "a"), ("w-r3", "failed", "a"))
    told = outputs(*((f"r{i}", n, 0, row) for i in range(3) for n, row in (("build", {"ok": True}), ("review", {"verdict": "rejected"}))))
    (rounds,) = gate_rounds(runs, told, [])
    assert (rounds.family, rounds.gates) == ("w", ("build.ok", "review.verdict"))
    assert [one.results for one in rounds.rounds] == [(True, False)] * 3
    assert rounds.stagnated
    assert "review.verdict stayed red" in rounds.reason


def test_all_green_or_changing_gates_are_not_stagnation(fleet, outputs):
    """Green ones may stay as they are, and a change is progress."""
    runs, _ = fleet(*[("w", "finished", "")] * 3)
    green = outputs(*((f"r{i}", "build", 0, {"passed": True}) for i in range(3)))
    moving = outputs(*((f"r{i}", f"build-{i}", 0, {"passed": False}) for i in range(3)))
    assert not gate_rounds(runs, green, [])[0].stagnated
    assert not gate_rounds(runs, moving, [])[0].stagnated


def test_the_last_iteration_and_peoples_decisions_are_the_result(fleet, outputs, any_row):
    """A loop's gate is what its last round said; a denial is red, an open gate has no result."""
    runs, _ = fleet(("w", "failed", "a"))
    said = outputs(("r0", "check", 1, {"passed": True}), ("r0", "check", 0, {"passed": False}))
    asked = (("ship", "denied"), ("later", "requested"), ("plan", "approved"))
    gates = [any_row(ApprovalRow, run_id="r0", node_id=n, status=s) for n, s in asked]
    (rounds,) = gate_rounds(runs, said, gates)
    told = {"check.passed": True, "plan.approved": True, "ship.approved": False}
    assert dict(zip(rounds.gates, rounds.rounds[0].results, strict=True)) == told


@pytest.mark.parametrize(
    ("row", "result"),
    [
        ({"ok": 1}, True),
        ({"ok": 0}, False),
        ({"ok": 2}, None),
        ({"ok": "yes"}, None),
        ({"verdict": " Approved "}, True),
        ({"verdict": "needs changes"}, False),
        ({"verdict": "perhaps"}, None),
        ({"verdict": 1}, None),
        ({"title": "approved"}, None),
    ],
)
def test_only_what_reads_as_yes_or_no_is_a_gate(fleet, outputs, row, result):
    """Flags are true, false, 1 or 0; verdicts are words that mean one of them; whatever else is recorded decides nothing."""
    runs, _ = fleet(("w", "failed", "a"))
    found = gate_rounds(runs, outputs(("r0", "n", 0, row)), [])
    assert [one.results for rounds in found for one in rounds.rounds] == ([] if result is None else [(result,)])


def test_a_real_store_shows_its_repair_loop(store):
    """Four runs of one family met one failure, two repair workflows among them, and its gate never changed."""
    source = SmithersSource(store("pricing"))
    runs, failed = source.rows(RunRow), failure_rows(source)
    (loop,) = repair_loops(runs, failed)
    (rounds,) = gate_rounds(runs, source.rows(OutputRow), source.rows(ApprovalRow))
    assert loop.workflows == ("pricing", "pricing-repair-1", "pricing-repair-2")
    assert loop.kinds == ("same-failure", "repair-workflows")
    assert (rounds.stagnated, rounds.unchanged) == (True, 5)
    source.close()


def test_an_outage_that_was_healed_is_still_a_loop_of_the_past(store):
    """Six failures in a row over a workflow and its four repairs; the newest run finished, so no streak is left."""
    source = SmithersSource(store("fleet"))
    (loop,) = repair_loops(source.rows(RunRow), failure_rows(source))
    assert (loop.family, len(loop.workflows), loop.longest_streak, loop.streak) == ("ledger-close", 5, 6, 0)
    assert set(loop.kinds) == {"same-failure", "in-a-row", "repair-workflows"}
    source.close()


def test_the_labelled_fleet_has_two_loops(corpus_store):
    """Of five workflows only the two that keep failing are loops; a nightly job with a tolerated failure is none."""
    source = SmithersSource(corpus_store("d66"))
    loops = repair_loops(source.rows(RunRow), failure_rows(source))
    assert {loop.family for loop in loops} == {"order-sync", "pr-review"}
    source.close()
