"""A source whose runs are files: each is read on demand, and again when its time or size has changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, Self, TypeVar

from smithers_nb import frames
from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import RunRow
from smithers_nb.sources.base import Only, Problems, R

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.files import Files, RunFile


class Known(Protocol):
    """What was read of a file."""

    @property
    def file(self) -> RunFile:
        """The file, as it was then."""
        ...


K = TypeVar("K", bound=Known)


class FileSource(ABC, Generic[K]):
    """A read-only view of the files of one place; see `sources.base.Source`."""

    kind: str
    version: str = ""
    nothing: ClassVar[str]
    """What is said of a place without any, such as `no notebooks`."""

    meant: ClassVar[str]
    """What to name instead of a file that is something else."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.location = files.location
        self.problems = Problems()
        self._known: dict[str, K] = {}

    def checked(self) -> Self:
        """Return itself, unless there is nothing, or one file only that is something else.

        Raises:
            SourceNotFound: No such file is there.
            SourceUnreadable: The only file is not a run; the message says what it is.
        """
        listed = self.files.listed()
        if not listed:
            raise SourceNotFound(f"{self.nothing} in {self.location}", searched=(self.location,), hint="name a file, a folder or a pattern")
        if len(listed) == 1 and not self.rows(RunRow):
            raise SourceUnreadable(f"{self.location}: {self.problems[-1].what}", hint=f"name {self.meant}")
        return self

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        return [file.run_id for file in self.files.listed() if file.run_id.startswith(prefix)][:limit]

    @abstractmethod
    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Drop the cached contents of the files."""
        self._known.clear()

    def _chosen(self, run_id: str | None, only: Only | None) -> list[RunFile]:
        """List the files that rows are asked of; of one that was read before only its time and size are looked at again."""
        if run_id in self._known:
            again = self.files.again(self._known[run_id].file)
            listed: Iterable[RunFile] = [again] if again else []
        else:
            listed = self.files.listed()
        named = (only or {}).get("run_id")
        return [file for file in listed if run_id in {None, file.run_id} and (named is None or file.run_id in named)]


def since(rows: list[R], column: str | None, since_ms: int | None) -> list[R]:
    """Keep the rows whose column is at or after an epoch millisecond; all of them where there is nothing to compare."""
    if since_ms is None or column is None:
        return rows
    return [row for row in rows if (getattr(row, column) or 0) >= since_ms]
