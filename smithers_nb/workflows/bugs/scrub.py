"""Values that a run recorded, made fit to leave this machine: without secrets and personal data, without control characters, short.

Order matters: what recognises a secret needs all of it, so a text is redacted before it is shortened. Megabytes are cut first, to a
piece that is far longer than what is kept; a secret that this cut in two lies where nothing is kept.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from smithers_nb.present.html.text import visible, without_ansi
from smithers_nb.redact import is_secret_name, redact, redact_value
from smithers_nb.sources.stores.json_text import loads

_LOOKED_AT: Final = 32_768
_MAX_COUNT: Final = 131_072
_MAX_KEY: Final = 100
_GONE: Final = "[REDACTED]"
_STEPS: Final = ((1_500, 50, 8), (400, 20, 6), (120, 8, 4), (60, 6, 2))
"""How much is kept of a payload, at each try: characters of a text, entries of an object or a list, levels."""


def scrub_text(text: str | None, room: int) -> str:
    """Make a text fit to leave, in at most about `room` characters; what is left out is said."""
    return _shortened(text or "", room)


def scrub_payload(stored: str | None, room: int) -> Any:
    """Make an event's payload fit to leave.

    Args:
        stored: The payload as the store has it: JSON, or any text.
        room: Bytes of JSON that the result may take.

    Returns:
        The value, shortened until it fits, with marks where something is left out.
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
    """Redact once more, as a whole.

    Shortening may have bared something, and a page, which redacts the text that it shows, must not differ from what is sent.
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
    except (orjson.JSONDecodeError, UnicodeEncodeError):  # no JSON, or text with halves of characters
        return stored


def _bounded(value: Any, entries: int, levels: int) -> Any:
    """Drop what will not be kept anyway, so that only so much is searched for secrets."""
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
        return min(len(value), _LOOKED_AT)
    if isinstance(value, dict):
        return sum(_volume(key) + _volume(item) for key, item in value.items())
    return sum(map(_volume, value)) if isinstance(value, list) else 1


def _each_text(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return _shortened(value, longest)
    if isinstance(value, dict):
        return {_shortened(key, _MAX_KEY): _GONE if _hides(key) else _each_text(item, longest) for key, item in value.items()}
    return [_each_text(item, longest) for item in value] if isinstance(value, list) else value


def _hides(key: str) -> bool:
    """Return whether a key names a secret and would not any more once it is shortened."""
    return len(key) > _MAX_KEY and is_secret_name(key)


def _shortened(text: str, room: int) -> str:
    """Clean the beginning of a text, then keep the beginning of that."""
    clean = _clean(text[:_LOOKED_AT])
    missing = len(text) - min(len(text), _LOOKED_AT) + len(clean) - min(len(clean), room)
    return clean if not missing else f"{clean[:room]} … [{missing:,} more characters]"


def _clean(text: str) -> str:
    return redact(visible(redact(without_ansi(text), personal=True)), personal=True)
