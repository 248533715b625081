"""`stage`, `gate` and `ask`: the three calls that make a notebook durable.

A finished stage is not run again: its stored output is its result in every later execution of the run. Its function runs at least once: if
the kernel dies after the function returned and before the commit, it runs again. An undecided gate or question raises `Parked`, which ends
the execution and leaves the run waiting; only a person's decision lets it pass.
"""

from __future__ import annotations

import inspect
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from smithers_nb.engine.stages.codec import Shape
from smithers_nb.engine.stages.context import RunContext, current, lab_run
from smithers_nb.engine.stages.parked import Parked
from smithers_nb.engine.stages.stage_call import StageCall, node_of
from smithers_nb.errors import ControlRefused, JournalUnusable, LeaseLost, ParameterError, StageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.decisions import Decision
    from smithers_nb.engine.journal.records import Node

__all__ = ["Parked", "ask", "current", "gate", "lab_run", "stage"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TAKEN: Final = frozenset({"input"})  # the id under which a run's parameters are stored
_MAX_WAIT_S: Final = 10.0
_QUESTIONS: Final = {"str": "ask", "bool": "confirm"}  # Smithers' kind of question by type; `json` for any other


def stage(  # noqa: PLR0913  # all but two are options by name
    node_id: str,
    fn: Callable[..., Any] | None = None,
    /,
    *args: Any,
    schema: Any = None,
    iteration: int = 0,
    label: str | None = None,
    retries: int = 0,
    wait_s: float = 1.0,
    **kwargs: Any,
) -> Any:
    """Run a step once per run and store its output.

    Args:
        node_id: Name of the step, unique in the notebook: letters, digits, `. _ : -`.
        fn: The function to call.
        args: Its positional arguments.
        schema: Pydantic model (or type) of the output; defaults to the model that `fn` is annotated to return, else plain JSON.
        iteration: Loop iteration, starting at 0.
        label: Label for people; defaults to the id.
        retries: How often to try again after a failure.
        wait_s: Seconds before the first retry, doubled for each further one, at most 10.
        kwargs: Its keyword arguments.

    Returns:
        The stored output, from this call or an earlier execution of the run.

    Raises:
        StageError: `INVALID_OUTPUT`, the return value does not fit the schema.
        ControlRefused: `SCHEMA_CHANGE_HOT` or `INVALID_OUTPUT`, the stored output does not fit the current schema.
        ParameterError: The id is invalid, the function is asynchronous, or missing (`stage` is not a decorator).
        LeaseLost: Another process executes the run now.
    """
    if not isinstance(node_id, str) or not callable(fn):
        name = getattr(fn or node_id, "__name__", "load")
        raise ParameterError(
            f"stage takes a name and a function: write `result = stage({name!r}, {name})`, and no `@stage` above the function"
        )
    if inspect.iscoroutinefunction(fn):
        raise ParameterError(f"stage {node_id!r}: the function is asynchronous", hint="give a function that calls `asyncio.run`")
    run = _run_of(node_id, iteration)
    call = StageCall(run, node_id, iteration, Shape.of(fn, schema), label)
    before = set(run.used)
    for left in range(retries, 0, -1):
        try:
            return call.once(lambda: fn(*args, **kwargs))
        except (LeaseLost, JournalUnusable, ControlRefused, ParameterError):
            raise
        except Exception:  # noqa: BLE001  # it is recorded as a failed attempt
            run.used &= before  # stages inside the function will be called again
            time.sleep(min(wait_s * 2 ** (retries - left), _MAX_WAIT_S))
    return call.once(lambda: fn(*args, **kwargs))


def gate(  # noqa: PLR0913  # a request is what it is
    node_id: str,
    title: str,
    summary: str = "",
    details: Mapping[str, Any] | None = None,
    *,
    iteration: int = 0,
    on_deny: Literal["continue", "fail"] = "continue",
    volatile: Sequence[str] = (),
) -> Decision:
    """Ask a person for approval; nothing passes a gate by itself.

    Args:
        node_id: Name of the gate, unique in the notebook.
        title: The request, in a few words.
        summary: Why it is asked and what follows.
        details: What the decision is about, name to value.
        iteration: Loop iteration, starting at 0.
        on_deny: `continue` returns the denial to the caller, `fail` fails the run.
        volatile: Names of details that differ in each execution, such as a time: shown, but not part of what is decided.

    Returns:
        The decision: `approved`, `note`, `decided_by`, `decided_at`.

    Raises:
        Parked: There is no decision yet, or only one on another title, summary or details.
        StageError: `APPROVAL_DENIED`, with `on_deny="fail"`.
    """
    from smithers_nb.engine.journal import requests
    from smithers_nb.engine.journal.decisions import request_approval

    run = _run_of(node_id, iteration)
    asked: dict[str, Any] = {"title": title, "summary": summary, "details": dict(details or {})}
    with run.writing() as connection:
        node, _ = node_of(connection, run, node_id, iteration)
        decision = request_approval(connection, node, **asked, volatile=tuple(volatile), on_deny=on_deny)
        if decision is None:
            asked["request"] = requests.read(connection, node)
        elif not decision.approved and on_deny == "fail":
            denial = _denied(connection, node, decision)
    if decision is None:
        raise run.park(Parked(node, "waiting-approval", run, asked))
    if not decision.approved and on_deny == "fail":
        raise denial
    return decision


def ask(node_id: str, prompt: str, schema: Any = None, options: list[str] | None = None, *, iteration: int = 0) -> Any:
    """Ask a person a question.

    Args:
        node_id: Name of the question, unique in the notebook.
        prompt: The question.
        schema: Type of the answer: a pydantic model or any type pydantic knows (`bool`, `int`, `list[str]`); defaults to text.
        options: Choices, instead of a schema.
        iteration: Loop iteration, starting at 0.

    Returns:
        The answer, of the requested type.

    Raises:
        Parked: There is no answer yet, or only one to another prompt, schema or options. Also when the answer does not fit the type: then
            the question is asked again, with the reason.
        ParameterError: Both a schema and options are given, or the options are empty.
    """
    from smithers_nb.engine.journal import decisions, requests

    if options is not None and (schema is not None or not options):
        raise ParameterError(f"ask {node_id!r}: give a schema, or options to choose from")
    shape = Shape(Literal[tuple(options)] if options else str if schema is None else schema)
    kind = "select" if options else _QUESTIONS.get(shape.name, "json")
    request: dict[str, Any] = {"prompt": prompt, "schema": shape.json_schema, "options": options}
    run = _run_of(node_id, iteration)
    with run.writing() as connection:
        node, _ = node_of(connection, run, node_id, iteration)
        request_id = decisions.request_answer(connection, node, prompt=prompt, kind=kind, schema=shape.json_schema, options=options)
        answer = decisions.answer_of(connection, request_id)
        if answer is not None:
            try:
                return shape.read(answer.value)
            except ValueError as error:
                request["prompt"] = decisions.ask_again(connection, request_id, prompt=prompt, why=str(error))
        request["request"] = requests.read(connection, node)
    raise run.park(Parked(node, "waiting-event", run, request | {"request_id": request_id}))


def _run_of(node_id: str, iteration: int) -> RunContext:
    """Return the run that this call belongs to; refuse an invalid or duplicate id."""
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id) or node_id in _TAKEN:
        raise ParameterError(
            f"{str(node_id)[:60]!r} cannot be the id of a stage", hint="use up to 128 letters, digits and . _ : - (not `input`)"
        )
    if not isinstance(iteration, int) or iteration < 0:
        raise ParameterError(f"{node_id!r}: iteration is {iteration!r}", hint="count iterations from 0")
    run = current() or lab_run()
    run.refuse_when_parked()
    if not run.by_hand:  # a person may run a cell repeatedly
        if (node_id, iteration) in run.used:
            raise ParameterError(f"{node_id!r} is used twice in this notebook", hint="name it differently, or count `iteration` in a loop")
        run.used.add((node_id, iteration))
    return run


def _denied(connection: sa.Connection, node: Node, decision: Decision) -> StageError:
    """Record the failure of a denied gate, and return the error to raise."""
    from smithers_nb.engine.journal.records import append_event, set_node
    from smithers_nb.model.failure_reason import FailureReason

    note = f": {decision.note}" if decision.note else ""
    denial = StageError(
        f"{decision.decided_by} denied {node.node_id!r}{note}",
        code="APPROVAL_DENIED",
        hint=f"to be asked again: smithers-nb retry-task {shlex.quote(node.run_id)} {shlex.quote(node.node_id)}",
    )
    reason = FailureReason(code=denial.code, message=str(denial), source=f"node:{node.node_id}", details={"note": decision.note})
    set_node(connection, node, "failed")
    append_event(
        connection,
        node.run_id,
        "NodeFailed",
        {"nodeId": node.node_id, "iteration": node.iteration, "attempt": 0, "error": reason.as_error()},
    )
    return denial
