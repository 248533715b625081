"""Reading another program's SQLite file: nothing is left, nothing is held up, nothing torn is believed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from smithers_nb.errors import SourceUnreadable, SourceVanished
from smithers_nb.sources.stores import sqlite_file as reading
from smithers_nb.sources.stores.sqlite_file import SqliteFile

WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE IF NOT EXISTS pairs (n INTEGER, side TEXT, filler TEXT)")
connection.execute("PRAGMA wal_autocheckpoint = 20")
for n in range(1, 1_000_000):
    connection.execute("BEGIN")
    connection.execute("INSERT INTO pairs VALUES (?, 'left', ?)", (n, "x" * 500))
    connection.execute("INSERT INTO pairs VALUES (?, 'right', ?)", (n, "x" * 500))
    connection.execute("COMMIT")
    if n == 100:
        print("ready", flush=True)
    time.sleep(0.0005)
"""
COUNT = "SELECT count(*), count(DISTINCT n), max(n) FROM pairs"


def listing(folder: Path) -> dict[str, bytes]:
    """Names in a folder with the content of every file but the `-shm`, which any reader may touch."""
    return {path.name: b"" if path.name.endswith("-shm") else path.read_bytes() for path in folder.iterdir()}


def as_nobody(job: Callable[[], str]) -> str:
    """Give what a job returns in a process without any rights."""
    answer, question = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            os.write(question, job().encode())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            os.write(question, repr(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(question)
    told = os.read(answer, 4000).decode()
    os.close(answer)
    return told


def open_up(folder: Path) -> None:
    """Let everybody enter a folder of this test and those of the test runner that lead there, however many these are."""
    for entered in (folder, *folder.parents):
        if any(part.startswith("pytest-of-") for part in entered.parts):
            entered.chmod(entered.stat().st_mode | 0o055)


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become somebody else")


@pytest.fixture
def plain(tmp_path):
    """Make a store in a folder of its own, in the journal mode that is asked for, closed cleanly."""

    def make(mode: str = "WAL") -> Path:
        path = tmp_path / "store" / "smithers.db"
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE pairs (n INTEGER, side TEXT, filler TEXT)")
        connection.executemany("INSERT INTO pairs VALUES (?, 'left', ?)", [(n, "x" * 500) for n in range(200)])
        connection.commit()
        connection.close()
        return path

    return make


@pytest.fixture
def writer(tmp_path):
    """Start another process that commits pairs of rows to a WAL store for as long as the test runs."""
    started = []

    def start() -> tuple[Path, subprocess.Popen[str]]:
        path = tmp_path / "live" / "smithers.db"
        path.parent.mkdir()
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return path, process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_file_at_rest_keeps_its_folder(plain, mode):
    """A store at rest is read without a file appearing beside it or a byte changing, in both journal modes."""
    path = plain(mode)
    before = listing(path.parent)
    file = SqliteFile(path)
    assert file.fetch(COUNT) == ([(200, 200, 199)], None)
    assert listing(path.parent) == before
    file.close()
    assert listing(path.parent) == before


def test_live_store_gives_whole_transactions(writer):
    """While another process commits pairs, every read sees pairs only, and never fewer than the read before."""
    path, process = writer()
    file, seen = SqliteFile(path), []
    for _ in range(150):
        ((rows, numbers, _newest),), problem = file.fetch(COUNT)
        assert problem is None
        assert rows == 2 * numbers
        seen.append(rows)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    assert process.poll() is None


def test_a_killed_writer_leaves_its_files_as_they_are(writer):
    """The `-wal` and `-shm` of an engine that was killed are evidence: every row is read, and not one byte of either is written."""
    path, process = writer()
    process.kill()
    process.wait()
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}
    assert before.keys() == {"smithers.db", "smithers.db-wal", "smithers.db-shm"}
    file = SqliteFile(path)
    ((rows, numbers, _newest),), problem = file.fetch(COUNT)
    assert (rows, problem) == (2 * numbers, None)
    assert numbers >= 100
    file.close()
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()} == before


