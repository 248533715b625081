"""What a parked run waits for, and who or what ends the wait: a person, an event, a time, a provider's limit.

Each finder gets a case and yields blockers; `blockers` puts them together. A person's gate is only ever described here:
no finder decides one, and a printed answer holds places to fill in that the CLI refuses as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.conditions import Case, asks_to_repeat
from smithers_nb.diagnosis.state.progress import quota_resets_at
from smithers_nb.diagnosis.state.signals import delivered, waiting_properties
from smithers_nb.diagnosis.text.quotes import of_gate, of_node, of_run, quoted
from smithers_nb.model.timestamps import span, when
from smithers_nb.model.verdict import Blocker
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import as_object, as_texts

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, NodeRow, QuestionRow

_CHOICES: Final = {"select": "; choose one, then resume", "rank": "; put the keys into your order, then resume"}
_EDITED: Final = "RESUME_METADATA_MISMATCH"
_BOUND: Final = {"bound-stale": "a verified row it relies on was changed", "waiting-bound": "a row it must rely on has not been produced"}


def questions(case: Case) -> Iterator[Blocker]:
    """Questions that a person must answer; never called approvals, although the engine keeps a gate for each."""
    for question in case.open_questions:
        expired = question.timeout_at is not None and question.timeout_at <= case.now
        until = question.timeout_at
        limit = "" if until is None else f"; its time ran out at {when(until)}" if expired else f"; until {when(until)}"
        yield Blocker(
            kind="waiting-human",
            node_id=question.node_id,
            iteration=question.iteration or 0,
            since=question.requested_at,
            until=until,
            reason=f"a person must answer: {short_line(question.prompt)}{limit} (fill in {_filling(question)}{_then(case)})",
            commands=(case.engine.answer(question.request_id, _blank(question)), *_resumed(case)),
            evidence=(quoted(f"question:{question.request_id}", question.prompt or question.status),),
        )


def approvals(case: Case) -> Iterator[Blocker]:
    """Gates that a person must decide."""
    asked_elsewhere = {(q.node_id, q.iteration) for q in case.snapshot.questions}
    gates = {(gate.node_id, max(gate.iteration, 0)): gate for gate in case.snapshot.approvals}
    for key, gate in gates.items():
        if gate.status == "requested" and gate.actionable is not False and not (gate.for_question and key in asked_elsewhere):
            yield _gate(case, gate)
    for node in case.snapshot.nodes:
        if node.state == "waiting-approval" and (node.node_id, node.iteration) not in {*gates, *asked_elsewhere, *_cells(case)}:
            yield _gate_without_row(case, node)


def unasked_approvals(case: Case) -> Iterator[Blocker]:
    """Gates beside a pending one that Smithers asks for only when that one has been decided."""
    pending = case.open_gates
    done = {node.node_id for node in case.snapshot.nodes if node.state in {"finished", "skipped"}}
    known = {gate.node_id for gate in case.snapshot.approvals} | {node.node_id for node in case.snapshot.nodes}
    for task in case.snapshot.tasks if pending and case.run.status == "waiting-approval" else ():
        if task.kind == "approval" and task.node_id not in known and set(as_texts(task.depends_on)) <= done:
            yield Blocker(
                kind="approval-not-yet-requested",
                node_id=task.node_id,
                iteration=task.iteration,
                reason=f"this gate is asked for only after {pending[0].node_id} has been decided; Smithers asks one at a time",
                evidence=(of_gate(pending[0]),),
            )


def events(case: Case) -> Iterator[Blocker]:
    """Signals that somebody or something must send."""
    questions_and_cells = {(question.node_id, question.iteration) for question in case.snapshot.questions} | _cells(case)
    for node in () if case.engine.wakes_itself else case.snapshot.nodes:
        if node.state != "waiting-event" or (node.node_id, node.iteration) in questions_and_cells or delivered(case.snapshot, node):
            continue
        props = waiting_properties(case.snapshot, node)
        name, correlation = str(props.get("event") or "SIGNAL_NAME"), props.get("correlationId")
        limit = str(props.get("timeoutMs"))
        until = node.updated_at + int(limit) if node.updated_at is not None and limit.isdecimal() else None
        then = (
            f"; {'timed out' if until <= case.now else 'times out'} at {when(until)}, then: {props.get('onTimeout', 'fail')}"
            if until
            else ""
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
                case.engine.signal(case.run.run_id, name, str(correlation) if correlation else None),
                case.resume(),
            ),
            evidence=(of_node(node),),
        )


def timers(case: Case) -> Iterator[Blocker]:
    """Timers, due or overdue; a parked run goes on by itself only under a supervisor."""
    for node, due in () if case.engine.wakes_itself else case.timers:
        if due is None:
            reason = "waits for a timer whose time is not recorded"
        elif case.is_overdue(due):
            reason = f"the timer is overdue by {span(case.now - due)} (it was due {when(due)}); resume the run"
        else:
            reason = f"the timer fires at {when(due)}, in {span(due - case.now)}; resume the run then, unless a supervisor does"
        yield Blocker(
            kind="waiting-timer",
            node_id=node.node_id,
            iteration=node.iteration,
            since=node.updated_at,
            until=due,
            reason=reason,
            commands=(case.resume(),),
            evidence=(of_node(node),),
        )


def quota(case: Case) -> Iterator[Blocker]:
    """A provider's limit that is used up."""
    run = case.run
    if run.status != "waiting-quota":
        return
    reset = quota_resets_at(case.snapshot)
    then = "resume when the provider allows it again"
    if reset is not None:
        then = (
            f"it resets at {when(reset)}, in {span(reset - case.now)}"
            if reset > case.now
            else f"it was reset at {when(reset)}; resume the run"
        )
    blocked = as_object(run.error).get("blocked")
    first: Any = blocked[0] if isinstance(blocked, list) and blocked else {}
    node_id = first.get("nodeId") if isinstance(first, dict) else None
    yield Blocker(
        kind="waiting-quota",
        node_id=node_id if isinstance(node_id, str) else None,
        since=_parked_at(case),
        until=reset,
        reason=f"the provider's limit is used up; {then}. No retries were used.",
        commands=(case.resume(),),
        evidence=(of_run(run),),
    )


