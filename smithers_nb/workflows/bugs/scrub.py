"""Cleans recorded values before they leave this machine: no secrets, personal data or control characters, and short.

Order matters: recognising a secret needs all of it, so text is redacted before it is shortened. Very long text is first cut to a piece much
longer than what is kept; a secret split by that cut lies outside of what is kept.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from smithers_nb.present.html.text import visible, without_ansi
from smithers_nb.redact import is_secret_name, redact, redact_value
from smithers_nb.sources.stores.json_text import loads

_MAX_INPUT: Final = 32_768
_MAX_COUNT: Final = 131_072
_MAX_KEY: Final = 100
_GONE: Final = "[REDACTED]"
_STEPS: Final = ((1_500, 50, 8), (400, 20, 6), (120, 8, 4), (60, 6, 2))
"""What is kept of a payload, from generous to strict: characters of a text, entries of an object or list, levels."""


def scrub_text(text: str | None, room: int) -> str:
    """Redact a text and shorten it to about `room` characters, with a note on what was left out."""
    return _shortened(text or "", room)


def scrub_payload(stored: str | None, room: int) -> Any:
    """Redact and shorten an event's payload.

    Args:
        stored: The payload as the store has it: JSON, or any text.
        room: Maximum size of the result as JSON, in bytes.

    Returns:
        The value, shortened until it fits, with notes where something is left out.
    """
    value = _parsed(stored)
    for longest, entries, levels in _STEPS:
        small = _bounded(value, entries, levels)
        if _volume(small) > _MAX_COUNT:
            continue
        short = redact_value(_each_text(small, longest), personal=True)
        if len(orjson.dumps(short)) <= room:
            return short
    return {"shortened": f"[{len(stored or ''):,} characters, too many to show]"}


def settle(payload: dict[str, Any]) -> dict[str, Any]:
    """Redact a payload once more, as a whole.

    Shortening may have exposed something, and what is sent must not differ from a page, which redacts the text it shows.
    """
    clean: dict[str, Any] = redact_value(payload, personal=True)
    try:
        seen = orjson.loads(redact(orjson.dumps(clean, option=orjson.OPT_INDENT_2).decode()))
    except orjson.JSONDecodeError:
        return clean
    return seen if isinstance(seen, dict) else clean


def _parsed(stored: str | None) -> Any:
    try:
        return loads(stored or "{}")
    except (orjson.JSONDecodeError, UnicodeEncodeError):  # not JSON, or text with lone surrogates
        return stored


def _bounded(value: Any, entries: int, levels: int) -> Any:
    """Drop what will not be kept anyway, to limit how much is searched for secrets."""
    if not isinstance(value, dict | list):
        return value
    if levels == 0 and value:
        return f"[{len(value):,} values, too deep to show]"
    more = f"[{len(value) - entries:,} more]"
    if isinstance(value, list):
        kept = [_bounded(item, entries, levels - 1) for item in value[:entries]]
        return kept if len(value) <= entries else [*kept, more]
    inner = {key: _bounded(value[key], entries, levels - 1) for key in list(value)[:entries]}
    return inner if len(value) <= entries else inner | {"…": more}


def _volume(value: Any) -> int:
    """Count the characters that would be searched for secrets."""
    if isinstance(value, str):
        return min(len(value), _MAX_INPUT)
    if isinstance(value, dict):
        return sum(_volume(key) + _volume(item) for key, item in value.items())
    return sum(map(_volume, value)) if isinstance(value, list) else 1


def _each_text(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return _shortened(value, longest)
    if isinstance(value, dict):
        return {_shortened(key, _MAX_KEY): _GONE if _is_long_secret_name(key) else _each_text(item, longest) for key, item in value.items()}
    return [_each_text(item, longest) for item in value] if isinstance(value, list) else value


def _is_long_secret_name(key: str) -> bool:
    """Return whether a key names a secret but would no longer be recognised once shortened."""
    return len(key) > _MAX_KEY and is_secret_name(key)


def _shortened(text: str, room: int) -> str:
    """Clean the beginning of a text, then shorten it."""
    clean = _clean(text[:_MAX_INPUT])
    missing = len(text) - min(len(text), _MAX_INPUT) + len(clean) - min(len(clean), room)
    return clean if not missing else f"{clean[:room]} … [{missing:,} more characters]"


def _clean(text: str) -> str:
    return redact(visible(redact(without_ansi(text), personal=True)), personal=True)
