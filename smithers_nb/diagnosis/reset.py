"""What `retry-task` would reset, before anybody runs it.

Source: Smithers 0.32, `retry-task` with its default `--deps`: besides the target it resets every node whose last attempt
started after the target's, every node of a later loop iteration, and the child runs of whatever it resets. Siblings that
merely started later are hit as well, which is why people are surprised by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.model.verdict import ResetNode, ResetPreview

if TYPE_CHECKING:
    from smithers_nb.model.rows import NodeRow
    from smithers_nb.sources.snapshot import Snapshot

_CHILD_TARGETS = frozenset({"failed", "cancelled", "in-progress", "bound-stale"})


def reset_preview(snapshot: Snapshot, node_id: str, iteration: int = 0) -> ResetPreview:
    """Work out which nodes `retry-task --node-id NODE --iteration I` sets back to pending.

    Args:
        snapshot: The run that owns the node.
        node_id: The target.
        iteration: Its loop iteration.

    Returns:
        The target and everything that goes with it, in the order in which the engine started them.
    """
    order = {(a.node_id, a.iteration): position for position, a in enumerate(sorted(snapshot.attempts, key=lambda a: a.started_at or 0))}
    target = (node_id, iteration)
    changed_at = _updated_at(snapshot, target)
    hit: list[ResetNode] = []
    for node in sorted(snapshot.nodes, key=lambda n: order.get((n.node_id, n.iteration), len(order))):
        why = _why(node, target, order, changed_at)
        if why:
            hit.append(ResetNode(run_id=node.run_id, node_id=node.node_id, iteration=node.iteration, state=node.state, why=why))
    hit.sort(key=lambda n: n.why != "target")
    reset = {(n.node_id, n.iteration) for n in hit}
    return ResetPreview(run_id=snapshot.run.run_id, node_id=node_id, iteration=iteration, nodes=(*hit, *_children(snapshot, reset)))


def _why(node: NodeRow, target: tuple[str, int], order: dict[tuple[str, int], int], target_updated_at: int) -> str:
    key = (node.node_id, node.iteration)
    if key == target:
        return "target"
    if node.iteration > target[1]:
        return "later iteration"
    if target in order and key in order:
        return "started after the target" if order[key] > order[target] else ""
    return "changed after the target" if (node.updated_at or 0) > target_updated_at else ""


def _updated_at(snapshot: Snapshot, target: tuple[str, int]) -> int:
    return next((n.updated_at or 0 for n in snapshot.nodes if (n.node_id, n.iteration) == target), 0)


def _children(snapshot: Snapshot, reset: set[tuple[str, int]]) -> list[ResetNode]:
    """List the nodes of child runs that go with their owner: all of a finished child, the failed part of another."""
    found: list[ResetNode] = []
    for child in snapshot.children:
        owner, _, iteration = child.run.run_id.removeprefix(f"{snapshot.run.run_id}:child:").rpartition(":")
        if not iteration.isdigit() or (owner, int(iteration)) not in reset:
            continue
        whole = child.run.status in {"finished", "continued"}
        targets = child.nodes if whole else [n for n in child.nodes if n.state in _CHILD_TARGETS]
        why = f"child run of {owner}"
        found += [ResetNode(run_id=n.run_id, node_id=n.node_id, iteration=n.iteration, state=n.state, why=why) for n in targets]
    return found
