"""Decisions at gates and answers to questions, each followed by the next execution.

The execution is requested in the transaction of the decision, so neither exists without the other; the caller starts a worker.
"""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.control.run_state import config_of, resolve, run_row
from smithers_nb.engine.journal import Journal, decisions, executions
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.journal.requests import Difference, Earlier, parsed
from smithers_nb.engine.journal.schema import approvals, questions, requests, runs
from smithers_nb.errors import ControlRefused, ParameterError
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    from smithers_nb.engine.journal.decisions import Answer, Decision
    from smithers_nb.engine.location import Location

QUESTION: Final = "human:"
"""Prefix of the ids of questions."""

_PROBLEMS: Final = 8
"""Maximum number of invalid fields named for an answer."""


def login() -> str:
    """Return the name of the person at this terminal, kernel or page, as it is recorded with a decision: user and machine."""
    user = os.environ.get("JUPYTERHUB_USER")
    if not user:
        try:
            user = getpass.getuser()
        except (OSError, KeyError):  # a user id without a name, as in containers
            user = f"uid:{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def acting(by: str, on_behalf_of: str | None = None) -> str:
    """Return who decides, as recorded: an agent that acts for a person is named with that person."""
    return f"{by} on behalf of {on_behalf_of}" if on_behalf_of else by


class Pending(NamedTuple):
    """One request that waits for a person.

    Attributes:
        kind: `gate`, or the kind of a question: `ask`, `confirm`, `select`, `json`.
        request_id: Id of a question; None for a gate.
        prompt: The question, or title of the gate.
        summary: Reason given by a gate.
        options: The choices.
        answer_schema: JSON Schema of the answer to a question.
        requested_at: Epoch milliseconds.
        details: What a gate is about, name to value.
        digest: Digest of the request, for `decide` and `answer`; None for a run of an older version.
        earlier: The previous decided version, when the request has changed since; it no longer counts.
        changes: The differences from it.
        on_deny: What a denial does to the run: `continue` or `fail`.
    """

    run_id: str
    workflow: str
    kind: str
    node_id: str
    iteration: int
    request_id: str | None
    prompt: str
    summary: str
    options: list[str] | None
    answer_schema: Any
    requested_at: int | None
    details: dict[str, Any] = {}  # noqa: RUF012  # a tuple field, never modified
    digest: str | None = None
    earlier: Earlier | None = None
    changes: tuple[Difference, ...] = ()
    on_deny: str = "continue"


class DecisionResult(NamedTuple):
    """A decision or answer that was recorded.

    Attributes:
        continues: Whether the run is executed again because of it.
    """

    node: Node
    said: Decision | Answer
    continues: bool


def decide(  # noqa: PLR0913  # all but two are options by name
    location: Location,
    run_id: str,
    node_id: str | None = None,
    *,
    approved: bool,
    by: str,
    note: str | None = None,
    iteration: int | None = None,
    resume: bool = True,
    seen: str | None = None,
) -> DecisionResult:
    """Decide a gate, once.

    Args:
        location: The project and its journal.
        run_id: The run; a unique beginning is enough.
        node_id: The gate; not needed when only one waits.
        approved: The decision.
        by: Who decides.
        note: Comment recorded with the decision.
        iteration: Loop iteration, when several wait at once.
        resume: Request the next execution as well.
        seen: Digest of the version that the person saw (`Pending.digest`), if known.

    Raises:
        RunNotFound: There is no such run.
        ControlRefused: `NO_PENDING_APPROVALS`, `AMBIGUOUS`, `ALREADY_DECIDED` or `REQUEST_CHANGED`.
    """
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found, durable=True) as connection:
            node = _gate(connection, found, node_id, iteration)
            said = decisions.decide(connection, node, approved=approved, by=by, note=note, seen=seen)
            return DecisionResult(node, said, _continue(connection, found) if resume else False)


