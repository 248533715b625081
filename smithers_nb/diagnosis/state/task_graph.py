"""Which task waits for which, and how each stands: what failed, what was held up by it, what was fine.

Gets a snapshot whose source has the graph as it was last rendered; a run without one, or of one task, has no graph worth drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.root_failure import names_in, upstream_of
from smithers_nb.model.verdict import TaskStanding
from smithers_nb.model.vocabulary import logical_id

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure
    from smithers_nb.sources.snapshot import Snapshot

_NEVER_BEGAN: Final = frozenset({"", "pending", "cancelled"})


def standings(snapshot: Snapshot, failure: Failure | None = None) -> tuple[TaskStanding, ...]:
    """Return the graph of a run in whatever state it is; each node by itself where there is no graph, loops once with their last state."""
    drawn = task_graph(snapshot, failure)
    if drawn:
        return drawn
    states = {node.node_id: node.state for node in sorted(snapshot.nodes, key=lambda node: node.iteration)}
    began = dict.fromkeys(row.node_id for row in sorted(snapshot.attempts, key=lambda row: row.started_at or 0) if row.node_id in states)
    return tuple(
        TaskStanding(node_id=name, state=states[name] or "pending", decides=failure is not None and name == failure.node_id)
        for name in [*began, *(name for name in states if name not in began)]
    )


def task_graph(snapshot: Snapshot, failure: Failure | None, producer: str = "") -> tuple[TaskStanding, ...]:
    """Return the tasks of a run in the order of the graph; none when there is nothing to draw.

    Args:
        snapshot: The run.
        failure: The failure that mattered, if there is one.
        producer: The task whose output or answer is at fault, where it is known.
    """
    direct: dict[str, set[str]] = {}
    for task in snapshot.tasks:
        direct.setdefault(task.node_id, set()).update(names_in(task.depends_on))
    if len(direct) < 2 or not any(direct.values()) or (failure and failure.parents):  # noqa: PLR2004  # one task is no graph
        return ()
    states = {node.node_id: node.state for node in sorted(snapshot.nodes, key=lambda node: node.iteration)}
    upstream = upstream_of(snapshot)
    root = next((name for name in direct if failure and name == failure.node_id), "")
    others = set(failure.collateral) if failure else set()

    def state_of(name: str) -> str:
        state = states.get(name, "")
        if name in others:
            return "collateral"
        return "held-up" if root and state in _NEVER_BEGAN and root in upstream(name) else state or "pending"

    return tuple(
        TaskStanding(
            node_id=name,
            state=state_of(name),
            after=tuple(sorted(before - {far for near in before for far in upstream(near)})),
            decides=name == root,
            producer=producer if name == root and logical_id(producer) != logical_id(name) else "",
        )
        for name, before in direct.items()
    )
