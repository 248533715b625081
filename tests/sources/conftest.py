"""Ways to change a store that a test has a private copy of, and to hold what comes out of it to the contracts."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smithers_nb.frames import contract
from smithers_nb.model.rows import TABLES, FailureRow
from tests.support.data import SUPPORT
from tests.support.postgres_stores import copy_to_postgres

KINDS = {"str": str, "int64": int, "Int64": int, "boolean": bool, "Float64": float, "datetime64[ms, UTC]": int}
READ = tuple(row for row in TABLES.values() if row is not FailureRow)


@pytest.fixture
def change() -> Callable[..., None]:
    """Run one statement on a store, the way a careless operator would: no foreign keys, the file at rest afterwards."""

    def run(path: Path, sql: str, params: tuple[object, ...] = ()) -> None:
        connection = sqlite3.connect(path)
        connection.execute(sql, params)
        connection.commit()
        connection.close()

    return run


@pytest.fixture
def check_grains() -> Callable[..., None]:
    """Read every table and hold rows, cell by cell, and frames, of all tables or of those named, to their contracts."""

    def check(source, *framed) -> None:
        for row in READ:
            rows = source.rows(row)
            for cells in rows:
                for spec, cell in zip(contract(row), cells, strict=True):
                    assert (cell is None and spec.optional) or type(cell) is KINDS[spec.dtype], (spec, cell)
            if row in (framed or READ):
                frame = source.frame(row)
                assert len(frame) == len(rows)
                assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {spec.name: spec.dtype for spec in contract(row)}

    return check


@pytest.fixture
def copied(postgres: str) -> Callable[..., str]:
    """Copy an SQLite store into the test's Postgres database, as Smithers' own migration does; gives its URL."""

    def run(path: Path, schema: str = "public") -> str:
        copy_to_postgres(path, postgres, schema)
        return postgres

    return run


def _run_app(url: str) -> None:
    """Run the real DBOS application of this folder, which dies in the middle of things."""
    app = SUPPORT / "dbos_app.py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBOS")}
    done = subprocess.run([sys.executable, str(app), url], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 9, done.stderr


@pytest.fixture(scope="session")
def dbos_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite database that a real DBOS application left behind when it was killed; tests copy it before they change it."""
    path = tmp_path_factory.mktemp("dbos") / "shop.sqlite"
    _run_app(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def dbos_url(postgres_server: str) -> Iterator[str]:
    """The same application's database in Postgres, with DBOS's own schema."""
    import psycopg

    name = f"shop{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = f"{postgres_server.rpartition('/')[0]}/{name}"
    _run_app(url)
    yield url
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
