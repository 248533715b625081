"""What the engine recorded wrongly or let happen, and nothing in clean runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.diagnosis.defects.detectors import DETECTORS, find_defects
from smithers_nb.model.rows import ApprovalRow, EventRow, NodeRow, RunRow, TaskRow, TokenRow
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.snapshot import Snapshot

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Defect

Make = Callable[..., Any]
NOW = 1_800_000_000_000

IN_THE_CORPUS = {
    "d31": "broken-stream-as-invalid-output",
    "d34": "error-only-in-agent-events",
    "d43": "supervisor-loop",
    "d59": "rewound-run-looks-running",
    "d61": "finished-with-failed-children",
    "d67": "retry-storm",
    "d71": "workflow-fault-with-engine-stack",
    "d73": "failure-recorded-as-cancellation",
}
"""What a person found in these cases; the detectors know none of them."""


def kinds(snapshot: Snapshot, now: int = NOW) -> list[str]:
    return [defect.kind for defect in find_defects(snapshot, now)]


def runs(corpus: Path, store: Make) -> Iterator[tuple[str, dict[str, Any], Snapshot]]:
    for path in sorted((corpus / "smithers").glob("*/label.json")):
        label = json.loads(path.read_text())
        source = SmithersSource(store(path.parent.name))
        for one in label.get("runs") or [label]:
            if one.get("run_id"):
                merged = {**{k: v for k, v in label.items() if k != "runs"}, **one}
                yield path.parent.name, merged, Snapshot(source, one["run_id"])


def test_the_corpus_has_these_and_no_others(corpus: Path, corpus_store: Make) -> None:
    """Each known defect is found once, and no clean run raises an alarm; the fleet has runs with tolerated failures."""
    found: dict[str, list[str]] = {}
    for case, label, snapshot in runs(corpus, corpus_store):
        defects = find_defects(snapshot, label["as_of_ms"])
        for defect in defects:
            check_quotes(snapshot, defect)
            found.setdefault(case, []).append(defect.kind)
        if case not in IN_THE_CORPUS and defects:
            assert [d.kind for d in defects] == ["finished-with-failed-children"]
            assert any(node.state == "failed" for node in snapshot.nodes)
    assert {case: kinds for case, kinds in found.items() if case in IN_THE_CORPUS} == {c: [k] for c, k in IN_THE_CORPUS.items()}


def check_quotes(snapshot: Snapshot, defect: Defect) -> None:
    assert defect.evidence
    for evidence in defect.evidence:
        kind, _, key = evidence.ref.partition(":")
        rows: dict[str, list[tuple[str, Any]]] = {
            "run": [(snapshot.run.run_id, snapshot.run)],
            "event": [(str(e.seq), e) for e in snapshot.last_events(10**6, noise=True)],
            "attempt": [(f"{a.node_id}/{a.iteration}/{a.attempt}", a) for a in snapshot.attempts],
            "approval": [(f"{a.node_id}/{a.iteration}", a) for a in snapshot.approvals],
            "node": [(f"{n.node_id}/{n.iteration}", n) for n in snapshot.nodes],
        }
        (row,) = [row for name, row in rows[kind] if name == key]
        assert any(evidence.quote in str(cell) for cell in row), (defect.kind, evidence)


@pytest.mark.parametrize(
    ("name", "run_id", "kind"),
    [
        ("masked-abort", "", "failure-recorded-as-cancellation"),
        ("replayed-error", "", "stale-error-replayed"),
        ("agent-login", "", "error-only-in-agent-events"),
        ("test-writer", "", "error-only-in-agent-events"),
        ("site-checks", "", "finished-with-failed-children"),
        ("ship-it", "ship-it-1", "ran-before-approval"),
        ("walking-dead", "walking-dead-1", "zombie"),
    ],
)
def test_real_stores_show_it(store: Make, name: str, run_id: str, kind: str) -> None:
    """Defects in stores that Smithers wrote, each with quotes that are there."""
    source = SmithersSource(store(name))
    snapshot = Snapshot(source, run_id or source.run_ids()[0])
    now = max(event.at or 0 for event in snapshot.last_events(1)) + 1_000
    (defect,) = find_defects(snapshot, max(now, (snapshot.run.heartbeat_at or 0) + 1_000))
    assert defect.kind == kind
    check_quotes(snapshot, defect)


@pytest.mark.parametrize("name", ["ticket-summarizer", "ad-copy", "two-gates", "db-migration", "legal-signoff", "retry-task", "fleet"])
def test_clean_stores_show_nothing(store: Make, name: str) -> None:
    """Finished, forked, waiting, failed and retried runs in which the engine did what it should."""
    source = SmithersSource(store(name))
    for run in source.rows(RunRow):
        assert kinds(Snapshot(source, run.run_id), (run.started_at or 0) + 5_000) == []


def test_every_detector_is_listed_once() -> None:
    """One table, no duplicates, and each says what it looks for."""
    assert len(set(DETECTORS)) == len(DETECTORS)
    assert all(detector.__doc__ for detector in DETECTORS)


@pytest.fixture
def event(any_row: Make) -> Make:
    """Make an event with a payload."""

    def make(seq: int, kind: str, node_id: str | None = None, **payload: Any) -> EventRow:
        text = json.dumps({"type": kind, **payload}, separators=(",", ":"))
        found: EventRow = any_row(
            EventRow, run_id="r", seq=seq, at=NOW + seq, type=kind, node_id=node_id, iteration=0, attempt=1, payload=text
        )
        return found

    return make


def cancelled(attempt: Make, message: str, stack: str = "") -> Any:
    error = json.dumps({"name": "Error", "message": message, "stack": stack})
    return attempt("n", state="cancelled", error=error, error_message=message)


def test_a_persons_cancel_is_no_failure(snapshot: Make, run: Make, attempt: Make, event: Make) -> None:
    """`smithers cancel` leaves no error, Ctrl-C leaves the signal handler, a reset leaves its mark; none of them is a failure."""
    over = run(status="cancelled")
    aborted = event(1, "NodeCancelled", "n", reason="aborted")
    assert kinds(snapshot(over, attempt("n", state="cancelled"), event(1, "NodeCancelled", "n", reason="run-cancelled"))) == []
    assert kinds(snapshot(over, cancelled(attempt, "aborted", "handleSignal@cli/src/index.js:640"), aborted)) == []
    assert kinds(snapshot(over, cancelled(attempt, "boom")._replace(reset=True), aborted)) == []
    assert kinds(snapshot(over, cancelled(attempt, "error: … Aborting"), aborted)) == ["failure-recorded-as-cancellation"]


def test_siblings_of_a_masked_failure_are_not_counted(snapshot: Make, run: Make, attempt: Make, event: Make) -> None:
    """What was aborted because of it is a consequence: the first in time is told."""
    first = cancelled(attempt, "current transaction is aborted")
    later = cancelled(attempt, "The operation was aborted.")._replace(node_id="sibling", finished_at=NOW + 99)
    (defect,) = find_defects(snapshot(run(status="cancelled"), later, first, event(1, "NodeCancelled", "n", reason="aborted")), NOW)
    assert defect.evidence[0].ref == "attempt:n/0/1"


def test_child_of_a_cancelled_parent_is_not_a_failure(snapshot: Make, run: Make, attempt: Make) -> None:
    """A bare abort in a child run comes from its parent; a message that says more is its own."""
    child_id = "r:child:s:0"
    runs_ = (run(status="cancelled"), run(run_id=child_id, parent_run_id="r", status="cancelled"))
    assert kinds(snapshot(*runs_, cancelled(attempt, "Task aborted")._replace(run_id=child_id))) == []
    assert kinds(snapshot(*runs_, cancelled(attempt, "git: Aborting")._replace(run_id=child_id))) == ["failure-recorded-as-cancellation"]


def gated(any_row: Make, *, wait_async: bool, depends: list[str]) -> list[Any]:
    gate = json.dumps({"waitAsync": str(wait_async).lower()})
    return [
        any_row(TaskRow, run_id="r", node_id="gate", ordinal=0, kind="approval", within='["s"]', props=gate),
        any_row(TaskRow, run_id="r", node_id="t", ordinal=1, kind="compute", within='["s"]', depends_on=json.dumps(depends)),
    ]


def test_work_after_its_approval_is_fine(snapshot: Make, run: Make, any_row: Make, event: Make) -> None:
    """A task that waited for the decision, and one beside a plain gate, raise no alarm."""
    asked, granted, started = event(1, "ApprovalRequested", "gate"), event(2, "ApprovalGranted", "gate"), event(3, "NodeStarted", "t")
    log = (asked, granted, started)
    finished = run(status="finished")
    assert kinds(snapshot(finished, *gated(any_row, wait_async=False, depends=["gate"]), *log)) == []
    assert kinds(snapshot(finished, *gated(any_row, wait_async=True, depends=["gate"]), *log)) == []
    assert kinds(snapshot(finished, *gated(any_row, wait_async=True, depends=[]), *log)) == []
    early = (event(1, "NodeStarted", "t"), event(2, "ApprovalRequested", "gate"))
    assert kinds(snapshot(finished, *gated(any_row, wait_async=False, depends=[]), *early)) == []


def test_work_before_the_decision_it_depends_on(snapshot: Make, run: Make, any_row: Make, event: Make) -> None:
    """A dependent that started before the decision ran without it."""
    log = (event(1, "ApprovalRequested", "gate"), event(2, "NodeStarted", "t"), event(3, "ApprovalGranted", "gate"))
    assert kinds(snapshot(run(status="finished"), *gated(any_row, wait_async=False, depends=["gate"]), *log)) == ["ran-before-approval"]


def test_work_before_its_gate_was_asked_for(snapshot: Make, run: Make, any_row: Make, event: Make) -> None:
    """A dependent that started before anybody was asked ran without a decision as well."""
    log = (event(1, "NodeStarted", "t"), event(2, "ApprovalRequested", "gate"))
    (defect,) = find_defects(snapshot(run(status="finished"), *gated(any_row, wait_async=False, depends=["gate"]), *log), NOW)
    assert defect.kind == "ran-before-approval"
    assert defect.summary.endswith("gate was asked for, although it depends on it")


def test_finished_with_tasks_left(snapshot: Make, run: Make, any_row: Make) -> None:
    """A pending task of the last graph was never run; one that is no longer part of the graph does not count."""
    left = any_row(NodeRow, run_id="r", node_id="n", logical_id="n", state="pending")
    task = any_row(TaskRow, run_id="r", node_id="n")
    assert kinds(snapshot(run(status="finished"), left, task)) == ["finished-with-pending-nodes"]
    assert kinds(snapshot(run(status="finished"), left)) == []


def test_answer_that_came_before_the_timeout(snapshot: Make, run: Make, attempt: Make, event: Make) -> None:
    """A completed answer before the heartbeat timeout makes the timeout wrong; partial output does not."""
    late = attempt("n", error_code="TASK_HEARTBEAT_TIMEOUT", error_message="no heartbeat", kind="agent", retries=0)
    done = event(3, "AgentEvent", "n", event={"type": "completed", "ok": True})
    begun = event(3, "AgentEvent", "n", event={"type": "action", "ok": True})
    (told,), (kept,) = find_defects(snapshot(run(), late, done), NOW), find_defects(snapshot(run(), late._replace(response="42")), NOW)
    assert told.kind == kept.kind == "heartbeat-timeout-after-answer"
    assert [(e.ref, e.quote) for e in (told.evidence[0], kept.evidence[0])] == [("event:3", '"ok":true'), ("attempt:n/0/1", "42")]
    assert kinds(snapshot(run(), late, begun)) == []


def test_broken_stream_is_told_from_a_bad_answer(snapshot: Make, run: Make, attempt: Make, event: Make, any_row: Make) -> None:
    """A JSON value that breaks off, with no token count: the connection was lost. Prose, or a counted answer, is the agent's."""
    bad = attempt("n", error_code="INVALID_OUTPUT", error_message="the model did not return valid JSON", kind="agent", retries=0)
    half = event(5, "NodeOutput", "n", text='{"summary": "The dev', stream="stdout")
    prose = event(5, "NodeOutput", "n", text="Sure, here it is", stream="stdout")
    counted = any_row(TokenRow, run_id="r", node_id="n", attempt=1, output_tokens=9)
    assert kinds(snapshot(run(), bad, half)) == ["broken-stream-as-invalid-output"]
    assert kinds(snapshot(run(), bad, prose)) == []
    assert kinds(snapshot(run(), bad, half, counted)) == []