def paused(case: Case) -> Iterator[Blocker]:
    """A person's pause, or that of an engine which may not go on with an edited workflow."""
    if case.run.status == "paused" and case.run.error_code == _EDITED:
        edit = short_line(clean_message(case.run.error_message or "the workflow was edited"))
        yield Blocker(
            kind="workflow-changed",
            since=_parked_at(case),
            reason=f"{edit}; restore the old text, or continue with the new one if what is finished may stay as it is",
            commands=(case.engine.accepting_change(case.resume()),),
            evidence=(of_run(case.run, case.run.error_message),),
        )
    elif case.run.status == "paused":
        yield Blocker(
            kind="paused",
            since=_parked_at(case),
            reason="paused by a person; what was running then has finished",
            commands=(case.resume(),),
            evidence=(of_run(case.run),),
        )


def decided(case: Case) -> Iterator[Blocker]:
    """A run that could go on: what it was parked for has come, but nobody resumed it. Reported once, however many tasks are pending."""
    if not case.needs_resume:
        return
    gates = [gate for gate in case.snapshot.approvals if gate.status in {"approved", "denied"}]
    gate = max(gates, key=lambda gate: gate.decided_at or 0, default=None)
    signals = [signal for node in case.snapshot.nodes if (signal := delivered(case.snapshot, node))]
    if signals:
        gate, kind = None, "resume-required"
        event = f"the signal {signals[-1].signal_name} has come{f' from {signals[-1].received_by}' if signals[-1].received_by else ''}"
    elif gate is None:
        kind, event = "resume-required", "what it waited for has arrived"
    else:
        kind = "approval-decided-resume-required"
        event = f"{gate.node_id} was {gate.status} by {gate.decided_by or 'somebody'}"
    yield Blocker(
        kind=kind,
        node_id=gate.node_id if gate else None,
        iteration=gate.iteration if gate else 0,
        since=gate.decided_at if gate and gate.decided_at is not None else _parked_at(case),
        reason=f"{event}; the run is parked and {_goes_on(case)}",
        commands=(case.resume(),),
        evidence=(of_gate(gate),) if gate else (),
    )


def bound(case: Case) -> Iterator[Blocker]:
    """Tasks parked because a row that they are bound to is missing or changed."""
    for node in case.snapshot.nodes:
        if node.state in _BOUND:
            yield Blocker(
                kind="bound-stale" if node.state == "bound-stale" else "binding-missing",
                node_id=node.node_id,
                iteration=node.iteration,
                since=node.updated_at,
                reason=f"{_BOUND[node.state]}; produce that row, then resume",
                commands=(case.resume(),),
                evidence=(of_node(node),),
            )


