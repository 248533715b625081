"""JSONL files line by line: what is no JSON object is counted and named by its line, never skipped in silence."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.errors import SourceUnreadable

if TYPE_CHECKING:
    from smithers_nb.sources.base import Problems

_ENVELOPE: Final = frozenset({"schema_version", "data"})
_NAMED: Final = 20
"""Unreadable lines of a file that are named one by one."""


def records(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSONL file, or of one that was archived as `.gz`.

    Args:
        path: The file.
        problems: Gets every line that is no JSON object, and a file that ends in the middle.

    Yields:
        Line number from 1 and the object.

    Raises:
        SourceUnreadable: The file cannot be read.
    """
    broken = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    if not line.strip():
                        continue
                    value = _lenient(line)
                    what = "the file ends in the middle of a line" if not line.endswith(b"\n") else f"no JSON: {error}"
                else:
                    what = "no JSON object"
                if isinstance(value, dict) and not (value.keys() >= _ENVELOPE and isinstance(value["data"], list)):
                    yield number, value
                    continue
                listed = value["data"] if isinstance(value, dict) else value if isinstance(value, list) else []
                if listed and all(isinstance(item, dict) for item in listed):  # what `bd … --json` prints is one document
                    yield from ((number, item) for item in listed)
                    continue
                broken += 1
                if broken <= _NAMED:
                    problems.add(f"{path.name}:{number}", what)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problems.add(path.name, f"the archive ends in the middle or is damaged: {error}")
    except OSError as error:
        raise SourceUnreadable(f"{path}: {error.strerror or error}", hint="name a file of beads, or a folder with one") from error
    if broken > _NAMED:
        problems.add(path.name, f"{broken} lines are unreadable; the first {_NAMED} are named")


def _lenient(line: bytes) -> Any:
    """Read a line with a byte order mark, bytes that are no UTF-8, or half characters, which other writers let through."""
    import json

    try:
        return json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
