"""The exception with which an execution ends at a gate or question; only the engine catches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

__all__ = ["Parked", "end_cell"]

if TYPE_CHECKING:
    from smithers_nb.engine.journal.records import Node
    from smithers_nb.engine.stages.context import RunContext


class Parked(BaseException):  # not an Exception: the `except Exception` of a notebook must not swallow it
    """A gate or a question waits for a person, so this execution ends here.

    Attributes:
        node_id: The gate or question.
        iteration: Its round of a loop.
        status: What the run waits for: `waiting-approval` or `waiting-event`.
        run: The waiting run.
        request: What is asked: `title`, `summary` and `details` of a gate; `prompt`, `schema`, `options`, `request_id` of a question; for
            both `request`, with earlier versions (`journal.requests.Request`).
    """

    def __init__(self, node: Node, status: str, run: RunContext, request: Mapping[str, Any]) -> None:
        super().__init__(orjson.dumps({"node_id": node.node_id, "status": status}).decode())
        self.node = node
        self.node_id = node.node_id
        self.iteration = node.iteration
        self.status = status
        self.run = run
        self.request = dict(request)

    def again(self) -> Parked:
        """Return a copy for another caller; one exception raised in several threads would collect all their stacks."""
        return Parked(self.node, self.status, self.run, self.request)

    def _render_traceback_(self, *_: object) -> list[str]:
        """Show one line instead of a stack trace."""
        what = "decision" if self.status == "waiting-approval" else "answer"
        return [f"“{self.node_id}” waits for a person's {what}."]


def end_cell(parked: Parked) -> None:
    """Make the current cell end as parked whatever it does with the exception, so that no further cell is started.

    A cell may catch it with a bare `except`, or wait for it in a thread or task. Anything it raises instead is a consequence of parking.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def ended(result: Any) -> None:
        if result is not None and not isinstance(result.error_in_exec, Parked):
            result.error_in_exec = parked

    shell.events.register("post_run_cell", ended)
