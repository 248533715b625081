"""Journals of both kinds, and other processes that use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal import records as r
from smithers_nb.engine.location import Location

_BEGIN = """
import sys, time
import sqlalchemy as sa
from smithers_nb.engine.journal import Journal, leases as claims, decisions, executions, records as r, schema, status
from smithers_nb.engine.location import Location
journal = Journal.open(Location.of(sys.argv[1]))
def meet():
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path) -> Iterator[Journal]:
    """Return an empty journal, once in a file and once in Postgres."""
    where = f"sqlite:///{tmp_path / 'journal.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    with Journal.open(Location.of(where)) as opened:
        yield opened


@pytest.fixture
def in_file(tmp_path) -> Iterator[Journal]:
    """Return an empty journal in a file."""
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as opened:
        yield opened


@pytest.fixture
def run() -> Callable[..., r.Node]:
    """Write a run, and give a node of it that is not there yet."""

    def write(journal: Journal, run_id: str = "r1", node_id: str = "sum") -> r.Node:
        with journal.writing() as connection:
            r.create_run(connection, r.NewRun(run_id, "nightly", "/p/nightly.ipynb", "hash", {"day": 3}, {"rootDir": "/p"}))
        return r.Node(run_id, node_id)

    return write


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start other processes with the journal open; each stands at `meet()` until a line is written to it."""
    started: list[subprocess.Popen[str]] = []

    def start(journal: Journal, code: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", _BEGIN + code, journal.location.url], text=True, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def at_once() -> Callable[..., list[str]]:
    """Let processes that stand at `meet()` go on together, and give what each printed."""

    def go(*processes: subprocess.Popen[str]) -> list[str]:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), ends
        return [out.strip() for out, _ in ends]

    return go
