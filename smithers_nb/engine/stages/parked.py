"""How an execution ends at a gate or a question: with an exception that nobody but the engine catches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from smithers_nb.engine.journal.records import Node
    from smithers_nb.engine.stages.context import ThisRun


class Parked(BaseException):  # not an Exception: the `except Exception` of a notebook must not swallow it
    """A gate or a question waits for a person, so this execution ends here.

    Attributes:
        node_id: The gate or question.
        iteration: Its round of a loop.
        status: What the run waits for: `waiting-approval` or `waiting-event`.
        run: The run that waits.
        request: What is asked: `title`, `summary` and `details` of a gate; `prompt`, `schema`, `options`, `request_id` of a question.
    """

    def __init__(self, node: Node, status: str, run: ThisRun, request: Mapping[str, Any]) -> None:
        super().__init__(orjson.dumps({"node_id": node.node_id, "status": status}).decode())
        self.node_id = node.node_id
        self.iteration = node.iteration
        self.status = status
        self.run = run
        self.request = dict(request)

    def _render_traceback_(self, *_: object) -> list[str]:
        """Show a person one line instead of a stack."""
        what = "decision" if self.status == "waiting-approval" else "answer"
        return [f"“{self.node_id}” waits for a person's {what}."]
