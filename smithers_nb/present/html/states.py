"""How a state looks: an icon and a word beside its colour, the same in notebooks, widgets and reports.

Gets any state of a run, node, attempt, approval or question, also one nobody has heard of; gives its `Look`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Tone = Literal["bad", "good", "warn", "busy", "quiet"]


class Look(NamedTuple):
    """Icon, word and colour family of a state."""

    icon: str
    word: str
    tone: Tone


_LOOKS: dict[str, Look] = {
    "failed": Look("✖", "failed", "bad"),
    "denied": Look("✖", "denied", "bad"),
    "expired": Look("✖", "expired", "bad"),
    "unclear": Look("?", "unclear", "warn"),
    "finished": Look("✔", "finished", "good"),
    "succeeded": Look("✔", "succeeded", "good"),
    "approved": Look("✔", "approved", "good"),
    "answered": Look("✔", "answered", "good"),
    "continued": Look("↪", "continued", "good"),
    "closed": Look("✔", "closed", "good"),
    "landed": Look("✔", "landed", "good"),
    "landed-with-failures": Look("✖", "landed with failures", "bad"),
    "open": Look("○", "open", "quiet"),
    "hooked": Look("▶", "hooked", "busy"),
    "in-review": Look("▶", "in review", "busy"),
    "deferred": Look("‖", "deferred", "quiet"),
    "running": Look("▶", "running", "busy"),
    "in-progress": Look("▶", "in progress", "busy"),
    "requested": Look("‖", "requested", "warn"),
    "pending": Look("○", "pending", "quiet"),
    "paused": Look("‖", "paused", "warn"),
    "stale": Look("!", "stale", "warn"),
    "stalled": Look("!", "stalled", "warn"),
    "orphaned": Look("!", "orphaned", "warn"),
    "bound-stale": Look("!", "bound stale", "warn"),
    "cancelled": Look("⊘", "cancelled", "quiet"),
    "skipped": Look("↷", "skipped", "quiet"),
    "collateral": Look("↳", "collateral", "quiet"),
    "held-up": Look("‖", "held up", "warn"),
    "reset": Look("↺", "set aside", "quiet"),
    "gate": Look("◆", "gate", "warn"),
    "question": Look("?", "question", "warn"),
    "restart": Look("⟳", "restart", "busy"),
    "delivered": Look("✔", "delivered", "good"),
    "proved": Look("✔", "proved", "good"),
    "incomplete": Look("!", "incomplete", "warn"),
    "healthy": Look("✔", "healthy", "good"),
    "blocked": Look("‖", "blocked", "warn"),
    "stuck": Look("!", "stuck", "warn"),
    "overBudget": Look("✖", "over budget", "bad"),
    "info": Look("i", "note", "quiet"),
    "problem": Look("!", "problem", "warn"),
}


def look(state: str) -> Look:
    """Find how a state looks; `waiting-…` is a pause, and an unknown state keeps its own word."""
    state = state.replace("_", "-")
    if state in _LOOKS:
        return _LOOKS[state]
    if state.startswith("waiting-"):
        return Look("‖", state.replace("-", " ", 1), "warn")
    return Look("?", state or "unknown", "quiet")
