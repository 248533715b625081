"""The expression that failed: which value was missing, and what was read from it.

JavaScript engines and Python each word this in their own way. Where a message does not say it, the line of source that threw is read
instead. The result is the names that lead to the missing value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.failure.stack import own_frame

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Link

_MAX_TEXT: Final = 600
"""A message names an expression at its beginning; what comes after this many characters is data."""

PATH: Final = r"\b[\w$]{1,60}(?:[?!]?\.[\w$]{1,60}|[?!]?\.?\[[^\]]{1,80}\]|\(\)){0,12}!?"
"""A value and what is read from it, with TypeScript's marks for what may be missing."""

_CAST: Final = re.compile(rf"\(\s*({PATH})\s+as\s+[\w$.]{{1,60}}\s*\)")
_EVALUATED: Final = re.compile(rf"(?:undefined|null) is not an object \(evaluating '\(?({PATH})")
_CALLED: Final = re.compile(rf"({PATH}) is not (?:a function|iterable|a constructor)")
_DESTRUCTURED: Final = re.compile(rf"[Cc]annot destructure property '([\w$]+)' (?:of|from) '?({PATH})")
_READING: Final = re.compile(
    r"Cannot (?:read|set) propert(?:y|ies) (?:'([\w$]+)' )?of (?:undefined|null)(?: \((?:reading|setting) '([^']+)'\))?"
)
_NO_ATTRIBUTE: Final = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_NO_ITEM: Final = re.compile(r"'NoneType' object is not (?:subscriptable|iterable)")
_KEY: Final = re.compile(r"^'([^']{1,80})'$")
_NAME: Final = re.compile(r"\[\s*[\"'`]([^\"'`]+)[\"'`]\s*\]|\[\s*\d+\s*\]|([A-Za-z_$][\w$]*)")
_KEYS: Final = re.compile(r"\[\s*([A-Za-z_$][^\]\"'`]*)\]")
"""The key by which a value is looked up, where it is an expression."""

_NULLISH: Final = frozenset({"", "undefined", "null"})


class Access(NamedTuple):
    """A value that was not there.

    Attributes:
        names: Names that lead to it, outermost first; empty when unknown.
        wanted: What was read from it; empty when the value itself was wanted.
        keys: Paths of the values by which it was looked up, such as `d.status` in `WEIGHT[d.status].points`.
    """

    names: tuple[str, ...]
    wanted: str
    keys: tuple[tuple[str, ...], ...] = ()

    def as_meant(self, meant: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Access:
        """Return the same access with each of its paths replaced by what it stands for."""
        return Access(meant(self.names), self.wanted, tuple(map(meant, self.keys)))

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Everything that was read: the value itself and the keys it was looked up by; none when no names lead to it."""
        return tuple(path for path in (self.all_names, *self.keys) if path)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names and what was read, as one path."""
        return (*self.names, self.wanted) if self.wanted else self.names


def failing_access(chain: Iterable[Link], line: str = "") -> Access | None:
    """Return what the code tried to read when it threw, or None when the errors do not show it.

    Args:
        chain: The errors, outermost first.
        line: The line of source that threw, if known.
    """
    links = list(chain)
    frame = own_frame(links)
    text = (line or (frame.text if frame else ""))[:_MAX_TEXT]
    return next((access for link in reversed(links) if (access := _access(link, text))), None)


def _access(link: Link, line: str) -> Access | None:
    message = link.message[:_MAX_TEXT]
    if match := _EVALUATED.search(message) or _CALLED.search(message):
        return _access_in_path(match[1])
    if match := _DESTRUCTURED.search(message):
        return Access(names_in(match[2]), match[1], keys_in(match[2]))
    if match := _READING.search(message):
        return _access_in_line(match[1] or match[2] or "", line)
    if (match := _NO_ATTRIBUTE.search(message)) and (match[1] == "NoneType" or line):
        return _access_in_line(match[2], line)
    if link.name == "KeyError" and (match := _KEY.match(message)):
        return _access_in_line(match[1], line)
    return _access_in_line("", line) if _NO_ITEM.search(message) else None


def _access_in_path(path: str) -> Access | None:
    *names, last = names_in(path) or ("",)
    if names:
        return Access(tuple(names), last, keys_in(path))
    return Access((last,), "", keys_in(path)) if last not in _NULLISH else None


def _access_in_line(wanted: str, line: str) -> Access:
    """Return the access in a line of source that reads the wanted name; without names when no path in the line does."""
    for path in _paths(line, _MAX_TEXT):
        names = names_in(path)
        if wanted and wanted in names[1:]:
            return Access(names[: names.index(wanted, 1)], wanted, keys_in(path))
    return Access((), wanted)


def paths_in(line: str, limit: int = _MAX_TEXT) -> list[tuple[str, ...]]:
    """Return the paths that a line of source reads, each as its names."""
    return [names for path in _paths(line, limit) for names in (names_in(path), *keys_in(path))]


def _paths(line: str, limit: int) -> list[str]:
    return re.findall(PATH, uncast(line[:limit]))


def uncast(source: str) -> str:
    """Return source without TypeScript's casts: `(d.load as any).rows` reads `d.load.rows`."""
    return _CAST.sub(r"\1", source)


def names_in(path: str) -> tuple[str, ...]:
    """Return the names in a path such as `d["fetch-orders"].lines`."""
    return tuple(quoted or name for quoted, name in _NAME.findall(_KEYS.sub("", path)) if quoted or name)


def keys_in(path: str) -> tuple[tuple[str, ...], ...]:
    """Return the paths in the brackets of another one: `d.status` in `WEIGHT[d.status].points`."""
    return tuple(names_in(inner) for key in _KEYS.findall(path) for inner in re.findall(PATH, key))
