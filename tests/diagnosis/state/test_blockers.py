"""Why a run does not go on, and what ends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.smithers import SmithersCommands
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.health import health
from smithers_nb.model.rows import ApprovalRow, EventRow, NodeRow, QuestionRow, RunRow, TaskRow, ToolCallRow
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import LiteralSource, make
from tests.support.data import DATA

smithers = SmithersCommands()

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Blocker

Make = Callable[..., Any]
NOW = 1_800_000_000_000
MINUTE = 60_000
BOOM = {"error_message": "boom", "error": '{"message":"boom"}'}


def kinds(found: tuple[Blocker, ...]) -> list[str]:
    return [blocker.kind for blocker in found]


def only(found: tuple[Blocker, ...]) -> Blocker:
    (blocker,) = found
    return blocker


@pytest.fixture
def running(run: Make) -> Make:
    """Make a run that is driven and alive."""
    return lambda **values: run(
        **{"status": "running", "state": "running", "owner": "pid:7:x", "started_at": NOW - MINUTE, "heartbeat_at": NOW - 500, **values}
    )


class Case:
    """A run of the corpus, with what Smithers' own `why` said about it."""

    def __init__(self, corpus: Path, store: Make, name: str) -> None:
        label = json.loads((corpus / "smithers" / name / "label.json").read_text())
        self.now = label["as_of_ms"]
        self.snapshot = Snapshot(SmithersSource(store(name)), label["run_id"])
        self.folder = corpus / "smithers" / name

    @property
    def why(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "cli" / "why.json").read_text())["blockers"]
        return found

    @property
    def ours(self) -> tuple[Blocker, ...]:
        return blockers(self.snapshot, self.now)


@pytest.fixture
def case(corpus: Path, corpus_store: Make) -> Callable[[str], Case]:
    """Open a case of the corpus."""
    return lambda name: Case(corpus, corpus_store, name)


@pytest.mark.parametrize("name", ["d46", "d52", "d53"])
def test_says_what_smithers_says_where_it_is_right(case: Callable[[str], Case], name: str) -> None:
    """A gate, a signal and a timer: same kind, same node, same start, and the same first verb to end it."""
    theirs, ours = case(name).why, only(case(name).ours)
    assert (ours.kind, ours.node_id) == (theirs[0]["kind"], theirs[0]["nodeId"])
    assert abs((ours.since or 0) - theirs[0]["waitingSince"]) < 100
    assert shlex.split(ours.commands[0])[2] == shlex.split(theirs[0]["unblocker"])[1]


def test_signal_command_is_the_one_smithers_gives_but_for_its_data(case: Callable[[str], Case]) -> None:
    """Name and correlation are those the engine waits for; Smithers' own empty data fails a run that expects some."""
    theirs = shlex.split(case("d52").why[0]["unblocker"])[1:]
    ours = shlex.split(only(case("d52").ours).commands[0])[2:]
    assert theirs[theirs.index("--data") + 1] == "{}"
    assert ours == [FILL_IN if argument == "{}" else argument for argument in theirs]


def test_killed_engine_is_resumed_by_force(case: Callable[[str], Case]) -> None:
    """Smithers says orphaned because it asked this machine for the process; the store alone says that a heartbeat is old."""
    ours = only(case("d45").ours)
    assert ours.kind == case("d45").why[0]["kind"] == "stale-heartbeat"
    assert ours.commands[0].endswith("--resume true --force")
    assert "process 30963" in ours.reason


def test_question_is_no_approval(case: Callable[[str], Case]) -> None:
    """Smithers calls a pending HumanTask an approval and tells to approve it; it must be answered."""
    assert case("d50").why[0]["kind"] == "waiting-approval"
    ours = only(case("d50").ours)
    assert ours.kind == "waiting-human"
    assert shlex.split(ours.commands[0])[2:5] == ["human", "answer", "human:65d708b2-f705-4e6f-9624-228a556deb51:legal-review:0"]
    assert "approve" not in {shlex.split(command)[2] for command in (*ours.commands, *ours.alternatives)}


def test_endless_retries_are_not_exhausted(case: Callable[[str], Case]) -> None:
    """Smithers says that all retries are exhausted and to resume; there is no limit, and a resume would change nothing."""
    assert case("d67").why[0]["kind"] == "retries-exhausted"
    ours = only(case("d67").ours)
    assert ours.kind == "retry-storm"
    assert shlex.split(ours.commands[0])[2] == "cancel"


