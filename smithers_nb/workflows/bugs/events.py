"""Chooses the events of a run that are most useful to the makers of the engine: its start and end, failures, decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import EventRow
from smithers_nb.model.vocabulary import NOISE_EVENTS
from smithers_nb.sources.base import AllBut
from smithers_nb.workflows.bugs.scrub import scrub_payload, scrub_text

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot

MAX_EVENTS: Final = 50
_ENDS: Final = 3
_MAX_PAYLOAD: Final = 3_000
_MAX_TYPE: Final = 100
_CHATTER: Final = AllBut(NOISE_EVENTS | {"AgentEvent", "AgentSessionEvent"})
_FAILED: Final = ("Fail", "Denied", "Timeout", "GaveUp", "Unsafe", "Error", "Cancelled")
_RANKS: Final = ({"run", "supervisor", "approval", "time-travel", "reload"}, {"node", "timer", "sandbox", "oneshot"})
"""Categories of events in order of usefulness; failures come before them, everything else after."""


def lifecycle(snapshot: Snapshot) -> list[EventRow]:
    """Read the events of a run, oldest first, without heartbeats, render frames and agent output."""
    return snapshot.source.rows(EventRow, snapshot.run_id, only={"type": _CHATTER})


def most_useful(events: list[EventRow], limit: int = MAX_EVENTS) -> list[EventRow]:
    """Choose the most useful events, in the order in which they happened.

    The first and last ones are always included; then failures, decisions and retries. Of many alike, those nearest to either end win.
    """
    by_rank: dict[int, list[EventRow]] = {}
    for index, event in enumerate(events):
        at_an_end = index < _ENDS or index >= len(events) - _ENDS
        by_rank.setdefault(0 if at_an_end else _rank(event), []).append(event)
    ordered = [event for rank in sorted(by_rank) for event in _from_both_ends(by_rank[rank])]
    return sorted(ordered[:limit], key=lambda event: event.seq)


def reported(event: EventRow) -> dict[str, Any]:
    """Return one event as it goes into a report, redacted and shortened."""
    return {
        "seq": event.seq,
        "timestampMs": event.at,
        "type": scrub_text(event.type, _MAX_TYPE),
        "payload": scrub_payload(event.payload, _MAX_PAYLOAD),
    }


def _rank(event: EventRow) -> int:
    if any(word in event.type for word in _FAILED):
        return 1
    if event.type == "NodeRetrying":
        return 2
    return next((rank for rank, categories in enumerate(_RANKS, 2) if event.category in categories), 2 + len(_RANKS))


def _from_both_ends(events: list[EventRow]) -> Iterator[EventRow]:
    """Yield events from the outside in: first, last, second, second to last."""
    left, right = 0, len(events) - 1
    while left <= right:
        yield events[left]
        if left < right:
            yield events[right]
        left, right = left + 1, right - 1
