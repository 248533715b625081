"""Failures of other stores: noticed once, by whoever is first."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import host, process_start
from smithers_nb.engine.journal.schema import seen_failures
from smithers_nb.engine.journal.seen_failures import SeenFailure, known, mark_launched, notice, unlaunched

FAILURE = SeenFailure("smithers.db", "run-1", 1_000)


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request, tmp_path):
    """A new journal, in SQLite and in Postgres."""
    where = f"sqlite:///{tmp_path / 'journal.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    with Journal.open(where) as opened:
        yield opened


def take(journal, failure=FAILURE, run_id="post-failure-1"):
    """Notice a failure in a transaction of its own."""
    with journal.writing() as connection:
        return notice(connection, failure, run_id)


def noticed_by(journal, who, at=None):
    """Make another process the one that noticed."""
    with journal.writing() as connection:
        connection.execute(seen_failures.update().values({"noticed_by": who} | ({} if at is None else {"noticed_at_ms": at})))


def test_the_first_is_the_one(journal):
    """Of many who notice one failure at once, one has to launch, and all are told the same id."""
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(take(journal, run_id=f"post-failure-{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(mine for _, mine in answers) == [False] * 7 + [True]
    assert len({run_id for run_id, _ in answers}) == 1


def test_another_failure_is_another(journal):
    """A run that fails again at another time, and the same run of another store, are failures of their own."""
    others = [FAILURE._replace(failed_at_ms=1_001), FAILURE._replace(store="other.db"), FAILURE._replace(run_id="run-2")]
    assert all(take(journal, failure)[1] for failure in (FAILURE, *others))


def test_who_died_before_the_launch_is_replaced(journal):
    """When the noticer is gone, the next one launches, under the same id; while it lives or once it has launched, nobody does."""
    assert take(journal) == ("post-failure-1", True)
    assert take(journal, run_id="other") == ("post-failure-1", False)
    noticed_by(journal, f"{host()} {_dead_pid()}")
    assert take(journal, run_id="other") == ("post-failure-1", True)
    with journal.writing() as connection:
        assert unlaunched(connection, FAILURE.store) == [FAILURE]
        mark_launched(connection, FAILURE)
        assert unlaunched(connection, FAILURE.store) == []
        assert known(connection, FAILURE.store, 1_000) == {FAILURE}
        assert known(connection, FAILURE.store, 1_001) == set()
    noticed_by(journal, f"{host()} {_dead_pid()}")
    assert take(journal) == ("post-failure-1", False)


def test_a_noticer_elsewhere_is_given_time(journal):
    """A noticer on another machine counts as dead only when it has not launched for long."""
    take(journal)
    noticed_by(journal, f"elsewhere {os.getpid()}")
    assert take(journal) == ("post-failure-1", False)
    noticed_by(journal, f"elsewhere {os.getpid()}", at=1)
    assert take(journal) == ("post-failure-1", True)
    with journal.reading() as connection:
        assert connection.execute(sa.select(seen_failures.c.noticed_by)).scalar() == f"{host()} {os.getpid()} {process_start(os.getpid())}"


def _dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid
