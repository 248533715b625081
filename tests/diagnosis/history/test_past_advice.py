"""What was done after a failure, and which suggestions proved vain."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.history.past_advice import FollowUp, Trail, failed_suggestions, trail_of, what_followed
from smithers_nb.model.rows import BranchRow, EventRow, FailureRow, TimeTravelRow
from smithers_nb.sources.smithers.source import SmithersSource

FOREVER = 2**62


def events(any_row, *types):
    """Number events one millisecond apart."""
    return [any_row(EventRow, run_id="r", seq=i, at=i, type=kind) for i, kind in enumerate(types)]


def failed(any_row, at, signature="s", run_id="r"):
    """Make a failure of an attempt."""
    return any_row(FailureRow, run_id=run_id, node_id="n", attempt=1, at=at, signature=signature)


def steps(trail, at=1, signature="s"):
    """List what followed as (step, outcome)."""
    return [(one.step, one.outcome) for one in what_followed(trail, at, signature)]


def test_a_resume_that_repeats_the_recorded_error_did_not_help(run, any_row):
    """No new attempt, the run failed again: the same error came back."""
    trail = Trail(run(), events(any_row, "RunStarted", "RunFailed", "RunStarted", "RunFailed"), failures=[failed(any_row, 1)])
    assert steps(trail) == [("resume", "same-failure")]
    assert failed_suggestions(what_followed(trail, 1, "s")) == {"resume"}


def test_a_start_after_a_gate_is_no_step(run, any_row):
    """Starting again after an approval follows no failure."""
    trail = Trail(run(), events(any_row, "RunStarted", "RunStarted", "RunFailed"), failures=[failed(any_row, 2)])
    assert steps(trail, at=0) == []


def test_new_attempts_on_what_was_set_aside_are_a_retry(run, attempt, any_row):
    """A retry-task logs nothing; the reset attempt and a new failure give it away."""
    log = events(any_row, "RunStarted", "RunFailed", "RunStarted", "RunFailed")
    aside = [attempt("n", 1, state="cancelled", reset=True, finished_at=1)]
    again = Trail(run(), log, aside, failures=[failed(any_row, 1), failed(any_row, 3)])
    other = Trail(run(), log, aside, failures=[failed(any_row, 1), failed(any_row, 3, "t")])
    helped = Trail(run(status="finished"), log[:3], aside, failures=[failed(any_row, 1)])
    assert [steps(trail) for trail in (again, other, helped)] == [
        [("retry-task", "same-failure")],
        [("retry-task", "other-failure")],
        [("retry-task", "finished")],
    ]
    assert [failed_suggestions(what_followed(trail, 1, "s")) for trail in (again, other, helped)] == [{"retry"}, set(), set()]


def test_an_announced_retry_is_one_too(run, any_row):
    """Engines that do log a retry-task are believed."""
    trail = Trail(run(status="running"), events(any_row, "RunStarted", "RunFailed", "RetryTaskStarted", "RunStarted"))
    assert steps(trail) == [("retry-task", "open")]


def test_a_rewind_is_a_step_unless_it_was_refused(run, any_row):
    """A refused rewind changed nothing."""
    jumps = [any_row(TimeTravelRow, run_id="r", at=5, result=result) for result in ("success", "rejected")]
    assert steps(Trail(run(), time_travel=jumps)) == [("rewind", "open")]


def test_forks_and_new_runs_are_told_apart(run, any_row):
    """A fork carries the run's history on, a new run starts over, one with another hash follows an edit."""
    again = [
        run(run_id=i, workflow_hash=h, status=s, started_at=at)
        for i, h, s, at in (("r", "x", "failed", 0), ("a", "x", "failed", 2), ("b", "y", "finished", 3), ("f", "y", "running", 4))
    ]
    fork = [any_row(BranchRow, run_id="f", parent_run_id="r")]
    trail = Trail(again[0], branches=fork, again=again, failures=[failed(any_row, 2, run_id="a")])
    assert steps(trail) == [("new-run", "same-failure"), ("new-run-after-edit", "finished"), ("fork", "open")]


def test_what_helped_later_may_be_suggested_again():
    """A step that failed once and worked the next time is not given up."""
    told = [FollowUp(step="retry-task", at=i, run_id="r", outcome=outcome) for i, outcome in enumerate(("same-failure", "finished"))]
    assert failed_suggestions(told[:1]) == {"retry"}
    assert failed_suggestions(told) == frozenset()


def test_one_more_run_or_one_edit_proves_nothing():
    """The next scheduled run meeting the same failure is no attempt to repair it, and a first edit may have missed."""

    def times(step, count):
        return failed_suggestions(FollowUp(step=step, at=i, run_id="r", outcome="same-failure") for i in range(count))

    assert (times("new-run", 2), times("new-run", 3)) == (frozenset(), {"retry"})
    assert (times("new-run-after-edit", 1), times("new-run-after-edit", 2)) == (frozenset(), {"edit-workflow-and-reset"})


def test_a_real_store_tells_the_whole_story(store):
    """Resumed, retried, started anew, edited: the order and outcome of what an operator really did."""
    source = SmithersSource(store("pricing"))
    rows = failure_rows(source)
    signature = rows[0].signature
    followed = what_followed(*trail_of(source, "price-1", signature, FOREVER), signature)
    assert [(one.step, one.run_id, one.outcome) for one in followed] == [
        ("resume", "price-1", "same-failure"),
        ("retry-task", "price-1", "same-failure"),
        ("new-run", "price-2", "same-failure"),
        ("new-run-after-edit", "price-3", "finished"),
    ]
    assert failed_suggestions(followed) == {"resume", "retry"}
    source.close()


def test_a_signature_the_run_never_met_has_no_trail(store):
    """Nothing to follow up."""
    source = SmithersSource(store("pricing"))
    assert trail_of(source, "price-0", "0" * 12, FOREVER) is None
    assert trail_of(source, "nope", "0" * 12, FOREVER) is None
    source.close()


@pytest.mark.parametrize(("name", "vain"), [("retry-task", "retry"), ("replayed-error", "resume")])
def test_a_real_step_in_vain_is_not_suggested_again(store, name, vain):
    """What was done in these stores did not help, and is known by its traces alone."""
    source = SmithersSource(store(name))
    rows = failure_rows(source)
    run_id, signature = rows[-1].run_id, rows[-1].signature
    assert failed_suggestions(what_followed(*trail_of(source, run_id, signature, FOREVER), signature)) == {vain}
    source.close()
