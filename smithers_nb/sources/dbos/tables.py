"""The tables of a DBOS application's system database, in SQLite and in Postgres.

Both kinds read the same `Request`: columns of one table, filtered by membership, in a given order. A column that this version of DBOS
lacks is None, and a missing table has no rows.
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
"""Schema that DBOS uses in Postgres, unless configured otherwise."""

_MAX_PARAMETERS: Final = 500
_LAST_CHARACTER: Final = "\U0010ffff"
_INTEGERS: Final = frozenset({"int2", "int4", "int8"})

Row = dict[str, Any]


class Request(NamedTuple):
    """What to read.

    Attributes:
        table: The table.
        columns: The columns.
        filters: Column to the values that a row may have in it.
        since: A column of epoch milliseconds and its minimum.
        present: A column that must not be NULL.
        order: Columns to sort by.
    """

    table: str
    columns: Sequence[str]
    filters: Mapping[str, Collection[str | int]] = {}
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
        """Return the columns of a table; none if it is missing."""
        ...

    def read(self, request: Request) -> list[Row]:
        """Read rows."""
        ...

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix, sorted by code point."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...


def is_dbos(schema: Mapping[str, Collection[str]]) -> bool:
    """Return whether the tables are those of a DBOS system database."""
    return "workflow_uuid" in schema.get(WORKFLOWS, ()) and STEPS in schema


class SqliteTables:
    """DBOS in an SQLite file."""

    def __init__(self, path: str | Path) -> None:
        """Open the file and read its schema.

        Raises:
            SourceUnreadable: It is not an SQLite file, or has no tables of DBOS.
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
            raise _not_dbos(self.location)

    def columns(self, table: str) -> Collection[str]:
        """Return the columns of a table."""
        return self._columns.get(table, ())

    def read(self, request: Request) -> list[Row]:
        """Read rows."""
        known = self.columns(request.table)
        if not known:
            return []
        conditions, params = [], list[Any]()
        for column, values in request.filters.items():
            if column not in known:
                return []
            as_json = len(values) > _MAX_PARAMETERS
            conditions.append(f"{quoted(column)} IN ({'SELECT value FROM json_each(?)' if as_json else ', '.join('?' * len(values))})")
            params += [dump(list(values))] if as_json else list(values)
        if request.since and request.since[0] in known:
            conditions.append(f"{quoted(request.since[0])} >= ?")
            params.append(request.since[1])
        if request.present:
            conditions.append(f"{quoted(request.present)} IS NOT NULL" if request.present in known else "0")
        listed = ", ".join(quoted(name) if name in known else "NULL" for name in request.columns)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(quoted(name) for name in request.order if name in known)
        sql = f"SELECT {listed} FROM {quoted(request.table)}{where}{' ORDER BY ' if order else ''}{order}"
        return [dict(zip(request.columns, cells, strict=True)) for cells in self._fetch(request.table, sql, params)]

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix."""
        name = quoted(column)
        sql = f"SELECT {name} FROM {quoted(table)} WHERE {name} >= ? AND {name} < ? ORDER BY {name} LIMIT ?"
        return [value for (value,) in self._fetch(table, sql, [prefix, f"{prefix}{_LAST_CHARACTER}", limit]) if isinstance(value, str)]

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _fetch(self, table: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows, problem = self.file.fetch(sql, params)
        if problem is not None:
            self.problems.add(table, problem)
        return rows


class PostgresTables:
    """DBOS in a schema of a Postgres database."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Choose the schema that the URL names, else `dbos`, else the first that has the tables, and read what it has.

        Raises:
            SourceError: The database cannot be read, or has no tables of DBOS.
        """
        self.problems = Problems()
        self.database = database
        schema = database.schema or self._find_schema()
        self.location = database.location if schema == SCHEMA else f"{database.location}?schema={schema}"
        self._tables = database.tables(schema)
        if not is_dbos({name: tuple(table.columns) for name, table in self._tables.items()}):
            raise _not_dbos(f"{database.location} in schema {schema}")

    def columns(self, table: str) -> Collection[str]:
        """Return the columns of a table."""
        return self._tables[table].columns if table in self._tables else ()

    def read(self, request: Request) -> list[Row]:
        """Read rows."""
        table = self._tables.get(request.table)
        if table is None:
            return []
        conditions, params = [], list[Any]()
        for column, values in request.filters.items():
            if column not in table.columns:
                return []
            conditions.append(f"f.{quoted(column)} = ANY(%s::{'int8' if table.columns[column] in _INTEGERS else 'text'}[])")
            params.append(list(values))
        if request.since and request.since[0] in table.columns:
            conditions.append(f"f.{quoted(request.since[0])} >= %s::int8")
            params.append(min(request.since[1], 2**62))
        if request.present:
            conditions.append(f"f.{quoted(request.present)} IS NOT NULL" if request.present in table.columns else "false")
        order = ", ".join(_sortable(table, name) for name in request.order if name in table.columns)
        known = [name for name in request.columns if name in table.columns]
        part = Part(table, known, " AND ".join(conditions), tuple(params), f"ORDER BY {order}" if order else "")
        return [dict.fromkeys(request.columns) | dict(zip(known, cells, strict=True)) for cells in self._rows(part)]

    def starting(self, table: str, column: str, prefix: str, limit: int) -> list[str]:
        """List the values of a text column that start with a prefix."""
        known = self._tables[table]
        tail = f"ORDER BY {_sortable(known, column)} LIMIT {max(0, limit)}"
        return [value for (value,) in self._rows(Part(known, (column,), f"starts_with(f.{quoted(column)}::text, %s)", (prefix,), tail))]

    def close(self) -> None:
        """Close the connection."""
        self.database.close()

    def _rows(self, part: Part) -> list[tuple[Any, ...]]:
        with self.database.reading() as connection:
            try:
                return list(self.database.rows(connection, part))
            except TableUnreadable as error:
                self.problems.add(part.table.name, str(error))
                return []

    def _find_schema(self) -> str:
        schemas = [schema for schema, _ in self.database.schemas_with(WORKFLOWS)]
        return SCHEMA if SCHEMA in schemas or not schemas else schemas[0]


def _sortable(table: Table, column: str) -> str:
    return f"f.{quoted(column)}" + ("" if table.columns[column] in _INTEGERS else '::text COLLATE "C"')


def _not_dbos(location: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{location} is not the system database of a DBOS application",
        hint="name the database of the application's system_database_url, and its schema with ?schema= if that is not dbos",
    )