def test_deadlock_on_a_finished_task(snapshot: Make, run: Make, any_row: Make) -> None:
    """Waiting for something that has finished is no deadlock; waiting for something that does not exist is one."""
    text = "Workflow deadlocked: no task can run\n  - 'mail' is blocked on 'fetch@@round=1' (no such task)"
    stuck = run(error_code="DEPENDENCY_DEADLOCK", error_message=text, error=json.dumps({"message": text}))
    done = any_row(NodeRow, run_id="r", node_id="fetch", logical_id="fetch", state="finished")
    assert kinds(snapshot(stuck, done)) == ["deadlock-on-finished-task"]
    assert kinds(snapshot(stuck)) == []


def test_store_that_really_fails_is_not_the_workflows_fault(snapshot: Make, run: Make, attempt: Make) -> None:
    """DB_WRITE_FAILED for a full disk is what it says."""
    cyclic = attempt("n", error_code="DB_WRITE_FAILED", error_message="upsert output g: JSON.stringify cannot serialize cyclic structures")
    full = attempt("n", error_code="DB_WRITE_FAILED", error_message="upsert output g: database or disk is full")
    assert kinds(snapshot(run(), cyclic)) == ["workflow-fault-with-engine-stack"]
    assert kinds(snapshot(run(), full)) == []


