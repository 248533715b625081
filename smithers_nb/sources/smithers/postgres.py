"""Runs of the Smithers engine and of our own journal in a Postgres database, with the same tables and columns as in SQLite.

There is no second set of queries. Each read copies the rows that it needs, filtered as far as Postgres can, into a private SQLite
database, and the SELECTs of `SmithersSource` do the rest; so both backends return the same rows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.errors import SourceUnreadable
from smithers_nb.model.rows import ApprovalRow, OutputRow, TaskRow
from smithers_nb.sources.base import AllBut, Only, Problems, R
from smithers_nb.sources.smithers import journal
from smithers_nb.sources.smithers.query import Wanted, quoted
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.smithers.tables import OWN_TABLES, TABLES_IN_SQL
from smithers_nb.sources.stores.postgres import Part, PostgresDatabase, Table, TableUnreadable
from smithers_nb.sources.stores.scratch import PrivateCopy

if TYPE_CHECKING:
    import pandas as pd

RUNS: Final = "_smithers_runs"
_PUBLIC: Final = "public"
_MIGRATIONS: Final = "_smithers_schema_migrations"
_KINDS_OF_OUTPUTS: Final = "_smithers_output_schema_columns"
_FRAMES: Final = "_smithers_frames"
_BRACKETED: Final = re.compile(r"\[(\w+)\]")
_WORD: Final = re.compile(r"[A-Za-z]\w*")
_LITERAL: Final = re.compile(r"'[^']*'")
_IN_BOTH_DIALECTS: Final = frozenset({"coalesce", "replace", "and", "or", "is", "null"})
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name"})
_INTEGERS: Final = frozenset({"int2", "int4", "int8"})


class PostgresSource(SmithersSource):
    """A read-only view of a Smithers store in Postgres; see `sources.base.Source`."""

    file: PrivateCopy  # type: ignore[assignment]  # queried the same way

    def __init__(self, database: PostgresDatabase) -> None:
        """Find the schema that holds runs.

        Raises:
            SourceError: The database cannot be read, or contains no runs.
        """
        self.database = database
        self.problems = Problems()
        self.file = PrivateCopy()
        self._lock = threading.RLock()
        self._schema: dict[str, tuple[str, ...]] | None = None
        self._tables: dict[str, Table] = {}
        self.schema_name = database.schema or self._find_schema()
        self.location = database.location if self.schema_name == _PUBLIC else f"{database.location}?schema={self.schema_name}"

    def checked(self) -> PostgresSource:
        """Read the list of tables now rather than on first use.

        Raises:
            SourceUnreadable: None of the tables holds runs, or this user may read none of them.
        """
        _ = self.schema
        return self

    def refresh(self) -> None:
        """Do nothing: reading outputs always looks for the tables of new workflows."""

    @property
    def version(self) -> str:
        """Newest migration of the store's schema; empty if the store does not record it."""
        _ = self.schema
        with self._copied(self._parts(Wanted(), (_MIGRATIONS, ("id",)))):
            return super().version

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        if "run_id" not in self.schema.get(RUNS, ()):
            return []
        run_id = 'f."run_id"::text COLLATE "C"'  # SQLite's order, independent of the database's collation
        tail = f"ORDER BY {run_id} LIMIT {max(0, limit)}"
        part = Part(self._tables[RUNS], ("run_id",), 'starts_with(f."run_id"::text, %s)', (prefix,), tail)
        with self.database.reading() as connection:
            try:
                return [run_id for (run_id,) in self.database.rows(connection, part) if run_id]
            except TableUnreadable as error:
                self.problems.add(RUNS, str(error))
                return []

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        with self._copied(self._needed(row, Wanted(run_id, only, since_ms))):
            return super().rows(row, run_id, only=only, since_ms=since_ms)

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Return the same as `rows` as a frame with the dtypes of the contract."""
        if run_id is not None or row in _DERIVED:
            return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))
        with self._copied(self._needed(row, Wanted(run_id, only, since_ms)), on_disk=True):
            return super().frame(row, run_id, only=only, since_ms=since_ms)

    def close(self) -> None:
        """Close the connection."""
        self.file.close()
        self.database.close()

    @contextmanager
    def _copied(self, parts: Iterable[Part], *, on_disk: bool = False) -> Iterator[None]:
        """Provide a private copy of these parts from one transaction; what cannot be read becomes a problem."""
        with self._lock:
            before, self.file = self.file, PrivateCopy(on_disk=on_disk)
            try:
                with self.database.reading() as connection:
                    for part in parts:
                        try:
                            self.file.load(part.table.name, part.columns, self.database.rows(connection, part))
                        except TableUnreadable as error:
                            self.problems.add(part.table.name, str(error))
                yield
            finally:
                self.file.close()
                self.file = before

    def _needed(self, row: type[Any], wanted: Wanted) -> list[Part]:
        """Return the parts that rows of a class are read from."""
        _ = self.schema
        if row in _DERIVED:
            return _DERIVED[row](self, Wanted(wanted.run_id))
        table = TABLES_IN_SQL.get(row)
        if table is None or table.table not in self._tables:
            return []
        columns = _BRACKETED.findall(" ".join((*table.columns.values(), table.where)))
        parts = self._parts(wanted, (table.table, columns))
        return [_narrowed(part, row, wanted) for part in parts]

    def _of_outputs(self, wanted: Wanted) -> list[Part]:
        self._schema = None  # the first run of a workflow creates its tables
        kinds = (_KINDS_OF_OUTPUTS, ("table_name", "column_name", "kind"))
        return self._parts(wanted, *self.own_tables.items()) + self._parts(Wanted(), kinds)

    def _of_approvals(self, wanted: Wanted) -> list[Part]:
        key = ("run_id", "node_id", "iteration")
        gates = self._parts(wanted, ("_smithers_approvals", self.schema.get("_smithers_approvals", ())))
        around = self._parts(wanted, (RUNS, ("run_id", "status")), ("_smithers_nodes", (*key, "state")))
        events = self._parts(wanted, ("_smithers_events", ("run_id", "seq", "timestamp_ms", "type", "payload_json")))
        asked = [_also(part, "f.\"type\"::text = 'ApprovalRequested'") if "type" in part.columns else part for part in events]
        return gates + around + asked

    def _of_tasks(self, wanted: Wanted) -> list[Part]:
        """Return, for each run, only its newest complete render frame and the changes after it."""
        columns = ("run_id", "frame_no", "encoding", "xml_json", "task_index_json")
        parts = self._parts(wanted, (_FRAMES, columns))
        newest = "f.frame_no >= (SELECT max(k.frame_no) FROM {} AS k WHERE k.run_id = f.run_id{})"
        return [
            _also(part, newest.format(_name(part.table), " AND k.encoding <> 'delta'" if "encoding" in part.columns else ""))
            if {"run_id", "frame_no"} <= set(part.columns)
            else part
            for part in parts
        ]

    def _parts(self, wanted: Wanted, *tables: tuple[str, Collection[str]]) -> list[Part]:
        """Return the parts for these columns, as far as they exist, restricted to one run if one is wanted."""
        parts = []
        for name, columns in tables:
            table = self._tables.get(name)
            if table is None:
                continue
            part = Part(table, tuple(column for column in dict.fromkeys(columns) if column in table.columns))
            if wanted.run_id is not None and "run_id" in table.columns:
                part = _also(part, f"{_as_text(table, 'run_id')} = %s", wanted.run_id)
            parts.append(part)
        return parts

    def _find_schema(self) -> str:
        """Return the first schema of the search path that has runs, else that of our journal."""
        schemas = self.database.schemas_with(RUNS)
        usable = [schema for schema, on_path in schemas if on_path or schema == journal.SCHEMA]
        if not usable:
            elsewhere = [schema for schema, _ in schemas]
            raise SourceUnreadable(
                f"{self.database.location} holds no runs: there is no table {RUNS}" + (f" in schema {_PUBLIC}" if elsewhere else ""),
                hint=f"add ?schema={elsewhere[0]} to the URL" if elsewhere else "name the database that holds the runs",
            )
        if len(usable) > 1:
            self.problems.add("schema", f"runs of schema {usable[0]} are shown; {', '.join(usable[1:])} has others (?schema={usable[1]})")
        return usable[0]

    def _read_schema(self) -> dict[str, tuple[str, ...]]:
        self._tables = {}
        for name, table in self.database.tables(self.schema_name).items():
            ours = name.startswith(OWN_TABLES) or "run_id" in table.columns
            if not table.whole and ours:
                self.problems.add(name, "permission denied" if not table.columns else "permission denied for some of its columns")
            if table.columns:
                self._tables[name] = table
        if not any(name.startswith(OWN_TABLES) for name in self._tables):
            denied = any(problem.what.startswith("permission denied") for problem in self.problems)
            raise SourceUnreadable(
                f"{self.location} " + ("may not be read by this user" if denied else f"holds no runs in schema {self.schema_name}"),
                hint=f"GRANT SELECT ON ALL TABLES IN SCHEMA {self.schema_name} TO the user"
                if denied
                else "name another ?schema= in the URL",
            )
        return {name: tuple(table.columns) for name, table in self._tables.items()}


_DERIVED: Final[dict[type, Callable[[PostgresSource, Wanted], list[Part]]]] = {
    ApprovalRow: PostgresSource._of_approvals,  # noqa: SLF001  # the table belongs to the class
    OutputRow: PostgresSource._of_outputs,  # noqa: SLF001
    TaskRow: PostgresSource._of_tasks,  # noqa: SLF001
}
"""Row classes that need more than one SELECT, with the method that lists their parts."""


def _narrowed(part: Part, row: type[Any], wanted: Wanted) -> Part:
    """Add the filters that mean the same in both dialects; SQLite applies all of them again, so a missing one only costs time."""
    table = TABLES_IN_SQL[row]
    if table.where and (condition := _portable(table.where, part.table, _TEXTS)):
        part = _also(part, condition)
    for name, values in (wanted.only or {}).items():
        part = _membership(part, table.columns.get(name, ""), values)
    if wanted.since_ms is not None and table.time is not None:
        condition = _portable(table.columns[table.time], part.table, _INTEGERS)
        part = _also(part, f"{condition} >= %s::int8", wanted.since_ms) if condition and _is_int8(wanted.since_ms) else part
    return part


def _membership(part: Part, expression: str, values: Collection[str | int]) -> Part:
    texts = all(isinstance(value, str) for value in values)
    whole = all(isinstance(value, int) and _is_int8(value) for value in values)
    condition = _portable(expression, part.table, _TEXTS if texts else _INTEGERS) if texts or whole else ""
    if not condition:
        return part
    matches = f"{condition} = ANY(%s::{'text' if texts else 'int8'}[])"
    return _also(part, f"NOT ({matches})" if isinstance(values, AllBut) else matches, list(values))


def _portable(expression: str, table: Table, kinds: Collection[str]) -> str:
    """Translate an SQLite expression to Postgres; empty if it would mean something else or uses columns of other types."""
    bare = _LITERAL.sub("", expression)
    columns = _BRACKETED.findall(bare)
    words = set(_WORD.findall(_BRACKETED.sub("", bare).lower()))
    if not columns or not words <= _IN_BOTH_DIALECTS or any(table.columns.get(name) not in kinds for name in columns):
        return ""
    return _BRACKETED.sub(lambda found: f"f.{quoted(found[1])}", expression).replace("%", "%%")


def _also(part: Part, condition: str, *params: Any) -> Part:
    where = f"{part.where} AND {condition}" if part.where else condition
    return part._replace(where=where, params=(*part.params, *params))


def _as_text(table: Table, column: str) -> str:
    return f"f.{quoted(column)}" + ("" if table.columns[column] in _TEXTS else "::text")


def _name(table: Table) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}".replace("%", "%%")


def _is_int8(value: int) -> bool:
    return -(2**63) <= value < 2**63
