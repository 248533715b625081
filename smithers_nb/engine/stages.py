"""`stage`, `gate` and `ask`: the three calls that make a notebook durable.

A stage that has finished once is not run again: its kept row is its result in every later execution of the run. What it does is done
at least once: a kernel that dies after the function and before the commit runs the function again. A gate or a question that nobody
has decided raises `Parked`, which ends the execution and leaves the run waiting; only a person's decision lets it pass.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson

from smithers_nb.engine.executions import Execution, current, lab_run
from smithers_nb.engine.shapes import Shape
from smithers_nb.errors import ClaimLost, ControlRefused, JournalUnusable, ParameterError, StageError
from smithers_nb.model.reason import FailureReason

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.decisions import Decision
    from smithers_nb.engine.journal.records import Node

__all__ = ["Parked", "ask", "current", "gate", "lab_run", "stage"]

KIND: Final = "stage"
"""Kind of the attempts of stages."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TAKEN: Final = frozenset({"input"})  # where a run's parameters are kept
_LONGEST_WAIT_S: Final = 10.0
_MESSAGE, _STACK = 10_000, 20_000  # characters that are kept of an error
_QUESTIONS: Final = {"str": "ask", "bool": "confirm"}  # Smithers' kinds of questions by type; of any other type it is `json`
_STOPPED = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)


class Parked(BaseException):  # not an Exception: the `except Exception` of a notebook must not swallow it
    """A gate or a question waits for a person, so this execution ends here.

    Attributes:
        node_id: The gate or question.
        iteration: Its round of a loop.
        status: What the run waits for: `waiting-approval` or `waiting-event`.
        execution: The execution that ends.
        request: What is asked: `title`, `summary` and `details` of a gate; `prompt`, `schema`, `options`, `request_id` of a question.
    """

    def __init__(self, node: Node, status: str, execution: Execution, request: Mapping[str, Any]) -> None:
        super().__init__(orjson.dumps({"node_id": node.node_id, "status": status}).decode())
        self.node_id = node.node_id
        self.iteration = node.iteration
        self.status = status
        self.execution = execution
        self.request = dict(request)

    def _render_traceback_(self, *_: object) -> list[str]:
        """Show a person one line instead of a stack."""
        what = "decision" if self.status == "waiting-approval" else "answer"
        return [f"“{self.node_id}” waits for a person's {what}."]