def _gate(case: Case, gate: ApprovalRow) -> Blocker:
    run_id, cli = case.run.run_id, case.engine
    choices = _choices(case, gate)
    return Blocker(
        kind="waiting-human" if gate.for_question else "waiting-approval",
        node_id=gate.node_id,
        iteration=max(gate.iteration, 0),
        since=gate.requested_at,
        reason=_asked(case, gate),
        choices=choices,
        commands=(*(() if choices else (cli.approve(run_id, gate.node_id, gate.iteration),)), *_resumed(case)),
        alternatives=(cli.deny(run_id, gate.node_id, gate.iteration), *_resumed(case)),
        evidence=(of_gate(gate, gate.title),),
    )


def _asked(case: Case, gate: ApprovalRow) -> str:
    """Return what a gate asks, and what follows from an answer where that is not obvious."""
    waited = f", asked {span(case.now - gate.requested_at)} ago" if gate.requested_at is not None else ""
    if gate.for_question:
        return f"a person must answer {gate.node_id}; its question is not recorded{waited}"
    if asks_to_repeat(gate):
        failed = case.last_failed(gate)
        error = f": {short_line(clean_message(failed.error_message))}" if failed and failed.error_message else ""
        return (
            f"a person must decide whether {gate.node_id} may repeat its side effect{waited}. It had begun it and failed{error}. "
            "Check first whether it happened: approving repeats it, denying fails the task"
        )
    about = f": {short_line(gate.summary)}" if gate.summary else ""
    how = _CHOICES.get(gate.mode or "", "")
    return f"a person must decide “{short_line(gate.title or gate.node_id)}”{about}{waited}{how}"


def _gate_without_row(case: Case, node: NodeRow) -> Blocker:
    run_id, cli = case.run.run_id, case.engine
    return Blocker(
        kind="waiting-approval",
        node_id=node.node_id,
        iteration=node.iteration,
        since=node.updated_at,
        reason="a person must decide; the question is not recorded",
        commands=(cli.approve(run_id, node.node_id, node.iteration), *_resumed(case)),
        alternatives=(cli.deny(run_id, node.node_id, node.iteration), *_resumed(case)),
        evidence=(of_node(node),),
    )


def _choices(case: Case, gate: ApprovalRow) -> tuple[str, ...]:
    """Print each possible choice of a gate; the only order that is known of a ranking is the author's."""
    if gate.mode not in _CHOICES:
        return ()
    for event in reversed(case.snapshot.events):
        if event.type == "ApprovalRequested" and (event.node_id, event.iteration or 0) == (gate.node_id, gate.iteration):
            request = as_object(event.payload).get("request")
            options = request.get("options") if isinstance(request, dict) else None
            keys = [option["key"] for option in options or () if isinstance(option, dict) and isinstance(option.get("key"), str)]
            picks: list[dict[str, Any]] = [{"selected": key} for key in keys] if gate.mode == "select" else [{"ranked": keys}]
            return tuple(case.engine.choose(case.run.run_id, gate.node_id, gate.iteration, pick) for pick in picks)
    unknown = {"selected" if gate.mode == "select" else "ranked": FILL_IN}
    return (case.engine.choose(case.run.run_id, gate.node_id, gate.iteration, unknown),)


def _blank(question: QuestionRow) -> str:
    """Write the shape of an answer with places to fill in, so that nothing is answered by pasting it."""
    properties = as_object(question.schema).get("properties")
    if not isinstance(properties, dict) or not properties:
        return FILL_IN
    return "{" + ", ".join(f"{orjson.dumps(str(name)).decode()}: {FILL_IN}" for name in properties) + "}"


def _filling(question: QuestionRow) -> str:
    """Return what to fill in: one of the choices, where there are some."""
    choices = as_texts(question.options)
    return f"one of {short_line(', '.join(choices))}" if choices else "the value"


def _parked_at(case: Case) -> int | None:
    for event in reversed(case.snapshot.events):
        if event.type == "RunStatusChanged" and as_object(event.payload).get("status") == case.run.status:
            return event.at
    return max((node.updated_at for node in case.snapshot.nodes if node.updated_at is not None), default=case.run.started_at)


def _resumed(case: Case) -> tuple[str, ...]:
    """Return the resume that a run needs after a decision; none where it continues by itself."""
    return (case.resume(),) if case.engine.waits_for_resume else ()


def _then(case: Case) -> str:
    return ", then resume" if case.engine.waits_for_resume else ""


def _goes_on(case: Case) -> str:
    return "must be resumed" if case.engine.waits_for_resume else "continues as soon as a worker takes it; resume it if none does"


def _cells(case: Case) -> set[tuple[str, int]]:
    """Return the cells of a notebook: one in which a gate or a question waits is marked as waiting too."""
    return {(attempt.node_id, attempt.iteration) for attempt in case.snapshot.attempts if attempt.kind == "cell"}
