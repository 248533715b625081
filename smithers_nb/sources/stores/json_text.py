"""Take values out of JSON and columns that may hold anything: what does not fit is None, never an exception."""

from __future__ import annotations

from typing import Any, Final

import orjson

_DEEPEST: Final = 200
"""Levels of lists and objects: fewer than `orjson` can write again, and than Python can follow from one level to the next."""


def loads(text: str | bytes) -> Any:
    """Parse JSON as deep as it can be written again.

    Raises:
        orjson.JSONDecodeError: It is not valid JSON, or nested deeper than anything that means something.
    """
    value = orjson.loads(text)
    if len(text) > _DEEPEST and _opened(text) > _DEEPEST and is_deep(value):
        raise orjson.JSONDecodeError("nested too deep", "", 0)
    return value


def _opened(text: str | bytes) -> int:
    return (text.count(b"[") + text.count(b"{")) if isinstance(text, bytes) else (text.count("[") + text.count("{"))


def is_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `loads` allows."""
    level = [value]
    for _ in range(_DEEPEST):
        inner = (item for one in level for item in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()))
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def parse(text: Any) -> Any:
    """Parse JSON; None when it is not."""
    try:
        return loads(text) if isinstance(text, str | bytes) else None
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


def as_texts(text: Any) -> list[str]:
    """Parse a JSON list and keep its texts; none when it is something else."""
    value = parse(text)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """Return a value as text, None for nothing."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def whole(value: Any) -> int | None:
    """Return a finite number as an integer of 64 bits, as stores and frames have them; None for anything else."""
    return int(value) if isinstance(value, int | float) and -_HUGE <= value < _HUGE else None


_HUGE = 2**63
