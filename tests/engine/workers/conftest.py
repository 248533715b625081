"""Projects on both databases."""

from __future__ import annotations

import pytest

from smithers_nb.engine.location import Location
from tests.support.durable import Project


@pytest.fixture(params=["sqlite", "postgres"])
def project(request, tmp_path):
    """A project whose runs are in SQLite, then one whose runs are in Postgres."""
    url = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return Project(Location.of(tmp_path, database=url))
