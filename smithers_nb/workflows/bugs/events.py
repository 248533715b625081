"""Which lines of a run's log tell the makers of the engine most: how it began, what failed, what people decided, how it ended."""

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
_ROOM: Final = 3_000
_MAX_TYPE: Final = 100
_CHATTER: Final = AllBut(NOISE_EVENTS | {"AgentEvent", "AgentSessionEvent"})
_FAILED: Final = ("Fail", "Denied", "Timeout", "GaveUp", "Unsafe", "Error", "Cancelled")
_RANKS: Final = ({"run", "supervisor", "approval", "time-travel", "reload"}, {"node", "timer", "sandbox", "oneshot"})
"""Categories of events from the most telling to the least; failures come before them, everything else behind."""


def lifecycle(snapshot: Snapshot) -> list[EventRow]:
    """Read the log of a run without heartbeats, render frames and what agents said while they worked, oldest first."""
    return snapshot.source.rows(EventRow, snapshot.run_id, only={"type": _CHATTER})


def tellingest(events: list[EventRow], most: int = MAX_EVENTS) -> list[EventRow]:
    """Choose the events that say most, in the order in which they happened.

    The first and the last ones always; then what failed, was decided or tried again; of many alike, those nearest to either end.
    """
    by_rank: dict[int, list[EventRow]] = {}
    for location, event in enumerate(events):
        at_an_end = location < _ENDS or location >= len(events) - _ENDS
        by_rank.setdefault(0 if at_an_end else _rank(event), []).append(event)
    ordered = [event for rank in sorted(by_rank) for event in _from_both_ends(by_rank[rank])]
    return sorted(ordered[:most], key=lambda event: event.seq)


def reported(event: EventRow) -> dict[str, Any]:
    """Write one event as a report has it, fit to leave this machine."""
    return {
        "seq": event.seq,
        "timestampMs": event.at,
        "type": scrub_text(event.type, _MAX_TYPE),
        "payload": scrub_payload(event.payload, _ROOM),
    }


def _rank(event: EventRow) -> int:
    if any(word in event.type for word in _FAILED):
        return 1
    if event.type == "NodeRetrying":
        return 2
    return next((rank for rank, categories in enumerate(_RANKS, 2) if event.category in categories), 2 + len(_RANKS))


def _from_both_ends(events: list[EventRow]) -> Iterator[EventRow]:
    """Go through a list from outside in: first, last, second, last but one."""
    left, right = 0, len(events) - 1
    while left <= right:
        yield events[left]
        if left < right:
            yield events[right]
        left, right = left + 1, right - 1
