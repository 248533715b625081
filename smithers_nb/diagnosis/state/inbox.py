"""Everything that waits for a person in a store, of whichever engine: what is asked, since when, what follows, and how to decide it.

`asked_of` is the one place that says what a run asks of a person; `human inbox` lists it for all runs as requests, oldest first, with the
consequence of each answer, and `inbox` as the ASK and APPROVE part of what needs somebody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.diagnosis.state import waiting
from smithers_nb.diagnosis.state.conditions import Case, asks_to_repeat
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.session import session_course
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.rows import ApprovalRow, QuestionRow, RunRow
from smithers_nb.model.timestamps import when
from smithers_nb.model.verdict import Blocker
from smithers_nb.model.vocabulary import TERMINAL_STATUSES
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.snapshot import snapshots
from smithers_nb.sources.stores.json_text import as_object, loads

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

DENIED: Final = {
    "continue": "the run continues and is told of the denial",
    "skip": "the task is skipped and the run continues",
    "fail": "the run fails",
}
"""What a denial does, by the gate's own word for it."""

_UNKNOWN: Final = "the run continues or fails, as its workflow says"
_PARKED: Final = "waiting-approval"
_SESSIONS: Final = "sessions"

SESSION_ASKS: Final = "waiting"
"""Status of a session whose last record is a question; no process is known to run it, so it counts as over everywhere else."""

_LEFT_MS: Final = 24 * 3_600_000
"""A question in a session that is older was left with the session."""


class OpenRequest(NamedTuple):
    """What a run asks of a person: what it waits for, and the question or gate that says so, where there is a row of it."""

    case: Case
    blocker: Blocker
    row: QuestionRow | ApprovalRow | None = None

    @property
    def kind(self) -> Literal["ASK", "APPROVE"]:
        """Whether it wants an answer, or a yes or no."""
        return "ASK" if self.blocker.kind == "waiting-human" else "APPROVE"


class Request(Finding):
    """One thing that waits for a person."""

    source: str = described("engine of the run: smithers, journal")
    run_id: str
    workflow: str | None
    kind: str = described("gate, or the kind of a question: ask, confirm, select, json")
    node_id: str
    iteration: int = 0
    request_id: str | None = described("id of a question; none of a gate", default=None)
    prompt: str
    summary: str = described("why it is asked", default="")
    options: Any = described("what can be chosen", default=None)
    answer_schema: Any = described("JSON Schema of the answer to a question", default=None)
    requested_at: int | None = described("epoch milliseconds", default=None)
    waited_ms: int | None = described("how long it has been waiting", default=None)
    consequences: tuple[str, ...] = described("what follows from each answer", default=())
    commands: tuple[str, ...] = described("commands that decide it, in the engine's own command line", default=())
    then: tuple[str, ...] = described("commands that the run needs after any of them", default=())
    details: dict[str, Any] = described("what a gate is about, name to value", default_factory=dict)
    digest: str | None = described("fingerprint of what is asked, which a decision is bound to; our own runs", default=None)
    earlier: dict[str, Any] | None = described("version decided before, with `said`, `by`, `at`; it no longer counts", default=None)
    changes: tuple[dict[str, Any], ...] = described("what differs from it: `name`, `before`, `now`", default=())
    folder: str = described("where the commands have to be run, as a sentence", default="")


def requests(source: Source, now: int) -> list[Request]:
    """List what waits for a person in a store, oldest first; what belongs to a run that is over is left out.

    Args:
        source: A store, or several of one place.
        now: Epoch milliseconds, for the ages.
    """
    runs = {run.run_id: run for run in source.rows(RunRow, only={"status": AllBut(TERMINAL_STATUSES - {SESSION_ASKS})})}
    asking = {
        *(gate.run_id for gate in source.rows(ApprovalRow, only={"status": ["requested"]})),
        *(question.run_id for question in source.rows(QuestionRow, only={"status": ["pending"]})),
        *(run.run_id for run in runs.values() if run.status in {_PARKED, SESSION_ASKS}),
    }
    waiting_runs = [runs[run_id] for run_id in asking & runs.keys()]
    return requests_of(Case(seen, now) for seen in snapshots(source, waiting_runs).values())


