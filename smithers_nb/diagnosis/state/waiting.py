"""What a parked run waits for, and who or what ends the wait: a person, an event, a time, a provider's limit.

Each finder gets a run and `now` and yields blockers; `blockers` puts them together. A person's gate is only ever described here:
no finder decides one, and a printed answer holds places to fill in that the CLI refuses as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.engines.base import FILL_IN, engine_of
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.progress import HEARTBEAT_STALE_MS, asks_to_repeat, fires_at, last_failed, needs_resume, quota_resets_at
from smithers_nb.diagnosis.text.durations import clock, cut, span
from smithers_nb.model.verdict import Blocker, Evidence
from smithers_nb.sources.stores.json_text import as_object, as_texts

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, NodeRow, QuestionRow
    from smithers_nb.sources.snapshot import Snapshot

_CHOICES: Final = {"select": "; choose one, then resume", "rank": "; put the keys into your order, then resume"}
_EDITED: Final = "RESUME_METADATA_MISMATCH"
_BOUND: Final = {"bound-stale": "a proved row it relies on was changed", "waiting-bound": "a row it must rely on has not been produced"}


def questions(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Questions that a person must answer; never called approvals, although the engine keeps a gate for each."""
    for question in snapshot.questions:
        if question.status != "pending":
            continue
        expired = question.timeout_at is not None and question.timeout_at <= now
        until = question.timeout_at
        limit = "" if until is None else f"; its time ran out at {clock(until)}" if expired else f"; until {clock(until)}"
        yield Blocker(
            kind="waiting-human",
            node_id=question.node_id,
            iteration=question.iteration or 0,
            since=question.requested_at,
            until=until,
            reason=f"a person must answer: {cut(question.prompt)}{limit} (fill in {_filling(question)}{_then(snapshot)})",
            commands=(engine_of(snapshot).answer(question.request_id, _blank(question)), *_resumed(snapshot)),
            evidence=(Evidence(ref=f"question:{question.request_id}", quote=(question.prompt or question.status)[:400]),),
        )


