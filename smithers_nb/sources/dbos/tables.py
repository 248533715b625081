"""The tables of a DBOS application's system database, in SQLite and in Postgres, read with one small question.

Both answer the same: rows of the columns asked for, filtered by membership, in the order asked for. A column or a table that this
version of DBOS does not have gives None, or no rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from smithers_nb.errors import SourceUnreadable
from smithers_nb.sources.base import Problems
from smithers_nb.sources.smithers.query import quoted
from smithers_nb.sources.stores.json_text import dump
from smithers_nb.sources.stores.postgres import Part, PostgresDatabase, Table, TableUnreadable
from smithers_nb.sources.stores.sqlite_file import SqliteFile

WORKFLOWS: Final = "workflow_status"
STEPS: Final = "operation_outputs"
SCHEMA: Final = "dbos"
"""Where DBOS puts its tables in Postgres, unless it is told otherwise."""

_FEW: Final = 500
_FIRST_LETTERS: Final = "\U0010ffff"
_INTEGERS: Final = frozenset({"int2", "int4", "int8"})

Row = dict[str, Any]


class Question(NamedTuple):
    """What to read.

    Attributes:
        table: Its table.
        columns: Columns, by name.
        among: Column to the values that a row may have in it.
        since: Column of epoch milliseconds and the least it may be.
        present: A column that must not be empty.
        order: Columns to sort by.
    """

    table: str
    columns: Sequence[str]
    among: Mapping[str, Collection[str | int]] = {}
    since: tuple[str, int] | None = None
    present: str = ""
    order: Sequence[str] = ()


class Tables(Protocol):
    """A DBOS system database.

    Attributes:
        location: As shown to people.
        problems: Tables that could not be read, and why.
    """

    location: str
    problems: Problems

    def columns(self, table: str) -> Collection[str]:
        """Name the columns of a table; none when it is not there."""
        ...

    def ask(self, question: Question) -> list[Row]:
        """Read rows."""
        ...

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix, sorted by their characters."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def is_dbos(schema: Mapping[str, Collection[str]]) -> bool:
    """Distinguish a DBOS system database by its tables."""
    return "workflow_uuid" in schema.get(WORKFLOWS, ()) and STEPS in schema


class SqliteTables:
    """DBOS in an SQLite file."""

    def __init__(self, path: str | Path) -> None:
        """Look into the file.

        Raises:
            SourceUnreadable: It is no SQLite file, or has no tables of DBOS.
        """
        self.location = str(path)
        self.problems = Problems()
        self.file = SqliteFile(path)
        self.file.check()
        sql = "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'"
        self._columns: dict[str, list[str]] = {}
        for table, column in self.file.fetch(sql).rows:
            self._columns.setdefault(table, []).append(column)
        if not is_dbos(self._columns):
            self.file.close()
            raise _no_dbos(self.location)

    def columns(self, table: str) -> Collection[str]:
        """Name the columns of a table."""
        return self._columns.get(table, ())

    def ask(self, question: Question) -> list[Row]:
        """Read rows."""
        known = self.columns(question.table)
        if not known:
            return []
        conditions, params = [], list[Any]()
        for column, values in question.among.items():
            if column not in known:
                return []
            some = "SELECT value FROM json_each(?)" if len(values) > _FEW else ", ".join("?" * len(values))
            conditions.append(f"{quoted(column)} IN ({some})")
            params += [dump(list(values))] if len(values) > _FEW else list(values)
        if question.since and question.since[0] in known:
            conditions.append(f"{quoted(question.since[0])} >= ?")
            params.append(question.since[1])
        if question.present:
            conditions.append(f"{quoted(question.present)} IS NOT NULL" if question.present in known else "0")
        listed = ", ".join(quoted(name) if name in known else "NULL" for name in question.columns)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(quoted(name) for name in question.order if name in known)
        sql = f"SELECT {listed} FROM {quoted(question.table)}{where}{' ORDER BY ' if order else ''}{order}"
        found = self._fetch(question.table, sql, params)
        return [dict(zip(question.columns, cells, strict=True)) for cells in found]

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix."""
        name = quoted(column)
        sql = f"SELECT {name} FROM {quoted(table)} WHERE {name} >= ? AND {name} < ? ORDER BY {name} LIMIT ?"
        return [value for (value,) in self._fetch(table, sql, [prefix, f"{prefix}{_FIRST_LETTERS}", limit]) if isinstance(value, str)]

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def _fetch(self, table: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows, problem = self.file.fetch(sql, params)
        if problem is not None:
            self.problems.add(table, problem)
        return rows


class PostgresTables:
    """DBOS in a schema of a Postgres database."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Look into the schema that the URL names, else into `dbos`, else into the only one that has the tables.

        Raises:
            SourceError: The database cannot be read, or has no tables of DBOS.
        """
        self.problems = Problems()
        self.database = database
        schema = database.schema or self._found()
        self.location = database.location if schema == SCHEMA else f"{database.location}?schema={schema}"
        self._tables = database.tables(schema)
        if not is_dbos({name: tuple(table.columns) for name, table in self._tables.items()}):
            raise _no_dbos(f"{database.location} in schema {schema}")

    def columns(self, table: str) -> Collection[str]:
        """Name the columns of a table."""
        return self._tables[table].columns if table in self._tables else ()

    def ask(self, question: Question) -> list[Row]:
        """Read rows."""
        table = self._tables.get(question.table)
        if table is None:
            return []
        conditions, params = [], list[Any]()
        for column, values in question.among.items():
            if column not in table.columns:
                return []
            conditions.append(f"f.{quoted(column)} = ANY(%s::{'int8' if table.columns[column] in _INTEGERS else 'text'}[])")
            params.append(list(values))
        if question.since and question.since[0] in table.columns:
            conditions.append(f"f.{quoted(question.since[0])} >= %s::int8")
            params.append(min(question.since[1], 2**62))
        if question.present:
            conditions.append(f"f.{quoted(question.present)} IS NOT NULL" if question.present in table.columns else "false")
        order = ", ".join(_sortable(table, name) for name in question.order if name in table.columns)
        known = [name for name in question.columns if name in table.columns]
        part = Part(table, known, " AND ".join(conditions), tuple(params), f"ORDER BY {order}" if order else "")
        return [dict.fromkeys(question.columns) | dict(zip(known, cells, strict=True)) for cells in self._rows(part)]

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix."""
        known = self._tables[table]
        tail = f"ORDER BY {_sortable(known, column)} LIMIT {max(0, limit)}"
        return [value for (value,) in self._rows(Part(known, (column,), f"starts_with(f.{quoted(column)}::text, %s)", (prefix,), tail))]

    def close(self) -> None:
        """Let go of the connection."""
        self.database.close()

    def _rows(self, part: Part) -> list[tuple[Any, ...]]:
        with self.database.reading() as connection:
            try:
                return list(self.database.rows(connection, part))
            except TableUnreadable as error:
                self.problems.add(part.table.name, str(error))
                return []

    def _found(self) -> str:
        places = [schema for schema, _ in self.database.schemas_with(WORKFLOWS)]
        return SCHEMA if SCHEMA in places or not places else places[0]


def _sortable(table: Table, column: str) -> str:
    return f"f.{quoted(column)}" + ("" if table.columns[column] in _INTEGERS else '::text COLLATE "C"')


def _no_dbos(location: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{location} is not the system database of a DBOS application",
        hint="name the database of the application's system_database_url, and its schema with ?schema= when that is not dbos",
    )