def requests_of(cases: Iterable[Case]) -> list[Request]:
    """List what these runs ask of people, oldest first."""
    found = [_request(asked) for case in cases for asked in asked_of(case)]
    return sorted(found, key=lambda item: (item.requested_at or 0, item.run_id, item.node_id))


def asked_of(case: Case) -> Iterator[OpenRequest]:
    """List the questions and gates of a run that wait for a person; none of a run that is over."""
    if case.snapshot.source.kind == _SESSIONS:
        yield from _of_session(case)
        return
    questions = {(question.node_id, question.iteration or 0): question for question in case.open_questions}
    gates = {(gate.node_id, max(gate.iteration, 0)): gate for gate in case.open_gates}
    for blocker in waiting.questions(case):
        yield OpenRequest(case, blocker, questions[blocker.node_id or "", blocker.iteration])
    for blocker in waiting.approvals(case):
        yield OpenRequest(case, blocker, gates.get((blocker.node_id or "", blocker.iteration)))


def _of_session(case: Case) -> Iterator[OpenRequest]:
    """List the question that an agent asked in its CLI; one of days ago was left, and an open permission prompt leaves no record."""
    since = case.last_activity or 0
    course = session_course(case.snapshot)
    if course is not None and health(case.snapshot, case.now)[0] == "blocked" and case.now - since <= _LEFT_MS:
        lines = course.advice.commands if course.advice else ()
        yield OpenRequest(case, Blocker(kind="waiting-human", since=since, reason=course.summary, commands=lines))


def _request(asked: OpenRequest) -> Request:
    if isinstance(asked.row, QuestionRow):
        return _question(asked.case, asked.blocker, asked.row)
    return _gate(asked.case, asked.blocker, asked.row)


def _question(case: Case, blocker: Blocker, row: QuestionRow) -> Request:
    until = f"; unanswered by {when(row.timeout_at)}, it expires" if row.timeout_at is not None else ""
    return Request(
        **_common(case, blocker),
        kind=row.kind,
        request_id=row.request_id,
        prompt=row.prompt or row.node_id,
        options=loads(row.options) if row.options else None,
        answer_schema=loads(row.schema) if row.schema else None,
        consequences=(f"Answer: the run continues with it{until}",),
    )


def _gate(case: Case, blocker: Blocker, row: ApprovalRow | None) -> Request:
    denied = DENIED.get(_on_deny(case, blocker), _UNKNOWN)
    consequences: tuple[str, ...] = ("Approve: the run continues", f"Deny: {denied}")
    if row is not None and asks_to_repeat(row):
        consequences = ("Approve: the side effect is repeated", "Deny: the task fails")
    elif blocker.kind == "waiting-human":
        consequences = ("Answer: the run continues with it",)
    return Request(
        **_common(case, blocker),
        kind="ask" if case.snapshot.source.kind == _SESSIONS else "gate",
        prompt=(row and row.title) or blocker.node_id or blocker.reason,
        summary=(row and row.summary) or ("" if row and row.title else blocker.reason),
        options=None if blocker.kind == "waiting-human" else ["approve", "deny"],
        consequences=consequences,
    )


def _common(case: Case, blocker: Blocker) -> dict[str, Any]:
    lines = (*blocker.choices, *blocker.commands, *blocker.alternatives)
    then = (case.resume(),) if case.engine.waits_for_resume else ()
    return {
        "source": case.snapshot.source.kind,
        "run_id": case.run.run_id,
        "workflow": case.run.workflow,
        "node_id": blocker.node_id or "",
        "iteration": blocker.iteration,
        "requested_at": blocker.since,
        "waited_ms": None if blocker.since is None else max(case.now - blocker.since, 0),
        "commands": tuple(line for line in dict.fromkeys(lines) if line not in then),
        "then": then,
        "folder": str(commands_folder(case.snapshot) or ""),
    }


def _on_deny(case: Case, blocker: Blocker) -> str:
    key = (blocker.node_id, blocker.iteration)
    props = next((task.props for task in case.snapshot.tasks if (task.node_id, task.iteration) == key), None)
    return str(as_object(props).get("approvalOnDeny") or "")