def approvals(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Gates that a person must decide."""
    asked_elsewhere = {(q.node_id, q.iteration) for q in snapshot.questions}
    gates = {(gate.node_id, max(gate.iteration, 0)): gate for gate in snapshot.approvals}
    for key, gate in gates.items():
        if gate.status == "requested" and gate.actionable is not False and not (gate.for_question and key in asked_elsewhere):
            yield _gate(snapshot, gate, now)
    for node in snapshot.nodes:
        if node.state == "waiting-approval" and (node.node_id, node.iteration) not in {*gates, *asked_elsewhere, *_cells(snapshot)}:
            yield _gate_without_row(snapshot, node)


def unasked_approvals(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Gates beside a pending one that Smithers asks for only when that one has been decided."""
    del now
    pending = [gate for gate in snapshot.approvals if gate.status == "requested"]
    done = {node.node_id for node in snapshot.nodes if node.state in {"finished", "skipped"}}
    known = {gate.node_id for gate in snapshot.approvals} | {node.node_id for node in snapshot.nodes}
    for task in snapshot.tasks if pending and snapshot.run.status == "waiting-approval" else ():
        if task.kind == "approval" and task.node_id not in known and set(as_texts(task.depends_on)) <= done:
            yield Blocker(
                kind="approval-not-yet-requested",
                node_id=task.node_id,
                iteration=task.iteration,
                reason=f"this gate is asked for only after {pending[0].node_id} has been decided; Smithers asks one at a time",
                evidence=(Evidence(ref=_ref("approval", pending[0]), quote=pending[0].status),),
            )


def events(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Signals that somebody or something must send."""
    questions_and_cells = {(question.node_id, question.iteration) for question in snapshot.questions} | _cells(snapshot)
    for node in () if engine_of(snapshot).wakes_itself else snapshot.nodes:
        if node.state != "waiting-event" or (node.node_id, node.iteration) in questions_and_cells:
            continue
        props = _props(snapshot, node)
        name, correlation = str(props.get("event") or "SIGNAL_NAME"), props.get("correlationId")
        limit = str(props.get("timeoutMs"))
        until = node.updated_at + int(limit) if node.updated_at is not None and limit.isdecimal() else None
        then = (
            f"; {'timed out' if until <= now else 'times out'} at {clock(until)}, then: {props.get('onTimeout', 'fail')}" if until else ""
        )
        about = f" about {correlation}" if correlation else ""
        yield Blocker(
            kind="waiting-event",
            node_id=node.node_id,
            iteration=node.iteration,
            since=node.updated_at,
            until=until,
            reason=f"waits for the signal {name}{about}{then} (fill in the data that the workflow expects; other data fails the run)",
            commands=(
                engine_of(snapshot).signal(snapshot.run.run_id, name, str(correlation) if correlation else None),
                _resume(snapshot),
            ),
            evidence=(Evidence(ref=_ref("node", node), quote=node.state),),
        )


def timers(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Timers, due or overdue; a parked run goes on by itself only under a supervisor."""
    for node in snapshot.nodes:
        if node.state != "waiting-timer" or engine_of(snapshot).wakes_itself:
            continue
        due = fires_at(snapshot, node)
        if due is None:
            reason = "waits for a timer whose time the store does not say"
        elif now - due > HEARTBEAT_STALE_MS:
            reason = f"the timer is overdue by {span(now - due)} (it was due {clock(due)}); resume the run"
        else:
            reason = f"the timer fires at {clock(due)}, in {span(due - now)}; resume the run then, unless a supervisor does"
        yield Blocker(
            kind="waiting-timer",
            node_id=node.node_id,
            iteration=node.iteration,
            since=node.updated_at,
            until=due,
            reason=reason,
            commands=(_resume(snapshot),),
            evidence=(Evidence(ref=_ref("node", node), quote=node.state),),
        )


def quota(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A provider's limit that is used up."""
    run = snapshot.run
    if run.status != "waiting-quota":
        return
    reset = quota_resets_at(snapshot)
    when = "resume when the provider allows it again"
    if reset is not None:
        when = f"it resets at {clock(reset)}, in {span(reset - now)}" if reset > now else f"it was reset at {clock(reset)}; resume the run"
    blocked = as_object(run.error).get("blocked")
    first: Any = blocked[0] if isinstance(blocked, list) and blocked else {}
    node_id = first.get("nodeId") if isinstance(first, dict) else None
    yield Blocker(
        kind="waiting-quota",
        node_id=node_id if isinstance(node_id, str) else None,
        since=_parked_at(snapshot),
        until=reset,
        reason=f"a provider's limit is used up; {when}. No retries were spent.",
        commands=(_resume(snapshot),),
        evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
    )


def paused(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A person's pause, or that of an engine which may not go on with an edited workflow."""
    del now
    if snapshot.run.status == "paused" and snapshot.run.error_code == _EDITED:
        said = cut(clean_message(snapshot.run.error_message or "the workflow was edited"))
        yield Blocker(
            kind="workflow-changed",
            since=_parked_at(snapshot),
            reason=f"{said}; put the old text back, or go on with the new one and answer for that what is finished may stand as it is",
            commands=(engine_of(snapshot).accepting_change(_resume(snapshot)),),
            evidence=(Evidence(ref=f"run:{snapshot.run.run_id}", quote=(snapshot.run.error_message or "paused")[:400]),),
        )
    elif snapshot.run.status == "paused":
        yield Blocker(
            kind="paused",
            since=_parked_at(snapshot),
            reason="a person paused the run; what was running then has finished",
            commands=(_resume(snapshot),),
            evidence=(Evidence(ref=f"run:{snapshot.run.run_id}", quote="paused"),),
        )


def decided(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A run that could go on: what it was parked for has come, but nobody resumed it. Said once, however many tasks are pending."""
    del now
    if not needs_resume(snapshot):
        return
    gates = [gate for gate in snapshot.approvals if gate.status in {"approved", "denied"}]
    gate = max(gates, key=lambda gate: gate.decided_at or 0, default=None)
    if gate is None:
        kind, said = "resume-required", "what it waited for has come"
    else:
        kind = "approval-decided-resume-required"
        said = f"{gate.node_id} was {gate.status} by {gate.decided_by or 'somebody'}"
    yield Blocker(
        kind=kind,
        node_id=gate.node_id if gate else None,
        iteration=gate.iteration if gate else 0,
        since=gate.decided_at if gate and gate.decided_at is not None else _parked_at(snapshot),
        reason=f"{said}; the run is parked and {_goes_on(snapshot)}",
        commands=(_resume(snapshot),),
        evidence=(Evidence(ref=_ref("approval", gate), quote=gate.status),) if gate else (),
    )


def bound(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Tasks parked because a row that they are bound to is missing or changed."""
    del now
    for node in snapshot.nodes:
        if node.state in _BOUND:
            yield Blocker(
                kind="bound-stale" if node.state == "bound-stale" else "binding-missing",
                node_id=node.node_id,
                iteration=node.iteration,
                since=node.updated_at,
                reason=f"{_BOUND[node.state]}; produce that row, then resume",
                commands=(_resume(snapshot),),
                evidence=(Evidence(ref=_ref("node", node), quote=node.state),),
            )


def _gate(snapshot: Snapshot, gate: ApprovalRow, now: int) -> Blocker:
    run_id, cli = snapshot.run.run_id, engine_of(snapshot)
    choices = _choices(snapshot, gate)
    return Blocker(
        kind="waiting-human" if gate.for_question else "waiting-approval",
        node_id=gate.node_id,
        iteration=max(gate.iteration, 0),
        since=gate.requested_at,
        reason=_asked(snapshot, gate, now),
        choices=choices,
        commands=(*(() if choices else (cli.approve(run_id, gate.node_id, gate.iteration),)), *_resumed(snapshot)),
        alternatives=(cli.deny(run_id, gate.node_id, gate.iteration), *_resumed(snapshot)),
        evidence=(Evidence(ref=_ref("approval", gate), quote=(gate.title or gate.status)[:400]),),
    )


def _asked(snapshot: Snapshot, gate: ApprovalRow, now: int) -> str:
    """Say what a gate asks, and what an answer brings about where that is not plain."""
    waited = f", asked {span(now - gate.requested_at)} ago" if gate.requested_at is not None else ""
    if gate.for_question:
        return f"a person must answer {gate.node_id}; its question is not in the store{waited}"
    if asks_to_repeat(gate):
        failed = last_failed(snapshot, gate.node_id, max(gate.iteration, 0))
        said = f": {cut(clean_message(failed.error_message))}" if failed and failed.error_message else ""
        return (
            f"a person must decide whether {gate.node_id} may do its side effect again{waited}. It had begun it and failed{said}. "
            "Look first whether it happened: approving repeats it, denying fails the task"
        )
    about = f": {cut(gate.summary)}" if gate.summary else ""
    how = _CHOICES.get(gate.mode or "", "")
    return f"a person must decide “{cut(gate.title or gate.node_id)}”{about}{waited}{how}"


def _gate_without_row(snapshot: Snapshot, node: NodeRow) -> Blocker:
    run_id, cli = snapshot.run.run_id, engine_of(snapshot)
    return Blocker(
        kind="waiting-approval",
        node_id=node.node_id,
        iteration=node.iteration,
        since=node.updated_at,
        reason="a person must decide; what is asked is not in the store",
        commands=(cli.approve(run_id, node.node_id, node.iteration), *_resumed(snapshot)),
        alternatives=(cli.deny(run_id, node.node_id, node.iteration), *_resumed(snapshot)),
        evidence=(Evidence(ref=_ref("node", node), quote=node.state),),
    )


def _choices(snapshot: Snapshot, gate: ApprovalRow) -> tuple[str, ...]:
    """Print each possible choice of a gate; the only order that is known of a ranking is the author's."""
    if gate.mode not in _CHOICES:
        return ()
    for event in reversed(snapshot.events):
        if event.type == "ApprovalRequested" and (event.node_id, event.iteration or 0) == (gate.node_id, gate.iteration):
            request = as_object(event.payload).get("request")
            options = request.get("options") if isinstance(request, dict) else None
            keys = [option["key"] for option in options or () if isinstance(option, dict) and isinstance(option.get("key"), str)]
            picks: list[dict[str, Any]] = [{"selected": key} for key in keys] if gate.mode == "select" else [{"ranked": keys}]
            return tuple(engine_of(snapshot).choose(snapshot.run.run_id, gate.node_id, gate.iteration, pick) for pick in picks)
    unknown = {"selected" if gate.mode == "select" else "ranked": FILL_IN}
    return (engine_of(snapshot).choose(snapshot.run.run_id, gate.node_id, gate.iteration, unknown),)


def _blank(question: QuestionRow) -> str:
    """Write the shape of an answer with places to fill in, so that nothing is answered by pasting it."""
    properties = as_object(question.schema).get("properties")
    if not isinstance(properties, dict) or not properties:
        return FILL_IN
    return "{" + ", ".join(f"{orjson.dumps(str(name)).decode()}: {FILL_IN}" for name in properties) + "}"


def _filling(question: QuestionRow) -> str:
    """Say what is to be filled in: one of the choices, where there are some."""
    choices = as_texts(question.options)
    return f"one of {cut(', '.join(choices))}" if choices else "the value"


def _props(snapshot: Snapshot, node: NodeRow) -> dict[str, Any]:
    for task in snapshot.tasks:
        if (task.node_id, task.iteration) == (node.node_id, node.iteration):
            return as_object(task.props)
    return {}


def _parked_at(snapshot: Snapshot) -> int | None:
    for event in reversed(snapshot.events):
        if event.type == "RunStatusChanged" and as_object(event.payload).get("status") == snapshot.run.status:
            return event.at
    return max((node.updated_at for node in snapshot.nodes if node.updated_at is not None), default=snapshot.run.started_at)


def _resume(snapshot: Snapshot) -> str:
    return engine_of(snapshot).resume(snapshot.run.workflow_path, snapshot.run.run_id)


def _resumed(snapshot: Snapshot) -> tuple[str, ...]:
    """Give the resume that a run needs after a person has spoken; none where it goes on by itself."""
    return (_resume(snapshot),) if engine_of(snapshot).waits_for_resume else ()


def _then(snapshot: Snapshot) -> str:
    return ", then resume" if engine_of(snapshot).waits_for_resume else ""


def _goes_on(snapshot: Snapshot) -> str:
    return "must be resumed" if engine_of(snapshot).waits_for_resume else "goes on as soon as a worker takes it; resume it if none does"


def _cells(snapshot: Snapshot) -> set[tuple[str, int]]:
    """Name the cells of a notebook: one in which a gate or a question waits is marked as waiting too."""
    return {(attempt.node_id, attempt.iteration) for attempt in snapshot.attempts if attempt.kind == "cell"}


def _ref(kind: str, row: ApprovalRow | NodeRow) -> str:
    return f"{kind}:{row.node_id}/{row.iteration}"
