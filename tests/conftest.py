"""Fixtures that every test may use: real stores, and the corpus when it lies beside the checkout."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from tests.support import attacks
from tests.support import endpoint as endpoints
from tests.support import journal_runs as written_runs
from tests.support import postgres as postgres_programs
from tests.support.data import CORPUS, DATA

settings.register_profile("patient", deadline=None)  # a busy machine is no failure; where CI is set, examples are the same each time
settings.load_profile("patient")

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it to the width of its own terminal; output here is as wide as its text

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so; tests that interrupt would wait for ever
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever runs the tests ask for all attacks: 50 kills, 30 races, 60 stores and every hostile cell take minutes."""
    parser.addoption("--attacks", choices=("some", "full"), default="some", help="how many of tests/attacks to try")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the attacks did; the counts travel with the reports, so that they also come from the processes of xdist."""
    found = [report for reports in terminalreporter.stats.values() for report in reports if getattr(report, "when", "") == "teardown"]
    if lines := attacks.table([dict(report.user_properties) for report in found]):
        terminalreporter.section("attacks")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The labelled corpus beside the checkout; tests that need it are skipped without it."""
    if not CORPUS.is_dir():
        pytest.skip("the labelled corpus does not lie beside this checkout")
    return CORPUS


def unpack(packed: Path, target: Path) -> Path:
    """Put a private, writable copy of a store at `target`, gunzipped when it is packed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if packed.suffix == ".gz":
        target.write_bytes(gzip.decompress(packed.read_bytes()))
    else:
        shutil.copyfile(packed, target)
    return target


@pytest.fixture
def store(tmp_path: Path) -> Callable[[str], Path]:
    """Return a private copy of a store of tests/data by name, in a project folder of its own."""
    return lambda name: unpack(DATA / f"{name}.db.gz", tmp_path / name / "smithers.db")


@pytest.fixture
def corpus_store(corpus: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a private copy of a corpus case's store by case name."""

    def copy(case: str) -> Path:
        folder = corpus / "smithers" / case
        packed = folder / "smithers.db.gz"
        return unpack(packed if packed.exists() else folder / "smithers.db", tmp_path / case / "smithers.db")

    return copy


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[endpoints.Endpoint]:
    """A real server for bug reports on loopback; no report of a test can go anywhere else."""
    server = endpoints.Endpoint()
    server.http, server.FILED = endpoints.http, endpoints.FILED
    monkeypatch.setenv("SMITHERS_BUG_ENDPOINT", server.url)
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL, started for the first test that asks and shared by all workers; gives the URL of its database `postgres`."""
    binaries = postgres_programs.programs()
    if binaries is None:
        missing = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("SMITHERS_NB_TEST_POSTGRES") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    base = tmp_path_factory.getbasetemp()
    port, lock = postgres_programs.join(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base, binaries)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    lock.close()


_databases = count(1)


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """Return the URL of an empty database of its own: superuser `postgres`, no password, gone after the test."""
    import psycopg

    name = f"t{os.getpid()}_{next(_databases)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.rpartition('/')[0]}/{name}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def journal_runs() -> ModuleType:
    """Ways to write runs into a journal of ours: `write_run`, `live_owner`, `run_ids`."""
    return written_runs