def test_rewound_run_is_named_as_such(case: Callable[[str], Case]) -> None:
    """Smithers calls a rewound run orphaned; the jump that left it without an owner is in the log."""
    assert case("d59").why[0]["kind"] == "stale-heartbeat"
    ours = only(case("d59").ours)
    assert (ours.kind, ours.evidence[0].quote) == ("rewound", "TimeTravelJumped")


def test_decided_gate_is_said_once(case: Callable[[str], Case]) -> None:
    """Smithers lists the decided approval twice, once under a task that was never a gate; who decided is in the store."""
    assert len(case("d64").why) == 2
    ours = only(case("d64").ours)
    assert (ours.kind, ours.node_id) == ("approval-decided-resume-required", "approve-send")
    assert "approved by ann" in ours.reason


def test_edited_workflow_is_foreseen(case: Callable[[str], Case]) -> None:
    """The file beside the store is not the one the run was started with: the resume that is due will be refused."""
    edited = case("d64")
    found = blockers(edited.snapshot, edited.now, workflow_path=edited.folder / "workflow.tsx")
    assert kinds(found) == ["approval-decided-resume-required", "workflow-changed"]
    assert "workflow entry file changed" in (edited.folder / "cli" / "up.txt").read_text()
    untouched = case("d46")
    assert kinds(blockers(untouched.snapshot, untouched.now, workflow_path=untouched.folder / "workflow.tsx")) == ["waiting-approval"]


@pytest.mark.parametrize(("name", "kind"), [("d36", "waiting-quota"), ("d57", "paused")])
def test_sees_what_smithers_does_not(case: Callable[[str], Case], name: str, kind: str) -> None:
    """Smithers finds no blocker in a run that waits for a provider's limit, or that a person paused."""
    assert case(name).why == []
    assert only(case(name).ours).kind == kind


def test_quota_says_when_it_resets(case: Callable[[str], Case]) -> None:
    """The reset time is in the parked run's error record."""
    ours = only(case("d36").ours)
    assert ours.until == 1795242600000
    assert "2026-11-21 06:30:00 UTC" in ours.reason


def test_nothing_blocks_a_run_at_work(case: Callable[[str], Case]) -> None:
    """A healthy run has no blockers."""
    assert case("d44").ours == ()


def test_every_quote_and_command_of_the_corpus_holds(corpus: Path, case: Callable[[str], Case]) -> None:
    """Each reference names a row that holds the quote, and each command is one shell line for the real CLI."""
    seen = 0
    for folder in sorted((corpus / "smithers").iterdir()):
        if not (folder / "cli" / "why.json").exists():
            continue
        one = case(folder.name)
        for blocker in one.ours:
            for command in (*blocker.commands, *blocker.alternatives):
                assert tuple(shlex.split(command)[:2]) == smithers.program
            for evidence in blocker.evidence:
                assert evidence.quote in text_of(one.snapshot, evidence.ref), (folder.name, evidence)
                seen += 1
    assert seen > 20


def text_of(snapshot: Snapshot, ref: str) -> str:
    """Return every cell of the row that a reference names."""
    kind, _, key = ref.partition(":")
    rows: dict[str, list[tuple[str, Any]]] = {
        "run": [(snapshot.run.run_id, snapshot.run)],
        "event": [(str(e.seq), e) for e in snapshot.last_events(10**6, noise=True)],
        "attempt": [(f"{a.node_id}/{a.iteration}/{a.attempt}", a) for a in snapshot.attempts],
        "approval": [(f"{a.node_id}/{a.iteration}", a) for a in snapshot.approvals],
        "node": [(f"{n.node_id}/{n.iteration}", n) for n in snapshot.nodes],
        "question": [(q.request_id, q) for q in snapshot.questions],
    }
    return "\n".join(str(cell) for name, row in rows[kind] if name == key for cell in row)


@pytest.mark.parametrize("status", ["finished", "continued", "cancelled"])
def test_a_run_that_is_over_has_no_blockers(snapshot: Make, run: Make, any_row: Make, status: str) -> None:
    """A gate left over in an ended run cannot be acted on."""
    stale = any_row(ApprovalRow, run_id="r", node_id="g", status="requested", actionable=False)
    assert blockers(snapshot(run(status=status), stale), NOW) == ()


