"""A Postgres database that is only read: one connection, and a read-only transaction per read.

This module knows nothing about runs. It lists the tables of a schema and reads rows by COPY as integers, floats, text and bytes, as
SQLite would have stored them. No message from this module contains the password of the URL.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from smithers_nb.errors import SourceNotFound, SourceUnreadable, SourceVanished
from smithers_nb.sources.smithers.query import quoted
from smithers_nb.sources.stores.time_limit import TimeLimit
from smithers_nb.sources.urls import POSTGRES

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS: Final = 10
_SCHEMA: Final = "schema"
_KINDS: Final = {"int2": "int8", "int4": "int8", "int8": "int8", "oid": "int8", "bool": "int8", "bytea": "bytea"} | dict.fromkeys(
    ("float4", "float8", "numeric"), "float8"
)
"""Type that a column of each type is read as; all others are read as text."""

_CAST: Final = {"bool": "::int::int8"}
_TABLES: Final = """
    SELECT n.nspname, c.relname, a.attname, t.typname, has_column_privilege(c.oid, a.attnum, 'SELECT')
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = %s
    ORDER BY c.oid, a.attnum
"""
_SCHEMAS: Final = """
    SELECT n.nspname, n.nspname = ANY(current_schemas(false))
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND n.nspname NOT LIKE 'pg\\_%%'
    ORDER BY array_position(current_schemas(false), n.nspname), n.nspname
