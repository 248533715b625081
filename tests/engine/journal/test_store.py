"""The journal as a place: transactions that hold, and one plain line for everything that can be wrong with it."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal, leases, schema, store
from smithers_nb.engine.journal import records as r
from smithers_nb.engine.location import Location
from smithers_nb.errors import JournalUnusable, LeaseLost
from smithers_nb.sources.stores.sqlite_file import is_owned


def count(journal, table=schema.events):
    """Count the rows of a table."""
    with journal.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()


def told(caught):
    """Give what a person is told, after a look that it is one line and a hint, and that the exit code says who is to blame."""
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 1
    return str(caught.value), caught.value.hint


def test_a_new_journal_is_ours_and_in_wal(tmp_path):
    """Opening makes the folder and the file, which this process reads with the standard library from then on."""
    with Journal.open(tmp_path / "deep" / "down") as journal:
        assert journal.location.file == tmp_path / "deep" / "down" / ".smithers_nb" / "journal.db"
        assert is_owned(journal.location.file)
        with journal.reading() as connection:
            assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1


def test_all_or_nothing(journal, run):
    """A transaction that raises leaves nothing, also of what it had written before."""
    run(journal)
    with pytest.raises(sa.exc.IntegrityError):
        written_half(journal)
    assert count(journal) == 1


def written_half(journal):
    """Write an event, and then a run that is there already."""
    with journal.writing("r1") as connection:
        r.append_event(connection, "r1", "Note")
        connection.execute(schema.runs.insert().values(run_id="r1", workflow_name="w", status="running", created_at_ms=1))


def test_reading_is_of_one_moment(journal, run):
    """What is written meanwhile is not seen by a read that has begun, and is seen by the next."""
    run(journal)
    with journal.reading() as connection:
        before = connection.execute(sa.select(sa.func.count()).select_from(schema.runs)).scalar()
        run(journal, "r2")
        during = connection.execute(sa.select(sa.func.count()).select_from(schema.runs)).scalar()
    assert (before, during) == (1, 1)
    assert count(journal, schema.runs) == 2


def test_only_the_owner_writes(journal, run):
    """An execution whose claim is gone is told so before it writes anything; who has no claim may still decide."""
    run(journal)
    with journal.writing("r1") as connection:
        assert leases.take_lease(connection, "r1", "pid:1:a")
    with journal.writing("r1", "pid:1:a") as connection:
        r.append_event(connection, "r1", "Note")
    with pytest.raises(LeaseLost), journal.writing("r1", "pid:2:b"):
        pytest.fail("a transaction was begun")
    with journal.writing("r1"):
        pass
    assert count(journal) == 2


def test_two_writers_number_the_log_one_after_the_other(journal, run, elsewhere, at_once):
    """Events of two processes that write about one run at once get positions without a gap or a twin."""
    run(journal)
    code = "meet()\nfor n in range(20):\n    with journal.writing('r1') as c: r.append_event(c, 'r1', 'Note', {'n': n})"
    at_once(elsewhere(journal, code), elsewhere(journal, code))
    with journal.reading() as connection:
        positions = connection.execute(sa.select(schema.events.c.seq).order_by(schema.events.c.seq)).scalars().all()
    assert positions == list(range(41))


def test_killed_in_the_middle_of_a_transaction(journal, run, elsewhere):
    """A kill -9 of a writer loses its transaction whole, and the next one writes at once."""
    run(journal)
    code = "with journal.writing('r1') as c:\n    r.append_event(c, 'r1', 'Half')\n    meet()"
    process = elsewhere(journal, code)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with journal.writing("r1") as connection:
        assert r.append_event(connection, "r1", "Next") == 1
    with journal.reading() as connection:
        assert connection.execute(sa.select(schema.events.c.type)).scalars().all() == ["RunCreated", "Next"]


def test_locked(tmp_path, monkeypatch, run):
    """A journal that another process holds for too long is told as that, and works when it lets go."""
    monkeypatch.setattr(store, "_BUSY_S", 0.2)
    with Journal.open(tmp_path) as journal:
        holder = sqlite3.connect(journal.location.file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalUnusable) as caught:
            run(journal)
        text, hint = told(caught)
        assert text == f"the journal {journal.location.file} cannot be used: database is locked"
        assert "end that process" in hint
        holder.execute("ROLLBACK")
        holder.close()
        run(journal)


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be one" * 40, b"SQLite format 3\0" + b"\xff" * 5000])
def test_not_a_database(tmp_path, content):
    """A file that is none, and one that is broken, are told apart from each other and left as they are."""
    file = tmp_path / ".smithers_nb" / "journal.db"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(JournalUnusable, match=r"cannot be used") as caught:
        Journal.open(tmp_path)
    assert "aside" in told(caught)[1]
    assert file.read_bytes() == content


def test_damaged(tmp_path, run):
    """A journal with overwritten pages is told as damaged, with how to save what can be read."""
    with Journal.open(tmp_path) as journal:
        for number in range(30):
            run(journal, f"r{number}")
    with sqlite3.connect(journal.location.file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with journal.location.file.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (journal.location.file.stat().st_size - 4096))
    with pytest.raises(JournalUnusable) as caught, Journal.open(tmp_path) as again:
        count(again)
    assert ".recover" in told(caught)[1]


def test_disk_full(in_file, run):
    """A write for which there is no room is lost whole, says so, and works when there is room again."""
    run(in_file)
    in_file.engine.dispose()
    limits = ["PRAGMA max_page_count = 1"]

    @sa.event.listens_for(in_file.engine, "connect")
    def _limit(connection, _record):
        for limit in limits:
            connection.execute(limit)

    with pytest.raises(JournalUnusable) as caught, in_file.writing("r1") as connection:
        r.append_event(connection, "r1", "Large", {"text": "x" * 1_000_000})
    assert "full" in told(caught)[0]
    assert "free some space" in told(caught)[1]
    limits.clear()
    in_file.engine.dispose()
    with in_file.writing("r1") as connection:
        assert r.append_event(connection, "r1", "Large", {"text": "x" * 1_000_000}) == 1


def test_read_only():
    """Without the right to write, opening a new journal and writing to an old one say which right is missing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        Journal.open(root / "old").close()
        for path in (root / "old" / ".smithers_nb").iterdir():
            path.chmod(0o444)
        answers = as_nobody(lambda: [failure_of(root / "old"), failure_of(root / "new")])
    for answer in answers:
        assert "permission" in answer.lower() or "readonly" in answer
        assert "give this user" in answer


