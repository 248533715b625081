"""How people write a point in time: epoch milliseconds, or ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime


def epoch_ms(text: str) -> int | None:
    """Read epoch milliseconds or an ISO time (UTC when it names no zone); None when it is neither."""
    text = text.strip()
    try:
        if text.isascii() and text.removeprefix("-").isdigit():
            moment = int(text)
            datetime.fromtimestamp(moment / 1000, UTC)
            return moment
        stamp = datetime.fromisoformat(text)
        return round((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None
