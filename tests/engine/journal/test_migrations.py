"""A journal is brought to its newest schema: once, whole, and by one process at a time."""

from __future__ import annotations

import sqlite3
import threading

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal, constraints
from smithers_nb.engine.journal.schema import metadata
from smithers_nb.engine.location import Location
from smithers_nb.errors import JournalUnusable


def tables(journal):
    """Name the tables that are there."""
    with journal.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_opening_again_changes_nothing(journal, run):
    """A journal that is up to date is opened without a write, and keeps its runs."""
    run(journal)
    with Journal.open(journal.location) as again, again.reading() as connection:
        assert connection.execute(sa.text("SELECT run_id FROM _smithers_runs")).scalars().all() == ["r1"]
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 1


@pytest.mark.slow
def test_two_processes_make_one_journal(in_file, elsewhere, at_once):
    """Of two that open a new journal at once one makes the tables, and both can use them."""
    code = "meet()\nprint(len(sa.inspect(Journal.open(Location.of(f'{sys.argv[1]}.new')).engine).get_table_names()))"
    assert at_once(elsewhere(in_file, code), elsewhere(in_file, code)) == [str(len(metadata.tables) + 1)] * 2


def test_opening_waits_for_another_process_that_writes(tmp_path):
    """SQLite refuses a switch to WAL at once while another connection writes; opening a journal waits until that one ends."""
    file = tmp_path / "new.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    ends.start()
    with Journal.open(Location.of(f"sqlite:///{file}")) as journal:
        assert tables(journal) == {*metadata.tables, "alembic_version"}
    ends.join()
    other.close()


def test_newer_journal_is_refused(journal):
    """A journal of a newer version is left alone, with a hint to upgrade."""
    with journal.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(JournalUnusable, match="newer version of smithers-nb") as caught:
        Journal.open(journal.location)
    assert caught.value.hint == "upgrade smithers-nb"


@pytest.mark.parametrize("kind", ["SQLITE", "POSTGRES"])
def test_failed_migration_leaves_nothing(kind, tmp_path, request, monkeypatch):
    """A migration that stops half-way leaves the database as it was, and the next one makes it whole."""
    where = f"sqlite:///{tmp_path / 'half.db'}" if kind == "SQLITE" else request.getfixturevalue("postgres")
    location = Location.of(where)
    with monkeypatch.context() as patch:
        patch.setattr(constraints, kind, (*getattr(constraints, kind), "CREATE NONSENSE"))
        with pytest.raises(JournalUnusable):
            Journal.open(location)
    unmade = Journal(location)
    assert tables(unmade) == set()
    unmade.close()
    with Journal.open(location) as journal:
        assert tables(journal) == {*metadata.tables, "alembic_version"}
