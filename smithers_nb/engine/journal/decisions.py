"""Approvals and questions: what people are asked and what they decide, each decided once.

Asking parks a run. A decision is a compare-and-set that records who, when and the comment; the second of two people who decide the same
gate is told what the first decided. Nothing here decides by itself, and no timeout does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal import requests
from smithers_nb.engine.journal.records import Node, append_event, as_json, set_node, write_output
from smithers_nb.engine.journal.requests import Earlier, Request, differences, in_words
from smithers_nb.engine.journal.schema import approvals, nodes, outputs, questions, runs
from smithers_nb.errors import ControlRefused
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES


class Decision(NamedTuple):
    """A person's decision at a gate.

    Attributes:
        decided_at: Epoch milliseconds.
    """

    approved: bool
    note: str | None
    decided_by: str
    decided_at: int


class Answer(NamedTuple):
    """A person's answer to a question; `value` is JSON."""

    value: Any
    answered_by: str
    answered_at: int


def request_approval(  # noqa: PLR0913  # a request is what it is
    connection: sa.Connection,
    node: Node,
    *,
    title: str,
    summary: str = "",
    details: Mapping[str, Any] | None = None,
    volatile: Sequence[str] = (),
    on_deny: str | None = None,
) -> Decision | None:
    """Return the decision on exactly this request; otherwise ask for one and return None.

    Repeating the same request changes nothing. An open request is updated to its newest text; if another version of it was decided, it is
    asked again, and the old decision is kept as history.
    """
    request = Request.of({"title": title, "summary": summary, "details": dict(details or {})}, volatile)
    row = _approval(connection, node)
    decision = _decision(row)
    before = None if row is None else requests.read(connection, node) or _request_from(row)
    if decision is not None and before is not None and before.digest == request.digest:
        return decision
    said = None if decision is None else ("approved" if decision.approved else "denied", *decision[2:], decision.note)
    request, why = _versioned(before, request, said)
    rest = {} if on_deny is None else {"onDeny": on_deny}
    values = {"status": "requested", "request_json": as_json({"mode": "decision", **request.asked, **rest})}
    if row is None:
        connection.execute(approvals.insert().values(**node._asdict(), requested_at_ms=now_ms(), **values))
    elif why:
        undecided = {"note": None, "decided_by": None, "decided_at_ms": None, "decision_json": None, "requested_at_ms": now_ms()}
        connection.execute(approvals.update().where(*node.key(approvals)).values(values | undecided))
    elif request != before:
        connection.execute(approvals.update().where(*node.key(approvals)).values(values))
    _ask(connection, node, "waiting-approval", before=before, request=request, label=title)
    if row is None or why:
        append_event(connection, node.run_id, "ApprovalRequested", node.about | why)
        append_event(connection, node.run_id, "NodeWaitingApproval", node.about)
    return None


def decision_of(connection: sa.Connection, node: Node) -> Decision | None:
    """Return the decision at a gate; None while it is undecided."""
    return _decision(_approval(connection, node))


def decide(  # noqa: PLR0913  # all but two are options by name
    connection: sa.Connection, node: Node, *, approved: bool, by: str, note: str | None = None, seen: str | None = None
) -> Decision:
    """Record a person's decision, in a transaction of `Journal.writing(run_id)`.

    Args:
        connection: The transaction.
        node: The gate.
        approved: The decision.
        by: Who decides.
        note: Comment recorded with the decision.
        seen: Digest of the version that the person saw, if known.

    Raises:
        ControlRefused: `NO_PENDING_APPROVALS` when nothing is asked there or the run has ended, `ALREADY_DECIDED` when somebody was
            first, `REQUEST_CHANGED` when the request has changed since.
    """
    row = _approval(connection, node)
    if row is None:
        raise ControlRefused(f"run {node.run_id} asks for no decision at {node.node_id!r}", code="NO_PENDING_APPROVALS")
    if row.status != "requested":
        raise ControlRefused(
            f"{node.node_id!r} of run {node.run_id} was {row.status} already by {row.decided_by}",
            code="ALREADY_DECIDED",
            hint="the first decision stands",
        )
    _refuse_when_over(connection, node.run_id)
    _refuse_when_changed(connection, node, seen)
    at, status = now_ms(), "approved" if approved else "denied"
    decided = as_json({"approved": approved, "note": note})
    values = {"status": status, "note": note, "decided_by": by, "decided_at_ms": at, "decision_json": decided}
    open_one = (*node.key(approvals), approvals.c.status == "requested")
    connection.execute(approvals.update().where(*open_one).values(values))
    set_node(connection, node, "finished")
    write_output(connection, node, "gate", {"approved": approved, "note": note, "decidedBy": by, "decidedAt": at})
    append_event(connection, node.run_id, "ApprovalGranted" if approved else "ApprovalDenied", node.about)
    return Decision(approved, note, by, at)


