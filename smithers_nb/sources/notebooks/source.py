"""Executed notebooks as a source of runs: each file is a run, each code cell a node. Nothing is executed and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import AttemptRow, EventRow, NodeRow, OutputRow, RunRow, TaskRow
from smithers_nb.sources.base import AllBut, Only, R, fits
from smithers_nb.sources.file_source import FileSource, since
from smithers_nb.sources.notebooks import rows as to
from smithers_nb.sources.notebooks.document import NotANotebook, parse_notebook

if TYPE_CHECKING:
    from smithers_nb.sources.files import RunFile

KIND: Final = "notebooks"


class NotebookSource(FileSource[to.NotebookRun]):
    """A read-only view of executed notebooks; their outputs are not kept."""

    kind = KIND
    nothing = "no notebooks"
    meant = "a notebook that was executed"

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        if row not in _TABLES:
            return []
        make, time = _TABLES[row]
        runs = self._runs(self._chosen(run_id, only), whole=row is not RunRow, states=_states(row, only))
        return since([one for run in runs for one in make(self, run) if fits(one, only)], time, since_ms)

    def _runs(self, files: Iterable[RunFile], *, whole: bool = False, states: Collection[str | int] = ()) -> Iterator[to.NotebookRun]:
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

    def _read(self, file: RunFile, *, whole: bool) -> to.NotebookRun | None:
        try:
            return to.read_run(file, parse_notebook(self.files.read(file)), whole=whole)
        except NotANotebook as error:
            self.problems.add(file.run_id, f"not a notebook: {error}")
        except OSError as error:
            self.problems.add(file.run_id, f"cannot be read: {error.strerror or error}")
        return None

    def _run(self, run: to.NotebookRun) -> Iterator[RunRow]:
        yield to.run_row(run, self.location)


_TABLES: Final[dict[type, tuple[Callable[[NotebookSource, to.NotebookRun], Iterator[Any]], str | None]]] = {
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
