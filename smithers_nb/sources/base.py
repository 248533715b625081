"""What every source of runs can do.

A source is asked for one table at a time (a class of `model.rows`) and answers with typed rows or with a frame, of one run
or of the whole store. That is all a new kind of store has to implement; code built on it works with any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar

from smithers_nb.errors import AmbiguousRunId, RunNotFound

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5

R = TypeVar("R", bound=tuple[object, ...])
Only: TypeAlias = Mapping[str, Collection[str | int]]
"""Column name to the values a row may have in it."""


class AllBut(frozenset[str]):
    """Every value except these: `only={"type": AllBut({"TaskHeartbeat"})}`."""

    def __contains__(self, value: object) -> bool:
        return not super().__contains__(value)


class Problem(NamedTuple):
    """Something a source could not read; what it could is still returned."""

    where: str
    what: str


class Problems(list[Problem]):
    """What could not be read so far, in the order in which it was met."""

    def add(self, where: str, what: str) -> None:
        """Remember something that could not be read, once."""
        if (problem := Problem(where, what)) not in self:
            self.append(problem)


class Source(Protocol):
    """A read-only view of a place that holds runs."""

    @property
    def kind(self) -> str:
        """Whose runs they are: `smithers`, `journal` (ours), `dbos`; `together` for several stores of one project."""
        ...

    @property
    def location(self) -> str:
        """Path or URL without secrets, as shown to people."""
        ...

    @property
    def problems(self) -> Problems:
        """What could not be read so far, in the order in which it was met, each once."""
        ...

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        ...

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key.

        Args:
            row: Row class of the table.
            run_id: Exact id of one run, or None for the whole store.
            only: Keep rows whose column has one of the values.
            since_ms: Keep rows whose own time (`at`, `started_at`, …) is at or after this epoch millisecond.

        Returns:
            The rows; none when the store has no such table. What could not be read is in `problems`.

        Raises:
            SourceVanished: The store is gone.
        """
        ...

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        ...

    def close(self) -> None:
        """Let go of the store and remove private copies of it."""
        ...


def fits(row: Any, only: Only | None) -> bool:
    """Return whether a row has, in each column that `only` names, one of its values."""
    return all(getattr(row, name) in values for name, values in (only or {}).items())


CHILD_MARK = ":child:"
"""Stands in the id of a child run between its parent's id and the node that launched it."""


def is_child_of(run_id: str, parent_id: str) -> bool:
    """Return whether an id is the one that the engine makes for a child of this run."""
    return run_id.startswith(f"{parent_id}{CHILD_MARK}")


def launching_node(run_id: str, parent_id: str) -> tuple[str, int] | None:
    """Return the node and iteration that launched a child run, as its id names them; None for any other id."""
    node_id, _, iteration = run_id.removeprefix(f"{parent_id}{CHILD_MARK}").rpartition(":")
    return (node_id, int(iteration)) if is_child_of(run_id, parent_id) and node_id and iteration.isdecimal() else None


_MAX_IDS = 1_000


def resolve_run_id(source: Source, prefix: str) -> str:
    """Find the one run whose id is, or starts with, `prefix`; a run's children, whose ids begin with its own, do not compete with it.

    Raises:
        RunNotFound: No run does.
        AmbiguousRunId: Several do, and none is exactly `prefix`.
    """
    found = source.run_ids(prefix, _MAX_IDS)
    if prefix in found:
        return prefix
    found = [run_id for run_id in found if not is_child_of(run_id, found[0])]
    if len(found) == 1 and prefix:
        return found[0]
    if not found or not prefix:
        raise RunNotFound(f"no run {prefix!r} in {source.location}", hint="list the runs that are there with `smithers-nb ps --all`")
    raise AmbiguousRunId(
        f"run id {prefix!r} is ambiguous: {', '.join(found[:_SHOWN])}{' …' if len(found) > _SHOWN else ''}",
        candidates=found[:20],
        hint="give more characters of the id",
    )
