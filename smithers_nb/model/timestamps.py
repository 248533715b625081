"""Points in time and lengths of time: epoch milliseconds everywhere, how people give them, and how they are shown to people."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

_EARLIEST = 100_000_000_000
"""Spring of 1973. A smaller number is not a run's time in milliseconds but seconds, or a date without hyphens."""

_YEAR_ONE_MS, _YEAR_9999_MS = -62_135_596_800_000, 253_402_300_799_999
_MINUTE: Final = 60
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (_MINUTE, "min"), (1, "s"))


def now_ms() -> int:
    """Return the time, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def epoch_ms(text: str) -> int | None:
    """Read epoch milliseconds or an ISO time (UTC when it names no zone); None when it is neither."""
    text = text.strip()
    try:
        if text.isascii() and text.removeprefix("-").isdigit():
            moment = int(text)
            datetime.fromtimestamp(moment / 1000, UTC)
            return moment if moment >= _EARLIEST else None
        stamp = datetime.fromisoformat(text)
        return round((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def when(ms: int | None) -> str:
    """Write an epoch millisecond as UTC, to the second; empty for none, the bare number outside the calendar."""
    if ms is None:
        return ""
    if not _YEAR_ONE_MS <= ms <= _YEAR_9999_MS:
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


def duration(seconds: float | None) -> str:
    """Write how long something took: below a minute exactly, such as `250 ms` or `1.5 s`, else as `span` does; empty for none."""
    if seconds is None:
        return ""
    if round(seconds, 3) < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    return f"{seconds:.1f} s" if round(seconds, 1) < _MINUTE else span(round(seconds) * 1000)
