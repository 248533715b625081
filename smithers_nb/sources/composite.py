"""Several stores of one project as one place: what Smithers ran, and the durable notebooks of our journal.

A run lives in one store, and every question about it goes to that store. Reads of everything give the stores one after the other, each
in the order of its key; `RunRow.source` tells them apart.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from smithers_nb.sources.base import Only, Problems, R, Source

if TYPE_CHECKING:
    import pandas as pd

KIND: Final = "together"


class Together:
    """A read-only view of several stores; see `sources.base.Source`.

    Attributes:
        members: The stores, in the order in which they are shown.
    """

    kind: str = KIND

    def __init__(self, *members: Source) -> None:
        self.members = members
        self.location = " and ".join(member.location for member in members)

    @property
    def problems(self) -> Problems:
        """What could not be read so far, in any of the stores."""
        return Problems(dict.fromkeys(chain.from_iterable(member.problems for member in self.members)))

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        found = chain.from_iterable(member.run_ids(prefix, limit) for member in self.members)
        return sorted(set(found))[:limit]

    def holder(self, run_id: str) -> Source:
        """Find the store that has a run; the first of several, with a problem recorded, and of none."""
        having = [member for member in self.members if member.run_ids(run_id, 1) == [run_id]]
        if len(having) > 1:
            having[0].problems.add("run", f"{run_id} is also in {having[1].location}; name that store to see it")
        return having[0] if having else self.members[0]

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows: of the store that has the run, or of all, one after the other."""
        members = self.members if run_id is None else (self.holder(run_id),)
        return [found for member in members for found in member.rows(row, run_id, only=only, since_ms=since_ms)]

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        if run_id is not None:
            return self.holder(run_id).frame(row, run_id, only=only, since_ms=since_ms)
        import pandas as pd

        frames = [member.frame(row, only=only, since_ms=since_ms) for member in self.members]
        full = [frame for frame in frames if len(frame)]
        return pd.concat(full, ignore_index=True) if len(full) > 1 else (full or frames)[0]

    def close(self) -> None:
        """Let go of all of them."""
        for member in self.members:
            member.close()


def store_of(source: Source, run_id: str) -> Source:
    """Return the one store that has a run: the source itself, unless it is several."""
    return source.holder(run_id) if isinstance(source, Together) else source
