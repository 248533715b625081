"""A store of beads as a source: it contains work items instead of runs, so only the tables of beads have rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote

from smithers_nb.model.beads import BeadEventRow, BeadFailureRow, BeadRow
from smithers_nb.sources.base import Problems, fits
from smithers_nb.sources.beads.files import entries, files_of, gather
from smithers_nb.sources.beads.rows import bead_row, event_row, failure_row
from smithers_nb.sources.beads.shapes import LOGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from smithers_nb.sources.base import Only
    from smithers_nb.sources.beads.contents import Contents

R = TypeVar("R", bound=tuple[object, ...])


class BeadsSource:
    """A read-only view of the exports, logs and databases of a fleet in a file or folder."""

    kind = "beads"

    def __init__(self, where: Path) -> None:
        self.where = where
        self.problems = Problems()
        files_of(where)

    @classmethod
    def of_url(cls, url: str) -> BeadsSource:
        """Open `beads:PATH`.

        Raises:
            SourceError: Nothing there can contain beads.
        """
        return cls(Path(unquote(url.partition(":")[2]).removeprefix("//") or ".").expanduser())

    @property
    def location(self) -> str:
        """The path."""
        return str(self.where)

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """Return an empty list, because a store of beads has no runs."""
        del prefix, limit
        return []

    def contents(self) -> Contents:
        """Read everything that an audit needs, once."""
        return gather(self.where, self.problems)

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read beads, their log or their failures as typed rows; every other table is empty."""
        del run_id
        reader: Any = {BeadRow: self._beads, BeadEventRow: self._events, BeadFailureRow: self._failures}.get(cast("Any", row))
        rows = [] if reader is None else [made for made in reader() if fits(made, only)]
        if since_ms is not None:
            rows = [made for made in rows if (getattr(made, "at", None) or getattr(made, "updated_at", None) or 0) >= since_ms]
        return rows

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame."""
        from smithers_nb.frames import frame_from_rows

        return frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Do nothing, because no file is kept open."""

    def _beads(self) -> list[BeadRow]:
        newest: dict[str, BeadRow] = {}
        for _, record, shape in self._lines():
            row = bead_row(record) if shape in ("issue", "bead") else None
            if row is not None and (row.updated_at or 0) >= (newest.get(row.bead_id, row).updated_at or 0):
                newest[row.bead_id] = row
        return list(newest.values())

    def _events(self) -> list[BeadEventRow]:
        return [event_row(shape, number, record) for number, record, shape in self._lines() if shape in LOGS]

    def _failures(self) -> list[BeadFailureRow]:
        return [row for event in self._events() if (row := failure_row(event)) is not None]

    def _lines(self) -> Iterator[tuple[int, dict[str, Any], Any]]:
        for path in files_of(self.where):
            yield from entries(path, self.problems)
