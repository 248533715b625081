"""Every failure of a store in one pass: what counts as one, and what each row says."""

from __future__ import annotations

import json
import time

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.model.rows import ApprovalRow, EventRow, RunRow
from smithers_nb.sources.smithers.source import SmithersSource

ERROR = json.dumps({"name": "Error", "message": "connect ECONNREFUSED 127.0.0.1:5440", "code": "ECONNREFUSED"})
OTHER = json.dumps({"name": "TypeError", "message": "null is not an object (evaluating 'a.b')"})


class Counting:
    """A source of literal rows that counts how often it is asked."""

    def __init__(self, *rows):
        self.all = rows
        self.asked = 0

    def rows(self, row, run_id=None, *, only=None, since_ms=None):
        del since_ms
        self.asked += 1
        found = [r for r in self.all if type(r) is row and run_id in {None, r.run_id}]
        return [r for r in found if all(getattr(r, column) in values for column, values in (only or {}).items())]


def test_every_failed_attempt_is_a_row(attempt):
    """Two failed attempts of a node are two failures with one signature."""
    first, second = failure_rows(Counting(attempt("fetch", 1, error=ERROR), attempt("fetch", 2, error=ERROR)))
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.signature == second.signature
    assert first.source == "attempt:fetch/0/1"
    assert first.code == "ECONNREFUSED"


def test_the_same_signature_on_every_attempt_is_persistent(attempt):
    """A node that fails the same way twice is persistent; failing in two ways is not."""
    same = failure_rows(Counting(attempt("fetch", 1, error=ERROR), attempt("fetch", 2, error=ERROR)))
    differing = failure_rows(Counting(attempt("fetch", 1, error=ERROR), attempt("fetch", 2, error=OTHER)))
    assert [row.persistent for row in same] == [True, True]
    assert [row.persistent for row in differing] == [False, False]


def test_one_attempt_tells_nothing_about_persistence(attempt):
    """Whether a failure would come back is not known after one attempt."""
    assert [row.persistent for row in failure_rows(Counting(attempt("fetch", 1, error=ERROR)))] == [None]


def test_a_node_that_finished_later_was_not_persistent(attempt, node):
    """A failure that a retry got over is still a failure, but no persistent one."""
    (row,) = failure_rows(Counting(attempt("fetch", 1, error=ERROR), node("fetch", state="finished")))
    assert row.persistent is False


def test_a_reset_attempt_still_counts(attempt):
    """What a retry-task set aside and marked cancelled failed all the same."""
    rows = failure_rows(Counting(attempt("fetch", 1, state="cancelled", reset=True, error=ERROR)))
    assert [row.attempt for row in rows] == [1]


def test_a_cancelled_attempt_without_error_is_no_failure(attempt):
    """A plain cancel leaves no error and no row."""
    assert failure_rows(Counting(attempt("fetch", 1, state="cancelled"))) == []


def test_a_structural_error_is_taken_from_the_run(run):
    """A run that failed without a failed attempt says itself why."""
    error = json.dumps({"name": "SmithersError", "code": "DUPLICATE_ID", "message": "Duplicate task id: sync"})
    (row,) = failure_rows(Counting(run(error=error, error_code="DUPLICATE_ID", error_message="Duplicate task id: sync", finished_at=5)))
    assert (row.node_id, row.attempt, row.code, row.message) == (None, None, "DUPLICATE_ID", "Duplicate task id: sync")
    assert row.source == "run:r"


def test_the_wrapper_on_the_run_is_not_counted_beside_the_attempt(run, attempt):
    """`Task failed: fetch` is the failure of fetch, not another one."""
    error = json.dumps({"code": "SESSION_ERROR", "message": "Task failed: fetch"})
    wrapped = run(error=error, error_code="SESSION_ERROR", error_message="Task failed: fetch")
    assert [row.node_id for row in failure_rows(Counting(wrapped, attempt("fetch", 1, error=ERROR)))] == ["fetch"]


