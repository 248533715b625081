"""Classes of a reason, and bd's own rules about prose, by the definitions of the corpus' `beads/2026/README.md`."""

from __future__ import annotations

import re
from typing import Final

DEFAULT: Final = "Closed"
"""What `bd close` writes when it is given no reason."""

TERSE: Final = 20
"""Characters from which bd's `validation.on-close` takes a reason."""


_FAILURE: Final = (
    "failed",
    "rejected",
    "wontfix",
    "won't fix",
    "canceled",
    "cancelled",
    "abandoned",
    "blocked",
    "error",
    "timeout",
    "aborted",
)
_NON_COMPLETING: Final = re.compile(r"\b(?:duplicate|dupe|won'?t[- ]fix|superseded|obsoleted|not planned)\b", re.IGNORECASE)


def is_default(reason: str) -> bool:
    """Whether it is what bd writes of its own accord."""
    return reason == DEFAULT


def is_one_word(reason: str) -> bool:
    """Whether it is exactly one token; the default is one, too."""
    return len(reason.split(None, 2)) == 1


def is_terse(reason: str) -> bool:
    """Whether it has 1 to 19 characters; one word may be longer."""
    return 0 < len(reason) < TERSE


def fails_by_bd(reason: str) -> bool:
    """Whether bd's `IsFailureClose` takes the close for a failure; nearly all that it finds are success stories, so it is a hint only."""
    lowered = reason.lower()
    return any(word in lowered for word in _FAILURE)


def non_completing_by_bd(reason: str) -> bool:
    """Whether bd leaves the close out of an epic's completion."""
    return _NON_COMPLETING.search(reason) is not None


NO_REASON, IS_DEFAULT, ONE_WORD, IS_TERSE, SECOND_DROPPED, GONE, RECLAIM = (1 << bit for bit in range(7))
"""Bits that say of a move in a ledger how it has its reason."""


def reason_flags(reason: str) -> int:
    """Return the bits of a stripped reason."""
    if not reason:
        return NO_REASON
    return IS_DEFAULT * is_default(reason) | ONE_WORD * is_one_word(reason) | IS_TERSE * is_terse(reason)