"""


class TableUnreadable(Exception):
    """The rows of a table could not be read; the message says why."""


class Table(NamedTuple):
    """A table as it is now.

    Attributes:
        schema: Its schema.
        name: Its name.
        columns: Names and type names of the readable columns, in order.
        whole: Whether all columns are readable.
    """

    schema: str
    name: str
    columns: Mapping[str, str]
    whole: bool


class Part(NamedTuple):
    """The rows and columns to read from a table.

    Attributes:
        table: The table, named `f` in the condition.
        columns: The columns, in order.
        where: Condition with `%s` for each of `params`; empty for all rows.
        params: Bound values.
        tail: ORDER BY and LIMIT.
    """

    table: Table
    columns: Sequence[str]
    where: str = ""
    params: tuple[Any, ...] = ()
    tail: str = ""


class PostgresDatabase:
    """A database.

    Attributes:
        location: Its URL without user, password and options.
        schema: The `?schema=` of the URL; None if it has none.
    """

    def __init__(self, url: str, location: str) -> None:
        """Parse the URL; the connection is opened by the first read.

        Raises:
            SourceUnreadable: The text is not the URL of a database, or psycopg is not installed.
        """
        self._conninfo, self.schema, self._secrets = _parsed(url)
        self.location = location
        self._time_limit = TimeLimit()
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._discard: weakref.finalize[..., Any] | None = None
        self._driver = _driver()

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a read-only transaction that sees one state of the database.

        Raises:
            SourceNotFound: There is no such database.
            SourceUnreadable: The connection failed.
            SourceVanished: The database could be reached before and no longer can.
        """
        with self._lock:
            connection = self._in_transaction()
            try:
                yield connection
            except self._driver.Error as error:
                if connection.broken or connection.closed:
                    raise self._vanished(error) from error
                raise SourceUnreadable(
                    f"{self.location} cannot be read: {self._message(error)}", hint="ask its owner for access"
                ) from error
            finally:
                if not (connection.broken or connection.closed):
                    connection.rollback()

    def schemas_with(self, table: str) -> list[tuple[str, bool]]:
        """List the schemas that have a table of this name and whether they are on the search path; those that are come first."""
        with self.reading() as connection:
            return [(str(schema), bool(on_path)) for schema, on_path in connection.execute(_SCHEMAS, (table,))]

    def tables(self, schema: str) -> dict[str, Table]:
        """Return the tables and views of a schema by name, in order of creation."""
        tables: dict[str, Table] = {}
        with self.reading() as connection:
            for _, name, column, kind, readable in connection.execute(_TABLES, (schema,)):
                table = tables.setdefault(name, Table(schema, name, {}, whole=True))
                tables[name] = table._replace(
                    columns={**table.columns, column: kind} if readable else table.columns, whole=table.whole and readable
                )
        return tables

    def rows(self, connection: psycopg.Connection[Any], part: Part) -> Iterator[tuple[Any, ...]]:
        """Read a part of a table within a transaction.

        Raises:
            TableUnreadable: It is not permitted, missing, changed, or too slow to read; a new transaction has begun.
            SourceVanished: The connection was lost.
        """
        kinds = [part.table.columns[name] for name in part.columns]
        listed = ", ".join(_readable(name, kind) for name, kind in zip(part.columns, kinds, strict=True)) or "NULL::text"
        where = f" WHERE {part.where}" if part.where else ""
        table = f"{quoted(part.table.schema)}.{quoted(part.table.name)}".replace("%", "%%")
        sql = f"COPY (SELECT {listed} FROM {table} AS f{where} {part.tail}) TO STDOUT (FORMAT BINARY)"
        try:
            with connection.cursor() as cursor, cursor.copy(sql.encode(), [_bindable(value) for value in part.params]) as copy:
                copy.set_types([_KINDS.get(kind, "text") for kind in kinds] or ["text"])
                yield from copy.rows()
        except (self._driver.Error, UnicodeError) as error:
            if connection.broken or connection.closed:
                raise self._vanished(error) from error
            canceled = isinstance(error, self._driver.errors.QueryCanceled)
            message = self._time_limit.exceeded() if canceled else self._message(error)
            connection.rollback()
            self._begin(connection)
            raise TableUnreadable(message) from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._discard is not None:
                self._discard()
            self._connection = self._discard = None

    def _in_transaction(self) -> psycopg.Connection[Any]:
        """Return the connection with a transaction begun; reconnect if it broke while idle."""
        if self._connection is not None:
            try:
                self._begin(self._connection)
            except self._driver.Error:
                self.close()
            else:
                return self._connection
            try:
                self._connection = self._connect()
            except (SourceNotFound, SourceUnreadable) as error:
                raise SourceVanished(str(error), hint="the server was stopped or can no longer be reached") from error
        else:
            self._connection = self._connect()
        self._discard = weakref.finalize(self, self._connection.close)
        self._begin(self._connection)
        return self._connection

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        # SET LOCAL, because behind a pooler the session serves other clients afterwards
        connection.execute(f"SET LOCAL statement_timeout = {round(self._time_limit.seconds * 1000)}")

    def _connect(self) -> psycopg.Connection[Any]:
        timeout = {} if "connect_timeout" in self._conninfo else {"connect_timeout": _CONNECT_SECONDS}
        try:
            connection: psycopg.Connection[Any] = self._driver.connect(self._conninfo, client_encoding="utf8", **timeout)
        except self._driver.Error as error:
            message = self._message(error)
            if 'database "' in message and "does not exist" in message:
                raise SourceNotFound(f"{self.location}: {message}", searched=(self.location,), hint="name a database that exists") from None
            raise SourceUnreadable(
                f"{self.location} cannot be opened: {message}", hint="check host, port, user and password, and that the server is up"
            ) from None
        connection.read_only = True
        connection.isolation_level = self._driver.IsolationLevel.REPEATABLE_READ
        connection.prepare_threshold = None
        return connection

    def _vanished(self, error: BaseException) -> SourceVanished:
        return SourceVanished(f"{self.location} is gone: {self._message(error)}", hint="the server was stopped, or the connection was cut")

    def _message(self, error: BaseException) -> str:
        """Return the message of the server or the driver on one line, without the secrets of the URL."""
        diag = getattr(error, "diag", None)
        text = " ".join(str(getattr(diag, "message_primary", None) or error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _parsed(url: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Split a URL into the driver's connection string, its `?schema=`, and the secrets that must never be shown."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise _no_url() from None
    if parts.scheme not in POSTGRES or "@" in parts.path:
        raise _no_url()
    schema = next((value for name, value in options if name == _SCHEMA), None)
    rest = urlencode([(name, value) for name, value in options if name != _SCHEMA], quote_via=quote)
    passwords = [parts.password or "", *(value for name, value in options if name in {"password", "sslpassword"})]
    hidden = {form for value in passwords for form in (value, unquote(value), quote(value, safe="")) if form}
    conninfo = parts._replace(scheme="postgresql", query=rest, fragment="").geturl()
    return conninfo, schema or None, tuple(sorted(hidden, key=len, reverse=True))


def _no_url() -> SourceUnreadable:
    return SourceUnreadable(
        "the text is not the URL of a Postgres database",
        hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / ? # of a password as %40 %3A %2F %3F %23",
    )


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise SourceUnreadable(
            "reading Postgres needs psycopg, which is not installed", hint="pip install 'smithers-nb[postgres]'"
        ) from None
    return psycopg


def _readable(name: str, kind: str) -> str:
    cast = _CAST.get(kind, f"::{_KINDS.get(kind, 'text')}")
    return f"f.{quoted(name)}{cast}".replace("%", "%%")


def _bindable(value: Any) -> Any:
    """Convert text to what Postgres accepts: it stores no NUL and no lone surrogates, so no row has a value with one."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_bindable(item) for item in value]
    return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd") if isinstance(value, str) else value
