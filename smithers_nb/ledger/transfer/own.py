"""The ledger as JSONL, one row a line, out and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import sqlalchemy as sa

from smithers_nb.engine.journal import work_items as tables
from smithers_nb.engine.journal.records import as_json
from smithers_nb.ledger.transfer.written import BATCH, Imported, insert
from smithers_nb.sources.beads.lines import records

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.sources.base import Problems

SCHEMA: Final = "smithers-nb-ledger/1"
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
    tables.bead_leases,
)
_BY_NAME: Final = {table.name.removeprefix("_smithers_nb_"): table for table in _TABLES}
_SAME_EVENT: Final = ("origin", "bead_id", "event_type", "created_at_ms")
_SEQUENCES: Final = {tables.bead_events.name: "seq", tables.bead_dispatches.name: "id"}


def export(ledger: Ledger, out: TextIO) -> int:
    """Write the whole ledger as JSONL, one row a line, and return the number of rows."""
    out.write(as_json({"_schema": SCHEMA}) + "\n")
    count = 0
    with ledger.reading() as connection:
        for name, table in _BY_NAME.items():
            for row in connection.execution_options(yield_per=BATCH).execute(sa.select(table).order_by(*table.primary_key.columns)):
                out.write(as_json({"_type": f"ledger:{name}", **row._mapping}) + "\n")  # noqa: SLF001  # the row as a mapping
                count += 1
    return count


def is_export(path: Path) -> bool:
    """Whether a file is an export of a ledger, by its first line."""
    try:
        with path.open("rb") as file:
            return SCHEMA.encode() in file.readline(200)
    except OSError:
        return False


def import_export(connection: sa.Connection, path: Path, problems: Problems) -> Imported:
    """Bring rows back as they were; positions in the log are given anew, in the same order, and what names one follows."""
    known = set(connection.execute(sa.select(tables.beads.c.bead_id)).scalars())
    written: dict[str, int] = {}
    seqs: dict[int, int] = {}
    for name, group in itertools.groupby(_export_rows(path, problems), key=lambda pair: pair[0]):
        table = _BY_NAME[name]
        rows = [row for _, row in group if row.get("bead_id") is None or row["bead_id"] not in known]
        written[name] = _restore(connection, table, rows, seqs)
    lost = sum(1 for one in problems if "no table" in one.what)
    return Imported(written.get("beads", 0), written.get("bead_events", 0), written.get("bead_lines", 0), lost, tuple(problems))


def _export_rows(path: Path, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, record in records(path, problems):
        name = str(record.pop("_type", "")).removeprefix("ledger:")
        if name in _BY_NAME:
            yield name, record
        elif "_schema" not in record:
            problems.add(f"{path.name}:{number}", f"no table {name!r} in a ledger")


def _restore(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], seqs: dict[int, int]) -> int:
    sequence = _SEQUENCES.get(table.name)
    if table is tables.bead_events:
        events = {
            tuple(row) for row in connection.execute(sa.select(*(table.c[name] for name in _SAME_EVENT)).where(table.c.origin.is_not(None)))
        }
        rows = [row for row in rows if tuple(row.get(name) for name in _SAME_EVENT) not in events]  # of beads that only a log knows
        newest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.bead_events.c.seq), 0))).scalar_one()
        shift = newest - (rows[0]["seq"] - 1) if rows and newest else 0
        for row in rows:
            seqs[row["seq"]] = row["seq"] + shift
            row["seq"] += shift
        insert(connection, table, rows)
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
    insert(connection, table, new)
    return len(new)


def _keys_there(connection: sa.Connection, table: sa.Table) -> set[tuple[Any, ...]] | None:
    if table.name in _SEQUENCES:
        return None
    return {tuple(row) for row in connection.execute(sa.select(*table.primary_key.columns))}


def _advance(connection: sa.Connection, table: sa.Table, column: str) -> None:
    if connection.dialect.name == "postgresql":
        newest = sa.select(sa.func.coalesce(sa.func.max(table.c[column]), 1)).scalar_subquery()
        connection.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, column), newest)))
