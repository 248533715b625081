"""A project, a notebook, and the runs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.engine.location import Location
from smithers_nb.errors import ControlRefused
from tests.support.history import Runs, cell, write_notebook


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """A project of its own."""
    (tmp_path / ".smithers_nb").mkdir()
    return Location.of(tmp_path)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook with parameters of several kinds and one cell of work."""
    source = (
        'count: int = 3  # how many\nname: str = None\nwhen = 1.5\nfast = False\nlines: list[str] = []\nsize: "int | None" = 2\nany = None'
    )
    return write_notebook(
        tmp_path / "nightly.ipynb", cell(source, name="parameters", tags=("parameters",)), cell("print(count)", name="work")
    )


@pytest.fixture
def runs(location: Location, notebook: Path) -> Iterator[Runs]:
    """Runs of `notebook` at `location`."""
    found = Runs(location, notebook)
    yield found
    found.journal.close()


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Call something that must be refused with a code, and give the error."""

    def call(code: str, function: Callable[..., Any], *args: Any, **options: Any) -> ControlRefused:
        with pytest.raises(ControlRefused) as raised:
            function(*args, **options)
        assert raised.value.code == code
        return raised.value

    return call
