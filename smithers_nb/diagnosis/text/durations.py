"""Moments, lengths of time and long texts, in a form that a person reads at a glance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from smithers_nb.redact import redact

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_FAR_AWAY: Final = 253_402_300_799_000


def clock(ms: int) -> str:
    """Write a moment, such as `2026-11-20 13:05:26 UTC`; a number that is no moment is shown as it is."""
    if not 0 <= ms <= _FAR_AWAY:
        return str(ms)
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(ms: int) -> str:
    """Write a length of time by its two largest units, such as `1 h 59 min`; less than a second is `0 s`."""
    left = max(0, ms // 1000)
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def cut(text: str | None, length: int = 160) -> str:
    """Bring text of any size onto one line of at most `length` characters, without its secrets."""
    line = " ".join(redact(text or "").split())  # before it is cut: half a secret is not recognised any more
    return line if len(line) <= length else f"{line[: length - 1]}…"
