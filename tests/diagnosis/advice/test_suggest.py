"""One suggestion, with commands that carry it out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.advice.suggest import advise
from smithers_nb.diagnosis.engines.smithers import SmithersCommands
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.model.rows import OutputRow, ToolCallRow
from smithers_nb.model.verdict import Advice, Classification, Failure

smithers = SmithersCommands()

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion

Make = Callable[..., Any]
NOW = 1_800_000_000_000
_AFTER_AN_EFFECT: list[tuple[Suggestion, Suggestion, list[str]]] = [
    ("retry", "escalate", ["inspect", "node", "events", "up"]),
    ("fix-environment", "fix-environment", ["node", "up"]),
    ("edit-workflow-and-reset", "edit-workflow-and-reset", ["node", "up"]),
]


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


def test_secrets_of_the_input_are_to_be_filled_in(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A secret of the input is not printed, and the detail says which field has to be written."""
    row = any_row(OutputRow, run_id="r", node_id="input", table="input", row='{"month": "2026-10", "apiKey": "it\'s a secret 9"}')
    told = advice(failed(snapshot, run, node, attempt, row), "edit-workflow-and-reset")
    assert shlex.split(told.commands[0])[-1] == '{"month": "2026-10", "apiKey": …}'
    assert "Fill in `apiKey`" in told.detail


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


def test_an_edited_workflow_is_retried_with_its_switch(snapshot: Make, run: Make, node: Make, attempt: Make, tmp_path: Path) -> None:
    """Without it the retry-task is refused; what it asks of the operator is said."""
    file = tmp_path / "w.tsx"
    file.write_text("export default 2\n")
    stamp = json.dumps({"__smithersDurability": {"entryWorkflowHash": "0" * 64}})
    changed = failed(snapshot, run, node, attempt, workflow_path=str(file), config=stamp)
    for suggestion in ("retry", "fix-environment"):
        told = advice(changed, suggestion)
        assert told.commands == (smithers.accepting_change(smithers.retry_task(str(file), "r", "n")),)
        assert "you then answer for" in told.detail
    edit = advice(changed, "edit-workflow-and-reset")
    assert edit.commands == (smithers.fresh_run(str(file), None),)
    assert "w.tsx was edited since this run was started: if that was the repair" in edit.detail


def test_a_task_that_acted_outside_gets_no_retry_task(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """First somebody looks whether it happened, then a fresh run; a task that may safely act again is retried as usual."""
    call = any_row(ToolCallRow, run_id="r", node_id="n", attempt=1, kind="task", side_effect=True, status="unknown")
    acted = failed(snapshot, run, node, attempt, call)
    safe = failed(snapshot, run, node, attempt, call._replace(idempotent=True))
    for wanted, told, verbs in _AFTER_AN_EFFECT:
        found = advice(acted, wanted)
        assert (found.suggestion, [shlex.split(line)[2] for line in found.commands]) == (told, verbs)
        assert "check whether that happened" in found.detail
        assert "check whether that happened" not in advice(safe, wanted).detail


def test_effects_of_what_goes_along_are_named(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A task that started later is reset as well, and acts again."""
    call = any_row(ToolCallRow, run_id="r", node_id="mail", attempt=1, kind="task", side_effect=True, status="succeeded")
    later = (node("mail", state="finished"), attempt("mail", state="finished", started_at=NOW + 1), call)
    told = advice(failed(snapshot, run, node, attempt, *later), "retry")
    assert shlex.split(told.commands[0])[2] == "retry-task"
    assert "mail did something outside the run, and will do it again" in told.detail


def test_a_run_that_still_goes_is_ended_first(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Smithers refuses a retry-task while a run is active, and two runs of one workflow are one too many."""
    going = failed(snapshot, run, node, attempt, status="running")
    assert [shlex.split(line)[2] for line in advice(going, "retry").commands] == ["cancel", "retry-task"]
    assert [shlex.split(line)[2] for line in advice(going, "edit-workflow-and-reset").commands] == ["cancel", "up"]
