"""Read another program's SQLite file without leaving anything next to it or blocking its writer.

A file at rest is read with `immutable=1`, which touches nothing, and the read counts only if the file is unchanged afterwards. A file
that an engine has open is read with plain `mode=ro`, one connection per query. A private copy is read when neither route works: with a
hot journal, or with a `-wal` left by a killed engine, where the first connection would create a new `-shm`. Files that this process
itself writes are registered with `own` and opened only by the standard library: closing any other handle on them would drop its locks.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from smithers_nb.errors import SourceUnreadable, SourceVanished
from smithers_nb.sources.stores.time_limit import TimeLimit

if TYPE_CHECKING:
    from smithers_nb.private_folder import PrivateFolder

T = TypeVar("T")

_MAGIC: Final = b"SQLite format 3\x00"
_BUSY_SECONDS: Final = 5.0
_TRIES: Final = 6
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_ROUTE_ERRORS: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_IOERR")

_INSTRUCTIONS: Final = 20_000
"""Virtual machine instructions of SQLite between two checks of the time limit; a hundred such intervals take less than a second."""

_SHM_IN_USE: Final = 128
"""Byte of a `-shm` on which every connection holds a shared lock (`UNIX_SHM_DMS` of SQLite's os_unix.c)."""

_INT64_END: Final = 2**63

_owned: set[str] = set()
_connected_files: weakref.WeakSet[SqliteFile] = weakref.WeakSet()
_lock = threading.RLock()
"""Allows one reader per process at a time: closing any handle on a file drops every POSIX lock the process holds on it."""


def own(path: str | Path) -> None:
    """Register a file that this process is about to write, so that only the standard library opens it.

    Cached connections to it are closed now, while no lock is held; closing them later would drop the writer's locks.
    """
    with _lock:
        _owned.add(os.path.realpath(path))
        for file in [file for file in _connected_files if is_owned(file.path)]:
            file.close()


def is_owned(path: str | Path) -> bool:
    """Return whether this process writes a file."""
    return os.path.realpath(path) in _owned


def bindable(params: Sequence[Any]) -> tuple[Any, ...]:
    """Convert values to what SQLite accepts: text from a shell may contain lone surrogates, and an integer may exceed 64 bits."""
    return tuple(_bindable(value) for value in params)


class Fetched(NamedTuple):
    """The rows of a query, and why it ended early, if it did."""

    rows: list[tuple[Any, ...]]
    problem: str | None


class _Mark(NamedTuple):
    """What changes whenever the content of a file does: identity, size and time of it and its companions, and its header."""

    stats: tuple[tuple[int, ...] | None, ...]
    header: bytes


class RouteFailed(Exception):
    """One way of opening the file does not work; another may."""


class SqliteFile:
    """Another program's SQLite file, read by the route that suits its current state.

    Attributes:
        path: The file with symbolic links resolved, because SQLite looks for the `-wal` next to the real file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._time_limit = TimeLimit()
        self._connection: sqlite3.Connection | None = None
        self._connected: tuple[str, _Mark] | None = None
        self._copy: tuple[_Mark, str] | None = None
        self._folder: PrivateFolder | None = None

    def check(self) -> None:
        """Check that the file looks like an SQLite database, by its first bytes.

        Raises:
            SourceUnreadable: It is a folder, a pipe, empty, not permitted, or not SQLite.
            SourceVanished: It is gone.
        """
        kind = _kind(self.path)
        if stat.S_ISDIR(kind):
            raise SourceUnreadable(f"{self.path} is a folder, not a store file", hint="name the project folder or its smithers.db")
        if is_owned(self.path):
            return
        if kind and not stat.S_ISREG(kind):  # opening a pipe would block until it has a writer
            raise SourceUnreadable(f"{self.path} is a pipe or a device, not a store file", hint="copy it to a file first")
        head = _head(self.path)
        if not head:
            raise SourceUnreadable(
                f"{self.path} is empty (0 bytes)", hint="the engine never wrote to it, or the disk was full; look for a backup"
            )
        if not head.startswith(_MAGIC):
            raise SourceUnreadable(
                f"{self.path} is not an SQLite database", hint="name a smithers.db, or the folder of a project that has one"
            )

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> Fetched:
        """Run one query; if the file turns out to be damaged, keep the rows that were read before.

        Raises:
            SourceVanished: The file is gone.
            SourceUnreadable: It cannot be opened by any route.
        """
        return self.use(lambda uri: self._collect(uri, sql, bindable(params)))

    def use(self, job: Callable[[str], T]) -> T:
        """Call a job with the URI to open, and again by another route if the file changed meanwhile.

        Args:
            job: Opens the URI, reads, closes and returns a result; raises `RouteFailed` if the URI cannot be opened.

        Raises:
            SourceVanished: The file is gone.
            SourceUnreadable: It cannot be opened by any route.
        """
        if is_owned(self.path):
            with _lock:
                return self._owned_job(job)
        for _ in range(_TRIES):
            mark = self._mark()
            wal, shm, journal = mark.stats[1:]
            if wal is None and journal is None:
                done, result = self._at_rest(job, mark)
            elif journal is not None or (shm is not None and _in_use(f"{self.path}-shm")):
                done, result = self._while_open(job)
            else:
                done, result = False, None
            if done:
                return result  # type: ignore[return-value]
            if self._mark() == mark:
                break
        return self._from_copy(job)

    def close(self) -> None:
        """Close the connection and remove private copies."""
        with _lock:
            self._disconnect()
            if self._folder is not None:
                self._folder.remove()
            self._copy = self._folder = None

    def _at_rest(self, job: Callable[[str], T], mark: _Mark) -> tuple[bool, T | None]:
        try:
            result = job(_uri(self.path, "mode=ro&immutable=1"))
        except RouteFailed:
            return False, None
        if self._mark() == mark:
            return True, result
        self._disconnect()
        return False, None

    def _while_open(self, job: Callable[[str], T]) -> tuple[bool, T | None]:
        with _lock:
            try:
                return True, job(_uri(self.path, "mode=ro"))
            except RouteFailed:
                return False, None

    def _from_copy(self, job: Callable[[str], T]) -> T:
        try:
            return job(self._private_copy())
        except (RouteFailed, OSError) as error:
            raise SourceUnreadable(
                f"{self.path} cannot be read: {error}", hint="check the permissions, or copy the store with its -wal and try the copy"
            ) from error

    def _owned_job(self, job: Callable[[str], T]) -> T:
        try:
            return job(_uri(self.path, "mode=ro"))
        except RouteFailed as error:
            if not self.path.exists():
                raise _vanished(self.path) from error
            raise SourceUnreadable(f"{self.path} cannot be read: {error}", hint="another part of this process may hold it") from error

    def _collect(self, uri: str, sql: str, params: Sequence[Any]) -> Fetched:
        rows: list[tuple[Any, ...]] = []
        reusable = "immutable=1" in uri
        with _lock:
            connection = self._connect(uri) if reusable else _open(uri)
            end = time.monotonic() + self._time_limit.seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)
            try:
                rows.extend(connection.execute(sql, params))
            except sqlite3.Error as error:
                if _is_route_error(error):
                    raise RouteFailed(str(error)) from error
                if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                    return Fetched(rows, self._time_limit.exceeded())
                return Fetched(rows, str(error))
            except UnicodeDecodeError:  # raised for an error message that quotes a damaged name
                return Fetched(rows, "malformed database schema")
            finally:
                if not reusable:
                    connection.close()
        return Fetched(rows, None)

    def _connect(self, uri: str) -> sqlite3.Connection:
        """Return a connection to a file at rest or a copy, reused between queries: it holds no lock, and the schema is read once."""
        key = (uri, self._mark())
        if self._connection is None or self._connected != key:
            self._disconnect()
            self._connection, self._connected = _open(uri), key
            _connected_files.add(self)
        return self._connection

    def _disconnect(self) -> None:
        with _lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._connected = None

    def _mark(self) -> _Mark:
        with _lock:
            return _Mark(tuple(_stat(f"{self.path}{suffix}") for suffix in ("", *_COMPANIONS)), _head(self.path)[16:100])

    def _private_copy(self) -> str:
        """Copy the file with its `-wal` and `-journal`, let SQLite recover the copy, and return its URI."""
        from smithers_nb.private_folder import PrivateFolder

        for _ in range(_TRIES):
            mark = self._mark()
            if self._copy is not None and self._copy[0] == mark:
                return self._copy[1]
            self.close()
            self._folder = PrivateFolder()
            target = self._folder.path / "store.db"
            for suffix, stats in zip(("", "-wal", "-journal"), (mark.stats[0], mark.stats[1], mark.stats[3]), strict=True):
                if stats is not None:
                    _copy_if_there(f"{self.path}{suffix}", f"{target}{suffix}")
            if self._mark() == mark:
                _settle(target)
                self._copy = (mark, _uri(target, "mode=ro&immutable=1"))
                return self._copy[1]
        raise RouteFailed("it changes faster than it can be copied")


def _bindable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return float(value) if isinstance(value, int) and abs(value) >= _INT64_END else value


def _open(uri: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    except sqlite3.Error as error:
        raise RouteFailed(str(error)) from error
    connection.text_factory = _decode
    return connection


def _settle(path: Path) -> None:
    """Apply a `-wal` or roll back a hot journal, so that a single file remains."""
    connection = _open(_uri(path, "mode=rw"))
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        raise RouteFailed(str(error)) from error
    finally:
        connection.close()


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _is_route_error(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(_ROUTE_ERRORS)


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(os.fsencode(path))}?{options}"


def _stat(path: str) -> tuple[int, ...] | None:
    """Return identity, size and time of a file; only the identity of a `-shm`, because readers touch it too."""
    try:
        stats = os.stat(path)  # noqa: PTH116  # several times per query
    except OSError:
        return None
    return (stats.st_ino,) if path.endswith("-shm") else (stats.st_dev, stats.st_ino, stats.st_size, stats.st_mtime_ns)


def _in_use(shm: str) -> bool:
    """Return whether a process has the store open, without taking a lock; False if that cannot be determined."""
    import fcntl

    # struct flock has type, whence, start, length, pid; macOS orders them differently
    linux = sys.platform.startswith("linux")
    layout, type_index = ("hhqqi", 0) if linux else ("qqihh", 3)
    question = (fcntl.F_WRLCK, os.SEEK_SET, _SHM_IN_USE, 1, 0) if linux else (_SHM_IN_USE, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
    with _lock:  # closing the file would drop a lock that another thread's query holds on it
        try:
            with Path(shm).open("rb") as file:
                answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *question))
        except OSError:
            return False
    return bool(struct.unpack(layout, answer[: struct.calcsize(layout)])[type_index] != fcntl.F_UNLCK)


def _kind(path: Path) -> int:
    """Return the mode of a path; 0 if it is missing or not permitted, in which case opening it says why."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except FileNotFoundError as error:
        raise _vanished(path) from error
    except OSError as error:
        raise SourceUnreadable(
            f"{path} cannot be read: {error.strerror or error}", hint="ask for read permission on the file and its folder"
        ) from error


def _copy_if_there(source: str, target: str) -> None:
    import shutil

    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        Path(target).unlink(missing_ok=True)


def _vanished(path: Path) -> SourceVanished:
    return SourceVanished(f"{path} is gone", hint="it was moved or deleted while it was read; name its new location")
