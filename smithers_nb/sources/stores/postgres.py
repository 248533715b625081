"""A Postgres database that is only ever read: one connection, each look a read-only transaction of its own.

It knows nothing about runs. It lists the tables of a schema, and hands out rows of a table as numbers, texts and bytes, the way
SQLite would have kept them, by COPY. No text that leaves this module has the password of the URL in it.
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
from smithers_nb.sources.stores.patience import Patience
from smithers_nb.sources.urls import POSTGRES

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS: Final = 10
_SCHEMA: Final = "schema"
_KINDS: Final = {"int2": "int8", "int4": "int8", "int8": "int8", "oid": "int8", "bool": "int8", "bytea": "bytea"} | dict.fromkeys(
    ("float4", "float8", "numeric"), "float8"
)
"""Type of a column to the type it is read as; every other type is read as text."""

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
_PLACES: Final = """
    SELECT n.nspname, n.nspname = ANY(current_schemas(false))
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND n.nspname NOT LIKE 'pg\\_%%'
    ORDER BY array_position(current_schemas(false), n.nspname), n.nspname
"""


class TableUnreadable(Exception):
    """The rows of one table could not be read; the message says why."""


class Table(NamedTuple):
    """A table as it is now.

    Attributes:
        schema: Schema it is in.
        name: Its name.
        columns: The columns that may be read, in order, with the names of their types.
        whole: Whether every column may be read.
    """

    schema: str
    name: str
    columns: Mapping[str, str]
    whole: bool


class Part(NamedTuple):
    """What to read of a table.

    Attributes:
        table: The table, named `f` in the condition.
        columns: Which of its columns, in order.
        where: Condition with `%s` for each of `params`; empty is every row.
        params: Bound values.
        tail: ORDER BY and LIMIT.
    """

    table: Table
    columns: Sequence[str]
    where: str = ""
    params: tuple[Any, ...] = ()
    tail: str = ""


class PostgresDatabase:
    """A database by URL.

    Attributes:
        location: The URL without user, password and options.
        schema: Schema that the URL asks for with `?schema=`; None leaves it open.
    """

    def __init__(self, url: str, location: str) -> None:
        """Take a URL, and how it may be shown; nothing is opened before something is read.

        Raises:
            SourceUnreadable: The text is no URL of a database, or psycopg is not installed.
        """
        self._conninfo, self.schema, self._secrets = _parsed(url)
        self.location = location
        self._patience = Patience()
        self._turn = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._discard: weakref.finalize[..., Any] | None = None
        self._driver = _driver()

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a transaction that can change nothing and sees one state of the database.

        Raises:
            SourceNotFound: There is no such database.
            SourceUnreadable: It cannot be connected to.
            SourceVanished: It could be connected to before, and cannot any more.
        """
        with self._turn:
            connection = self._begun()
            try:
                yield connection
            except self._driver.Error as error:
                if connection.broken or connection.closed:
                    raise self._vanished(error) from error
                raise SourceUnreadable(f"{self.location} cannot be read: {self._told(error)}", hint="ask its owner for access") from error
            finally:
                if not (connection.broken or connection.closed):
                    connection.rollback()

    def places_of(self, table: str) -> list[tuple[str, bool]]:
        """List the schemas that have a table of this name, those on the search path first, with whether they are on it."""
        with self.reading() as connection:
            return [(str(schema), bool(found)) for schema, found in connection.execute(_PLACES, (table,))]

    def tables(self, schema: str) -> dict[str, Table]:
        """List the tables and views of a schema, in the order of their creation."""
        found: dict[str, Table] = {}
        with self.reading() as connection:
            for _, name, column, kind, readable in connection.execute(_TABLES, (schema,)):
                table = found.setdefault(name, Table(schema, name, {}, whole=True))
                found[name] = table._replace(
                    columns={**table.columns, column: kind} if readable else table.columns, whole=table.whole and readable
                )
        return found

    def rows(self, connection: psycopg.Connection[Any], part: Part) -> Iterator[tuple[Any, ...]]:
        """Read a part of a table inside of a transaction.

        Raises:
            TableUnreadable: It is not permitted, gone, changed, or took too long; the transaction goes on.
            SourceVanished: The connection is gone.
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
            told = self._patience.lost() if isinstance(error, self._driver.errors.QueryCanceled) else self._told(error)
            connection.rollback()
            self._begin(connection)
            raise TableUnreadable(told) from error

    def close(self) -> None:
        """Let go of the connection."""
        with self._turn:
            if self._discard is not None:
                self._discard()
            self._connection = self._discard = None

    def _begun(self) -> psycopg.Connection[Any]:
        """Begin a transaction; a connection that broke while nobody used it is made anew."""
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
                raise SourceVanished(str(error), hint="the server was stopped or cannot be reached any more") from error
        else:
            self._connection = self._connect()
        self._discard = weakref.finalize(self, self._connection.close)
        self._begin(self._connection)
        return self._connection

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        # nothing is set for the whole session: behind a pooler the session is lent to others afterwards
        connection.execute(f"SET LOCAL statement_timeout = {round(self._patience.seconds * 1000)}")

    def _connect(self) -> psycopg.Connection[Any]:
        patience = {} if "connect_timeout" in self._conninfo else {"connect_timeout": _CONNECT_SECONDS}
        try:
            connection: psycopg.Connection[Any] = self._driver.connect(self._conninfo, client_encoding="utf8", **patience)
        except self._driver.Error as error:
            told = self._told(error)
            if 'database "' in told and "does not exist" in told:
                raise SourceNotFound(f"{self.location}: {told}", searched=(self.location,), hint="name a database that is there") from None
            raise SourceUnreadable(
                f"{self.location} cannot be opened: {told}", hint="check host, port, user and password, and that the server is up"
            ) from None
        connection.read_only = True
        connection.isolation_level = self._driver.IsolationLevel.REPEATABLE_READ
        connection.prepare_threshold = None
        return connection

    def _vanished(self, error: BaseException) -> SourceVanished:
        return SourceVanished(f"{self.location} is gone: {self._told(error)}", hint="the server was stopped, or the connection was cut")

    def _told(self, error: BaseException) -> str:
        """Return the server's or the driver's own words on one line, without a secret of the URL."""
        diag = getattr(error, "diag", None)
        text = " ".join(str(getattr(diag, "message_primary", None) or error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _parsed(url: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Split a URL into what the driver gets, the schema that we take from it, and what must never be shown."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise _no_url() from None
    if parts.scheme not in POSTGRES or "@" in parts.path:
        raise _no_url()
    schema = next((value for name, value in options if name == _SCHEMA), None)
    kept = urlencode([(name, value) for name, value in options if name != _SCHEMA], quote_via=quote)
    named = [parts.password or "", *(value for name, value in options if name in {"password", "sslpassword"})]
    hidden = {form for value in named for form in (value, unquote(value), quote(value, safe="")) if form}
    conninfo = parts._replace(scheme="postgresql", query=kept, fragment="").geturl()
    return conninfo, schema or None, tuple(sorted(hidden, key=len, reverse=True))


def _no_url() -> SourceUnreadable:
    return SourceUnreadable(
        "the text is not the URL of a Postgres database",
        hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and @ : / ? # of a password as %40 %3A %2F %3F %23",
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
    """Make text fit for Postgres, which keeps no NUL and no half characters: a value with one is in no row."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_bindable(one) for one in value]
    return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd") if isinstance(value, str) else value
