"""Copy an SQLite store into Postgres the way `smithers migrate --to postgres` does: same names, BIGINT, DOUBLE PRECISION, BYTEA, TEXT."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
from psycopg import sql

_TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"}


def copy_to_postgres(path: Path, url: str, schema: str = "public") -> None:
    """Make every table of a store in a schema, in the same order, with the same rows."""
    with sqlite3.connect(path) as store, psycopg.connect(url) as target:
        target.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        for (name,) in tables.fetchall():
            columns = [(column, _TYPES.get(kind.upper(), "TEXT")) for _, column, kind, *_ in store.execute(f'PRAGMA table_info("{name}")')]
            listed = sql.SQL(", ").join(sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in columns)
            table = sql.Identifier(schema, name)
            target.execute(sql.SQL("CREATE TABLE {} ({})").format(table, listed))
            with target.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
                for row in store.execute(f'SELECT * FROM "{name}"'):
                    copy.write_row([_value(cell, kind) for cell, (_, kind) in zip(row, columns, strict=True)])
    store.close()


def _value(cell: object, kind: str) -> object:
    return str(cell) if kind == "TEXT" and cell is not None and not isinstance(cell, bytes) else cell
