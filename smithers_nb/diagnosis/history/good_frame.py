"""The frame to go back to where an agent spoiled what a loop had: one answer lacks a value that all its earlier ones had.

Gets the rows of a run and the upstream output that lacks what the failing task reads; gives the last frame before the agent was asked for
it. To ask again from there is worth more than an edit of the code, which worked in every round before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from smithers_nb.model.rows import EventRow
from smithers_nb.model.verdict import Evidence
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smithers_nb.model.rows import OutputRow
    from smithers_nb.sources.snapshot import Snapshot


class GoodFrame(NamedTuple):
    """Where a run was still good.

    Attributes:
        number: Number of the render frame.
        node: Agent's task whose answer after it is at fault.
        iteration: Round of that answer, from 0.
        field: What the answer lacks.
        evidence: The event that committed the frame.
    """

    number: int
    node: str
    iteration: int
    field: str
    evidence: Evidence


def good_frame(run: Snapshot, lack: Evidence, reader: str | None) -> GoodFrame | None:
    """Find the last frame before an agent's answer that lacks a field which all its earlier answers had.

    Args:
        run: The run that failed.
        lack: Row of the answer, `node:NODE/ITERATION`, quoted by the field's path.
        reader: Node that failed on it.

    Returns:
        The frame; None where the code may be at fault as well, or where Smithers cannot rewind: it cannot restore lists and objects.
    """
    node, _, round_ = lack.ref.partition(":")[2].rpartition("/")
    iteration = int(round_) if round_.isdigit() else 0
    earlier = [output for output in run.outputs if output.node_id == node and output.iteration < iteration]
    if not iteration or not earlier or not all(_has(output, lack.quote) for output in earlier):
        return None
    if not any(a.agent or a.engine for a in run.attempts if (a.node_id, a.iteration) == (node, iteration)) or not _can_restore(run.outputs):
        return None
    if not any(n.node_id == reader and n.iteration < iteration and n.state == "finished" for n in run.nodes):
        return None
    return _before(run, node, iteration, lack.quote)


def _before(run: Snapshot, node: str, iteration: int, field: str) -> GoodFrame | None:
    begun = next((e.seq for e in run.events if e.type == "NodeStarted" and (e.node_id, e.iteration) == (node, iteration)), None)
    frames = run.source.rows(EventRow, run.run_id, only={"type": ["FrameCommitted"]}) if begun is not None else []
    frame = next((event for event in reversed(frames) if begun is not None and event.seq < begun), None)
    number = as_object(frame.payload).get("frameNo") if frame else None
    if frame is None or not isinstance(number, int):
        return None
    note = f"the last frame before {node} began iteration {iteration}"
    evidence = Evidence(ref=f"event:{frame.seq}", quote=f"FrameCommitted, frame {number}", note=note)
    return GoodFrame(number, node, iteration, field, evidence)


def _has(output: OutputRow, path: str) -> bool:
    value: Any = as_object(output.row)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value is not None


def _can_restore(outputs: Sequence[OutputRow]) -> bool:
    """Return whether Smithers 0.32 can write the outputs back: it binds each value as it is, and SQLite takes no lists or objects."""
    kept = [as_object(output.row) for output in outputs if output.node_id != "input"]
    return not any(isinstance(value, list | dict) for row in kept for value in row.values())
