"""What people are asked and what they say: approvals and questions, each decided once.

Asking parks a run; deciding is compare-and-set with who, when and in what words. The second of two people who decide one gate at
once is told what the first has decided. Nothing in here decides by itself, and neither does a timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import Node, append_event, as_json, set_node, write_output
from smithers_nb.engine.journal.schema import approvals, questions, runs
from smithers_nb.errors import ControlRefused
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES


class Decision(NamedTuple):
    """What a person decided at a gate.

    Attributes:
        decided_at: Epoch milliseconds.
    """

    approved: bool
    note: str | None
    decided_by: str
    decided_at: int


class Answer(NamedTuple):
    """What a person answered; `value` is JSON."""

    value: Any
    answered_by: str
    answered_at: int


def request_approval(
    connection: sa.Connection, node: Node, *, title: str, summary: str = "", details: Mapping[str, Any] | None = None
) -> None:
    """Ask for a decision; asking again changes nothing."""
    if decision_of(connection, node) is not None or _approval(connection, node) is not None:
        return
    request = as_json({"mode": "decision", "title": title, "summary": summary, **(details or {})})
    connection.execute(approvals.insert().values(**node._asdict(), status="requested", requested_at_ms=now_ms(), request_json=request))
    set_node(connection, node, "waiting-approval", label=title)
    append_event(connection, node.run_id, "ApprovalRequested", node.about)
    append_event(connection, node.run_id, "NodeWaitingApproval", node.about)


def decision_of(connection: sa.Connection, node: Node) -> Decision | None:
    """Read what was decided; None while nobody has."""
    row = _approval(connection, node)
    if row is None or row.status not in ("approved", "denied"):
        return None
    return Decision(row.status == "approved", row.note, row.decided_by or "", row.decided_at_ms or 0)


def decide(connection: sa.Connection, node: Node, *, approved: bool, by: str, note: str | None = None) -> Decision:
    """Write what a person decided, in a transaction of `Journal.writing(run_id)`.

    Raises:
        ControlRefused: `NO_PENDING_APPROVALS` when nothing is asked there or the run is over, `ALREADY_DECIDED` when somebody was first.
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
    """Ask a question and give its id, `human:RUN:NODE:ITERATION`; asking again changes nothing."""
    request_id = f"human:{node.run_id}:{node.node_id}:{node.iteration}"
    there = connection.execute(sa.select(questions.c.request_id).where(questions.c.request_id == request_id)).first()
    if there is None:
        row = {
            "request_id": request_id,
            **node._asdict(),
            "kind": kind,
            "status": "pending",
            "prompt": prompt,
            "schema_json": as_json(dict(schema)) if schema else None,
            "options_json": as_json(options) if options else None,
            "requested_at_ms": now_ms(),
        }
        connection.execute(questions.insert().values(row))
        set_node(connection, node, "waiting-event", label=prompt)
        append_event(connection, node.run_id, "HumanRequested", {**node.about, "requestId": request_id})
    return request_id


def answer_of(connection: sa.Connection, request_id: str) -> Answer | None:
    """Read the answer to a question; None while there is none."""
    row = connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).first()
    if row is None or row.status != "answered":
        return None
    return Answer(orjson.loads(row.response_json), row.answered_by or "", row.answered_at_ms or 0)


def answer(connection: sa.Connection, request_id: str, value: Any, *, by: str) -> Answer:
    """Write what a person answered, in a transaction of `Journal.writing(run_id)`; the caller has checked it against the schema.

    Raises:
        ControlRefused: `NO_SUCH_QUESTION`, `ALREADY_ANSWERED`, or the run is over.
    """
    row = connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).first()
    if row is None:
        raise ControlRefused(f"there is no question {request_id}", code="NO_SUCH_QUESTION", hint="list them with `smithers-nb human inbox`")
    if row.status != "pending":
        raise ControlRefused(
            f"{request_id} was {row.status} already by {row.answered_by}", code="ALREADY_ANSWERED", hint="the first answer stands"
        )
    _refuse_when_over(connection, row.run_id)
    at, node = now_ms(), Node(row.run_id, row.node_id, row.iteration)
    values = {"status": "answered", "response_json": as_json(value), "answered_at_ms": at, "answered_by": by}
    connection.execute(questions.update().where(questions.c.request_id == request_id).values(values))
    set_node(connection, node, "finished")
    append_event(connection, node.run_id, "HumanAnswered", {**node.about, "requestId": request_id})
    return Answer(value, by, at)


def ask_again(connection: sa.Connection, request_id: str, *, prompt: str, why: str) -> str:
    """Take back an answer that cannot be used, and give the prompt that says so; the run asks once more."""
    row = connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).one()
    told = f"{prompt}\n(The answer of {row.answered_by} could not be used: {why})"
    values = {"status": "pending", "response_json": None, "answered_at_ms": None, "answered_by": None, "prompt": told}
    connection.execute(questions.update().where(questions.c.request_id == request_id).values(values))
    node = Node(row.run_id, row.node_id, row.iteration)
    set_node(connection, node, "waiting-event")
    append_event(connection, node.run_id, "HumanRequested", {**node.about, "requestId": request_id, "reason": why})
    return told


def asks(connection: sa.Connection, run_id: str, node_id: str | None = None) -> str | None:
    """Tell what a run waits for: `waiting-approval` or `waiting-event`; None when nobody is asked.

    Args:
        connection: A connection of the journal.
        run_id: The run.
        node_id: Only what this node asks, and also when somebody has said meanwhile what was asked for.
    """
    for table, open_one, status in ((approvals, "requested", "waiting-approval"), (questions, "pending", "waiting-event")):
        which = table.c.status == open_one if node_id is None else table.c.node_id == node_id
        if connection.execute(sa.select(table.c.run_id).where(table.c.run_id == run_id, which).limit(1)).first():
            return status
    return None


def _approval(connection: sa.Connection, node: Node) -> sa.Row[Any] | None:
    return connection.execute(sa.select(approvals).where(*node.key(approvals))).first()


def _refuse_when_over(connection: sa.Connection, run_id: str) -> None:
    status = connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id)).scalar()
    if status in TERMINAL_STATUSES:
        raise ControlRefused(f"run {run_id} is over ({status}): a decision would change nothing", code="NO_PENDING_APPROVALS")
