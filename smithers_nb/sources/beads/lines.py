"""JSONL files line by line: what is not a JSON object is counted and named by its line, never skipped in silence."""

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
_SHORT: Final = 100
_LARGEST: Final = 64_000_000
"""Bytes of a laid-out document that are read at once."""
_NAMED: Final = 20
"""Unreadable lines of a file that are named one by one."""


def records(path: Path, problems: Problems, unreadable: Callable[[int, bytes], None] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSONL file, or of one that was archived as `.gz`.

    Args:
        path: The file.
        problems: Gets every line that is not a JSON object, and a file that ends in the middle.
        unreadable: Gets the number and the bytes of each such line.

    Yields:
        Line number from 1 and the object; the objects of a document that `bd … --json` printed have the number of its line.

    Raises:
        SourceUnreadable: The file cannot be read.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from _document(file) or _lines(path.name, file, problems, unreadable)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problems.add(path.name, f"the archive ends in the middle or is damaged: {error}")
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
            if type(value) is dict and "data" not in value:  # nearly every line, so nothing else is asked of it
                yield number, value
                continue
            found, what = _objects(line)
            yield from ((number, value) for value in found)
            if not what:
                continue
            broken += 1
            if broken <= _NAMED:
                problems.add(f"{name}:{number}", what)
            if unreadable is not None:
                unreadable(number, line)
    finally:
        if broken > _NAMED:
            problems.add(name, f"{broken} lines are unreadable; the first {_NAMED} are named")


def _document(file: BinaryIO | gzip.GzipFile) -> list[tuple[int, dict[str, Any]]]:
    """Read a document that was laid out over many lines, as `bd … --json` prints it; none of any other file, which is rewound."""
    first = file.readline(_SHORT)
    if first.removeprefix(_BOM).strip() in _OPENS:
        whole = first + file.read(_LARGEST)
        found, what = ((), "too large") if file.read(1) else _objects(whole)
        if found and not what:
            return [(1, value) for value in found]
    file.seek(0)
    return []


def _objects(line: bytes) -> tuple[Sequence[dict[str, Any]], str]:
    """Read one line: its objects, and what is wrong with it when it has none; an empty line has neither."""
    try:
        value, what = orjson.loads(line), "no JSON object"
    except orjson.JSONDecodeError as error:
        if not line.strip():
            return (), ""
        value = _lenient(line)
        what = f"no JSON: {error}" if line.endswith(b"\n") else "the file ends in the middle of a line"
    if isinstance(value, dict) and not (value.keys() >= _ENVELOPE and isinstance(value["data"], list)):
        return (value,), ""
    listed = value["data"] if isinstance(value, dict) else value
    if isinstance(listed, list) and listed and all(isinstance(item, dict) for item in listed):
        return listed, ""
    return (), what


def _lenient(line: bytes) -> Any:
    """Read a line with a byte order mark, bytes that are no UTF-8, or half characters, which other writers let through."""
    import json

    try:
        return json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
