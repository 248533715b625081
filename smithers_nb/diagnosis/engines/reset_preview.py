"""What a `retry-task` would reset, and which side effects it would repeat.

Source: Smithers 0.32, `retry-task` with its default `--deps`: besides the target it resets every node whose last attempt started after
the target's, every node of a later loop iteration, and the child runs of everything it resets. This includes siblings that merely
started later, which surprises people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.model.verdict import ResetNode, ResetPreview
from smithers_nb.sources.base import launching_node
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import NodeRow
    from smithers_nb.sources.snapshot import Snapshot

_Key = tuple[str, int]

_PARKED: Final = frozenset({"waiting-approval", "waiting-event", "waiting-timer", "waiting-quota", "waiting-bound", "bound-stale"})
_CHILD_TARGETS: Final = _PARKED | {"failed", "cancelled", "in-progress"}
_ENDED: Final = frozenset({"finished", "continued"})
_RESETTABLE: Final = _PARKED | _ENDED | {"failed", "cancelled", "canceled", "paused"}
_MAX_DEPTH: Final = 8


def reset_preview(snapshot: Snapshot, node_id: str, iteration: int = 0) -> ResetPreview:
    """Return the nodes that `retry-task --node-id NODE --iteration I` sets back to pending.

    Args:
        snapshot: The run that owns the node.
        node_id: The target.
        iteration: Its loop iteration.

    Returns:
        The target and everything that is reset with it, in the order in which the engine started them.
    """
    own = sorted(_reset_with(snapshot, (node_id, iteration)), key=lambda node: node.why != "target")
    nodes = (*own, *_of_children(snapshot, own, _MAX_DEPTH))
    return ResetPreview(run_id=snapshot.run.run_id, node_id=node_id, iteration=iteration, nodes=nodes)


def repeated_effects(snapshot: Snapshot, preview: ResetPreview) -> tuple[str, ...]:
    """Return the nodes of a preview whose effects outside the run would be repeated.

    The engine records the side effects of tool calls; idempotent ones do not count.
    """
    runs = {run.run_id: run for run in _family(snapshot, _MAX_DEPTH)}
    with_effects = {
        (call.run_id, call.node_id, call.iteration)
        for run_id in {node.run_id for node in preview.nodes}
        for call in (runs[run_id].tool_calls if run_id in runs else ())
        if call.side_effect and not call.idempotent
    }
    return tuple(dict.fromkeys(node.node_id for node in preview.nodes if (node.run_id, node.node_id, node.iteration) in with_effects))


def _reset_with(snapshot: Snapshot, target: _Key) -> list[ResetNode]:
    """Return the nodes of one run that are reset with a target, including the target."""
    started = sorted(snapshot.attempts, key=lambda a: (a.started_at or 0, a.node_id, a.iteration, a.attempt))
    order = {(a.node_id, a.iteration): position for position, a in enumerate(started)}
    changed_at = next((n.updated_at or 0 for n in snapshot.nodes if (n.node_id, n.iteration) == target), 0)
    nodes = sorted(snapshot.nodes, key=lambda n: order.get((n.node_id, n.iteration), len(order)))
    return [_reset(node, why) for node in nodes if (why := _why(node, target, order, changed_at))]


def _why(node: NodeRow, target: _Key, order: dict[_Key, int], target_updated_at: int) -> str:
    key = (node.node_id, node.iteration)
    if key == target:
        return "target"
    if node.iteration > target[1]:
        return "later iteration"
    if target in order and key in order:
        return "started after the target" if order[key] > order[target] else ""
    return "changed after the target" if (node.updated_at or 0) > target_updated_at else ""


def _of_children(snapshot: Snapshot, reset: Iterable[ResetNode], depth: int) -> Iterator[ResetNode]:
    """Yield the nodes of child runs that are reset with the node that launched them, and of those runs' own children."""
    owners = {(node.node_id, node.iteration) for node in reset}
    for child in snapshot.children if depth else ():
        owner = launching_node(child.run.run_id, snapshot.run.run_id)
        named = as_object(child.run.config).get("subflowWorkspaceParentRunId") == snapshot.run.run_id
        if child.run.status not in _RESETTABLE or not (owner in owners if owner else named):
            continue
        why = f"child run of {owner[0]}" if owner else f"child run {child.run.run_id}"
        nodes = [_reset(node, why) for node in _in_child(child)]
        yield from nodes
        yield from _of_children(child, nodes, depth - 1)


def _in_child(child: Snapshot) -> list[NodeRow]:
    """Return the nodes that are reset in a child run: all if it has ended, else those that failed or wait, with what started later."""
    if child.run.status in _ENDED:
        return child.nodes
    keys = {(n.node_id, n.iteration) for node in child.nodes if node.state in _CHILD_TARGETS for n in _reset_with(child, _key(node))}
    if not keys and child.run.status in _PARKED | {"paused"}:
        return [node for node in child.nodes if node.state == "pending"]
    return [node for node in child.nodes if _key(node) in keys]


def _family(snapshot: Snapshot, depth: int) -> Iterator[Snapshot]:
    yield snapshot
    for child in snapshot.children if depth else ():
        yield from _family(child, depth - 1)


def _reset(node: NodeRow, why: str) -> ResetNode:
    return ResetNode(run_id=node.run_id, node_id=node.node_id, iteration=node.iteration, state=node.state, why=why)


def _key(node: NodeRow) -> _Key:
    return node.node_id, node.iteration
