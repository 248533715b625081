"""Detects whether a store may have changed, at the cost of a few `stat` calls.

No file is opened: closing a handle on an SQLite file that this process writes would drop its locks. A store without local files, such as
a Postgres database, always counts as changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

Mark: TypeAlias = tuple[object, ...]
"""A value that differs from the previous one when something may have changed."""

_COMPANIONS: Final = ("", "-wal", "-journal")
_SETTLED_NS: Final = 50_000_000
"""File times are only as precise as the kernel's clock, so a second write right after the first one could go unnoticed."""


def locations_of(source: Source) -> list[str]:
    """Return the locations of the stores of a source."""
    return [member.location for member in getattr(source, "members", [source])]


def mark_of(locations: Iterable[str]) -> Mark:
    """Return the current mark of the files of stores.

    Args:
        locations: Files and folders; anything else counts as changed each time.
    """
    now = time.time_ns()
    return tuple(_file_mark(f"{location}{end}", now) for location in locations for end in _COMPANIONS) or (now,)


def _file_mark(path: str, now: int) -> object:
    try:
        stat = os.stat(path)  # noqa: PTH116  # called several times a second, and pathlib is slower
    except OSError:
        return now if "://" in path else None
    if now - stat.st_mtime_ns < _SETTLED_NS:
        return now
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class Watch:
    """Detects changes of the stores of a source; cheap enough to be called several times a second."""

    def __init__(self, source: Source) -> None:
        self._locations = locations_of(source)

    def __call__(self) -> Mark:
        """Return the current mark of the stores."""
        return mark_of(self._locations)
