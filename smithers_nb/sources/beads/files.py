"""Find and read the files of a store of beads: one named file, or the known files in a folder of bd, gascity, gt or an export."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.contents import Contents
from smithers_nb.sources.beads.lines import records
from smithers_nb.sources.beads.moves import RowReason
from smithers_nb.sources.beads.shapes import OURS, SEEN, shape_of
from smithers_nb.sources.stores.json_text import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smithers_nb.sources.beads.shapes import Shape

SCHEME: Final = "beads"

_FOLDERS: Final = ("", ".beads", ".beads/backup", "backup", ".gc", ".smithers_nb")
_SUFFIXES: Final = (".jsonl", ".gz", ".db", ".sqlite", ".sqlite3")
_SQLITE: Final = b"SQLite format 3\0"
_DOLT: Final = (".beads/embeddeddolt", ".beads/dolt", "embeddeddolt")
_NEIGHBOURS: Final = ("issues.jsonl", "beads.jsonl", "comments.jsonl")
"""Files that explain a log next to them: current rows, and comments that may contain a reason."""

_TABLES: Final[tuple[tuple[str, Shape], ...]] = (
    ("issues", "issue"),
    ("beads", "bead"),
    ("config", "config"),
    ("dependencies", "dependency"),
    ("comments", "comment"),
    ("events", "audit"),
    ("bead_events", "cloud"),
    ("interactions", "interactions"),
    ("_smithers_nb_beads", "bead"),
    ("_smithers_nb_bead_events", "cloud"),
)


def files_of(where: Path) -> list[Path]:
    """Return the files of a store in reading order.

    Raises:
        SourceNotFound: Nothing there could contain beads.
        SourceUnreadable: The store is a Dolt database, which only `bd` can read.
    """
    if where.is_file():
        return [where]
    if not where.is_dir():
        raise SourceNotFound(f"{where} does not exist", searched=(str(where),), hint="name a file or a folder: beads:PATH")
    files = [path for name in _FOLDERS for path in _files_in(where / name)]
    if not files and any((where / name).is_dir() for name in _DOLT):
        hint = "export it first: `bd export -o issues.jsonl` and `bd events export > events.jsonl`, and name their folder"
        raise SourceUnreadable(f"{where} keeps its beads in a Dolt database, which only bd can read", hint=hint)
    if not files:
        searched = tuple(str(where / name) for name in _FOLDERS)
        raise SourceNotFound(
            f"no beads in {where}", searched=searched, hint="name a folder with issues.jsonl, events.jsonl, .beads or .gc, or one file"
        )
    return files


def gather(where: Path, problems: Problems) -> Contents:
    """Read everything an audit needs from a store, once.

    Args:
        where: A file or a folder.
        problems: Receives what could not be read.

    Raises:
        SourceError: The store cannot be read at all.
    """
    contents = Contents()
    with without_collector():
        for path in files_of(where):
            name = path.name if path == where else path.relative_to(where).as_posix()
            contents.read(name, entries(path, problems))
    contents.dolt = any((where / name).is_dir() for name in _DOLT)
    if where.is_file() and contents.logs:
        _read_neighbours(contents, where)
    return contents


def is_sqlite(path: Path) -> bool:
    """Return whether a file is an SQLite database, judging by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the garbage collector: a million lines contain no cycles, and searching for them takes a third of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _read_neighbours(contents: Contents, where: Path) -> None:
    """Read the rows and comments next to a log that was named by itself; they explain its moves but are not counted."""
    beside = Contents()
    for path in (where.with_name(name) for name in _NEIGHBOURS):
        if path != where and path.is_file():
            beside.read(path.name, entries(path, Problems()))
    contents.beside = {bead_id: RowReason(issue.reason, issue.updated_at) for bead_id, issue in beside.issues.items()}
    for bead_id, moments in beside.comments.items():
        contents.comments[bead_id] += moments
    for bead_id, moments in beside.row_comments.items():
        contents.row_comments[bead_id] += moments


def entries(
    path: Path, problems: Problems, unreadable: Callable[[int, bytes], None] | None = None
) -> Iterator[tuple[int, dict[str, Any], Shape]]:
    """Yield number, record and shape of each line of a JSONL file, or of each row of an SQLite database."""
    if is_sqlite(path):
        yield from _table_rows(path, problems)
        return
    last, shape = None, None
    for number, record in records(path, problems, unreadable):
        keys = tuple(record)
        if keys != last:
            last, shape = keys, SEEN.get(keys)
        if shape is not None:
            yield number, record, shape
            continue
        last = None
        yield number, (_as_cloud_row(record) if str(record.get("_type")) in OURS else record), shape_of(record)


def _table_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any], Shape]]:
    """Yield the rows of an SQLite store, going by the tables and columns it has rather than by a version."""
    from smithers_nb.sources.stores.sqlite_file import SqliteFile

    file = SqliteFile(path)
    try:
        file.check()
        names = {str(row[0]) for row in file.fetch("SELECT name FROM sqlite_master WHERE type = 'table'").rows}
        number = 0  # counts on across the tables
        for table, shape in _TABLES:
            if table in names:
                columns = [str(row[1]) for row in file.fetch(f"PRAGMA table_info({table})").rows]
                for values in file.fetch(f"SELECT * FROM {table} ORDER BY rowid").rows:
                    number += 1
                    record = dict(zip(columns, values, strict=True))
                    yield number, (_as_cloud_row(record) if table.startswith("_") else record), shape
        if not names & {table for table, _ in _TABLES}:
            problems.add(path.name, "no table of beads in this database")
    finally:
        file.close()


def _as_cloud_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return a row of our ledger under the column names of cloud Gastown, so that it is read like one of its rows."""
    row = {name.removesuffix("_ms").removesuffix("_json"): value for name, value in record.items() if value is not None}
    reason = parse(record.get("reason_json"))
    if isinstance(reason, dict) and reason.get("code"):
        metadata = parse(record.get("metadata_json"))
        row["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "failure_reason": reason}
    elif isinstance(reason, dict):
        row["close_reason"] = reason.get("message")
    return row


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file() and (path.suffix != ".gz" or ".jsonl" in path.name)
    )
