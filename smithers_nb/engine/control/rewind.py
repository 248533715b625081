"""Rewinds a run to the state right after one of its nodes was finished.

A frame is that state; frame 0 is the beginning. Everything later is removed from the run (its log stays complete), and the run is paused
until a person resumes it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.control.event_order import Frame, frames
from smithers_nb.engine.control.reset import ResetItem, as_payload, items_of
from smithers_nb.engine.control.run_state import refuse_while_executed, resolve, run_row
from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.records import Node, append_event
from smithers_nb.engine.journal.schema import approvals, attempts, nodes, outputs, questions, requests, time_travel
from smithers_nb.engine.journal.status import set_status
from smithers_nb.errors import ControlRefused, NodeNotFound
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location


class RewindPlan(NamedTuple):
    """What a rewind removes.

    Attributes:
        came_from: Number of the last frame.
        goes_to: Number of the frame to return to.
        items: The nodes to remove, in the order in which they happened.
    """

    run_id: str
    came_from: int
    goes_to: int
    items: tuple[ResetItem, ...]


def rewind_plan(location: Location, run_id: str, frame_or_node: int | str) -> RewindPlan:
    """Return what `rewind` would remove, without changing anything.

    Raises:
        RunNotFound: There is no such run.
        NodeNotFound: No such node was finished in it.
        ControlRefused: `FRAME_OUT_OF_RANGE`.
    """
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.reading() as connection:
            return _plan(connection, found, frame_or_node)


def frames_of(location: Location, run_id: str) -> list[Frame]:
    """Return the frames of a run, oldest first."""
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.reading() as connection:
            return frames(connection, found)


def rewind(location: Location, run_id: str, frame_or_node: int | str, *, caller: str = "cli", force: bool = False) -> RewindPlan:
    """Rewind to a frame, by its number or by the node that was finished with it.

    Args:
        location: The project and its journal.
        run_id: The run; a unique beginning is enough.
        frame_or_node: Number of the frame, or a node's id.
        caller: Who does it, for the audit log.
        force: Take over from a process that is about to execute the run but has not begun.

    Returns:
        What was removed. The run is paused; `resume` continues it.

    Raises:
        RunNotFound: There is no such run.
        NodeNotFound: No such node was finished in it.
        ControlRefused: `FRAME_OUT_OF_RANGE`, `RUN_OWNER_ALIVE` or `RUN_STILL_RUNNING`.
    """
    began = time.monotonic()
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found) as connection:
            plan = _plan(connection, found, frame_or_node)
            refuse_while_executed(connection, run_row(connection, found), force=force)
            for item in plan.items:
                for table in (attempts, outputs, approvals, questions, requests, nodes):
                    connection.execute(table.delete().where(*item.node.key(table)))
            # requested executions belong to the state that was removed
            executions.end_all(connection, found, "superseded")
            jump = {"fromFrameNo": plan.came_from, "toFrameNo": plan.goes_to, "caller": caller, "removedNodes": as_payload(plan.items)}
            append_event(connection, found, "TimeTravelJumped", jump)
            row = {
                "run_id": found,
                "from_frame_no": plan.came_from,
                "to_frame_no": plan.goes_to,
                "caller": caller,
                "timestamp_ms": now_ms(),
                "result": "success",
                "duration_ms": round((time.monotonic() - began) * 1000),
            }
            connection.execute(time_travel.insert().values(row))
            set_status(connection, found, "paused")
            return plan


def _plan(connection: sa.Connection, run_id: str, wanted: int | str) -> RewindPlan:
    known = frames(connection, run_id)
    goes_to = _number(known, run_id, wanted)
    kept = {frame.node for frame in known[:goes_to]}
    query = sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == run_id).order_by(nodes.c.updated_at_ms)
    gone = [node for row in connection.execute(query) if (node := Node(run_id, *row)) not in kept]
    order = {frame.node: frame.number for frame in known}
    gone.sort(key=lambda node: order.get(node, len(known) + 1))
    return RewindPlan(run_id, len(known), goes_to, items_of(connection, gone))


def _number(known: list[Frame], run_id: str, wanted: int | str) -> int:
    by_node = [frame.number for frame in known if frame.node.node_id == wanted]
    if by_node:
        return by_node[-1]
    if isinstance(wanted, str) and not wanted.isdecimal():
        listed = ", ".join(f"{frame.number} {frame.node.node_id}" for frame in known[:20]) or "none"
        raise NodeNotFound(f"no node {wanted!r} is finished in run {run_id}", hint=f"its frames: {listed}")
    number = int(wanted)
    if not 0 <= number <= len(known):
        raise ControlRefused(
            f"run {run_id} has no frame {number}",
            code="FRAME_OUT_OF_RANGE",
            hint=f"there are 0 to {len(known)}: smithers-nb rewind {run_id}",
        )
    return number
