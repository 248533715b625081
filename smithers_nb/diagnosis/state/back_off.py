"""Tasks whose next attempt the engine has announced and not begun: they wait for a delay that need not be recorded anywhere.

A run that has one is healthy, however long nothing happens: the engine begins the attempt when the delay is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot


def announced_retries(snapshot: Snapshot) -> set[tuple[str, int]]:
    """Collect node and iteration of every `NodeRetrying` without a later `NodeStarted`."""
    waiting: set[tuple[str, int]] = set()
    for event in snapshot.events:
        key = event.node_id or "", event.iteration or 0
        if event.type == "NodeRetrying":
            waiting.add(key)
        elif event.type == "NodeStarted":
            waiting.discard(key)
    return waiting
