"""Rows of somewhere else in an SQLite database of our own, so that one set of SELECTs serves every kind of store.

It lives in memory for the time of one read, or in a private file when a bulk reader needs something to open.
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
    """An SQLite database with copies of tables; it is asked like a `SqliteFile`.

    Attributes:
        path: Its file; `/dev/null` while it is in memory.
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
        """Make a table and fill it; rows that came before an error are kept."""
        # columns without a type keep every value as it comes
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
        """Hand a job the URI of the file."""
        return job(f"file:{self.path}?mode=ro&immutable=1")

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()
        if self._folder is not None:
            self._folder.remove()