def failure_of(project):
    """Return the line and the hint of a journal that cannot be written."""
    try:
        with Journal.open(project) as journal:
            leases.register(journal, "pid:1:a")
    except JournalUnusable as error:
        return f"{error} / {error.hint}"
    return "written"


def as_nobody(job):
    """Give what a job returns in a process without any rights."""
    answer, question = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            text = "\n".join(job())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            text = repr(error)
        os.write(question, text.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(question)
    with os.fdopen(answer) as told:
        return told.read().splitlines()


def test_no_server():
    """A Postgres that is not there is one line without the password."""
    with pytest.raises(JournalUnusable) as caught:
        Journal.open(Location.of("postgresql://ann:s3cret@127.0.0.1:9/runs"))
    text, hint = told(caught)
    assert "s3cret" not in text + hint
    assert "127.0.0.1:9/runs" in text
    assert "server" in hint


def test_a_journal_that_was_deleted_under_its_users_is_an_error(in_file, run):
    """SQLite would go on writing into a file that has no name any more, and a new connection would begin an empty one."""
    run(in_file)
    in_file.location.file.unlink()
    for _ in range(2):
        with pytest.raises(JournalUnusable, match="was deleted or replaced while it was in use"), in_file.writing("r1"):
            pass
        in_file.engine.dispose()  # so that the second try is a new connection
    assert not in_file.location.file.exists()


def test_what_must_survive_a_power_cut_is_written_through(in_file, run):
    """A decision or an end is synced to the disk before it counts; a stage, which can be done again, is not."""
    run(in_file)
    for durable, level in ((False, 1), (True, 2), (False, 1)):
        with in_file.writing("r1", durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
