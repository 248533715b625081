"""Points in time: epoch milliseconds everywhere, and how people write them, which may be ISO 8601."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_EARLIEST = 100_000_000_000
"""Spring of 1973. A smaller number is no moment of a run but seconds, or a date without hyphens."""


def now_ms() -> int:
    """Tell the time, epoch milliseconds."""
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
