"""Stores that somebody damaged on purpose: whatever is in them, they are read or refused in words, in time, and never written."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smithers_nb.cli import main
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.rows import TABLES, FailureRow
from smithers_nb.sources.locate import open_source
from tests.support.data import DATA

NAMES = sorted(path.name.removesuffix(".db.gz") for path in DATA.glob("*.db.gz") if "fleet" not in path.name)
VALUES = [
    *(float("inf"), float("-inf"), 1e300, 2**63 - 1, -(2**63), -1, 0, None, b"\xff\xfe\x00", "\x00", "NaN", "1e999"),
    *(
        "[" * 3_000,
        '{"a":' * 400,
        '{"message": {"deep": [1]}}',
        "\ud7ff" * 2_000,
        "<script>alert(1)</script>",
        "\x1b]0;x\x07",
        "x" * 200_000,
    ),
]
Attack = Callable[[Path, random.Random], None]


def _bytes(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 60)):
        content[draw.randrange(100, len(content))] = draw.randrange(256)
    path.write_bytes(content)


def _pages(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 5)):
        page = draw.randrange(1, len(content) // 4096)
        other = draw.randrange(1, len(content) // 4096)
        content[page * 4096 : (page + 1) * 4096] = draw.choice([b"\0" * 4096, b"\xff" * 4096, content[other * 4096 : (other + 1) * 4096]])
    path.write_bytes(content)


def _cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def _values(path: Path, draw: random.Random) -> None:
    def change(connection: sqlite3.Connection, table: str) -> None:
        for _, column, *_rest in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            if column != "run_id" and draw.random() < 0.3:
                row = "" if draw.random() < 0.5 else f' WHERE rowid = (SELECT rowid FROM "{table}" LIMIT 1)'
                connection.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ?{row}', (draw.choice(VALUES),))

    _on_tables(path, draw, change, share=0.6)


def _columns(path: Path, draw: random.Random) -> None:
    def change(connection: sqlite3.Connection, table: str) -> None:
        names = [name for (_, name, *_rest) in connection.execute(f'PRAGMA table_info("{table}")').fetchall()]
        kept = ", ".join(f'"{name}"' for name in names if name == "run_id" or draw.random() < 0.7) or "1 AS nothing"
        connection.execute(f'CREATE TABLE other AS SELECT {kept} FROM "{table}"')
        connection.execute(f'DROP TABLE "{table}"')
        connection.execute(f'ALTER TABLE other RENAME TO "{table}"')

    _on_tables(path, draw, change, share=0.5)


def _views(path: Path, draw: random.Random) -> None:
    """Put views that never end in the place of tables."""

    def change(connection: sqlite3.Connection, table: str) -> None:
        connection.execute(f'CREATE TABLE "kept {table}" AS SELECT * FROM "{table}"')
        connection.execute(f'DROP TABLE "{table}"')
        rows = f'k.* FROM "kept {table}" AS k, a' + draw.choice(["", " WHERE x < 0", " WHERE x > 3 ORDER BY random()"])
        connection.execute(f'CREATE VIEW "{table}" AS WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT {rows}')

    _on_tables(path, draw, change, share=0.2)


ATTACKS: list[Attack] = [_values, _bytes, _views, _pages, _columns, _cut]


def _on_tables(path: Path, draw: random.Random, change: Callable[[sqlite3.Connection, str], None], *, share: float) -> None:
    """Change some tables through SQL; a store that SQLite cannot change, because it was recorded damaged, stays as it is."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            _change_tables(connection, draw, change, share)
        except sqlite3.DatabaseError as error:
            if "malformed" not in str(error):
                raise
            connection.rollback()


def _change_tables(
    connection: sqlite3.Connection, draw: random.Random, change: Callable[[sqlite3.Connection, str], None], share: float
) -> None:
    connection.execute("BEGIN")
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
    ).fetchall():
        connection.execute(f'DROP {kind} "{name}"')
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall():
        if draw.random() < share:
            change(connection, table)
    connection.execute("COMMIT")


def _read(path: Path) -> None:
    """Read everything in every way."""
    try:
        source = open_source(path)
    except SmithersNbError:
        return
    try:
        for row in TABLES.values():
            if row is not FailureRow:
                source.rows(row)
                source.frame(row)
        ids = source.run_ids()[:2]
    finally:
        source.close()
    for command in (["ps", "--all"], ["failures"], *(["inspect", run_id] for run_id in ids), *(["why", run_id] for run_id in ids)):
        main(["--debug", *command, "--source", str(path)])


@pytest.mark.slow
def test_stores(store, amount, tally, monkeypatch, capsys):
    """No store ends a reader in any other way than with rows or with a sentence, none hangs it, and none is changed."""
    monkeypatch.setenv("SMITHERS_NB_QUERY_SECONDS", "0.5")
    counts, failures = tally("stores"), []
    for number in range(amount(6, 60)):
        draw = random.Random(f"store {number}")
        path = store(draw.choice(NAMES))
        attack = ATTACKS[number % len(ATTACKS)]
        attack(path, draw)
        before, begun = {file.name: file.read_bytes() for file in path.parent.iterdir()}, time.monotonic()
        try:
            _read(path)
        except Exception as error:  # noqa: BLE001  # all of them are looked at in the end
            failures.append((number, attack.__name__, repr(error)))
        if time.monotonic() - begun > 120:
            failures.append((number, attack.__name__, "took longer than two minutes"))
        if {file.name: file.read_bytes() for file in path.parent.iterdir()} != before:
            failures.append((number, attack.__name__, "was written"))
        counts.tried += 1
        capsys.readouterr()
        path.unlink()
    counts.lost = len(failures)
    assert not failures
