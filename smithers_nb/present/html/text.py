"""Text of unknown origin, made fit to be looked at.

Gets what a run recorded; gives the same text without secrets, with control characters shown instead of obeyed, in bounded length.
Pages and terminals both build on it.
"""

from __future__ import annotations

import re

from smithers_nb.redact import redact

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_ESCAPE = "\x1b"
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")


def shown(value: object, limit: int = 4_000) -> str:
    """Turn any value into text that is safe to show: without secrets, controls visible, at most about `limit` characters."""
    return visible(clip(redact("" if value is None else str(value)), limit))


def visible(text: str) -> str:
    r"""Replace control, direction and zero-width characters by their escapes, such as `\x1b`; newline and tab stay."""
    return _CONTROL.sub(_stand_in, text.replace("\r\n", "\n"))


def one_line(value: object, limit: int = 160) -> str:
    """Show a value on one line."""
    return shown(" ".join(str(value if value is not None else "").split()), limit)


def clip(text: str, limit: int) -> str:
    """Keep beginning and end of a text that is longer than `limit`, and say how much is missing between them."""
    if len(text) <= limit:
        return text
    head = limit * 3 // 4
    tail = limit - head
    return f"{text[:head]} … [{len(text) - limit:,} more characters] … {text[len(text) - tail :]}"


def without_ansi(text: str) -> str:
    """Drop the escape sequences that colour a terminal, and secrets first: a sequence can take along what sets a secret apart."""
    return _ANSI.sub("", redact(text)) if _ESCAPE in text else text


def _stand_in(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
