"""A source made of literal rows: a diagnosis is tested with the six rows that matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from smithers_nb.frames import frame_from_rows
from smithers_nb.model.rows import AttemptRow, NodeRow, RunRow
from smithers_nb.sources.snapshot import Snapshot

NOW = 1_800_000_000_000


class LiteralSource:
    """A source that holds exactly the rows it was given."""

    kind = "literal"
    location = "literal rows"

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.problems: list[Any] = []
        self._rows = rows

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        return sorted(r.run_id for r in self.rows(RunRow) if r.run_id.startswith(prefix))[:limit]

    def rows(self, row: type[Any], run_id: str | None = None, *, only: Any = None, since_ms: int | None = None) -> list[Any]:
        del since_ms
        found = [r for r in self._rows if type(r) is row and run_id in {None, getattr(r, "run_id", None)}]
        return [r for r in found if all(getattr(r, column) in values for column, values in (only or {}).items())]

    def frame(self, row: type[Any], run_id: str | None = None, *, only: Any = None, since_ms: int | None = None) -> Any:
        return frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None: ...


def make(row: type[Any], /, **values: Any) -> Any:
    """Make a row, with None (0 for positions, "" for keys) where a test does not care."""
    defaults = {
        name: None if type(None) in getattr(hint, "__args__", ()) else 0 if hint is int else ""
        for name, hint in get_type_hints(row).items()
    }
    return row(**{**defaults, **values})


@pytest.fixture
def run() -> Callable[..., RunRow]:
    """Make a failed run."""
    return lambda **values: make(RunRow, **{"run_id": "r", "source": "literal", "status": "failed", "state": "failed", **values})


@pytest.fixture
def node() -> Callable[..., NodeRow]:
    """Make a failed node."""
    return lambda node_id, **values: make(
        NodeRow, **{"run_id": "r", "node_id": node_id, "logical_id": node_id, "state": "failed", **values}
    )


@pytest.fixture
def attempt() -> Callable[..., AttemptRow]:
    """Make a failed attempt."""
    return lambda node_id, number=1, **values: make(
        AttemptRow,
        **{
            "run_id": "r",
            "node_id": node_id,
            "attempt": number,
            "state": "failed",
            "started_at": NOW,
            "finished_at": NOW + number,
            **values,
        },
    )


@pytest.fixture
def snapshot() -> Callable[..., Snapshot]:
    """Make a snapshot of run `r` from literal rows."""
    return lambda *rows: Snapshot(LiteralSource(list(rows)), "r")


@pytest.fixture
def any_row() -> Callable[..., Any]:
    """Make a row of any table."""
    return make
