"""What a text says below its escapes, with the way back to its own positions.

A secret in a log line is often quoted several times: JSON within JSON, a URL, HTML, the colours of a terminal. Every layer is undone for
the whole text at once, so that what looks for secrets knows no escapes, and a secret that is found is replaced where it was written.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, cached_property, lru_cache
from itertools import accumulate
from typing import Final

_LAYERS: Final = 8
"""JSON within JSON doubles its backslashes per layer, so more layers than these are not written by anybody."""

_SIGNS: Final = ("\\", "%", "\x1b[", "&#", "&quot;", "&apos;", "&amp;", "&lt;", "&gt;")
"""One of these is in every text that has an escape; looking for them takes much less time than looking for the escapes."""

_SIMPLE: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class View:
    """A text with one layer of escapes undone.

    Attributes:
        text: What it says.
    """

    def __init__(self, parts: list[str], below: View | None) -> None:
        plain = parts.copy()
        plain[1::2] = map(_plain, parts[1::2])
        self.text = "".join(plain)
        self._parts = parts
        self._plain = plain
        self._below = below

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Find where a piece of this text lies in the text that was given first."""
        here = self._position(start), self._position(end - 1, after=True)
        return self._below.origin(*here) if self._below else here

    def _position(self, index: int, *, after: bool = False) -> int:
        decoded, written = self._ends
        step = bisect_right(decoded, index)  # escapes of no length at this place are passed over
        inside, begin = index - (decoded[step - 1] if step else 0), written[step - 1] if step else 0
        # parts alternate: text, escape, text; only a row of backslashes says more than one character
        size = len(self._parts[step]) // len(self._plain[step]) if step % 2 else 1
        return begin + (inside + after) * size

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        return list(accumulate(map(len, self._plain))), list(accumulate(map(len, self._parts)))


def views(text: str) -> Iterator[View]:
    """Undo the escapes of a text layer by layer."""
    yield from _layers(text)
    if "+" in text and ("%" in text or "&" in text):  # a form writes a space as a plus sign
        spaced = text.replace("+", " ")
        yield View([spaced], None)
        yield from _layers(spaced)


def _layers(text: str) -> Iterator[View]:
    view: View | None = None
    for _ in range(_LAYERS):
        if not any(sign in text for sign in _SIGNS):
            return
        parts = _escape().split(text)
        if len(parts) == 1:
            return
        view = View(parts, view)
        text = view.text
        yield view


@cache
def _escape() -> re.Pattern[str]:
    return re.compile(
        r"((?:\\\\)++|\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[\"'/bfnrt])|%[0-9A-Fa-f]{2}"
        r"|&(?:quot|apos|amp|lt|gt|\#[0-9]{1,5}|\#x[0-9a-fA-F]{1,4});|\x1b\[[0-9;]{0,20}m)"
    )


@lru_cache(maxsize=4096)
def _plain(escape: str) -> str:
    if escape[0] == "\x1b":
        return ""
    if escape.startswith("\\\\"):
        return escape[::2]
    if escape[0] == "&":
        return html.unescape(escape)[:1]
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    return chr(int(f"0{escape[1:]}".replace("u", "x"), 0)) if escape[1] in "ux" else _SIMPLE.get(escape[1], escape[1])
