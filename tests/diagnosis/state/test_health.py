"""How a run is doing: five buckets, at a moment the caller names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.progress import quota_resets_at
from smithers_nb.model.rows import ApprovalRow, EventRow, QuestionRow, TaskRow
from smithers_nb.model.timestamps import when
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import LiteralSource

Make = Callable[..., Any]
NOW = 1_800_000_000_000
MINUTE = 60_000

LABELS = {
    "failed": {"failed"},
    "stuck": {"stuck"},
    "finished": {"healthy"},
    "cancelled": {"healthy"},
    "healthy": {"healthy"},
    "paused": {"blocked", "healthy"},
    "waiting-timer": {"healthy", "blocked"},
    "waiting-quota": {"overBudget", "blocked"},
}
"""What a label's word for health means in buckets; every other word is `blocked`."""


@pytest.fixture
def running(run: Make) -> Make:
    """Make a run that is driven and alive."""
    return lambda **values: run(
        **{"status": "running", "state": "running", "owner": "pid:1:x", "started_at": NOW - MINUTE, "heartbeat_at": NOW - 500, **values}
    )


def buckets(label: dict[str, Any]) -> set[str]:
    wanted = set(label.get("acceptable_health") or LABELS.get(label["health"], {"blocked"}))
    return wanted.union(*(LABELS.get(word, {word}) for word in wanted))


def labelled_runs(corpus: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((corpus / "smithers").glob("*/label.json")):
        label = json.loads(path.read_text())
        for one in label.get("runs") or [label]:
            if one.get("run_id"):
                yield path.parent, {**{k: v for k, v in label.items() if k != "runs"}, **one}


def test_every_labelled_run_is_in_an_accepted_bucket(corpus: Path, corpus_store: Make) -> None:
    """All runs of the corpus, the fleet's sixty included, are put where a person put them."""
    sources: dict[str, SmithersSource] = {}
    wrong, seen = [], 0
    for case, label in labelled_runs(corpus):
        if case.name not in sources:
            sources[case.name] = SmithersSource(corpus_store(case.name))
        found, why = health(Snapshot(sources[case.name], label["run_id"]), label["as_of_ms"])
        seen += 1
        if found not in buckets(label):
            wrong.append((case.name, label["run_id"], found, label["health"], why))
    assert wrong == []
    assert seen > 100


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"status": "finished"}, "succeeded"),
        ({"status": "continued"}, "succeeded"),
        ({"status": "failed"}, "failed"),
        ({"status": "waiting-something-new"}, "waiting-something-new"),
        ({"status": "dreaming"}, "dreaming"),
        ({"heartbeat_at": NOW - 30_000}, "running"),
        ({"heartbeat_at": NOW - 30_001}, "stale"),
        ({"heartbeat_at": NOW - 30_001, "owner": None}, "orphaned"),
        ({"heartbeat_at": NOW - MINUTE, "started_at": NOW - 5}, "running"),
        ({"heartbeat_at": None, "started_at": None}, "unknown"),
    ],
)
def test_state_follows_status_and_heartbeat(running: Make, values: dict[str, Any], state: str) -> None:
    """A process id is never checked: an old heartbeat is stale with an owner and orphaned without one; unknown words are kept."""
    assert run_state(running(**{"heartbeat_at": NOW, **values, "started_at": values.get("started_at", NOW - MINUTE)}), NOW) == state


