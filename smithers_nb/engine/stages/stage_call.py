"""One call of a stage: return the stored output, or start an attempt and store its output in the transaction that ends it.

A crash between the end of the function and that transaction leaves an open attempt and no output, so the function runs again.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from smithers_nb.engine.stages.parked import Parked
from smithers_nb.errors import ControlRefused, ParameterError, StageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.records import Attempt, Node
    from smithers_nb.engine.stages.codec import Shape
    from smithers_nb.engine.stages.context import RunContext
    from smithers_nb.model.failure_reason import FailureReason

KIND: Final = "stage"
"""Kind of the attempts of stages."""

EXITED: Final = "STAGE_EXITED"
"""Failure code of a stage that called `sys.exit`."""

_MAX_MESSAGE, _MAX_STACK = 10_000, 20_000  # stored characters of an error
_STOPPED: Final = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)


class StageCall:
    """One call of `stage`, which may take several attempts."""

    def __init__(self, run: RunContext, node_id: str, iteration: int, shape: Shape, label: str | None) -> None:
        self.run = run
        self.node_id = node_id
        self.iteration = iteration
        self.shape = shape
        self.label = label

    def once(self, step: Callable[[], Any]) -> Any:
        """Return the stored output, or run the step."""
        from smithers_nb.engine.journal.records import start_attempt
        from smithers_nb.engine.stages.cache import stored_output, use

        meta = {"schema": self.shape.name, "schemaDigest": self.shape.digest}
        with self.run.writing() as connection:
            node, tries = node_of(connection, self.run, self.node_id, self.iteration)
            kept = stored_output(connection, node, tries)
            if kept is None:
                self.run.refuse_behind_gate(connection)
                attempt = start_attempt(connection, node, kind=KIND, label=self.label, meta=meta, known=tries)
            else:
                value = use(connection, node, kept, self.shape)
        if kept is None:
            return self._try(node, attempt, step)
        if isinstance(value, ControlRefused):
            raise value
        self.run.reused[self.node_id, self.iteration] = kept.made_at
        return value

    def _try(self, node: Node, attempt: int, step: Callable[[], Any]) -> Any:
        from smithers_nb.engine.journal.records import cancel_attempt, fail_attempt, finish_attempt, write_output

        try:
            row, value = self._encode(self._run_step(step))
        except (*_STOPPED, Parked) as stop:
            with self.run.writing() as connection:
                cancel_attempt(connection, node, attempt, f"parked at {stop.node_id}" if isinstance(stop, Parked) else "interrupted")
            raise
        except BaseException as error:
            with self.run.writing() as connection:
                fail_attempt(connection, node, attempt, _reason(error, node))
            raise
        with self.run.writing() as connection:
            write_output(connection, node, self.shape.name, row)
            finish_attempt(connection, node, attempt)
        return value

    def _run_step(self, step: Callable[[], Any]) -> Any:
        """Run the step; one that exits the program has no output, whatever its exit code."""
        try:
            return step()
        except SystemExit as stop:
            raise StageError(
                f"stage {self.node_id!r} called sys.exit({'' if stop.code is None else repr(stop.code)}) instead of returning a value",
                code=EXITED,
                hint="return from the function instead; a click command takes `standalone_mode=False`, argparse `exit_on_error=False`",
            ) from stop

    def _encode(self, value: Any) -> tuple[dict[str, Any], Any]:
        try:
            return self.shape.keep(value)
        except ValueError as error:
            raise self._invalid(str(error)) from None

    def _invalid(self, why: str) -> StageError:
        what = f"is not {self.shape.described}" if self.shape.schema is not None else "cannot be stored"
        return StageError(
            f"what stage {self.node_id!r} returned {what}: {why}",
            code="INVALID_OUTPUT",
            hint="return what the schema says, or change the schema" if self.shape.schema is not None else "",
        )


def node_of(connection: sa.Connection, run: RunContext, node_id: str, iteration: int) -> tuple[Node, list[Attempt]]:
    """Return the key of a node and its attempts; refuse an id that is the id of a cell, which is a node too."""
    from smithers_nb.engine.journal.records import Node, attempts_of

    node = Node(run.run_id, node_id, iteration)
    tries = attempts_of(connection, node)
    if any(one.meta.get("kind") == "cell" for one in tries):
        raise ParameterError(f"{node_id!r} is the id of a cell of this notebook", hint="give the stage another id")
    return node, tries


def _reason(error: BaseException, node: Node) -> FailureReason:
    """Return the failure reason of a stage."""
    from smithers_nb.model.failure_reason import FailureReason

    name, code = type(error).__name__, getattr(error, "code", None)
    stack = "".join(traceback.format_exception(error))
    return FailureReason(
        code=code if isinstance(code, str) and code else name,
        message=_text(error)[:_MAX_MESSAGE] or f"{name} without a message",
        source=f"node:{node.node_id}",
        details={"name": name, "stack": stack[-_MAX_STACK:], **_cell()},
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the `__str__` of a user's exception may do anything
        return ""


def _cell() -> dict[str, str]:
    """Return the id of the running cell, if the front-end provides it."""
    try:
        from IPython.core.getipython import get_ipython

        header = cast("Any", get_ipython()).parent_header
        return {"cell": str(header["metadata"]["cellId"])}
    except (ImportError, AttributeError, KeyError, TypeError):
        return {}
