"""Executed notebooks as a source of runs: each file is a run, each code cell a node. Nothing is executed and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import AttemptRow, EventRow, NodeRow, OutputRow, RunRow, TaskRow
from smithers_nb.sources.base import AllBut, Only, Problems, R, fits
from smithers_nb.sources.notebooks import rows as to
from smithers_nb.sources.notebooks.document import NotANotebook, parse_notebook

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.notebooks.files import Files, NotebookFile

KIND: Final = "notebooks"


class NotebookSource:
    """A read-only view of executed notebooks; see `sources.base.Source`.

    A file is read when its run is asked for, and again once its time or its size has changed; its outputs are not kept.
    """

    kind: str = KIND
    version: str = ""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.location = files.location
        self.problems = Problems()
        self._known: dict[str, to.NotebookRun] = {}

    def checked(self) -> NotebookSource:
        """Return itself, unless there is nothing, or one file only that is no notebook.

        Raises:
            SourceNotFound: No notebook file is there.
            SourceUnreadable: The only file is no notebook; the message says what it is.
        """
        listed = self.files.listed()
        if not listed:
            raise SourceNotFound(
                f"no notebooks in {self.location}", searched=(self.location,), hint="name a notebook, a folder or a pattern"
            )
        if len(listed) == 1 and not list(self._runs(listed)):
            raise SourceUnreadable(f"{self.location}: {self.problems[-1].what}", hint="name a notebook that was executed")
        return self

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        return [file.run_id for file in self.files.listed() if file.run_id.startswith(prefix)][:limit]

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        if row not in _GRAINS:
            return []
        make, time = _GRAINS[row]
        listed = self.files.listed() if run_id is None else self._file(run_id)
        named = (only or {}).get("run_id")
        wanted = [file for file in listed if named is None or file.run_id in named]
        found = [
            one
            for run in self._runs(wanted, whole=row is not RunRow, states=_states(row, only))
            for one in make(self, run)
            if fits(one, only)
        ]
        return [one for one in found if since_ms is None or time is None or (getattr(one, time) or 0) >= since_ms]

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Let go of what is kept of the files."""
        self._known.clear()

    def _file(self, run_id: str) -> list[NotebookFile]:
        """Find one file; of one that was read before only its time and size are looked at again."""
        known = self._known.get(run_id)
        if known is not None:
            found = self.files.again(known.file)
            return [found] if found else []
        return [file for file in self.files.listed() if file.run_id == run_id]

    def _runs(self, files: Iterable[NotebookFile], *, whole: bool = False, states: Collection[str | int] = ()) -> Iterator[to.NotebookRun]:
        """Yield what is known of each file; its cells are read on demand, and not where none can be in one of the states asked for."""
        for file in files:
            known = self._known.get(file.run_id)
            if known is None or known.file != file:
                known = self._read(file, whole=whole and not states)
            if known is not None and whole and not known.steps and _may_have(known, states):
                known = self._read(file, whole=True)
            if known is not None:
                self._known[file.run_id] = known
                yield known

    def _read(self, file: NotebookFile, *, whole: bool) -> to.NotebookRun | None:
        try:
            return to.read_run(file, parse_notebook(self.files.read(file)), whole=whole)
        except NotANotebook as error:
            self.problems.add(file.run_id, f"not a notebook: {error}")
        except OSError as error:
            self.problems.add(file.run_id, f"cannot be read: {error.strerror or error}")
        return None

    def _run(self, run: to.NotebookRun) -> Iterator[RunRow]:
        yield to.run_row(run, self.location)


_GRAINS: Final[dict[type, tuple[Callable[[NotebookSource, to.NotebookRun], Iterator[Any]], str | None]]] = {
    RunRow: (NotebookSource._run, "created_at"),  # noqa: SLF001  # the table belongs to the class
    NodeRow: (lambda _, run: to.node_rows(run), "updated_at"),
    AttemptRow: (lambda _, run: to.attempt_rows(run), "started_at"),
    EventRow: (lambda _, run: to.event_rows(run), "at"),
    OutputRow: (lambda _, run: to.output_rows(run), None),
    TaskRow: (lambda _, run: to.task_rows(run), None),
}
"""Table to what makes its rows, and the column that `since_ms` is compared with; a notebook file has nothing for the other tables."""


def _states(row: type, only: Only | None) -> Collection[str | int]:
    """Return the states that cells are asked for in; none when they are asked for in any."""
    states: Collection[str | int] = (only or {}).get("state") or ()
    return () if row not in {AttemptRow, NodeRow} or isinstance(states, AllBut) else states


def _may_have(run: to.NotebookRun, states: Collection[str | int]) -> bool:
    """Return whether a cell of a run may be in one of these states: only a run that did not come to its end has any that broke."""
    return not states or not set(states) <= {"failed", "cancelled"} or run.outcome.state in {"failed", "interrupted"}
