"""Take values out of JSON and columns that may hold anything: what does not fit is None, never an exception."""

from __future__ import annotations

from typing import Any

import orjson


def parse(text: Any) -> Any:
    """Parse JSON; None when it is not."""
    try:
        return orjson.loads(text) if isinstance(text, str | bytes) else None
    except orjson.JSONDecodeError:
        return None


def dump(value: Any) -> str | None:
    """Write JSON; None when the value is nested deeper than any reader would follow."""
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return None


def as_object(text: Any) -> dict[str, Any]:
    """Parse a JSON object; an empty one when it is something else."""
    value = parse(text)
    return value if isinstance(value, dict) else {}


def text_or_none(value: Any) -> str | None:
    """Give a value as text, None for nothing."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def whole(value: Any) -> int | None:
    """Give a finite number as an integer, None for anything else."""
    if isinstance(value, float):
        return int(value) if value == value and abs(value) < _HUGE else None  # noqa: PLR0124 - only NaN differs from itself
    return int(value) if isinstance(value, int) else None


_HUGE = 2.0**63
