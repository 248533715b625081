"""`stage`, `gate` and `ask`: the three calls that make a notebook durable.

A stage that has finished once is not run again: its kept row is its result in every later execution of the run. What it does is done
at least once: a kernel that dies after the function and before the commit runs the function again. A gate or a question that nobody
has decided raises `Parked`, which ends the execution and leaves the run waiting; only a person's decision lets it pass.
"""

from __future__ import annotations

import inspect
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from smithers_nb.engine.stages.codec import Shape
from smithers_nb.engine.stages.context import ThisRun, current, lab_run
from smithers_nb.engine.stages.parked import Parked
from smithers_nb.engine.stages.stage_call import StageCall, node_of
from smithers_nb.errors import ControlRefused, JournalUnusable, LeaseLost, ParameterError, StageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.decisions import Decision
    from smithers_nb.engine.journal.records import Node

__all__ = ["Parked", "ask", "current", "gate", "lab_run", "stage"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TAKEN: Final = frozenset({"input"})  # where a run's parameters are kept
_MAX_WAIT_S: Final = 10.0
_QUESTIONS: Final = {"str": "ask", "bool": "confirm"}  # Smithers' kinds of questions by type; of any other type it is `json`


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
    """Run a step once per run and keep its output.

    Args:
        node_id: Name of the step, unique in the notebook: letters, digits, `. _ : -`.
        fn: The step; called with `args` and `kwargs`.
        args: What it is called with.
        schema: Pydantic model (or type) of the output; by default the model that `fn` says it returns, else plain JSON.
        iteration: Which round of a loop this is, from 0.
        label: What people read; the id by default.
        retries: How often to try again after a failure.
        wait_s: Seconds before the first retry, doubled for each further one, at most 10.
        kwargs: What it is called with by name.

    Returns:
        The output, as it was kept: from this call or from an earlier execution of the run.

    Raises:
        StageError: `INVALID_OUTPUT`, what the function returned does not fit.
        ControlRefused: `SCHEMA_CHANGE_HOT` or `INVALID_OUTPUT`, the kept output is of another schema than the one asked for now.
        ParameterError: The id cannot be used, the function is asynchronous, or there is none (`stage` is no decorator).
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
        except Exception:  # noqa: BLE001  # it is kept as a failed attempt
            run.used &= before  # the stages within it are called again
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
    """Let a person decide; nothing passes a gate by itself.

    Args:
        node_id: Name of the gate, unique in the notebook.
        title: What is asked, in a few words.
        summary: Why it is asked and what follows.
        details: What the decision is about, name to value.
        iteration: Which round of a loop this is, from 0.
        on_deny: `continue` gives the denial to the caller, `fail` ends the run with it.
        volatile: Names of details that differ in each execution, such as a time: shown, but no part of what is decided.

    Returns:
        The decision: `approved`, `note`, `decided_by`, `decided_at`.

    Raises:
        Parked: Nobody has decided yet, or what they decided was something else: a decision counts for title, summary and details.
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
        schema: Type of the answer: a pydantic model or any type pydantic knows (`bool`, `int`, `list[str]`); text by default.
        options: Choose one of these instead.
        iteration: Which round of a loop this is, from 0.

    Returns:
        The answer, of the type asked for.

    Raises:
        Parked: Nobody has answered yet, or they answered another question: an answer counts for prompt, schema and options. Also when the
            answer does not fit the type: then the question is asked again and says why.
        ParameterError: Both a schema and options are given, or no options.
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


def _run_of(node_id: str, iteration: int) -> ThisRun:
    """Return the run that this call belongs to, and refuse a name that cannot be used or is used twice."""
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id) or node_id in _TAKEN:
        raise ParameterError(
            f"{str(node_id)[:60]!r} cannot be the id of a stage", hint="use up to 128 letters, digits and . _ : - (not `input`)"
        )
    if not isinstance(iteration, int) or iteration < 0:
        raise ParameterError(f"{node_id!r}: iteration is {iteration!r}", hint="count rounds from 0")
    run = current() or lab_run()
    run.refuse_when_parked()
    if not run.by_hand:  # a person may run a cell as often as they like
        if (node_id, iteration) in run.used:
            raise ParameterError(f"{node_id!r} is used twice in this notebook", hint="name it differently, or count `iteration` in a loop")
        run.used.add((node_id, iteration))
    return run


def _denied(connection: sa.Connection, node: Node, decision: Decision) -> StageError:
    """Write that a denial ends the run."""
    from smithers_nb.engine.journal.records import append_event, set_node
    from smithers_nb.model.failure_reason import FailureReason

    note = f": {decision.note}" if decision.note else ""
    denial = StageError(
        f"{decision.decided_by} denied {node.node_id!r}{note}",
        code="APPROVAL_DENIED",
        hint=f"to be asked again: smithers-nb retry-task {shlex.quote(node.run_id)} {shlex.quote(node.node_id)}",
    )
    told = FailureReason(code=denial.code, message=str(denial), source=f"node:{node.node_id}", details={"note": decision.note})
    set_node(connection, node, "failed")
    append_event(
        connection, node.run_id, "NodeFailed", {"nodeId": node.node_id, "iteration": node.iteration, "attempt": 0, "error": told.as_error()}
    )
    return denial