def request_answer(  # noqa: PLR0913  # a question is what it is
    connection: sa.Connection, node: Node, *, prompt: str, kind: str, schema: Mapping[str, Any] | None, options: list[str] | None = None
) -> str:
    """Ask a question and return its id, `human:RUN:NODE:ITERATION`; `answer_of` returns the answer.

    Repeating the same question changes nothing. An open question is updated to its newest text; if another version of it was answered, it
    is asked again, and the old answer is kept as history.
    """
    request_id = f"human:{node.run_id}:{node.node_id}:{node.iteration}"
    request = Request.of({"prompt": prompt, "schema": {} if options else dict(schema or {}), "options": options})
    row = _question(connection, request_id)
    before = None if row is None else requests.read(connection, node) or _request_from(row)
    is_answered = row is not None and row.status == "answered"
    if row is not None and before is not None and before.digest == request.digest:
        if not is_answered:
            _ask(connection, node, "waiting-event", before=before, request=before)
        return request_id
    said = (orjson.loads(row.response_json), row.answered_by or "", row.answered_at_ms or 0) if row is not None and is_answered else None
    request, why = _versioned(before, request, said)
    values = {
        "kind": kind,
        "status": "pending",
        "prompt": prompt,
        "schema_json": as_json(dict(schema)) if schema else None,
        "options_json": as_json(options) if options else None,
        "requested_at_ms": now_ms(),
        "response_json": None,
        "answered_at_ms": None,
        "answered_by": None,
    }
    if row is None:
        connection.execute(questions.insert().values(request_id=request_id, **node._asdict(), **values))
    else:
        connection.execute(questions.update().where(questions.c.request_id == request_id).values(values))
    _ask(connection, node, "waiting-event", before=before, request=request, label=prompt)
    append_event(connection, node.run_id, "HumanRequested", {**node.about, "requestId": request_id, **why})
    return request_id


def answer_of(connection: sa.Connection, request_id: str) -> Answer | None:
    """Return the answer to a question; None while there is none."""
    row = _question(connection, request_id)
    if row is None or row.status != "answered":
        return None
    return Answer(orjson.loads(row.response_json), row.answered_by or "", row.answered_at_ms or 0)


def answer(connection: sa.Connection, request_id: str, value: Any, *, by: str, seen: str | None = None) -> Answer:
    """Record a person's answer, in a transaction of `Journal.writing(run_id)`; the caller has validated it against the schema.

    Args:
        connection: The transaction.
        request_id: The question.
        value: The answer, as JSON.
        by: Who answers.
        seen: Digest of the version that the person saw, if known.

    Raises:
        ControlRefused: `NO_SUCH_QUESTION`, `ALREADY_ANSWERED`, `REQUEST_CHANGED`, or the run has ended.
    """
    row = _question(connection, request_id)
    if row is None:
        raise ControlRefused(f"there is no question {request_id}", code="NO_SUCH_QUESTION", hint="list them with `smithers-nb human inbox`")
    if row.status != "pending":
        raise ControlRefused(
            f"{request_id} was {row.status} already by {row.answered_by}", code="ALREADY_ANSWERED", hint="the first answer stands"
        )
    _refuse_when_over(connection, row.run_id)
    at, node = now_ms(), Node(row.run_id, row.node_id, row.iteration)
    _refuse_when_changed(connection, node, seen)
    values = {"status": "answered", "response_json": as_json(value), "answered_at_ms": at, "answered_by": by}
    connection.execute(questions.update().where(questions.c.request_id == request_id).values(values))
    set_node(connection, node, "finished")
    append_event(connection, node.run_id, "HumanAnswered", {**node.about, "requestId": request_id})
    return Answer(value, by, at)


def ask_again(connection: sa.Connection, request_id: str, *, prompt: str, why: str) -> str:
    """Withdraw an answer that cannot be used and ask again; return the new prompt, which says why."""
    row = connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).one()
    told = f"{prompt}\n(The answer of {row.answered_by} could not be used: {why})"
    values = {"status": "pending", "response_json": None, "answered_at_ms": None, "answered_by": None, "prompt": told}
    connection.execute(questions.update().where(questions.c.request_id == request_id).values(values))
    node = Node(row.run_id, row.node_id, row.iteration)
    set_node(connection, node, "waiting-event")
    append_event(connection, node.run_id, "HumanRequested", {**node.about, "requestId": request_id, "reason": why})
    return told