def test_writer_that_ends_leaves_a_clean_folder(writer):
    """Reading does not keep an engine from tidying up: after it ended, no `-wal` is there."""
    path, process = writer()
    file = SqliteFile(path)
    file.fetch(COUNT)
    process.send_signal(signal.SIGINT)
    process.wait()
    connection = sqlite3.connect(path)
    connection.execute("SELECT 1 FROM pairs").fetchone()
    connection.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"smithers.db"}
    assert file.fetch(COUNT).rows[0][0] > 0


def test_killed_writer(writer):
    """After `kill -9` the committed rows in the left-over `-wal` are read, and no name or byte of it changes."""
    path, process = writer()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = listing(path.parent)
    assert "smithers.db-wal" in before
    file = SqliteFile(path)
    ((rows, numbers, newest),), problem = file.fetch(COUNT)
    assert (problem, rows, newest) == (None, 2 * numbers, numbers)
    file.close()
    assert listing(path.parent) == before


def test_wal_without_its_index(writer, tmp_path, monkeypatch):
    """A `-wal` that was copied without its `-shm` is read from a private copy, which is gone afterwards."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    path, process = writer()
    process.send_signal(signal.SIGKILL)
    process.wait()
    (path.parent / "smithers.db-shm").unlink()
    before = listing(path.parent)
    file = SqliteFile(path)
    rows, numbers, newest = file.fetch(COUNT).rows[0]
    assert rows == 2 * numbers == 2 * newest
    assert listing(path.parent) == before
    assert list(private.iterdir())
    file.close()
    assert not list(private.iterdir())


def test_hot_journal_is_rolled_back_in_a_copy(plain):
    """A transaction that a crash cut short is not seen, and its journal stays for the engine to deal with."""
    path = plain("DELETE")
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA cache_size = 1');"
        "c.execute('UPDATE pairs SET n = -1'); c.execute('PRAGMA cache_spill'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    before = listing(path.parent)
    assert "smithers.db-journal" in before
    file = SqliteFile(path)
    assert file.fetch("SELECT min(n), count(*) FROM pairs") == ([(0, 200)], None)
    file.close()
    assert listing(path.parent) == before


def test_change_during_an_optimistic_read_is_noticed(plain):
    """A file that changes while it is read at rest is read again, so that the answer is of one moment."""
    path = plain()
    file, calls = SqliteFile(path), []

    def job(uri: str) -> int:
        calls.append(uri)
        if len(calls) == 1:
            connection = sqlite3.connect(path)
            connection.execute("DELETE FROM pairs WHERE n >= 100")
            connection.commit()
            connection.close()
        connection = sqlite3.connect(uri, uri=True)
        found = connection.execute("SELECT count(*) FROM pairs").fetchone()[0]
        connection.close()
        return found

    assert file.use(job) == 100
    assert len(calls) == 2


def test_kept_connection_sees_later_changes(plain):
    """A connection that is kept for a file at rest does not answer from yesterday's pages."""
    path = plain()
    file = SqliteFile(path)
    assert file.fetch(COUNT).rows[0][0] == 200
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM pairs WHERE n >= 100")
    connection.commit()
    assert file.fetch(COUNT).rows[0][0] == 100
    connection.close()
    assert file.fetch(COUNT).rows[0][0] == 100


@needs_root
def test_read_only_folder_for_somebody_without_rights(writer, tmp_path):
    """Somebody who may only read the folder sees a crashed engine's rows too, and leaves nothing."""
    path, process = writer()
    process.send_signal(signal.SIGKILL)
    process.wait()
    for entry in path.parent.iterdir():
        entry.chmod(0o444)
    path.parent.chmod(0o555)
    open_up(tmp_path)
    before = listing(path.parent)
    answer = as_nobody(lambda: repr(SqliteFile(path).fetch(COUNT)))
    assert answer.endswith("problem=None)"), answer
    assert listing(path.parent) == before


