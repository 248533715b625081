"""The real PostgreSQL that tests use is real, private, empty at first, and does not outlive whoever uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from tests.support.data import TESTS
from tests.support.postgres import join


def test_each_test_gets_an_empty_database(postgres):
    """A fresh database has no tables, and takes some."""
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        connection.execute("CREATE TABLE left_behind (a int)")


def test_another_test_does_not_see_it(postgres):
    """What one test leaves behind is not there for the next."""
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT to_regclass('left_behind')").fetchone() == (None,)


def test_a_killed_user_takes_the_server_along(tmp_path, postgres_server):
    """A process that used a server of its own and is killed leaves no server and no folder."""
    code = (
        f"import pathlib, time; from tests.support.postgres import join, programs; "
        f"port, lock = join(pathlib.Path({str(tmp_path)!r}), programs()); print(port, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=TESTS.parent) as user:
        port = int(user.stdout.readline())
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres") as connection:
            home = Path(connection.execute("SHOW data_directory").fetchone()[0]).parent
            joined, second = join(tmp_path, None)
            assert joined == port
            os.kill(user.pid, signal.SIGKILL)
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert home.exists()
    second.close()
    deadline = time.monotonic() + 10
    while home.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.exists()
    with psycopg.connect(postgres_server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