def test_a_denied_gate_is_the_failure_although_a_tolerated_task_failed_too(run, attempt, any_row):
    """The run blames the gate, so the gate is listed beside the task that was allowed to fail."""
    error = json.dumps({"code": "SESSION_ERROR", "message": "Task failed: gate"})
    denied = any_row(ApprovalRow, run_id="r", node_id="gate", status="denied", decided_by="lead", note="not today", decided_at=9)
    source = Counting(
        run(error=error, error_code="SESSION_ERROR", error_message="Task failed: gate"), attempt("extra", 1, error=OTHER), denied
    )
    gate = next(row for row in failure_rows(source) if row.node_id == "gate")
    assert gate.code == "APPROVAL_DENIED"
    assert "lead" in gate.message
    assert gate.source == "approval:gate/0"


def test_what_only_the_agent_said_is_read_for_mute_errors(attempt, any_row):
    """An error that says nothing takes the text of the agent's last event."""
    mute = json.dumps({"name": "SmithersError", "code": "AGENT_CLI_ERROR", "message": "Claude run failed"})
    said = json.dumps({"event": {"type": "completed", "ok": False, "error": "API Error: 529 overloaded_error"}})
    event = any_row(EventRow, run_id="r", seq=3, type="AgentEvent", node_id="write", iteration=0, attempt=1, payload=said)
    (row,) = failure_rows(Counting(attempt("write", 1, kind="agent", error=mute, error_code="AGENT_CLI_ERROR"), event))
    assert row.failure_class == "agent-flake"


def test_a_parent_has_the_class_of_what_failed_in_its_child(attempt):
    """`child run failed` is as much a workflow bug as the error in the child."""
    wrapper = json.dumps(
        {"code": "WORKFLOW_EXECUTION_FAILED", "message": "Subflow sub failed because child run c", "details": {"childRunId": "c"}}
    )
    inner = attempt("calc", 1, run_id="c", error=OTHER)
    rows = {row.node_id: row for row in failure_rows(Counting(attempt("sub", 1, error=wrapper), inner))}
    assert rows["sub"].rule == rows["calc"].rule
    assert rows["sub"].failure_class == rows["calc"].failure_class


def test_the_number_of_queries_does_not_grow_with_the_runs(attempt, run):
    """One pass: forty runs cost as many queries as two."""

    def asked(count):
        source = Counting(*(row for i in range(count) for row in (run(run_id=f"r{i}"), attempt("a", 1, run_id=f"r{i}", error=ERROR))))
        failure_rows(source)
        return source.asked

    assert asked(40) == asked(2)


def test_what_happened_later_is_left_out(store):
    """`now` ends the table at a moment, that moment included."""
    source = SmithersSource(store("pricing"))
    whole = failure_rows(source)
    middle = sorted(row.at for row in whole)[len(whole) // 2]
    assert failure_rows(source, now=middle) == [row for row in whole if row.at <= middle] != whole
    source.close()


def test_one_run_gives_the_rows_it_has_in_the_whole_store(store):
    """Asking for one run is a filter and nothing else."""
    source = SmithersSource(store("pricing"))
    assert failure_rows(source, "price-1") == [row for row in failure_rows(source) if row.run_id == "price-1"]
    source.close()


def test_the_fleet_has_a_failure_for_every_run_that_failed_and_its_class(corpus_store):
    """Each failed run of the labelled fleet has a row, of a class that its label accepts."""
    store = corpus_store("d66")
    source = SmithersSource(store)
    failed = {row.run_id for row in source.rows(RunRow, only={"status": ["failed"]})}
    rows = failure_rows(source)
    assert failed <= {row.run_id for row in rows}
    source.close()


def test_the_fleet_is_classified_as_labelled(corpus, corpus_store):
    """The one-pass classes agree with the labels of the fleet's runs."""
    labels = {r["run_id"]: r for r in json.loads((corpus / "smithers" / "d66" / "label.json").read_text())["runs"]}
    source = SmithersSource(corpus_store("d66"))
    wrong = [
        (row.run_id, row.failure_class)
        for row in failure_rows(source)
        if labels[row.run_id]["status"] == "failed" and row.failure_class not in labels[row.run_id]["acceptable_classes"]
    ]
    assert wrong == []
    source.close()


def test_two_thousand_runs_take_a_moment(attempt, node):
    """Classes are found once per kind of failure: thousands of runs take seconds on any machine."""
    count = 2000
    rows = [attempt("fetch", n, run_id=f"r{i}", error=ERROR) for i in range(count) for n in (1, 2)]
    start = time.process_time()
    found = failure_rows(Counting(*rows, node("fetch")))
    assert len(found) == 2 * count
    assert time.process_time() - start < 10