def test_garbled_prompt(snapshot: Make, run: Make, attempt: Make) -> None:
    """An agent that was told `[object Object]` may well succeed on it."""
    told = attempt("n", state="finished", garbled_prompt="carry out [object Object] now")
    assert kinds(snapshot(run(status="finished"), told)) == ["garbled-prompt"]


def test_gate_left_over_in_an_ended_run(snapshot: Make, run: Make, any_row: Make) -> None:
    """An inbox would show it, and deciding it changes nothing."""
    gate = any_row(ApprovalRow, run_id="r", node_id="g", status="requested")
    assert kinds(snapshot(run(status="cancelled"), gate)) == ["gate-of-ended-run"]
    assert kinds(snapshot(run(status="waiting-approval"), gate)) == []


def test_request_time_that_is_really_lost(snapshot: Make, run: Make, any_row: Make) -> None:
    """Deciding erases the time in the row; only when the event is gone too is it lost."""
    gate = any_row(ApprovalRow, run_id="r", node_id="g", status="approved", decided_at=NOW)
    assert kinds(snapshot(run(status="finished"), gate)) == ["request-time-lost"]
    assert kinds(snapshot(run(status="finished"), gate._replace(requested_at=NOW - 5))) == []


def test_gate_that_nobody_was_asked_has_no_request_time(snapshot: Make, run: Make, any_row: Make) -> None:
    """A gate that approved itself was never asked for, so no time is lost."""
    gate = any_row(ApprovalRow, run_id="r", node_id="g", status="approved", decided_at=NOW, auto_approved=True)
    assert kinds(snapshot(run(status="finished"), gate)) == []


