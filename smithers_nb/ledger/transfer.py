"""Import and export: what other systems kept comes in whole, and the ledger goes out and comes back without a loss.

An imported failure without a reason gets the code `unknown` from the source `import`, never an invented one; the original line stands
beside every row, and lines that are neither bead nor event are kept as they were. Importing the same again changes nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO

import orjson
import sqlalchemy as sa

from smithers_nb.diagnosis.beads import reasons
from smithers_nb.engine.journal import work_items as tables
from smithers_nb.engine.journal.records import as_json
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.files import entries, files_of, gather
from smithers_nb.sources.beads.lines import records
from smithers_nb.sources.beads.moves import UNCLAIMS, moves
from smithers_nb.sources.beads.rows import bead_row, event_row
from smithers_nb.sources.beads.shapes import LOGS, shape_of
from smithers_nb.sources.beads.steps import as_dict, instant_ms, reason_in, text

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.model.beads import BeadRow, Move
    from smithers_nb.sources.beads.contents import Contents

SCHEMA: Final = "smithers-nb-ledger/1"
_BATCH: Final = 5_000
_NEXT: Final = 1_000_000_000
_TABLES: Final = (
    tables.rigs,
    tables.bead_agents,
    tables.bead_texts,
    tables.bead_events,
    tables.beads,
    tables.bead_links,
    tables.convoys,
    tables.bead_dispatches,
    tables.bead_summaries,
    tables.breakers,
    tables.bead_lines,
)
_BY_NAME: Final = {table.name.removeprefix("_smithers_nb_"): table for table in _TABLES}
_SEQUENCES: Final = {tables.bead_events.name: "seq", tables.bead_dispatches.name: "id"}


class Imported(NamedTuple):
    """What an import wrote.

    Attributes:
        beads: New beads.
        events: New lines of the log.
        lines: Other lines that were kept.
        without_reason: Failures for which nobody had recorded a reason.
        problems: What could not be read.
    """

    beads: int
    events: int
    lines: int
    without_reason: int
    problems: tuple[Any, ...]


def import_store(ledger: Ledger, where: Path) -> Imported:
    """Import a store of another system, or an export of a ledger, in one transaction.

    Args:
        ledger: Where it goes.
        where: A file or a folder, as `beads:PATH` takes.

    Raises:
        SourceError: It cannot be read.
    """
    paths = files_of(where)
    problems = Problems()
    with ledger.writing() as connection:
        if _is_export(paths[0]):
            return _import_export(connection, paths[0], problems)
        return _Import(connection, where, problems).run(paths)


def export(ledger: Ledger, out: TextIO) -> int:
    """Write the whole ledger as JSONL, one row a line, and return the number of rows."""
    out.write(as_json({"_schema": SCHEMA}) + "\n")
    count = 0
    with ledger.reading() as connection:
        for name, table in _BY_NAME.items():
            for row in connection.execution_options(yield_per=_BATCH).execute(sa.select(table).order_by(*table.primary_key.columns)):
                out.write(as_json({"_type": f"ledger:{name}", **row._mapping}) + "\n")  # noqa: SLF001  # the row as a mapping
                count += 1
    return count


class _Import:
    """One import of a foreign store, in two passes: the first judges the moves, the second writes row by row.

    So what is in memory at once is what an audit keeps, and never the lines of the store.
    """

    def __init__(self, connection: sa.Connection, where: Path, problems: Problems) -> None:
        self.connection = connection
        self.where = where
        self.place = str(where.absolute())
        contents = gather(where, problems)
        self.problems = problems
        self.moves = self._moves(contents)
        self.newest = {issue.bead_id: f"{self.place}#{issue.ref}" for issue in contents.issues.values()}
        self.missing = 0
        self.places: set[tuple[str, int]] = set()
        self.pending: dict[sa.Table, list[dict[str, Any]]] = {tables.beads: [], tables.bead_events: [], tables.bead_lines: []}
        self.written: Counter[sa.Table] = Counter()
        select = connection.execute
        self.beads = set(select(sa.select(tables.beads.c.bead_id)).scalars())
        self.events = set(select(sa.select(tables.bead_events.c.origin).where(tables.bead_events.c.origin.is_not(None))).scalars())
        self.lines = {(row.file, row.number) for row in select(sa.select(tables.bead_lines.c.file, tables.bead_lines.c.number))}

    def run(self, paths: list[Path]) -> Imported:
        """Write what is new."""
        for path in paths:
            self._read(path)
        for table in self.pending:
            self._flush(table)
        beads, events, lines = (self.written[table] for table in self.pending)
        return Imported(beads, events, lines, self.missing, tuple(self.problems))

    def _read(self, path: Path) -> None:
        name = path.name if path == self.where else path.relative_to(self.where).as_posix()
        place = f"{self.place}#{name}"

        def unreadable(number: int, line: bytes) -> None:
            self._line(place, number, "unreadable", line.decode("utf-8", "replace"))

        for number, record, shape in entries(path, Problems(), unreadable):  # the first pass has named what is wrong
            kind = shape or shape_of(record)
            origin = f"{place}:{number}"
            row = bead_row(record) if kind in ("issue", "bead") else None
            if row is not None:
                if self.newest.get(row.bead_id) == origin and row.bead_id not in self.beads:
                    self._write(tables.beads, _bead_values(row, record, origin))
            elif kind in LOGS:
                if origin not in self.events:
                    event = _event_values(event_row(kind, number, record), record, origin)
                    self.missing += self._judge(event, self.moves.pop(origin, None))
                    self._write(tables.bead_events, event)
            else:
                self._line(place, number, kind, as_json(record))

    def _line(self, place: str, number: int, shape: str, line: str) -> None:
        while (place, number) in self.places:  # several objects of one document
            number += _NEXT
        self.places.add((place, number))
        if (place, number) not in self.lines:
            self._write(tables.bead_lines, {"file": place, "number": number, "shape": shape, "line": line})

    def _write(self, table: sa.Table, row: dict[str, Any]) -> None:
        self.pending[table].append(row)
        if len(self.pending[table]) >= _BATCH:
            self._flush(table)

    def _flush(self, table: sa.Table) -> None:
        _insert(self.connection, table, self.pending[table])
        self.written[table] += len(self.pending[table])
        self.pending[table].clear()

    def _moves(self, contents: Contents) -> dict[str, Move]:
        found: dict[str, Move] = {}
        for log, part in contents.logs.items():
            comments = {} if log == "interactions" else {bead: sorted(times) for bead, times in contents.comments.items()}
            found |= {f"{self.place}#{move.ref}": move for move in moves(log, part.steps, contents.rows(part), comments)}
        return found

    def _judge(self, event: dict[str, Any], move: Move | None) -> int:
        """Mark a move and its reason; return 1 for a failure that had none."""
        if move is None:
            if event["event_type"] == "status_changed" and event["new_value"] == "failed":
                event["metadata_json"] = as_json(orjson.loads(event["metadata_json"]) | {"failure_reason": _failure({})})
            return 0
        flags = reasons.reason_flags(move.reason) if move.kind == "close" or move.reason or not move.explained else 0
        flags |= reasons.GONE * move.gone
        flags |= reasons.SECOND_DROPPED * (move.again and bool(move.reason) and move.reason != move.earlier)
        flags |= reasons.RECLAIM * (move.kind == "give_back" and move.how in UNCLAIMS - {"unclaimed", "unhook"} and not move.explained)
        event |= {"move": move.kind, "flags": int(flags), "reason": move.reason or None}
        if move.kind != "fail":
            return 0
        metadata = orjson.loads(event["metadata_json"])
        event["metadata_json"] = as_json(metadata | {"failure_reason": _failure(reason_in(metadata), move.reason)})
        return int(not move.explained)


def _bead_values(row: BeadRow, record: Mapping[str, Any], origin: str) -> dict[str, Any]:
    why = {"message": row.reason} | ({"code": row.reason_code, "source": row.reason_source} if row.reason_code else {})
    at = row.created_at or row.updated_at or 0
    return {
        "bead_id": row.bead_id,
        "type": row.type or "issue",
        "status": row.status or "open",
        "title": row.title or "",
        "body": text(record.get("description")) or text(record.get("body")) or None,
        "rig_id": text(record.get("rig_id")) or text(record.get("rig")) or None,
        "parent_id": row.parent_id,
        "assignee": row.assignee,
        "priority": None if record.get("priority") is None else str(record["priority"]),
        "labels_json": as_json(record.get("labels") or []),
        "metadata_json": as_json(as_dict(record.get("metadata"))),
        "dispatch_attempts": row.dispatch_attempts,
        "created_by": text(record.get("created_by")) or None,
        "created_at_ms": at,
        "updated_at_ms": row.updated_at or at,
        "closed_at_ms": row.closed_at if row.status != "failed" else None,
        "failed_at_ms": row.closed_at if row.status == "failed" else None,
        "reason_json": as_json(why) if row.reason else None,
        "origin": origin,
        "source_json": as_json(dict(record)),
    }


def _failure(reason: Mapping[str, Any], message: str = "") -> dict[str, Any]:
    """Write a foreign reason in our four fields; what nobody recorded is `unknown`."""
    details = reason.get("details")
    return {
        "code": text(reason.get("code")) or "unknown",
        "message": text(reason.get("message")) or message or "No reason recorded",
        "source": text(reason.get("source")) or "import",
        "details": details if isinstance(details, dict) else {"text": details} if isinstance(details, str) else {},
    }


def _event_values(event: Any, record: Mapping[str, Any], origin: str) -> dict[str, Any]:
    metadata = as_dict(record.get("metadata"))
    return {
        "bead_id": event.bead_id,
        "agent_id": text(record.get("agent_id")) or None,
        "actor": event.actor,
        "event_type": event.type,
        "old_value": event.old_status,
        "new_value": event.new_status,
        "metadata_json": as_json(metadata),
        "created_at_ms": event.at if event.at is not None else instant_ms(record.get("ts")),
        "move": None,
        "flags": 0,
        "reason": None,
        "origin": origin,
        "source_json": as_json(dict(record)),
    }


def _is_export(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return SCHEMA.encode() in file.readline(200)
    except OSError:
        return False


def _import_export(connection: sa.Connection, path: Path, problems: Problems) -> Imported:
    """Bring rows back as they were; positions in the log are given anew, in the same order, and what names one follows."""
    known = set(connection.execute(sa.select(tables.beads.c.bead_id)).scalars())
    written: dict[str, int] = {}
    seqs: dict[int, int] = {}
    for name, group in itertools.groupby(_export_rows(path, problems), key=lambda pair: pair[0]):
        table = _BY_NAME[name]
        rows = [row for _, row in group if row.get("bead_id") is None or row["bead_id"] not in known]
        written[name] = _bring_back(connection, table, rows, seqs)
    lost = sum(1 for one in problems if "no table" in one.what)
    return Imported(written.get("beads", 0), written.get("bead_events", 0), written.get("bead_lines", 0), lost, tuple(problems))


def _export_rows(path: Path, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, record in records(path, problems):
        name = str(record.pop("_type", "")).removeprefix("ledger:")
        if name in _BY_NAME:
            yield name, record
        elif "_schema" not in record:
            problems.add(f"{path.name}:{number}", f"no table {name!r} in a ledger")


def _bring_back(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], seqs: dict[int, int]) -> int:
    sequence = _SEQUENCES.get(table.name)
    if table is tables.bead_events:
        newest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.bead_events.c.seq), 0))).scalar_one()
        shift = newest - (rows[0]["seq"] - 1) if rows and newest else 0
        for row in rows:
            seqs[row["seq"]] = row["seq"] + shift
            row["seq"] += shift
        _insert(connection, table, rows)
        _advance(connection, table, "seq")
        return len(rows)
    for row in rows:
        if table is tables.beads and row.get("status_seq"):
            row["status_seq"] = seqs.get(row["status_seq"], row["status_seq"])
        if table is tables.bead_summaries:
            row["event_seq"] = seqs.get(row["event_seq"], row["event_seq"])
        if sequence:
            row.pop(sequence, None)
    there = _keys_there(connection, table)
    new = [row for row in rows if there is None or tuple(row[column.name] for column in table.primary_key.columns) not in there]
    _insert(connection, table, new)
    return len(new)


def _keys_there(connection: sa.Connection, table: sa.Table) -> set[tuple[Any, ...]] | None:
    if table.name in _SEQUENCES:
        return None
    return {tuple(row) for row in connection.execute(sa.select(*table.primary_key.columns))}


def _advance(connection: sa.Connection, table: sa.Table, column: str) -> None:
    if connection.dialect.name == "postgresql":
        newest = sa.select(sa.func.coalesce(sa.func.max(table.c[column]), 1)).scalar_subquery()
        connection.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, column), newest)))


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _BATCH):
        connection.execute(table.insert(), rows[start : start + _BATCH])
