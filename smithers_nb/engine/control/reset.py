"""Resets a task that is to be tried again, with everything that began after it.

`reset_plan` returns what would be reset without changing anything; `retry_task` does exactly that in one transaction and requests the next
execution. Decisions made after the target began are withdrawn and asked again, since they were about results that are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.control.edit_check import check_sources
from smithers_nb.engine.control.event_order import begun_last
from smithers_nb.engine.control.resume import request_execution
from smithers_nb.engine.control.run_state import refuse_while_executed, resolve, run_row
from smithers_nb.engine.control.settings import Settings, change
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import Node, append_event, as_json, not_before, set_node
from smithers_nb.engine.journal.schema import approvals, attempts, nodes, outputs, questions, requests
from smithers_nb.errors import ControlRefused, NodeNotFound
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smithers_nb.engine.location import Location

_UNDONE: Final = ("failed", "in-progress", "waiting-approval", "waiting-event")


class ResetItem(NamedTuple):
    """One node that is reset.

    Attributes:
        state: Its state before.
        withdrawn: The decision or answer that a person has to repeat; empty for other nodes.
        is_cell: Whether it is a cell, which every execution runs again anyway.
    """

    node: Node
    state: str
    withdrawn: str = ""
    is_cell: bool = False

    @property
    def loss(self) -> str:
        """What is lost with it, in words; empty when nothing of value is."""
        if self.withdrawn:
            return f"{self.withdrawn}: is asked again"
        return "its output is dropped, and it runs again" if self.state == "finished" and not self.is_cell else ""


class ResetPlan(NamedTuple):
    """The nodes that a `retry-task` resets, the target first."""

    run_id: str
    items: tuple[ResetItem, ...]


def reset_plan(location: Location, run_id: str, node_id: str, iteration: int = 0, *, deps: bool = True) -> ResetPlan:
    """Return what `retry_task` would reset, without changing anything.

    Raises:
        RunNotFound: There is no such run.
        NodeNotFound: The run has no such node.
    """
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.reading() as connection:
            return _plan(connection, Node(found, node_id, iteration), deps=deps)


def retry_task(  # noqa: PLR0913  # all but three are options by name
    location: Location,
    run_id: str,
    node_id: str,
    iteration: int = 0,
    *,
    deps: bool = True,
    accept_workflow_change: bool = False,
    force: bool = False,
    here: bool = False,
    settings: Settings | None = None,
) -> ResetPlan:
    """Reset a task and what began after it, and request the next execution.

    Args:
        location: The project and its journal.
        run_id: The run; a unique beginning is enough.
        node_id: The target.
        iteration: Loop iteration, starting at 0.
        deps: Also reset what began after it, not only the target.
        accept_workflow_change: Continue although the notebook or its modules were edited.
        force: Reset even if the run waits for a person.
        here: The caller executes it itself, with `engine.workers.foreground.run_here`; otherwise a worker does.
        settings: New limits and other start options.

    Returns:
        What was reset.

    Raises:
        RunNotFound: There is no such run.
        NodeNotFound: The run has no such node.
        ParameterError: A setting cannot be used.
        ControlRefused: `RUN_OWNER_ALIVE`, `RUN_STILL_RUNNING` or `RESUME_METADATA_MISMATCH`; nothing was reset.
    """
    if settings is not None:
        settings.checked()
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found) as connection:
            row = run_row(connection, found)
            plan = _plan(connection, Node(found, node_id, iteration), deps=deps)
            refuse_while_executed(connection, row, force=force)
            _refuse_while_waiting(connection, row, force=force)
            check_sources(connection, row, accept=accept_workflow_change)
            _apply(connection, plan)
            change(connection, found, settings)
            request_execution(connection, row, here=here)
            return plan


def reset(connection: sa.Connection, items: Iterable[ResetItem]) -> None:
    """Reset nodes to pending; their attempts stay, marked as cancelled by the reset."""
    for item in items:
        _mark_attempts(connection, item.node)
        connection.execute(outputs.delete().where(*item.node.key(outputs)))
        connection.execute(approvals.delete().where(*item.node.key(approvals)))
        connection.execute(questions.delete().where(*item.node.key(questions)))
        connection.execute(requests.delete().where(*item.node.key(requests)))
        set_node(connection, item.node, "pending")


def items_of(connection: sa.Connection, wanted: Iterable[Node]) -> tuple[ResetItem, ...]:
    """Return the items for nodes to reset, with their states and decisions."""
    return tuple(_item(connection, node) for node in wanted)


def as_payload(items: Iterable[ResetItem]) -> list[dict[str, Any]]:
    """Return reset nodes as a payload for an event, where withdrawn decisions stay readable."""
    rows = []
    for item in items:
        withdrawn = {"withdrawn": item.withdrawn} if item.withdrawn else {}
        rows.append({**item.node.about, "state": item.state, **withdrawn})
    return rows


def _apply(connection: sa.Connection, plan: ResetPlan) -> None:
    target = plan.items[0].node
    append_event(connection, plan.run_id, "RetryTaskStarted", {**target.about, "resetNodes": as_payload(plan.items)})
    reset(connection, plan.items)
    append_event(connection, plan.run_id, "RetryTaskFinished", {**target.about, "success": True})


def _plan(connection: sa.Connection, target: Node, *, deps: bool) -> ResetPlan:
    there = {Node(target.run_id, row.node_id, row.iteration) for row in connection.execute(_nodes_of(target.run_id))}
    if target not in there:
        where = f"{target.node_id!r}" + (f", iteration {target.iteration}" if target.iteration else "")
        names = ", ".join(sorted({node.node_id for node in there})[:20]) or "none"
        raise NodeNotFound(f"run {target.run_id} has no node {where}", hint=f"its nodes: {names}")
    began = begun_last(connection, target.run_id)
    since = began.get(target, -1)
    later = sorted((node for node in there - {target} if began.get(node, -1) > since), key=lambda node: began[node])
    return ResetPlan(target.run_id, items_of(connection, (target, *(later if deps else ()))))


def _refuse_while_waiting(connection: sa.Connection, row: sa.Row[Any], *, force: bool) -> None:
    """Refuse to reset a run that waits for a person, unless forced."""
    gates = sa.select(approvals.c.node_id).where(approvals.c.run_id == row.run_id, approvals.c.status == "requested")
    asked = sa.select(questions.c.node_id).where(questions.c.run_id == row.run_id, questions.c.status == "pending")
    waiting = connection.execute(gates.union_all(asked)).scalars().all()
    if waiting and row.status not in TERMINAL_STATUSES and not force:
        raise ControlRefused(
            f"run {row.run_id} still waits for a person at {', '.join(waiting)}",
            code="RUN_STILL_RUNNING",
            hint=f"decide first (smithers-nb human inbox {row.run_id}), or add --force to ask again later",
        )


def _mark_attempts(connection: sa.Connection, node: Node) -> None:
    """Mark unfinished and failed attempts as cancelled by the reset, as Smithers does; their errors stay readable."""
    undone = (*node.key(attempts), attempts.c.state.in_(_UNDONE))
    for number, finished_at, meta in connection.execute(
        sa.select(attempts.c.attempt, attempts.c.finished_at_ms, attempts.c.meta_json).where(*undone)
    ).all():
        marked = as_json({**orjson.loads(meta or "{}"), "resetCancelled": True})
        values = {
            "state": "cancelled",
            "finished_at_ms": finished_at or not_before(attempts.c.started_at_ms, now_ms()),
            "meta_json": marked,
        }
        connection.execute(attempts.update().where(*node.key(attempts), attempts.c.attempt == number).values(values))


def _item(connection: sa.Connection, node: Node) -> ResetItem:
    state = connection.execute(sa.select(nodes.c.state).where(*node.key(nodes))).scalar_one()
    gate = connection.execute(sa.select(approvals.c.status, approvals.c.decided_by).where(*node.key(approvals))).first()
    if gate is not None and gate.status != "requested":
        return ResetItem(node, state, f"{gate.status} by {gate.decided_by}")
    kinds = connection.execute(sa.select(attempts.c.meta_json).where(*node.key(attempts)).limit(1)).scalars()
    is_cell = any(orjson.loads(meta or "{}").get("kind") == "cell" for meta in kinds)
    asked = connection.execute(sa.select(questions.c.status, questions.c.answered_by).where(*node.key(questions))).first()
    said = f"answered by {asked.answered_by}" if asked is not None and asked.status == "answered" else ""
    return ResetItem(node, state, said, is_cell)


def _nodes_of(run_id: str) -> sa.Select[tuple[str, int]]:
    return sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == run_id)
