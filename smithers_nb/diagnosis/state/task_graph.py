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


def task_graph(snapshot: Snapshot, failure: Failure, producer: str = "") -> tuple[TaskStanding, ...]:
    """Return the tasks of a run in the order of the graph; none when there is nothing to draw.

    Args:
        snapshot: The run.
        failure: The failure that mattered.
        producer: The task whose output or answer is at fault, where it is known.
    """
    direct: dict[str, set[str]] = {}
    for task in snapshot.tasks:
        direct.setdefault(task.node_id, set()).update(names_in(task.depends_on))
    if len(direct) < 2 or not any(direct.values()) or failure.parents:  # noqa: PLR2004  # one task is no graph
        return ()
    states = {node.node_id: node.state for node in sorted(snapshot.nodes, key=lambda node: node.iteration)}
    upstream = upstream_of(snapshot)
    root = next((name for name in direct if name == failure.node_id), "")
    others = set(failure.collateral)

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