@pytest.mark.parametrize(("count", "found"), [(2, ["finished-with-failed-children"]), (0, []), ("many", []), (None, [])])
def test_failed_children_are_counted(snapshot: Make, run: Make, event: Make, count: object, found: list[str]) -> None:
    """Only a number of failed tasks speaks against a finished run."""
    assert kinds(snapshot(run(status="finished"), event(1, "RunFinished", failedChildren=count))) == found


def test_resume_that_tried_nothing(snapshot: Make, run: Make, attempt: Make, event: Make) -> None:
    """An error older than the last resume was replayed; one of the same millisecond or later is new."""
    failed = run(error_message="Task failed: n")
    twice = (event(1, "RunStarted"), event(5, "RunStarted"))
    old, new = attempt("n", started_at=NOW + 4), attempt("n", started_at=NOW + 5)
    assert kinds(snapshot(failed, old, *twice)) == ["stale-error-replayed"]
    assert kinds(snapshot(failed, new, *twice)) == []
    assert kinds(snapshot(failed, old, twice[0])) == []


def test_saga_without_its_cause(snapshot: Make, run: Make, attempt: Make) -> None:
    """A saga's error says that it failed; what failed in it is only in the attempts, unless the run keeps the cause."""
    saga = run(error_code="SCHEDULER_ERROR", error_message="Saga booking failed", error='{"message":"Saga booking failed"}')
    assert kinds(snapshot(saga, attempt("n"))) == ["cause-not-recorded"]
    assert kinds(snapshot(saga._replace(error='{"message":"Saga booking failed","cause":{"message":"x"}}'), attempt("n"))) == []
    assert kinds(snapshot(saga)) == []