def stage(  # noqa: PLR0913  # all but two are options by name
    node_id: str,
    fn: Callable[..., Any],
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
        ParameterError: The id cannot be used, or the function is asynchronous.
        ClaimLost: Another process executes the run now.
    """
    if inspect.iscoroutinefunction(fn):
        raise ParameterError(f"stage {node_id!r}: the function is asynchronous", hint="give a function that calls `asyncio.run`")
    call = _Stage(_execution(node_id, iteration), node_id, iteration, Shape.of(fn, schema), label)
    for left in range(retries, 0, -1):
        try:
            return call.once(lambda: fn(*args, **kwargs))
        except (ClaimLost, JournalUnusable, ControlRefused, ParameterError):
            raise
        except Exception:  # noqa: BLE001  # it is kept as a failed attempt
            time.sleep(min(wait_s * 2 ** (retries - left), _LONGEST_WAIT_S))
    return call.once(lambda: fn(*args, **kwargs))


def gate(  # noqa: PLR0913  # a request is what it is
    node_id: str,
    title: str,
    summary: str = "",
    details: Mapping[str, Any] | None = None,
    *,
    iteration: int = 0,
    on_deny: Literal["continue", "fail"] = "continue",
) -> Decision:
    """Let a person decide; nothing passes a gate by itself.

    Args:
        node_id: Name of the gate, unique in the notebook.
        title: What is asked, in a few words.
        summary: Why it is asked and what follows.
        details: What the decision is about, name to value.
        iteration: Which round of a loop this is, from 0.
        on_deny: `continue` gives the denial to the caller, `fail` ends the run with it.

    Returns:
        The decision: `approved`, `note`, `decided_by`, `decided_at`.

    Raises:
        Parked: Nobody has decided yet.
        StageError: `APPROVAL_DENIED`, with `on_deny="fail"`.
    """
    from smithers_nb.engine.journal.decisions import decision_of, request_approval

    execution = _execution(node_id, iteration)
    about = {"onDeny": on_deny, **({"details": dict(details)} if details else {})}
    with execution.writing() as connection:
        node = _node(connection, execution, node_id, iteration)
        decision = decision_of(connection, node)
        if decision is None:
            request_approval(connection, node, title=title, summary=summary, details=about)
        elif not decision.approved and on_deny == "fail":
            denial = _denied(connection, node, decision)
    if decision is None:
        raise Parked(node, "waiting-approval", execution, {"title": title, "summary": summary, "details": dict(details or {})})
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
        Parked: Nobody has answered yet, or the answer does not fit the type: then the question is asked again and says why.
        ParameterError: Both a schema and options are given, or no options.
    """
    from smithers_nb.engine.journal import decisions

    if options is not None and (schema is not None or not options):
        raise ParameterError(f"ask {node_id!r}: give a schema, or options to choose from")
    shape = Shape(Literal[tuple(options)] if options else str if schema is None else schema)
    kind = "select" if options else _QUESTIONS.get(shape.name, "json")
    request: dict[str, Any] = {"prompt": prompt, "schema": shape.json_schema, "options": options}
    execution = _execution(node_id, iteration)
    with execution.writing() as connection:
        node = _node(connection, execution, node_id, iteration)
        request_id = decisions.request_answer(connection, node, prompt=prompt, kind=kind, schema=shape.json_schema, options=options)
        answer = decisions.answer_of(connection, request_id)
        if answer is not None:
            try:
                return shape.read(answer.value)
            except ValueError as error:
                request["prompt"] = decisions.ask_again(connection, request_id, prompt=prompt, why=str(error))
    raise Parked(node, "waiting-event", execution, request | {"request_id": request_id})


class _Stage:
    """One call of `stage`, which may take several attempts."""

    def __init__(self, execution: Execution, node_id: str, iteration: int, shape: Shape, label: str | None) -> None:
        self.execution = execution
        self.node_id = node_id
        self.iteration = iteration
        self.shape = shape
        self.label = label

    def once(self, step: Callable[[], Any]) -> Any:
        """Give the kept output, or take the step."""
        from smithers_nb.engine.journal.records import start_attempt
        from smithers_nb.engine.kept import kept_of, use

        meta = {"schema": self.shape.name, "schemaDigest": self.shape.digest}
        with self.execution.writing() as connection:
            node = _node(connection, self.execution, self.node_id, self.iteration)
            kept = kept_of(connection, node)
            if kept is None:
                attempt = start_attempt(connection, node, kind=KIND, label=self.label, meta=meta)
            else:
                value = use(connection, node, kept, self.shape)
        if kept is None:
            return self._try(node, attempt, step)
        if isinstance(value, ControlRefused):
            raise value
        self.execution.reused[self.node_id, self.iteration] = kept.made_at
        return value

    def _try(self, node: Node, attempt: int, step: Callable[[], Any]) -> Any:
        from smithers_nb.engine.journal.records import cancel_attempt, fail_attempt, finish_attempt, write_output

        try:
            row = self._packed(step())
            value = self._unpacked(row)
        except (*_STOPPED, Parked) as stop:
            with self.execution.writing() as connection:
                cancel_attempt(connection, node, attempt, f"parked at {stop.node_id}" if isinstance(stop, Parked) else "interrupted")
            raise
        except BaseException as error:
            with self.execution.writing() as connection:
                fail_attempt(connection, node, attempt, _reason(error, node))
            raise
        with self.execution.writing() as connection:
            write_output(connection, node, self.shape.name, row)
            finish_attempt(connection, node, attempt)
        return value

    def _packed(self, value: Any) -> dict[str, Any]:
        try:
            return self.shape.pack(value)
        except ValueError as error:
            raise self._invalid(str(error)) from None

    def _unpacked(self, row: Mapping[str, Any]) -> Any:
        try:  # what could not be read later must not be kept
            return self.shape.unpack(row)
        except ValueError as error:
            raise self._invalid(f"it could not be read back from JSON: {error}") from None

    def _invalid(self, why: str) -> StageError:
        return StageError(
            f"stage {self.node_id!r} did not give {self.shape.described}: {why}",
            code="INVALID_OUTPUT",
            hint="return what the schema says, or change the schema",
        )


def _execution(node_id: str, iteration: int) -> Execution:
    """Give the execution that this call belongs to, and refuse a name that cannot be used or is used twice."""
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id) or node_id in _TAKEN:
        raise ParameterError(
            f"{str(node_id)[:60]!r} cannot be the id of a stage", hint="use up to 128 letters, digits and . _ : - (not `input`)"
        )
    if not isinstance(iteration, int) or iteration < 0:
        raise ParameterError(f"{node_id!r}: iteration is {iteration!r}", hint="count rounds from 0")
    execution = current() or lab_run()
    if not execution.by_hand:  # a person may run a cell as often as they like
        if (node_id, iteration) in execution.used:
            raise ParameterError(f"{node_id!r} is used twice in this notebook", hint="name it differently, or count `iteration` in a loop")
        execution.used.add((node_id, iteration))
    return execution