def answer(  # noqa: PLR0913  # all but three are options by name
    location: Location, request_id: str, value: Any, *, by: str, resume: bool = True, seen: str | None = None
) -> DecisionResult:
    """Answer a question, once.

    Args:
        location: The project and its journal.
        request_id: Its id, as `pending` lists it.
        value: The answer, a JSON value that fits the question's schema and options.
        by: Who answers.
        resume: Request the next execution as well.
        seen: Digest of the version that the person saw (`Pending.digest`), if known.

    Raises:
        ControlRefused: `NO_SUCH_QUESTION`, `ALREADY_ANSWERED`, `REQUEST_CHANGED`, or the run has ended.
        ParameterError: The answer does not fit; nothing was written.
    """
    with Journal.open(location) as journal:
        with journal.reading() as connection:
            row = connection.execute(sa.select(questions).where(questions.c.request_id == request_id)).first()
        if row is None:
            raise ControlRefused(
                f"there is no question {request_id!r}", code="NO_SUCH_QUESTION", hint="list them with `smithers-nb human inbox`"
            )
        if row.status == "pending":
            _check_answer(row, value)
        with journal.writing(row.run_id, durable=True) as connection:
            said = decisions.answer(connection, request_id, value, by=by, seen=seen)
            return DecisionResult(
                Node(row.run_id, row.node_id, row.iteration), said, _continue(connection, row.run_id) if resume else False
            )


def pending(location: Location, run_id: str | None = None) -> list[Pending]:
    """Return the requests that wait for a person, oldest first, except those of runs that have ended."""
    with Journal.open(location) as journal:
        wanted = resolve(journal, run_id) if run_id else None
        with journal.reading() as connection:
            found = [*_gates(connection, wanted), *_questions(connection, wanted)]
    return sorted(found, key=lambda item: (item.requested_at or 0, item.run_id, item.node_id))


def question_of(location: Location, named: str) -> Pending | None:
    """Return an open question by its id or its run.

    Args:
        location: The project and its journal.
        named: The question's id, or a run in which one question waits; a unique beginning of the run's id is enough.

    Returns:
        The question; None when the named question is not open.

    Raises:
        RunNotFound: There is no such run.
        ControlRefused: `NO_SUCH_QUESTION` when the run asks none, `AMBIGUOUS` when it asks several.
    """
    asked = [item for item in pending(location) if item.request_id is not None]
    meant = next((item for item in asked if item.request_id == named), None)
    if meant is not None or named.startswith(QUESTION):
        return meant
    with Journal.open(location) as journal:
        found = resolve(journal, named)
        of_run = [item for item in asked if item.run_id == found]
        if not of_run:
            with journal.reading() as connection:
                hint = _what_instead(connection, found)
            raise ControlRefused(f"run {found} asks no question", code="NO_SUCH_QUESTION", hint=hint)
    if len(of_run) > 1:
        names = ", ".join(str(item.request_id) for item in of_run)
        raise ControlRefused(f"run {found} asks several questions: {names}", code="AMBIGUOUS", hint="name the question instead of the run")
    return of_run[0]


def _gates(connection: sa.Connection, run_id: str | None) -> list[Pending]:
    rows = connection.execute(_asked(approvals).where(approvals.c.status == "requested", *_open(run_id)))
    return [_as_gate(row, orjson.loads(row.request_json or "{}")) for row in rows]


def _as_gate(row: sa.Row[Any], request: dict[str, Any]) -> Pending:
    title, summary = str(request.get("title") or row.node_id), str(request.get("summary") or "")
    about = (row.run_id, row.workflow_name, "gate", row.node_id, row.iteration)
    details, on_deny = request.get("details"), str(request.get("onDeny") or "continue")
    shown = details if isinstance(details, dict) else {}
    return Pending(*about, None, title, summary, ["approve", "deny"], None, row.requested_at_ms, shown, on_deny=on_deny, **_versions(row))


def _questions(connection: sa.Connection, run_id: str | None) -> list[Pending]:
    rows = connection.execute(_asked(questions).where(questions.c.status == "pending", *_open(run_id)))
    return [_as_question(row) for row in rows]


def _as_question(row: sa.Row[Any]) -> Pending:
    options, schema = (orjson.loads(text) if text else None for text in (row.options_json, row.schema_json))
    about = (row.run_id, row.workflow_name, row.kind, row.node_id, row.iteration)
    return Pending(*about, row.request_id, row.prompt, "", options, schema, row.requested_at_ms, **_versions(row))