def test_failed_beats_waiting(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A run that waits for a person although a task of it failed for good is failed."""
    gate = any_row(ApprovalRow, run_id="r", node_id="gate", status="requested", title="Ship?", actionable=True)
    waiting = (run(status="waiting-approval"), node("gate", state="waiting-approval"), gate)
    assert health(snapshot(*waiting), NOW)[0] == "blocked"
    assert health(snapshot(*waiting, node("n"), attempt("n", retries=0, error_message="boom")), NOW)[0] == "failed"


def test_tolerated_failure_is_no_failure(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A task with continueOnFail does not make a waiting run a failed one."""
    spared = any_row(TaskRow, run_id="r", node_id="n", props='{"continueOnFail":"true"}')
    rows = (run(status="waiting-event"), node("e", state="waiting-event"), node("n"), attempt("n", retries=0), spared)
    assert health(snapshot(*rows), NOW)[0] == "blocked"


def test_question_beats_a_used_up_limit(snapshot: Make, run: Make, any_row: Make) -> None:
    """Blocked is more urgent than over budget."""
    quota = run(status="waiting-quota", error=json.dumps({"resetAtMs": NOW + MINUTE}))
    asked = any_row(QuestionRow, run_id="r", node_id="q", request_id="human:r:q:0", status="pending", prompt="Which?")
    assert health(snapshot(quota), NOW)[0] == "overBudget"
    assert health(snapshot(quota, asked), NOW) == ("blocked", "a person must answer q: Which?")
    assert health(snapshot(quota, asked._replace(status="answered")), NOW)[0] == "overBudget"


def test_timer_is_healthy_until_it_is_overdue(snapshot: Make, run: Make, node: Make, any_row: Make) -> None:
    """A timer that should have fired half a minute ago has nobody who fires it."""
    created = any_row(
        EventRow, run_id="r", seq=1, type="NodeWaitingTimer", node_id="t", iteration=0, at=NOW, payload=json.dumps({"firesAtMs": NOW})
    )
    rows = snapshot(run(status="waiting-timer"), node("t", state="waiting-timer"), created)
    assert health(rows, NOW + 30_000)[0] == "healthy"
    assert health(rows, NOW + 30_001)[0] == "stuck"


def test_programming_error_without_end_is_stuck(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """Three equal TypeErrors under endless retries will not heal, however fresh the heartbeat."""
    error = {
        "error_name": "TypeError",
        "error_message": "x is not a function",
        "error": '{"name":"TypeError","message":"x is not a function"}',
    }
    rows = [attempt("n", k, started_at=NOW - 10_000 + k, finished_at=NOW - 9_000 + k, **error) for k in (1, 2, 3)]
    assert health(snapshot(running(), node("n"), *rows[:2]), NOW)[0] == "healthy"
    assert health(snapshot(running(), node("n"), *rows), NOW)[0] == "stuck"


def test_limited_or_transient_retries_are_healthy(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """A limit ends by itself, and a refused connection may heal within minutes."""
    bug = {"error_name": "TypeError", "error": '{"name":"TypeError","message":"m"}', "error_message": "m"}
    refused = {"error_name": "Error", "error": '{"code":"ECONNREFUSED","message":"m"}', "error_message": "m"}
    limited = [attempt("n", k, retries=9, finished_at=NOW - 9_000 + k, **bug) for k in range(1, 5)]
    transient = [attempt("n", k, started_at=NOW - 9_000, finished_at=NOW - 9_000 + k, **refused) for k in range(1, 7)]
    lasting = [a._replace(started_at=NOW - 20 * MINUTE) for a in transient]
    assert health(snapshot(running(), node("n"), *limited), NOW)[0] == "healthy"
    assert health(snapshot(running(), node("n"), *transient), NOW)[0] == "healthy"
    assert health(snapshot(running(), node("n"), *lasting), NOW)[0] == "stuck"


def test_silence_counts_unless_time_was_given(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """A task without a limit may be silent for `stale_minutes`; one with a limit may take it, and not longer."""
    busy = {"state": "in-progress", "started_at": NOW - 20 * MINUTE, "finished_at": None}
    began = running(started_at=NOW - 20 * MINUTE)
    silent = snapshot(began, node("n", state="in-progress"), attempt("n", **busy))
    patient = snapshot(began, node("n", state="in-progress"), attempt("n", **busy, timeout_ms=60 * MINUTE))
    late = snapshot(began, node("n", state="in-progress"), attempt("n", **busy, timeout_ms=10 * MINUTE))
    assert health(silent, NOW)[0] == "stuck"
    assert health(silent, NOW, stale_minutes=30)[0] == "healthy"
    assert health(patient, NOW)[0] == "healthy"
    assert health(late, NOW, stale_minutes=30)[0] == "stuck"


def test_engine_that_lives_and_does_nothing_is_stuck(store: Make) -> None:
    """A real zombie: Smithers calls it progressing."""
    zombie = Snapshot(SmithersSource(store("walking-dead")), "walking-dead-1")
    beat = zombie.run.heartbeat_at
    assert beat is not None
    bucket, why = health(zombie, beat + 1_000)
    assert bucket == "stuck"
    assert "done nothing for 4" in why


def test_a_cancelled_run_says_who_asked_and_what_it_stopped(snapshot: Make, run: Make, node: Make) -> None:
    """The client that asked is named where the store has it; a cancel of the command line leaves no name."""
    over = {"status": "cancelled", "started_at": NOW - MINUTE, "finished_at": NOW, "cancel_requested_at": NOW}
    nodes = (node("prep", state="finished"), node("copy", state="cancelled"))
    asked = health(snapshot(run(**over, cancel_requested_by="ann"), *nodes), NOW)
    assert asked == ("healthy", f"cancelled by ann at {when(NOW)}, while copy ran")
    assert health(snapshot(run(**over), *nodes), NOW) == ("healthy", f"cancelled on request at {when(NOW)}, while copy ran")


def test_cancel_nobody_carried_out_is_stuck(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """A cancel is carried out within seconds or not at all."""
    at_work = (node("n", state="in-progress"), attempt("n", state="in-progress", started_at=NOW - 100, finished_at=None))
    assert health(snapshot(running(cancel_requested_at=NOW - 1_000), *at_work), NOW)[0] == "healthy"
    late = health(snapshot(running(cancel_requested_at=NOW - 2 * MINUTE), *at_work), NOW)
    assert late == ("stuck", "a cancel requested 2 min ago has not been carried out")


def test_a_side_effect_waits_for_a_person(snapshot: Make, run: Make, attempt: Make, any_row: Make) -> None:
    """The engine's own gate asks whether to repeat a task, and says what it failed with if that was recorded."""
    gate = any_row(ApprovalRow, run_id="r", node_id="pay", status="requested", mode="ReplayUnsafeApproval", actionable=True)
    waiting = (run(status="waiting-approval"), gate)
    asked = "a person must decide whether pay{} may repeat its side effect"
    failed = attempt("pay", error_message="card refused")
    assert health(snapshot(*waiting, failed), NOW) == ("blocked", asked.format(", which failed (card refused),"))
    assert health(snapshot(*waiting, failed._replace(error_message=None)), NOW) == ("blocked", asked.format(""))
    assert health(snapshot(*waiting), NOW) == ("blocked", asked.format(""))


def test_hostile_numbers_are_shown_not_raised(snapshot: Make, run: Make) -> None:
    """A reset time far outside any calendar is shown as the number it is."""
    quota = run(status="waiting-quota", error=json.dumps({"resetAtMs": 10**30}))
    assert "until 1000000" in health(snapshot(quota), NOW)[1]


def test_a_limit_that_was_reset_is_not_called_used_up(snapshot: Make, run: Make) -> None:
    """After the reset the sentence says that the run can be resumed, and not that the limit is used up until then."""
    quota = run(status="waiting-quota", error=json.dumps({"resetAtMs": NOW - MINUTE}))
    bucket, reason = health(snapshot(quota), NOW)
    assert (bucket, reason.startswith("the provider's limit was reset at "), "used up" in reason) == ("overBudget", True, False)
    assert reason.endswith("so the run can be resumed")


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("Upgrade to Pro or try again in 3 days 4 hours.", 76 * 3_600_000),
        ("try again in 1 hour, and 30 minutes", 90 * 60_000),
        ("Please retry after 20 seconds", 20_000),
        ("try again later", None),
        ("try again in 3 parsecs", None),
    ],
)
def test_a_limit_resets_when_the_provider_said(snapshot: Make, run: Make, attempt: Make, said: str, after: int | None) -> None:
    """Where the engine read no time, the provider's own words count from the refusal."""
    refused = attempt("n", error_code="AGENT_QUOTA_EXCEEDED", error_message=f"usage limit: {said}", finished_at=NOW)
    assert quota_resets_at(snapshot(run(status="waiting-quota"), refused)) == (None if after is None else NOW + after)
    recorded = run(status="waiting-quota", error='{"resetAtMs": 7}')
    assert quota_resets_at(snapshot(recorded, refused)) == 7


@pytest.mark.parametrize(
    ("config", "ended", "told"),
    [
        ({"timeoutMs": 5000, "deadline": NOW + 5_000}, NOW + 5_100, "cancelled: its own time limit of 5 s had passed"),
        ({"timeoutMs": 5000, "deadline": NOW + 5_800}, NOW + 5_000, "cancelled: its own time limit of 5 s had passed"),
        ({"deadline": NOW + 5_000}, NOW + 5_001, "cancelled: the time limit that it inherited from its parent had passed"),
        ({"timeoutMs": 5000, "deadline": NOW + 5_000}, NOW + 4_700, "cancelled on request"),
        ({"timeoutMs": 5000}, NOW + 9_000, "cancelled on request"),
    ],
)
def test_a_time_limit_that_had_passed_is_not_a_request(run, config, ended, told):
    """The recorded deadline tells a time limit from a cancel by a person; a workflow that was never dequeued has none."""
    over = {"status": "cancelled", "started_at": NOW, "finished_at": ended, "cancel_requested_at": ended}
    assert health(Snapshot(LiteralSource([run(**over, config=json.dumps(config))]), "r"), NOW + MINUTE)[1].startswith(told)


def test_a_workflow_that_begins_again_and_again(run):
    """How often DBOS began a workflow is told, and nothing about what ended it."""
    row = run(status="pending", state="pending", started_at=NOW - 1000, config='{"recoveryAttempts": 4}')
    assert health(Snapshot(LiteralSource([row]), "r"), NOW)[1] == "pending; it was begun 4 times, and no execution has come to its end"
