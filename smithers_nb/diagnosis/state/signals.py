"""Which signal a task waits for, and whether it has come: an engine that nobody runs takes no notice of what was delivered to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import NodeRow, SignalRow
    from smithers_nb.sources.snapshot import Snapshot


def waiting_properties(snapshot: Snapshot, node: NodeRow) -> dict[str, Any]:
    """Return what the task of a node was given: `event`, `correlationId`, `timeoutMs`, `onTimeout` where it waits for a signal."""
    for task in snapshot.tasks:
        if (task.node_id, task.iteration) == (node.node_id, node.iteration):
            return as_object(task.props)
    return {}


def delivered(snapshot: Snapshot, node: NodeRow) -> SignalRow | None:
    """Return the signal that came after a node began to wait for it; None as long as it has not come."""
    if node.state != "waiting-event" or node.updated_at is None:
        return None
    props = waiting_properties(snapshot, node)
    name, correlation = props.get("event"), props.get("correlationId")
    for signal in reversed(snapshot.signals):
        same = signal.signal_name == name and (not correlation or signal.correlation_id == correlation)
        if same and (signal.received_at or 0) >= node.updated_at:
            return signal
    return None
