"""Read JSONL files line by line; lines that are not JSON objects are reported by number, never skipped silently."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson

from smithers_nb.errors import SourceUnreadable

if TYPE_CHECKING:
    from smithers_nb.sources.base import Problems

_ENVELOPE: Final = frozenset({"schema_version", "data"})
_BOM: Final = b"\xef\xbb\xbf"
_OPENS: Final = (b"[", b"{")
_FIRST_BYTES: Final = 100
_MAX_DOCUMENT: Final = 64_000_000
"""Maximum size in bytes of a multi-line document, which is read at once."""

_MAX_LISTED: Final = 20
"""Number of unreadable lines per file that are reported one by one."""


def records(path: Path, problems: Problems, unreadable: Callable[[int, bytes], None] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file, which may be compressed as `.gz`.

    Args:
        path: The file.
        problems: Receives every line that is not a JSON object, and an archive that ends too early.
        unreadable: Called with the number and bytes of each such line.

    Yields:
        Line number, starting at 1, and object; all objects of a document printed by `bd … --json` have the number of its line.

    Raises:
        SourceUnreadable: The file cannot be read.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from _document(file) or _lines(path.name, file, problems, unreadable)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problems.add(path.name, f"the archive is truncated or damaged: {error}")
    except OSError as error:
        raise SourceUnreadable(f"{path}: {error.strerror or error}", hint="name a file of beads, or a folder with one") from error


def _lines(
    name: str, file: BinaryIO | gzip.GzipFile, problems: Problems, unreadable: Callable[[int, bytes], None] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    broken = 0
    try:
        for number, line in enumerate(file, 1):
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                value = None
            if type(value) is dict and "data" not in value:  # nearly every line, so it gets the fast path
                yield number, value
                continue
            objects, problem = _objects(line)
            yield from ((number, value) for value in objects)
            if not problem:
                continue
            broken += 1
            if broken <= _MAX_LISTED:
                problems.add(f"{name}:{number}", problem)
            if unreadable is not None:
                unreadable(number, line)
    finally:
        if broken > _MAX_LISTED:
            problems.add(name, f"{broken} lines are unreadable; the first {_MAX_LISTED} are listed")


def _document(file: BinaryIO | gzip.GzipFile) -> list[tuple[int, dict[str, Any]]]:
    """Return the objects of a multi-line document, as `bd … --json` prints it; for any other file rewind it and return none."""
    first = file.readline(_FIRST_BYTES)
    if first.removeprefix(_BOM).strip() in _OPENS:
        whole = first + file.read(_MAX_DOCUMENT)
        objects, problem = ((), "too large") if file.read(1) else _objects(whole)
        if objects and not problem:
            return [(1, value) for value in objects]
    file.seek(0)
    return []


def _objects(line: bytes) -> tuple[Sequence[dict[str, Any]], str]:
    """Return the objects of a line, or what is wrong with it; an empty line has neither."""
    try:
        value, problem = orjson.loads(line), "not a JSON object"
    except orjson.JSONDecodeError as error:
        if not line.strip():
            return (), ""
        value = _lenient(line)
        problem = f"not valid JSON: {error}" if line.endswith(b"\n") else "the file ends in the middle of a line"
    if isinstance(value, dict) and not (value.keys() >= _ENVELOPE and isinstance(value["data"], list)):
        return (value,), ""
    listed = value["data"] if isinstance(value, dict) else value
    if isinstance(listed, list) and listed and all(isinstance(item, dict) for item in listed):
        return listed, ""
    return (), problem


def _lenient(line: bytes) -> Any:
    """Parse a line with a byte order mark, invalid UTF-8 or lone surrogates, which other writers let through; None if invalid."""
    import json

    try:
        return json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
