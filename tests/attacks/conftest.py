"""How much is tried, where the counts go, and projects on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TypeVar

import pytest

from smithers_nb.engine.location import Location
from tests.support.attacks import PROPERTY, Tally
from tests.support.durable import Project

T = TypeVar("T")


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[[T, T], T]:
    """Choose between what fits into every run of the tests and what `--attacks=full` asks for."""
    return lambda some, full: full if request.config.getoption("--attacks") == "full" else some


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Tally]]:
    """Begin to count; the counts are printed at the end of the session."""
    begun: list[Tally] = []

    def begin(what: str) -> Tally:
        begun.append(Tally(what))
        request.node.user_properties.append((PROPERTY, counts := asdict(begun[-1])))
        request.addfinalizer(lambda: counts.update(asdict(begun[-1])))
        return begun[-1]

    return begin


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Name the database that holds the journal."""
    return str(request.param)


@pytest.fixture
def project(request: pytest.FixtureRequest, database: str, tmp_path) -> Project:
    """A project whose runs are in SQLite, then one whose runs are in Postgres."""
    url = request.getfixturevalue("postgres") if database == "postgres" else None
    return Project(Location.of(tmp_path, database=url))