@needs_root
def test_file_without_permission(plain):
    """A file that one may not read is `SourceUnreadable` with the system's own reason."""
    path = plain()
    path.chmod(0o600)
    open_up(path.parent)
    told = as_nobody(lambda: str(SqliteFile(path).check()))
    assert told.startswith("SourceUnreadable(")
    assert "Permission denied" in told


@needs_root
def test_folder_without_permission(plain):
    """A file in a folder that one may not enter is `SourceUnreadable` as well."""
    path = plain()
    open_up(path.parent)
    path.parent.chmod(0o700)
    told = as_nobody(lambda: str(SqliteFile(path).check()))
    assert told.startswith("SourceUnreadable(")
    assert "Permission denied" in told


def test_damaged_pages_keep_what_was_read(plain):
    """Rows before a damaged page are kept, and the problem is told instead of raised."""
    path = plain()
    content = bytearray(path.read_bytes())
    content[12 * 4096 : 13 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    rows, problem = SqliteFile(path).fetch("SELECT n FROM pairs")
    assert 0 < len(rows) < 200
    assert problem == "database disk image is malformed"


def test_invalid_utf8_is_replaced(plain):
    """Bytes that are no UTF-8 become replacement characters."""
    assert SqliteFile(plain()).fetch("SELECT CAST(x'61ff62' AS TEXT)").rows == [("a\ufffdb",)]


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "empty"), (b"PK\x03\x04 a zip", "not an SQLite database"), (b"SQLite format 2", "not an SQLite database")]
)
def test_not_a_store(tmp_path, content, says):
    """An empty file and a file of another kind are told apart, each in one line with a hint."""
    path = tmp_path / "smithers.db"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=says) as caught:
        SqliteFile(path).check()
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_folder_is_not_a_file(tmp_path):
    """A folder is refused by name."""
    with pytest.raises(SourceUnreadable, match="is a folder"):
        SqliteFile(tmp_path).check()


def test_vanished(plain):
    """A file that is deleted between two reads is `SourceVanished`, not an SQLite error."""
    path = plain()
    file = SqliteFile(path)
    file.fetch(COUNT)
    path.unlink()
    with pytest.raises(SourceVanished):
        file.fetch(COUNT)


def test_truncated_file(plain):
    """A file cut off in the middle gives a problem, not an exception."""
    path = plain()
    path.write_bytes(path.read_bytes()[:5000])
    assert SqliteFile(path).fetch("SELECT * FROM pairs").problem


def test_owned_file_is_read_in_place(plain, monkeypatch):
    """A file of this process is read without opening it any other way, which would drop SQLite's locks on it."""
    path = plain()
    monkeypatch.setattr(reading, "_owned", set())
    reading.own(path)
    monkeypatch.setattr(reading, "_head", lambda _: pytest.fail("opened a file that this process writes"))
    assert reading.is_owned(path.parent / ".." / "store" / "smithers.db")
    file = SqliteFile(path)
    file.check()
    assert file.fetch(COUNT).rows[0][0] == 200


def test_kept_connections_are_closed_before_this_process_writes(plain, monkeypatch):
    """A reader from before holds its lock-free handle no longer when the writer takes its first lock."""
    monkeypatch.setattr(reading, "_owned", set())
    file = SqliteFile(plain())
    before = open_handles(file.path)
    file.fetch(COUNT)
    assert open_handles(file.path) == before + 1
    reading.own(file.path)
    assert open_handles(file.path) == before
    assert file.fetch(COUNT).rows[0][0] == 200
    assert open_handles(file.path) == before


def open_handles(path: Path) -> int:
    """Count the handles of this process on a file."""
    found = 0
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found += handle.samefile(path)
        except OSError:
            continue
    return found