def test_exhausted_task_is_retried_not_resumed(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A resume replays the recorded error; `retry-task` gives new attempts, and what it resets is said before."""
    rows = (run(workflow_path="/p/w.tsx"), node("n"), attempt("n", retries=0, **BOOM), node("after", state="finished"))
    found = only(blockers(snapshot(*rows, attempt("after", state="finished", started_at=NOW + 5)), NOW))
    assert found.kind == "retries-exhausted"
    assert [shlex.split(c)[2] for c in found.commands] == ["retry-task"]
    assert "1 other node(s) (after)" in found.reason


def test_backoff_says_when_and_how_often(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """The third attempt comes two seconds after the second failed; three of five are left."""
    tries = [attempt("n", k, retries=4, finished_at=NOW - 2_000 + k * 500, **BOOM) for k in (1, 2)]
    found = only(blockers(snapshot(running(), node("n", state="pending"), *tries), NOW))
    assert (found.kind, found.until, found.commands) == ("retry-backoff", NOW - 1_000 + 2_000, ())
    assert "due in 1 s" in found.reason
    assert "3 attempts left" in found.reason


@pytest.mark.parametrize(
    ("policy", "delay"),
    [
        ('{"backoff":"linear","initialDelayMs":100}', 300),
        ('{"backoff":"fixed","initialDelayMs":100}', 100),
        ('{"backoff":"exponential","initialDelayMs":200000}', 300_000),
        ("{}", 4_000),
    ],
)
def test_backoff_follows_the_tasks_own_policy(retrying: Make, policy: str, delay: int) -> None:
    """A policy of the task decides; without one the engine doubles from a second; nothing waits longer than five minutes."""
    assert only(blockers(retrying(policy), NOW)).until == NOW - 10 + delay


@pytest.fixture
def retrying(snapshot: Make, running: Make, node: Make, attempt: Make, any_row: Make) -> Make:
    """Make a run whose task failed a third time, under a policy."""

    def make(policy: str) -> Any:
        task = any_row(TaskRow, run_id="r", node_id="n", props=json.dumps({"retryPolicy": policy}))
        return snapshot(running(), node("n", state="pending"), attempt("n", 3, finished_at=NOW - 10, **BOOM), task)

    return make


def test_second_gate_of_a_parallel_is_foreseen(store: Make) -> None:
    """Smithers asks for one gate at a time; the store's graph shows that another one follows."""
    gates = Snapshot(SmithersSource(store("two-gates")), "two-gates-1")
    found = blockers(gates, (gates.run.started_at or 0) + MINUTE)
    assert [(b.kind, b.node_id) for b in found] == [("waiting-approval", "key-one"), ("approval-not-yet-requested", "key-two")]
    assert found[0].commands[0] == "bunx smithers-orchestrator approve two-gates-1 --node key-one"


def test_zombie_is_named(store: Make) -> None:
    """Smithers says of this real run that it executes normally."""
    zombie = Snapshot(SmithersSource(store("walking-dead")), "walking-dead-1")
    found = only(blockers(zombie, (zombie.run.heartbeat_at or 0) + 1_000))
    assert found.kind == "zombie"
    assert "second never started" in found.reason


def test_denial_is_a_decision(case: Callable[[str], Case]) -> None:
    """Who said no and in which words is what a reader needs; there is no command for it."""
    found = only(case("d48").ours)
    assert (found.kind, found.commands) == ("approval-denied", ())
    assert "cfo" in found.reason
    assert found.evidence[0].quote in "Amounts over 10k need a second signature"


def test_choice_is_left_to_the_person(snapshot: Make, run: Make, any_row: Make) -> None:
    """A gate that asks for a choice gets one command per option, none of them put first, and the resume that must follow."""
    gate = any_row(ApprovalRow, run_id="r", node_id="g", status="requested", title="Which?", mode="select", actionable=True)
    asked = {"request": {"options": [{"key": "a"}, {"key": "b c"}]}}
    event = any_row(EventRow, run_id="r", seq=3, type="ApprovalRequested", node_id="g", iteration=0, payload=json.dumps(asked))
    found = only(blockers(snapshot(run(status="waiting-approval"), gate, event), NOW))
    assert found.choices == tuple(smithers.choose("r", "g", 0, {"selected": key}) for key in ("a", "b c"))
    assert found.commands == (smithers.resume(None, "r"),)
    assert found.alternatives == (smithers.deny("r", "g"), smithers.resume(None, "r"))
    nothing_known = only(blockers(snapshot(run(status="waiting-approval"), gate), NOW))
    assert nothing_known.choices == (smithers.choose("r", "g", 0, {"selected": FILL_IN}),)


def test_repeating_a_side_effect_is_asked_in_words(store: Callable[[str], Path]) -> None:
    """The engine's own gate has no title: what failed, and what approving and denying bring about, is said."""
    seen = Snapshot(SmithersSource(store("unsafe-repeat")), "b2facd58")
    found = only(blockers(seen, seen.run.started_at + MINUTE))
    assert "SMTP 550" in found.reason
    assert "approving repeats it" in found.reason
    assert "None" not in health(seen, NOW)[1]
    assert "SMTP 550" in health(seen, NOW)[1]


def test_a_second_such_gate_is_told_once(snapshot: Make, run: Make, node: Make, any_row: Make) -> None:
    """Its row has a negative iteration of its own, its node has not."""
    gate = any_row(ApprovalRow, run_id="r", node_id="n", iteration=-15, status="requested", mode="ReplayUnsafeApproval", actionable=True)
    found = only(blockers(snapshot(run(status="waiting-approval"), node("n", state="waiting-approval"), gate), NOW))
    assert (found.iteration, found.commands[0]) == (0, smithers.approve("r", "n"))


def test_no_retry_of_a_task_that_acted_outside(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A retry-task would act again, so none is printed."""
    call = any_row(ToolCallRow, run_id="r", node_id="n", attempt=1, kind="task", side_effect=True, status="unknown")
    rows = (run(), node("n"), attempt("n", retries=0, **BOOM))
    assert only(blockers(snapshot(*rows), NOW)).commands
    found = only(blockers(snapshot(*rows, call), NOW))
    assert found.commands == ()
    assert "check whether that happened" in found.reason


def test_a_row_the_store_refuses_is_not_tried_for_ever(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """Three refusals of the same row are enough; a busy store may recover."""
    for message, kind in (("NOT NULL constraint failed: t.c", "retry-storm"), ("database is locked", "retry-backoff")):
        tries = [attempt("n", i, retries=None, error_message=message, error_code="DB_WRITE_FAILED") for i in (1, 2, 3)]
        assert kinds(blockers(snapshot(running(), node("n", state="pending"), *tries), NOW)) == [kind]


def test_newest_is_what_started_last(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A retry-task begins to count at 1 again: the higher number may be the older attempt."""
    old = attempt("n", 2, retries=1, started_at=NOW - MINUTE, error_message="old")
    new = attempt("n", 1, retries=1, started_at=NOW, error_message="new")
    assert "new" in only(blockers(snapshot(run(), node("n"), old, new), NOW)).reason


def test_unedited_answer_is_refused(snapshot: Make, run: Make, any_row: Make) -> None:
    """The printed answer has places to fill in, so that nobody answers by pasting it: it is not valid JSON as it stands."""
    schema = json.dumps({"properties": {"approved": {}, 'a"b': {}}})
    asked = any_row(QuestionRow, run_id="r", node_id="q", request_id="human:r:q:0", status="pending", prompt="Yes?", schema=schema)
    value = shlex.split(only(blockers(snapshot(run(status="waiting-approval"), asked), NOW)).commands[0])[-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(value)
    assert json.loads(value.replace("…", "1")) == {"approved": 1, 'a"b': 1}


def test_expired_question_says_so(snapshot: Make, run: Make, any_row: Make) -> None:
    """After its time is over an answer is refused."""
    asked = any_row(QuestionRow, run_id="r", node_id="q", request_id="x", status="pending", prompt="?", timeout_at=NOW - 1)
    assert "its time ran out" in only(blockers(snapshot(run(status="waiting-approval"), asked), NOW)).reason


def test_overdue_timer_says_by_how_much(snapshot: Make, run: Make, node: Make, any_row: Make) -> None:
    """A parked run does not wake by itself."""
    fires = any_row(EventRow, run_id="r", seq=1, type="TimerCreated", payload=json.dumps({"timerId": "t", "firesAtMs": NOW - 2 * MINUTE}))
    found = only(blockers(snapshot(run(status="waiting-timer"), node("t", state="waiting-timer"), fires), NOW))
    assert "overdue by 2 min" in found.reason


def test_cancel_under_way_is_not_resumed(snapshot: Make, running: Make) -> None:
    """Whoever is told to resume a run that is being cancelled undoes the cancel."""
    found = only(blockers(snapshot(running(cancel_requested_at=NOW - 5_000)), NOW))
    assert (found.kind, found.commands) == ("cancel-pending", ())
    late = only(blockers(snapshot(running(cancel_requested_at=NOW - MINUTE, heartbeat_at=NOW - MINUTE)), NOW))
    assert [shlex.split(c)[2] for c in late.commands] == ["cancel"]


def test_hung_task_is_cancelled_then_tried_again(snapshot: Make, running: Make, node: Make, attempt: Make) -> None:
    """A task far past its own limit will not come back."""
    open_attempt = attempt("n", state="in-progress", started_at=NOW - 30 * MINUTE, finished_at=None, timeout_ms=MINUTE)
    rows = snapshot(running(started_at=NOW - 30 * MINUTE), node("n", state="in-progress"), open_attempt)
    assert only(blockers(rows, NOW)).kind == "stale-task-heartbeat"


def test_dependent_of_a_failure_points_to_it(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """What cannot start names what stands in its way, after that."""
    task = any_row(TaskRow, run_id="r", node_id="b", depends_on='["a"]')
    found = blockers(snapshot(run(), node("a"), attempt("a", retries=0, **BOOM), node("b", state="pending"), task), NOW)
    assert [(b.kind, b.node_id) for b in found] == [("retries-exhausted", "a"), ("dependency-failed", "b")]


def test_child_run_is_followed(snapshot: Make, run: Make, node: Make, attempt: Make, any_row: Make) -> None:
    """A parent at work on a subflow waits for the gate inside it."""
    parent = run(status="running", owner="pid:1:x", started_at=NOW - 9, heartbeat_at=NOW)
    child = run(run_id="r:child:sub:0", parent_run_id="r", status="waiting-approval")
    gate = any_row(ApprovalRow, run_id="r:child:sub:0", node_id="g", status="requested", title="Go?", actionable=True)
    at_work = attempt("sub", state="in-progress", finished_at=None, started_at=NOW - 5)
    found = only(blockers(snapshot(parent, child, gate, node("sub", state="in-progress"), at_work), NOW))
    assert found.reason.startswith("in child run r:child:sub:0: a person must decide")
    assert found.evidence[0].ref == "r:child:sub:0/approval:g/0"


def test_hash_is_the_one_at_launch(snapshot: Make, run: Make, tmp_path: Path) -> None:
    """An untouched file is not reported, a formatter's run is."""
    file = tmp_path / "w.tsx"
    file.write_text("export default 1\n")
    stamp = {"__smithersDurability": {"version": 2, "entryWorkflowHash": sha256(file.read_bytes()).hexdigest()}}
    paused = snapshot(run(status="paused", workflow_path=str(file), config=json.dumps(stamp)))
    assert kinds(blockers(paused, NOW)) == ["paused"]
    file.write_text("export default 1;\n")
    pause, changed = blockers(paused, NOW)
    assert (pause.kind, changed.kind) == ("paused", "workflow-changed")
    assert pause.commands[0].endswith("--accept-workflow-change")
    assert "you confirm" in changed.reason


def test_an_edited_workflow_is_retried_with_its_switch(store: Callable[[str], Path]) -> None:
    """`close-004` ran a broken text; beside the mended one its retry-task is refused without the switch."""
    seen = Snapshot(SmithersSource(store("fleet")), "close-004")
    mended = DATA / "fleet-ledger-close.tsx"
    lines = [line for blocker in blockers(seen, NOW, workflow_path=mended) for line in blocker.commands]
    assert {shlex.split(line)[2] for line in lines} == {"retry-task"}
    assert all(line.endswith("--accept-workflow-change") for line in lines)


def test_hostile_ids_stay_one_argument(snapshot: Make, run: Make, any_row: Make) -> None:
    """Ids are data: shell metacharacters reach the CLI as they are, and never a shell."""
    evil = "x; rm -rf ~ $(id) `id` '\""
    gate = any_row(ApprovalRow, run_id="r", node_id=evil, status="requested", actionable=True)
    found = only(blockers(snapshot(run(status="waiting-approval", workflow_path="/a b/$w.tsx"), gate), NOW))
    assert shlex.split(found.commands[0]) == [*smithers.program, "approve", "r", "--node", evil]
    assert shlex.split(found.commands[1])[3] == "/a b/$w.tsx"


def test_gate_without_its_row_is_still_a_gate(snapshot: Make, run: Make, any_row: Make) -> None:
    """Smithers can leave a waiting node without a request row; deciding it works all the same."""
    waiting = any_row(NodeRow, run_id="r", node_id="g", logical_id="g", state="waiting-approval", iteration=2)
    found = only(blockers(snapshot(run(status="waiting-approval"), waiting), NOW))
    assert shlex.split(found.commands[0])[-2:] == ["--iteration", "2"]


@pytest.mark.parametrize(
    ("version", "told"), [("2026.12", "of version 2026.12 of the application"), (None, "of this application running?")]
)
def test_a_queue_that_nothing_runs_in_asks_for_the_right_version(version, told):
    """A workflow that was put into a queue for one version of the application says which; without one any executor may take it."""
    waiting = make(RunRow, run_id="q", status="waiting-queue", created_at=NOW, workflow_hash=version, config='{"queue": "pick-lane"}')
    (blocker,) = blockers(Snapshot(LiteralSource([waiting]), "q"), NOW + 1_000)
    assert told in blocker.reason
