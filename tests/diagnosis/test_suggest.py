"""One suggestion, with commands that carry it out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.evidence import find_failure
from smithers_nb.diagnosis.suggest import advise
from smithers_nb.model.rows import OutputRow
from smithers_nb.model.verdict import Advice, Classification, Failure

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion

Make = Callable[..., Any]


def given(suggestion: Suggestion) -> Classification:
    return Classification(failure_class="unknown", confidence="low", rule="test", suggestion=suggestion)


def advice(snapshot: Any, suggestion: Suggestion, **more: Any) -> Advice:
    return advise(snapshot, find_failure(snapshot), given(suggestion), **more)


def failed(snapshot: Make, run: Make, node: Make, attempt: Make, *more: Any, **run_values: Any) -> Any:
    record = json.dumps({"message": "boom", "path": "/mnt/x.csv"})
    return snapshot(
        run(**{"workflow_path": "/srv/my app/w.tsx", "root": "/srv/my app", **run_values}),
        node("n"),
        attempt("n", error=record, error_message="boom", retries=0),
        *more,
    )


def test_retry_names_retry_task(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Exhausted retries need `retry-task`; a resume would replay the recorded error."""
    told = advice(failed(snapshot, run, node, attempt), "retry")
    assert shlex.split(told.commands[0])[2:] == ["retry-task", "/srv/my app/w.tsx", "--run-id", "r", "--node-id", "n"]
    assert "resets only n" in told.detail


def test_fresh_run_gets_the_same_input(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """After an edit a fresh run starts with the input of the failed one."""
    row = any_row(OutputRow, run_id="r", node_id="input", table="input", row='{"month": "2026-10", "other": null}')
    told = advice(failed(snapshot, run, node, attempt, row), "edit-workflow-and-reset")
    assert json.loads(shlex.split(told.commands[0])[-1]) == {"month": "2026-10"}


def test_environment_names_the_thing(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """What to fix is named as precisely as the error names it."""
    assert "/mnt/x.csv" in advice(failed(snapshot, run, node, attempt), "fix-environment").detail


def test_failed_suggestion_is_not_made_again(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A retry after which the same failure came back leads to a person."""
    told = advice(failed(snapshot, run, node, attempt), "retry", tried={"retry"})
    assert told.suggestion == "escalate"
    assert "tried before" in told.detail


def test_nothing_recorded_escalates(snapshot: Make, run: Make, node: Make) -> None:
    """Without any error no fix is invented; the commands only look."""
    told = advice(snapshot(run(), node("n")), "retry")
    assert told.suggestion == "escalate"
    assert {shlex.split(c)[2] for c in told.commands} <= {"inspect", "node", "events"}


def test_quota_is_resumed_at_its_reset(snapshot: Make, run: Make) -> None:
    """A run parked for a quota continues by itself when the limit is gone."""
    parked = snapshot(run(status="waiting-quota"))
    told = advise(parked, Failure(run_id="r", kind="run", details={"resetAtMs": 1_795_242_600_000}), given("retry"))
    assert told.suggestion == "resume"
    assert "2026-11-21" in told.detail


def test_child_failure_retries_its_owner(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A failure in a child run is retried at the node of the run that was asked about."""
    child = Failure(run_id="r:child:sub:2:child:x:0", node_id="deep", parents=("r", "r:child:sub:2"), kind="attempt")
    told = advise(failed(snapshot, run, node, attempt), child, given("retry"))
    assert shlex.split(told.commands[0])[-4:] == ["--node-id", "sub", "--iteration", "2"]
