"""Records the cells of a notebook as nodes of its run.

`CellRecorder` records an attempt for every code cell, so that any papermill notebook leaves a run that can be inspected. For a notebook
with `smithers_nb.nodes: stages` in its metadata only stages are nodes, and a cell is recorded only if it fails outside of any stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import (
    INPUT,
    Node,
    cancel_attempt,
    fail_attempt,
    finish_attempt,
    open_attempts,
    park_attempt,
    start_attempt,
    write_output,
)
from smithers_nb.engine.journal.schema import events, nodes

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal
    from smithers_nb.model.failure_reason import FailureReason

_KIND: Final = "cell"
_MAX_TEXT: Final = 4_000
_INJECTED: Final = "injected-parameters"
_NOTEBOOK: Final = "notebook"
"""Node id for a failure before the first cell."""


class CellRecorder:
    """Records the cells of one execution; an observer of `executor.execute`."""

    def __init__(self, journal: Journal, run_id: str, owner: str, since: int, limit_s: float) -> None:
        self._journal = journal
        self._run_id = run_id
        self._owner = owner
        self._since = since  # a sequence number, since a clock may be set back
        self._meta = {"retries": 0, "timeoutMs": round(limit_s * 1000)}
        self._current: tuple[Node, int] | None = None
        self._count = 0
        self.silent = False

    def begun(self, cell: Any, index: int) -> None:
        """Record that a cell is sent to the kernel."""
        del index
        if _INJECTED in cell.metadata.get("tags", []):
            return
        self._count += 1
        if not self.silent:
            node = self._node(cell)
            with self._journal.writing(self._run_id, self._owner) as connection:
                self._current = node, start_attempt(connection, node, kind=_KIND, label=_title(cell), meta=self._meta)

    def ended(self, cell: Any, index: int) -> None:
        """Record that a cell succeeded; a failed one is recorded by `fail_open`, which knows why."""
        del index
        if self._current is None or any(output.get("output_type") == "error" for output in cell.outputs):
            return
        node, attempt = self._current
        shown = _shown(cell)
        with self._journal.writing(self._run_id, self._owner) as connection:
            if shown is not None:
                write_output(connection, node, _KIND, {"text": shown})
            finish_attempt(connection, node, attempt)
        self._current = None

    def fail_open(self, connection: sa.Connection, cell: Any, reason: FailureReason) -> None:
        """Fail the open attempts; when there are none and no stage has failed, fail the cell that ran."""
        before = self.first_failure(connection)
        left = self._open(connection)
        if not left and before is None:
            node = self._node(cell) if cell is not None else Node(self._run_id, _NOTEBOOK)
            left = [(node, start_attempt(connection, node, kind=_KIND, meta=self._meta))]
        for node, attempt in left:
            own = reason.model_copy(update={"source": f"node:{node.node_id}"})
            fail_attempt(connection, node, attempt, own)

    def cancel_open(self, connection: sa.Connection, why: str) -> None:
        """Cancel the open attempts."""
        for node, attempt in self._open(connection):
            cancel_attempt(connection, node, attempt, why)

    def park_open(self, connection: sa.Connection, state: str) -> None:
        """Park the cell in which a gate waits; it is executed again from its beginning."""
        for node, attempt in self._open(connection):
            park_attempt(connection, node, attempt, state)

    def first_failure(self, connection: sa.Connection) -> dict[str, Any] | None:
        """Return the payload of this execution's first NodeFailed event whose node is still failed; None when there is none.

        A stage that succeeded on a later attempt is not a failure.
        """
        mine = (events.c.run_id == self._run_id, events.c.seq >= self._since, events.c.type == "NodeFailed")
        texts = connection.execute(sa.select(events.c.payload_json).where(*mine).order_by(events.c.seq)).scalars()
        failed = sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == self._run_id, nodes.c.state == "failed")
        still = {tuple(row) for row in connection.execute(failed)}
        payloads = (dict(orjson.loads(text)) for text in texts.all())
        return next((event for event in payloads if (event["nodeId"], event["iteration"]) in still), None)

    def _open(self, connection: sa.Connection) -> list[tuple[Node, int]]:
        """Return the open attempts, innermost first: a stage before the cell that contains it."""
        ordered = sorted(open_attempts(connection, self._run_id), key=lambda one: one.kind == _KIND)
        return [(one.node, one.attempt) for one in ordered]

    def _node(self, cell: Any) -> Node:
        name = str(cell.get("id") or "")
        if name in ("", INPUT):  # a cell with the id of the run's parameters would overwrite them
            name = f"cell-{self._count}"
        return Node(self._run_id, name)


def _title(cell: Any) -> str:
    """Return the first non-empty line of a cell, as its label."""
    lines = (line.strip() for line in cell.source.splitlines())
    titles = (line.lstrip("#% ") if line.startswith("#") else line for line in lines)
    return next((title for title in titles if title), "")[:120]


def _shown(cell: Any) -> str | None:
    """Return the text of a cell's result, which is stored as the node's output."""
    results = (output for output in reversed(cell.outputs) if output.get("output_type") in ("execute_result", "display_data"))
    text = next((output["data"].get("text/plain") for output in results if "text/plain" in output.get("data", {})), None)
    return None if text is None else str(text)[:_MAX_TEXT]