def test_only_agents_hide_errors_in_what_they_say(snapshot: Make, run: Make, attempt: Make, event: Make) -> None:
    """An agent's failed attempt is looked at, not one that finished, nor one of a kind that says nothing."""
    said = event(3, "AgentEvent", "n", event={"message": "401 unauthorized"})
    told = {"error_message": "Claude run failed", "retries": 0}
    assert kinds(snapshot(run(), attempt("n", kind="agent", **told), said)) == ["error-only-in-agent-events"]
    assert kinds(snapshot(run(), attempt("n", kind="compute", **told), said)) == []
    assert kinds(snapshot(run(), attempt("n", kind="agent", state="finished", **told), said)) == []


def test_fork_is_not_a_child(snapshot: Make, run: Make, attempt: Make) -> None:
    """A run that only names another one as its parent was not aborted by it."""
    fork = run(parent_run_id="p", status="cancelled")
    assert kinds(snapshot(fork, cancelled(attempt, "Task aborted"))) == ["failure-recorded-as-cancellation"]


def test_one_automatic_resume_is_no_loop(snapshot: Make, run: Make, event: Make) -> None:
    """A resume that started something, and then another one, is what a supervisor is for."""
    good = (event(1, "RunAutoResumed"), event(2, "RunStarted"), event(3, "RunAutoResumed"), event(4, "NodeStarted", "n"))
    assert kinds(snapshot(run(), *good)) == []
    assert kinds(snapshot(run(), event(1, "RunAutoResumed"), event(2, "RunAutoResumed"))) == ["supervisor-loop"]


def test_child_runs_are_looked_at(snapshot: Make, run: Make, attempt: Make) -> None:
    """A defect of a child says in its references which run it is in."""
    child_id = "r:child:s:0"
    child = run(run_id=child_id, parent_run_id="r", status="finished")
    garbled = attempt("n", run_id=child_id, state="finished", garbled_prompt="[object Object]")
    (defect,) = find_defects(snapshot(run(status="finished"), child, garbled), NOW)
    assert defect.evidence[0].ref == f"{child_id}/attempt:n/0/1"


def test_garbage_payloads_are_survived(snapshot: Make, run: Make, any_row: Make) -> None:
    """Payloads that are no JSON, or no object, raise nothing."""
    events = [
        any_row(EventRow, run_id="r", seq=k, type=kind, node_id="n", payload=payload)
        for k, (kind, payload) in enumerate(
            (kind, payload)
            for kind in ("RunFinished", "NodeCancelled", "ApprovalRequested", "RunStarted", "TimeTravelJumped", "AgentEvent")
            for payload in (None, "", "{", "[]", "3", '"x"', "\ud800".encode("utf-8", "replace").decode())
        )
    ]
    for status in ("finished", "failed", "cancelled", "running", "waiting-approval", "dreaming"):
        find_defects(snapshot(run(status=status), *events), NOW)
