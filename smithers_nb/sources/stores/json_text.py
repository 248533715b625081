"""Read values from JSON and from columns of unknown content: a value that does not fit is None, never an exception."""

from __future__ import annotations

from typing import Any, Final

import orjson

_MAX_DEPTH: Final = 200
"""Maximum nesting of lists and objects: less than what `orjson` can serialise and what Python's recursion limit allows."""


def loads(text: str | bytes) -> Any:
    """Parse JSON that is not nested too deeply to be written again.

    Raises:
        orjson.JSONDecodeError: It is not valid JSON, or nested too deeply.
    """
    value = orjson.loads(text)
    if len(text) > _MAX_DEPTH and _count_brackets(text) > _MAX_DEPTH and is_deep(value):
        raise orjson.JSONDecodeError("nested too deep", "", 0)
    return value


def _count_brackets(text: str | bytes) -> int:
    return (text.count(b"[") + text.count(b"{")) if isinstance(text, bytes) else (text.count("[") + text.count("{"))


def is_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `loads` allows."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner = (child for item in level for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()))
        level = [child for child in inner if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def parse(text: Any) -> Any:
    """Parse JSON; None if it is not valid."""
    try:
        return loads(text) if isinstance(text, str | bytes) else None
    except orjson.JSONDecodeError:
        return None


def dump(value: Any) -> str | None:
    """Serialise a value as JSON; None if it is nested too deeply."""
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return None


def as_object(text: Any) -> dict[str, Any]:
    """Parse a JSON object; an empty one if it is anything else."""
    value = parse(text)
    return value if isinstance(value, dict) else {}


def as_texts(text: Any) -> list[str]:
    """Parse a JSON list and return its strings; an empty list if it is anything else."""
    value = parse(text)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """Return a value as text; None stays None."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def whole(value: Any) -> int | None:
    """Return a finite number as a 64-bit integer, which is what stores and frames hold; None for anything else."""
    return int(value) if isinstance(value, int | float) and -(2**63) <= value < 2**63 else None