def asks(connection: sa.Connection, run_id: str, node_id: str | None = None) -> str | None:
    """Return what a run waits for: `waiting-approval` or `waiting-event`; None when it asks nothing.

    Args:
        connection: A connection of the journal.
        run_id: The run.
        node_id: Only requests of this node, including those decided meanwhile.
    """
    for table, open_one, status in ((approvals, "requested", "waiting-approval"), (questions, "pending", "waiting-event")):
        which = table.c.status == open_one if node_id is None else table.c.node_id == node_id
        if connection.execute(sa.select(table.c.run_id).where(table.c.run_id == run_id, which).limit(1)).first():
            return status
    return None


def waits(connection: sa.Connection, node: Node) -> bool:
    """Return whether a gate or a question is still open."""
    of_gate = sa.select(approvals.c.run_id).where(*node.key(approvals), approvals.c.status == "requested")
    of_question = sa.select(questions.c.run_id).where(*node.key(questions), questions.c.status == "pending")
    return connection.execute(of_gate.union_all(of_question)).first() is not None


def close_requests(connection: sa.Connection, run_id: str) -> None:
    """Cancel the waiting nodes of a run that has ended; a later execution asks again."""
    waiting = (nodes.c.run_id == run_id, nodes.c.state.in_(("waiting-approval", "waiting-event")))
    for row in connection.execute(sa.select(nodes.c.node_id, nodes.c.iteration).where(*waiting)).all():
        node = Node(run_id, row.node_id, row.iteration)
        set_node(connection, node, "cancelled")
        append_event(connection, run_id, "NodeCancelled", {**node.about, "reason": "the run ended before anybody decided"})


def _ask(  # noqa: PLR0913  # all but three are options by name
    connection: sa.Connection, node: Node, state: str, *, before: Request | None, request: Request, label: str | None = None
) -> None:
    """Store what is asked now, and set the node to waiting, whatever state an earlier execution left it in."""
    if request != before:
        requests.write(connection, node, request)
    current = connection.execute(sa.select(nodes.c.state).where(*node.key(nodes))).scalar()
    if request != before or current != state:
        set_node(connection, node, state, label=label)
        connection.execute(outputs.delete().where(*node.key(outputs)))


def _versioned(before: Request | None, now: Request, said: tuple[Any, ...] | None) -> tuple[Request, dict[str, Any]]:
    """Return a request with its earlier versions, and the reason for asking again; empty when nothing bound has changed."""
    if before is None:
        return now, {}
    if before.digest == now.digest:
        return now._replace(earlier=before.earlier), {}
    old = () if said is None else (Earlier(before.asked, *said),)
    why = {"reason": f"it asks something else now: {in_words(differences(before.asked, now.asked))}"}
    return now._replace(earlier=(*before.earlier, *old)), why | ({"withdrawn": old[0]._asdict()} if old else {})


def _request_from(row: sa.Row[Any]) -> Request:
    """Rebuild the request from a row written by a version of this package without a requests table."""
    if "request_json" in row._fields:
        asked = orjson.loads(row.request_json or "{}")
        return Request.of({"title": asked.get("title"), "summary": asked.get("summary"), "details": asked.get("details") or {}})
    schema, options = (orjson.loads(text) if text else None for text in (row.schema_json, row.options_json))
    return Request.of({"prompt": row.prompt, "schema": {} if options else schema, "options": options})


def _refuse_when_changed(connection: sa.Connection, node: Node, seen: str | None) -> None:
    if seen is None:
        return
    now = requests.read(connection, node)
    if now is not None and now.digest != seen:
        raise ControlRefused(
            f"{node.node_id!r} of run {node.run_id} asks something else now, so nothing was decided",
            code="REQUEST_CHANGED",
            hint=f"read it again: smithers-nb human inbox {node.run_id}",
        )


def _decision(row: sa.Row[Any] | None) -> Decision | None:
    if row is None or row.status not in ("approved", "denied"):
        return None
    return Decision(row.status == "approved", row.note, row.decided_by or "", row.decided_at_ms or 0)


def _question(connection: sa.Connection, request_id: str) -> sa.Row[Any] | None:
    return connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).first()


def _approval(connection: sa.Connection, node: Node) -> sa.Row[Any] | None:
    return connection.execute(sa.select(approvals).where(*node.key(approvals))).first()


def _refuse_when_over(connection: sa.Connection, run_id: str) -> None:
    status = connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id)).scalar()
    if status in TERMINAL_STATUSES:
        raise ControlRefused(f"run {run_id} is over ({status}): a decision would change nothing", code="NO_PENDING_APPROVALS")