def _node(connection: sa.Connection, execution: Execution, node_id: str, iteration: int) -> Node:
    """Give the key of a node; a stage must not be called like the cell that it stands in, which is a node of its own."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal.records import Node
    from smithers_nb.engine.journal.schema import attempts

    mine = (attempts.c.run_id == execution.run_id, attempts.c.node_id == node_id, attempts.c.iteration == iteration)
    texts = connection.execute(sa.select(attempts.c.meta_json).where(*mine)).scalars()
    if any(orjson.loads(text or "{}").get("kind") == "cell" for text in texts):
        raise ParameterError(f"{node_id!r} is the id of a cell of this notebook", hint="give the stage another id")
    return Node(execution.run_id, node_id, iteration)


def _denied(connection: sa.Connection, node: Node, decision: Decision) -> StageError:
    """Write that a denial ends the run."""
    from smithers_nb.engine.journal.records import append_event, set_node

    note = f": {decision.note}" if decision.note else ""
    denial = StageError(
        f"{decision.decided_by} denied {node.node_id!r}{note}",
        code="APPROVAL_DENIED",
        hint=f"to be asked again: smithers-nb retry-task {node.run_id} --node {node.node_id}",
    )
    told = FailureReason(code=denial.code, message=str(denial), source=f"node:{node.node_id}", details={"note": decision.note})
    set_node(connection, node, "failed")
    append_event(
        connection, node.run_id, "NodeFailed", {"nodeId": node.node_id, "iteration": node.iteration, "attempt": 0, "error": told.as_error()}
    )
    return denial


def _reason(error: BaseException, node: Node) -> FailureReason:
    """Say why a stage failed."""
    name, code = type(error).__name__, getattr(error, "code", None)
    stack = "".join(traceback.format_exception(error))
    return FailureReason(
        code=code if isinstance(code, str) and code else name,
        message=_text(error)[:_MESSAGE] or f"{name} without a message",
        source=f"node:{node.node_id}",
        details={"name": name, "stack": stack[-_STACK:], **_cell()},
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # whatever the `__str__` of somebody's exception does
        return ""


def _cell() -> dict[str, str]:
    """Name the cell that runs, where the front-end says which one it is."""
    try:
        from IPython.core.getipython import get_ipython

        header = cast("Any", get_ipython()).parent_header
        return {"cell": str(header["metadata"]["cellId"])}
    except (ImportError, AttributeError, KeyError, TypeError):
        return {}
