"""Whether a store may have changed since the last look, at the price of a few `stat` calls.

Nothing is opened for it: closing a handle on an SQLite file that this process writes would drop its locks. Whatever has no files here,
such as a Postgres database, may have changed at any time and is read again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

Mark: TypeAlias = tuple[object, ...]
"""Differs from the last one when something may have changed."""

_COMPANIONS: Final = ("", "-wal", "-journal")
_SETTLED_NS: Final = 50_000_000
"""Times of files are only as fine as the kernel's clock, so a file that was just written may be written again unseen."""


def places_of(source: Source) -> list[str]:
    """List where the stores of a source are."""
    return [member.location for member in getattr(source, "members", [source])]


def mark_of(places: Iterable[str]) -> Mark:
    """Describe the files of stores as they are now.

    Args:
        places: Files and folders; anything else counts as changed each time.
    """
    now = time.time_ns()
    return tuple(_of_file(f"{place}{end}", now) for place in places for end in _COMPANIONS) or (now,)


def _of_file(path: str, now: int) -> object:
    try:
        seen = os.stat(path)  # noqa: PTH116  # several times a second
    except OSError:
        return now if "://" in path else None
    if now - seen.st_mtime_ns < _SETTLED_NS:
        return now
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


class Watch:
    """Tells whether the stores of a source may have changed; called several times a second."""

    def __init__(self, source: Source) -> None:
        self._places = places_of(source)

    def __call__(self) -> Mark:
        """Describe their files as they are now."""
        return mark_of(self._places)
