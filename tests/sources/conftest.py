"""Ways to change a store that a test has a private copy of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def change() -> Callable[..., None]:
    """Run one statement on a store, the way a careless operator would: no foreign keys, the file at rest afterwards."""

    def run(path: Path, sql: str, params: tuple[object, ...] = ()) -> None:
        connection = sqlite3.connect(path)
        connection.execute(sql, params)
        connection.commit()
        connection.close()

    return run
