"""Rows copied into our own SQLite database, so that one set of SELECTs serves every kind of store.

The database lives in memory for one read, or in a private file if a bulk reader needs a file to open.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from smithers_nb.private_folder import PrivateFolder
from smithers_nb.sources.smithers.query import quoted
from smithers_nb.sources.stores.sqlite_file import Fetched, bindable

T = TypeVar("T")

_MEMORY: Final = Path(os.devnull)


class PrivateCopy:
    """An SQLite database with copies of tables, queried like a `SqliteFile`.

    Attributes:
        path: Its file; `/dev/null` if it is in memory.
    """

    def __init__(self, *, on_disk: bool = False) -> None:
        self.path = _MEMORY
        self._folder: PrivateFolder | None = None
        if on_disk:
            self._folder = PrivateFolder()
            self.path = self._folder.path / "store.db"
        self._connection = sqlite3.connect(str(self.path) if on_disk else ":memory:", check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Create a table and fill it; rows that arrived before an error are kept."""
        # columns without a type store every value unconverted
        self._connection.execute(f"CREATE TABLE {quoted(table)} ({', '.join(map(quoted, columns))})")
        self._connection.execute("BEGIN")
        try:
            self._connection.executemany(f"INSERT INTO {quoted(table)} VALUES ({', '.join('?' * len(columns))})", rows)
        finally:
            self._connection.execute("COMMIT")

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> Fetched:
        """Run one query."""
        try:
            return Fetched(self._connection.execute(sql, bindable(params)).fetchall(), None)
        except sqlite3.Error as error:
            return Fetched([], str(error))

    def use(self, job: Callable[[str], T]) -> T:
        """Call a job with the URI of the file."""
        return job(f"file:{self.path}?mode=ro&immutable=1")

    def close(self) -> None:
        """Close the database and delete its file."""
        self._connection.close()
        if self._folder is not None:
            self._folder.remove()
