"""Tokens that are known by how they begin, whatever stands around them: `tokens.toml`, a vendor a line.

The table is read, and an expression compiled, only when a text is looked at and holds the prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

_MAX_BEFORE: Final = 100
_DISTINCTIVE: Final = 4
"""A prefix of so many characters gives a token away also when its end is missing."""

_NEXT_LINE: Final = r"\r?\n[ \t]{0,16}(?P<rest>[A-Za-z0-9_-]{1,200})(?![\w-])"


class Token(NamedTuple):
    """How the tokens with one prefix look."""

    pattern: re.Pattern[str]
    before: re.Pattern[str] | None
    length: int


def tokens(text: str) -> Iterator[tuple[int, int]]:
    """Find the tokens of all known vendors."""
    begun = _index()
    starts = set(_starts().findall(text))
    for start in begun.keys() & {"", *starts, *(start[:3] for start in starts), *(start[:2] for start in starts)}:
        for prefix in begun[start]:
            if prefix in text:
                yield from _with_prefix(text, prefix)


def _with_prefix(text: str, prefix: str) -> Iterator[tuple[int, int]]:
    token = _token(prefix)
    for match in token.pattern.finditer(text):
        start, end = match.span("secret" if "secret" in token.pattern.groupindex else 0)
        if token.before is not None:
            earlier = max(0, start - _MAX_BEFORE)
            found = token.before.search(text[earlier:start])
            if found is None:
                continue
            start = earlier + found.start()
        yield start, _end_on_next_line(text, end, token.length - (end - start - len(prefix)))


@cache
def table() -> dict[str, Any]:
    """Read the table of vendors and of commands."""
    import tomllib

    content: dict[str, Any] = tomllib.loads(Path(__file__).with_name("tokens.toml").read_text("utf-8"))
    return content


@cache
def _bodies() -> dict[str, tuple[str, str | int]]:
    rows = table()["tokens"].values()
    return {prefix: (row[1], row[3] if len(row) > 3 else 0) for row in rows for prefix in row[0].split()}  # noqa: PLR2004


@cache
def _index() -> dict[str, list[str]]:
    """Return the prefixes by the first letters of the word that they begin; by nothing, when they begin none."""
    index: dict[str, list[str]] = {"": []}
    for prefix, (_, extra) in _bodies().items():
        word = _starts().match(prefix)
        index.setdefault(word[1] if word and not isinstance(extra, str) else "", []).append(prefix)
    return index


@cache
def _starts() -> re.Pattern[str]:
    return re.compile(r"([A-Za-z0-9]{1,4})[A-Za-z0-9]*+")


@cache
def _token(prefix: str) -> Token:
    body, extra = _bodies()[prefix]
    words = re.escape(prefix)
    free = rf"(?<![A-Za-z0-9]{words})" if prefix[0].isalnum() and not isinstance(extra, str) else ""
    cut = f"|{_cut(extra)}" if extra and isinstance(extra, int) and len(prefix) >= _DISTINCTIVE else ""
    before = re.compile(rf"(?:{extra})\Z") if isinstance(extra, str) else None
    return Token(re.compile(f"{words}{free}(?:{body}{cut})"), before, extra if isinstance(extra, int) else 0)


def _cut(length: int) -> str:
    """Write what a token looks like whose end is missing; it is shorter than a whole one, so that a row of prefixes is read once."""
    return rf"(?=[A-Za-z_-]{{0,{length}}}[0-9])[A-Za-z0-9_-]{{8,{length}}}+(?:{_NEXT_LINE}|(?=…|\.\.\.|\Z))"


def _end_on_next_line(text: str, end: int, missing: int) -> int:
    """Find where a token ends that a line end cut in two."""
    if missing <= 0 or text[end : end + 1] not in {"\n", "\r"}:
        return end
    rest = re.compile(_NEXT_LINE).match(text, end)
    fits = rest is not None and len(rest["rest"]) <= missing and any(map(str.isdigit, rest["rest"]))
    return rest.end() if rest is not None and fits else end