def _asked(table: sa.Table) -> sa.Select[Any]:
    """Return a query for approvals or questions, with their workflow and versions."""
    same = sa.and_(*(requests.c[name] == table.c[name] for name in Node._fields))
    columns = table, runs.c.workflow_name, requests.c.asked_json, requests.c.earlier_json
    return sa.select(*columns).join_from(table, runs, runs.c.run_id == table.c.run_id).join(requests, same, isouter=True)


def _versions(row: sa.Row[Any]) -> dict[str, Any]:
    if row.asked_json is None:
        return {}
    request = parsed(row.asked_json, row.earlier_json)
    return {"digest": request.digest, "earlier": request.earlier[-1] if request.earlier else None, "changes": tuple(request.changes)}


def _open(run_id: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    going_on = runs.c.status.not_in(TERMINAL_STATUSES)
    return (going_on,) if run_id is None else (going_on, runs.c.run_id == run_id)


def _gate(connection: sa.Connection, run_id: str, node_id: str | None, iteration: int | None) -> Node:
    """Return the one gate that matches, preferring a waiting one."""
    query = sa.select(approvals.c.node_id, approvals.c.iteration, approvals.c.status).where(approvals.c.run_id == run_id)
    rows = connection.execute(query.order_by(approvals.c.requested_at_ms)).all()
    fitting = [row for row in rows if node_id in (None, row.node_id) and iteration in (None, row.iteration)]
    waiting = [row for row in fitting if row.status == "requested"]
    chosen = waiting if waiting or node_id is None else fitting[-1:]
    if not chosen:
        where = "" if node_id is None else f" at {node_id!r}"
        raise ControlRefused(
            f"run {run_id} asks for no decision{where}", code="NO_PENDING_APPROVALS", hint=_what_instead(connection, run_id)
        )
    if len(chosen) > 1:
        names = ", ".join(f"{row.node_id}" + (f"#{row.iteration}" if row.iteration else "") for row in chosen)
        raise ControlRefused(f"run {run_id} asks for several decisions: {names}", code="AMBIGUOUS", hint="say which: --node NODE")
    return Node(run_id, chosen[0].node_id, chosen[0].iteration)


def _what_instead(connection: sa.Connection, run_id: str) -> str:
    row = connection.execute(
        sa.select(questions.c.request_id).where(questions.c.run_id == run_id, questions.c.status == "pending").limit(1)
    ).first()
    if row is not None:
        return f"it asks a question: smithers-nb human answer {row.request_id}"
    decided = sa.select(approvals).where(approvals.c.run_id == run_id, approvals.c.decided_at_ms.is_not(None))
    last = connection.execute(decided.order_by(approvals.c.decided_at_ms.desc()).limit(1)).first()
    said = "" if last is None else f"; {last.node_id!r} was {last.status} by {last.decided_by}"
    return f"its status is {run_row(connection, run_id).status}{said}"


def _continue(connection: sa.Connection, run_id: str) -> bool:
    """Request the next execution; an interactive run has none, since it lives in the person's kernel."""
    if config_of(run_row(connection, run_id)).get("lab"):
        return False
    executions.want(connection, run_id)
    return True


def _check_answer(row: sa.Row[Any], value: Any) -> None:
    options = orjson.loads(row.options_json) if row.options_json else None
    if options and value not in options:
        raise ParameterError(f"{str(value)[:60]!r} is not one of the choices", hint=f"choose one of {', '.join(map(repr, options))[:400]}")
    if not row.schema_json:
        return
    import jsonschema  # type: ignore[import-untyped]  # it ships no types

    schema = orjson.loads(row.schema_json)
    found = sorted(
        jsonschema.validators.validator_for(schema)(schema).iter_errors(value), key=lambda error: list(map(str, error.absolute_path))
    )
    if found:
        lines = [f"{'.'.join(map(str, error.absolute_path)) or 'the answer'}: {error.message[:300]}" for error in found[:_PROBLEMS]]
        raise ParameterError("\n".join(lines), hint=f"the answer must fit {orjson.dumps(schema).decode()[:400]}")
