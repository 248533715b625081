"""Opens the journal, migrates it to the current schema, and provides its transactions.

`Journal.writing` is a transaction about one run: it locks the run, so that two processes cannot assign the same event number, and refuses
an execution that has lost its lease. SQLite files are registered as our own, so that no other SQLite library opens them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa

from smithers_nb.engine.journal import schema
from smithers_nb.engine.location import Location
from smithers_nb.errors import JournalUnusable, LeaseLost, RunNotFound
from smithers_nb.sources.stores.sqlite_file import own

HEAD: Final = "0006"
"""Newest migration in `migrations/versions`; a test compares."""

_BUSY_S: Final = 30.0
_SWITCH_AGAIN_S: Final = 0.02


class Journal:
    """Our own store of runs, open for reading and writing.

    Attributes:
        location: The project and database.
        engine: SQLAlchemy engine, for the modules of this package.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self.engine = _engine(location)

    @classmethod
    def open(cls, where: Location | str | Path | None = None) -> Journal:
        """Open a journal; it is created if missing, and migrated if its schema is older.

        Args:
            where: A `Location`, or what `Location.of` takes: a folder, a journal's URL, None for the current folder.

        Raises:
            JournalUnusable: It cannot be opened: locked, read-only, damaged, disk full, or no server.
        """
        location = where if isinstance(where, Location) else Location.of(where)
        try:
            journal = cls(location)
        except OSError as error:  # its folder cannot be created
            raise unusable(f"the journal {location.shown}", error) from error
        try:
            with journal._explaining_errors():
                journal._bring_up_to_date()
        except BaseException:
            journal.close()
            raise
        return journal

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection whose reads see one consistent snapshot.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        with self._explaining_errors(), self.engine.connect() as plain:
            connection = plain if self.location.file else plain.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, run_id: str | None = None, owner: str | None = None, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection for one write transaction.

        Args:
            run_id: The run to write about; it is locked until the end.
            owner: Owner id of the execution's lease; None for writes that need no lease, such as a decision.
            durable: Survive a power cut as well, for decisions and ends of runs; SQLite then syncs to disk.

        Raises:
            LeaseLost: Another execution has taken over the run.
            RunNotFound: There is no such run.
            JournalUnusable: The journal cannot be written.
        """
        with self._explaining_errors(), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True, durable=durable)
            with connection.begin():
                if run_id is not None:
                    _lock(connection, run_id, owner)
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bring_up_to_date(self) -> None:
        found = self._version()
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise JournalUnusable(
                f"{self.location.shown} was written by a newer version of smithers-nb (schema {found})", hint="upgrade smithers-nb"
            )
        from smithers_nb.engine.journal.migrations import migrate

        migrate(self.engine)

    def _version(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return version

    @contextmanager
    def _explaining_errors(self) -> Iterator[None]:
        """Convert database errors to `JournalUnusable`, with a hint that a person can act on."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # a mistake of the caller, such as a failure without a reason
        except (sa.exc.DBAPIError, OSError) as error:
            raise unusable(f"the journal {self.location.shown}", error) from error


def unusable(what: str, error: Exception) -> JournalUnusable:
    """Return the error for a database that cannot be used, with a hint; `what` names it without secrets."""
    reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error).strip().splitlines()
    text = reason[0] if reason else type(error).__name__
    hint = next((advice for sign, advice in _HINTS.items() if sign in text.lower()), "look at the file or the server it names")
    return JournalUnusable(f"{what} cannot be used: {text}", hint=hint)


_LOCKED: Final = (
    sa.select(schema.runs.c.runtime_owner_id, schema.runs.c.status).where(schema.runs.c.run_id == sa.bindparam("run")).with_for_update()
)


def _lock(connection: sa.Connection, run_id: str, owner: str | None) -> None:
    row = connection.execute(_LOCKED, {"run": run_id}).first()
    if row is None:
        raise RunNotFound(f"no run {run_id!r} in the journal", hint="list the runs that are there with `smithers-nb ps --all`")
    if owner is not None and row.runtime_owner_id != owner:
        now = "executed by another process now" if row.runtime_owner_id else f"{row.status} and no longer executed by this process"
        raise LeaseLost(f"run {run_id} is {now}", hint="this execution stops writing")


def _engine(location: Location) -> sa.Engine:
    if location.file is None:
        return _postgres_engine(location)
    file = location.file
    file.parent.mkdir(parents=True, exist_ok=True)
    own(file)
    opened = _identity(file)  # None before its first use

    def connect() -> sqlite3.Connection:
        if opened is not None and _identity(file) is None:
            raise _deleted(location)
        return sqlite3.connect(file, timeout=_BUSY_S, check_same_thread=False)

    engine = sa.create_engine(f"sqlite:///{file}", creator=connect)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions are started in `_begin`, with the lock they need
        connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_S * 1000)}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        nonlocal opened
        opened = opened or _identity(file)
        record.info["identity"] = opened

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if _identity(file) != connection.info["identity"]:  # SQLite would go on writing to a deleted file
            raise _deleted(location)
        options = connection.get_execution_options()
        level = "FULL" if options.get("durable") else "NORMAL"
        if connection.info.get("synchronous", "NORMAL") != level:
            connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
            connection.info["synchronous"] = level
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a file to WAL; SQLite refuses this at once, without its busy timeout, while another process does the same."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_AGAIN_S)
        else:
            return


def _identity(file: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None when it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deleted(location: Location) -> JournalUnusable:
    return JournalUnusable(
        f"the journal {location.shown} was deleted or replaced while it was in use; what was written since is lost",
        hint="restore it from a backup, or start a new run",
    )


def _postgres_engine(location: Location) -> sa.Engine:
    url = sa.make_url(location.url).set(drivername="postgresql+psycopg")
    options = f"-csearch_path={schema.POSTGRES_SCHEMA},public"
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"options": options, "connect_timeout": 10})


_HINTS: Final = {
    "permission": "give this user permission to write there",  # first: the file name after it may contain any of the other words
    "authentication": "check user and password in the URL; `PGPASSWORD` or ~/.pgpass keep the password out of it",
    "locked": "another process keeps it locked; wait, or end that process",
    "readonly": "give this user write permission on the file and its folder",
    "read-only": "give this user write permission on the file and its folder",
    "malformed": "it is damaged: move it aside and start a new one; `sqlite3 FILE .recover` saves what can be read",
    "not a database": "it is not an SQLite file: move it aside and start a new one",
    "full": "free some space on the disk",
    "connect": "check that the server runs and that the URL is right",
}
"""Hints by a lower-case part of the database's error message."""
