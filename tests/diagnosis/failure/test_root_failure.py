"""The failure that mattered is found among all the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smithers_nb.diagnosis.failure.root_failure import attempt_signature, find_failure
from smithers_nb.model.rows import ApprovalRow, EventRow, TaskRow
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot

Make = Callable[..., Any]


def error(message: str, **more: object) -> dict[str, str]:
    return {"error_message": message, "error": json.dumps({"message": message, **more})}


def test_first_failure_in_time_is_the_cause(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Of two failing nodes the earlier one mattered; the other is collateral."""
    late = attempt("late", finished_at=900, **error("file is gone"))
    early = attempt("early", finished_at=100, **error("disk full"))
    failure = find_failure(snapshot(run(error_message="Task failed: late"), node("late"), node("early"), late, early))
    assert (failure.node_id, failure.message, failure.collateral) == ("early", "disk full", ("late",))


def test_upstream_failure_beats_time(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A node that waits for another failing node is its consequence, whatever the clock says."""
    graph = any_row(TaskRow, run_id="r", node_id="down", depends_on='["up"]')
    rows = [node("up"), node("down"), attempt("up", finished_at=500, **error("a")), attempt("down", finished_at=100, **error("b"))]
    assert find_failure(snapshot(run(), graph, *rows)).node_id == "up"


def test_tolerated_failure_is_not_the_cause(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A task that may fail did not fail the run when another one did."""
    soft = any_row(TaskRow, run_id="r", node_id="soft", depends_on="[]", props='{"continueOnFail":"true"}')
    graph = any_row(TaskRow, run_id="r", node_id="hard", depends_on='["soft"]')
    rows = [soft, node("soft"), node("hard"), attempt("soft", finished_at=1, **error("a")), attempt("hard", finished_at=9, **error("b"))]
    assert find_failure(snapshot(run(), graph, *rows)).node_id == "hard"


def test_recovered_node_is_not_a_failure(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """An attempt that failed before the node finished explains nothing."""
    rows = [node("ok", state="finished"), attempt("ok", **error("flaky")), node("bad"), attempt("bad", finished_at=2**41, **error("real"))]
    assert find_failure(snapshot(run(), *rows)).node_id == "bad"


def test_structural_error_belongs_to_the_run(snapshot: Make, run: Make) -> None:
    """A deadlock fails the run with no failing node at all."""
    record = json.dumps({"code": "DUPLICATE_ID", "message": "Duplicate Task id detected: x"})
    failure = find_failure(snapshot(run(error=record, error_code="DUPLICATE_ID", error_message="Duplicate Task id detected: x")))
    assert (failure.kind, failure.code) == ("run", "DUPLICATE_ID")


def test_denial_is_a_decision(snapshot: Make, run: Make, node: Make, any_row: Make) -> None:
    """A denied gate names who decided and their words."""
    gate = any_row(ApprovalRow, run_id="r", node_id="gate", status="denied", decided_by="cfo", note="too much")
    failure = find_failure(snapshot(run(error='{"code":"SESSION_ERROR","message":"Task failed: gate"}'), node("gate"), gate))
    assert failure.kind == "denied"
    assert "cfo" in failure.message
    assert "too much" in failure.message


def test_reset_attempts_still_count(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """After a retry-task the earlier failures are marked cancelled but were failures all the same."""
    rows = [attempt("n", 1, state="cancelled", reset=True, **error("same")), attempt("n", 2, **error("same"))]
    failure = find_failure(snapshot(run(), node("n"), *rows))
    assert failure.attempts == 2
    assert failure.persistent


def test_masked_failure_is_told_from_ctrl_c(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """An error that the engine filed as a cancellation is a failure; a person's Ctrl-C is not."""
    masked = snapshot(run(status="cancelled"), node("n", state="cancelled"), attempt("n", state="cancelled", **error("Aborting")))
    pressed = attempt("n", state="cancelled", **error("The operation was aborted.", stack="at handleSignal (cli/src/index.js:1:1)"))
    assert find_failure(masked).kind == "masked-cancel"
    assert find_failure(snapshot(run(status="cancelled"), node("n", state="cancelled"), pressed)).kind == "none"


def test_agent_text_replaces_an_empty_message(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """What only the agent's events kept becomes the message, with the event as its evidence."""
    said = json.dumps({"event": {"type": "action", "message": "API Error: 529 Overloaded"}})
    event = any_row(EventRow, run_id="r", seq=7, type="AgentEvent", node_id="n", iteration=0, attempt=1, payload=said)
    failure = find_failure(snapshot(run(), node("n"), attempt("n", kind="agent", **error("Claude run failed")), event))
    assert failure.message == "API Error: 529 Overloaded"
    assert "event:7" in [e.ref for e in failure.evidence]


def test_telling_message_is_not_replaced(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """Agent chatter does not hide a stored error that says enough."""
    said = json.dumps({"event": {"message": "error: something else"}})
    event = any_row(EventRow, run_id="r", seq=7, type="AgentEvent", node_id="n", iteration=0, attempt=1, payload=said)
    failure = find_failure(snapshot(run(), node("n"), attempt("n", kind="agent", **error("spawn codex ENOENT")), event))
    assert failure.message == "spawn codex ENOENT"


def test_events_help_out_when_rows_lost_the_error(snapshot: Make, run: Make, node: Make, any_row: Make) -> None:
    """A failed node without an error row is explained by its NodeFailed event."""
    payload = json.dumps({"error": {"message": "socket hang up"}})
    event = any_row(EventRow, run_id="r", seq=3, type="NodeFailed", node_id="n", attempt=1, payload=payload)
    assert find_failure(snapshot(run(), node("n"), event)).message == "socket hang up"


def test_nothing_recorded_is_said(snapshot: Make, run: Make, node: Make) -> None:
    """With no error anywhere the failure says so instead of inventing one."""
    failure = find_failure(snapshot(run(), node("n")))
    assert (failure.kind, failure.node_id, failure.message) == ("none", "n", "")


def test_signature_does_not_depend_on_the_attempt(attempt: Make) -> None:
    """Two attempts with the same error have one signature."""
    first, second = attempt("n", 1, **error("timeout after 1200ms")), attempt("n", 2, **error("timeout after 1300ms"))
    assert attempt_signature(first) == attempt_signature(second)


def test_labelled_nodes_are_found(corpus: Path, corpus_store: Callable[[str], Path]) -> None:
    """In every labelled failed run the failure lies in a node that the label names, or below it."""
    wrong = []
    for label_file in sorted((corpus / "smithers").glob("*/label.json")):
        label = json.loads(label_file.read_text())
        if label.get("runs") or label["status"] != "failed" or not label["failed_nodes"]:
            continue
        source = open_source(corpus_store(label["case"]))
        failure = find_failure(Snapshot(source, label["run_id"]))
        source.close()
        if failure.node_id not in label["failed_nodes"] and not failure.parents:
            wrong.append((label["case"], failure.node_id, label["failed_nodes"]))
    assert wrong == [("d05", None, ["send-welcome"])]  # a deadlock is the run's failure; its text names the task


def test_failure_of_a_child_run_is_found_in_the_child(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A node that failed because its child run did leads to the child's failure; each reference says in which run it is."""
    child = "r:child:sub:0"
    rows = [run(error_message="Task failed: sub"), node("sub"), attempt("sub", **error("Subflow failed", details={"childRunId": child}))]
    inner = [run(run_id=child, parent_run_id="r"), node("n", run_id=child), attempt("n", run_id=child, **error("disk full"))]
    failure = find_failure(snapshot(*rows, *inner))
    assert (failure.run_id, failure.node_id, failure.message, failure.parents) == (child, "n", "disk full", ("r",))
    refs = [e.ref for e in failure.evidence]
    assert refs[0] == f"{child}/attempt:n/0/1"
    assert refs[-1] == "run:r"
    lost = find_failure(snapshot(*rows))
    assert (lost.run_id, lost.node_id, lost.message) == ("r", "sub", "Subflow failed")


def test_the_run_names_the_cause_of_a_tie(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Of two failures in the same millisecond the one that the run names mattered."""
    rows = [node("a"), node("b"), attempt("a", finished_at=5, **error("x")), attempt("b", finished_at=5, **error("y"))]
    assert find_failure(snapshot(run(error_message="Task failed: b"), *rows)).node_id == "b"
    assert find_failure(snapshot(run(error_message="Task failed: a"), *rows)).node_id == "a"


def test_agent_is_named_by_its_engine(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """The engine that ran an agent is named, and the agent itself where no engine was recorded."""
    named = [
        find_failure(snapshot(run(), node("n"), attempt("n", kind="agent", **values, **error("boom")))).agent
        for values in ({"engine": "codex", "agent": "mine"}, {"agent": "mine"})
    ]
    assert named == ["codex", "mine"]


def test_no_part_of_a_secret_survives_a_cut(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Secrets go before a text is cut, wherever the cut would have fallen in them."""
    token = "ghp_" + "1234567890abcdefghijklmnopqrstuvwxyz"
    for filler in range(0, 420, 7):
        message = "x " * (filler // 2) + f"push with {token} refused"
        row = attempt("n", error=json.dumps({"message": message, "stack": message, "token": token}), error_message=message)
        failure = find_failure(snapshot(run(error_message=message), node("n"), row))
        assert "ghp_1" not in str(failure.as_json())
