"""The example store, and ways to change a private copy of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from smithers_nb.resources import example_store

NOW = 1795181301665
"""When the example store was taken, epoch milliseconds."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is unpacked out of the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def fleet() -> Path:
    """The example store: sixty runs of five workflows."""
    return example_store()


@pytest.fixture
def changed(fleet: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the example store and run SQL on the copy."""

    def change(sql: str, *values: object) -> Path:
        copy = tmp_path / "changed.db"
        if not copy.exists():
            copy.write_bytes(fleet.read_bytes())
        connection = sqlite3.connect(copy)
        connection.execute(sql, values)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return copy

    return change
