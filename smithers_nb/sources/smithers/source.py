"""Runs of the Smithers engine, read from the SQLite store of a project; our own journal has the same tables.

The schema is read once per store; after that each row class is one SELECT (`tables`, `query`) or, where that is not enough, a short
function (`derived`, `render_frames`). Rows are read by the standard library; frames that need only one SELECT are read through ADBC
(`stores.arrow`), and from rows if that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.errors import SourceUnreadable
from smithers_nb.frames import contract
from smithers_nb.model.rows import ApprovalRow, EventRow, OutputRow, TaskRow
from smithers_nb.model.vocabulary import event_category
from smithers_nb.sources.base import Only, Problems, R, fits
from smithers_nb.sources.smithers import journal
from smithers_nb.sources.smithers.derived import approvals, outputs
from smithers_nb.sources.smithers.query import Query, Wanted, select
from smithers_nb.sources.smithers.render_frames import tasks
from smithers_nb.sources.smithers.tables import OWN_TABLES, TABLES_IN_SQL
from smithers_nb.sources.stores.arrow import read_arrow
from smithers_nb.sources.stores.sqlite_file import SqliteFile, is_owned
from smithers_nb.sources.stores.time_limit import GIVEN_UP

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_VERSION: Final = "PRAGMA schema_version"
_RUNS: Final = "_smithers_runs"
_MIGRATIONS: Final = "_smithers_schema_migrations"
_DERIVED: Final[dict[type, Callable[[SmithersSource, Wanted], list[Any]]]] = {}


class SmithersSource:
    """A read-only view of one store with Smithers' tables; see `sources.base.Source`. Its `kind` is final once the schema is read."""

    kind: str = "smithers"
    _computed: Collection[str] = ()  # views and virtual tables, whose rows are computed while they are read

    def __init__(self, path: str | Path) -> None:
        self.file = SqliteFile(path)
        self.location = str(path)
        self.problems = Problems()
        self._schema: dict[str, tuple[str, ...]] | None = None
        self._version: list[tuple[Any, ...]] = []
        self.file.check()

    @property
    def schema(self) -> dict[str, tuple[str, ...]]:
        """Columns of each table of the store.

        Raises:
            SourceUnreadable: It has none of Smithers' tables.
        """
        if self._schema is None:
            self._schema = self._read_schema()
            self.kind = journal.KIND if journal.is_journal(self._schema) else "smithers"
        return self._schema

    def refresh(self) -> None:
        """Read the schema again if the engine has changed it: the first run of a workflow creates its tables."""
        version = self.file.fetch(_VERSION).rows
        if version != self._version:
            self._schema, self._version = None, version

    @property
    def own_tables(self) -> dict[str, tuple[str, ...]]:
        """Columns of the tables that hold the input and the outputs of tasks."""
        if journal.is_journal(self.schema):
            return {name: columns for name, columns in self.schema.items() if name == journal.OUTPUTS}
        return {
            name: columns for name, columns in self.schema.items() if not name.startswith((OWN_TABLES, "sqlite_")) and "run_id" in columns
        }

    @property
    def version(self) -> str:
        """Newest migration of the store's schema, which shows the engine's version; empty if the store does not record it."""
        if "id" not in self.schema.get(_MIGRATIONS, ()):
            return ""
        newest = self.fetch(_MIGRATIONS, f'SELECT CAST("id" AS TEXT) FROM {_MIGRATIONS} ORDER BY "id" DESC LIMIT 1')
        return newest[0][0] if newest and newest[0][0] else ""

    @property
    def is_early(self) -> bool:
        """Whether an early version of the engine, such as 0.5, wrote the store: it did not record which workflow text a run began with."""
        columns = self.schema.get(_RUNS, ())
        return "run_id" in columns and "workflow_hash" not in columns and _MIGRATIONS not in self.schema

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, sorted, at most `limit`."""
        upper = f"{prefix}\U0010ffff"
        sql = f'SELECT CAST("run_id" AS TEXT) FROM {_RUNS} WHERE "run_id" >= ? AND "run_id" < ? ORDER BY "run_id" LIMIT ?'
        if _RUNS not in self.schema:
            return []
        return [run_id for (run_id,) in self.fetch(_RUNS, sql, (prefix, upper, limit)) if run_id.startswith(prefix)]

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        wanted = Wanted(run_id, only, since_ms)
        if row is OutputRow:
            self.refresh()
        if row in _DERIVED:
            return [item for item in _DERIVED[row](self, wanted) if fits(item, only)]
        query = self._query(row, wanted)
        if query is None:
            return []
        flags = [index for index, spec in enumerate(contract(row)) if spec.dtype == "boolean"]
        table = TABLES_IN_SQL[row]
        cells, problem = self.file.fetch(query.sql, query.params)
        if problem is None:
            return [_row(row, cell, flags) for cell in cells]
        self.problems.add(table.table, problem)
        rows = [_row(row, cell, flags) for cell in (cells if problem.startswith(GIVEN_UP) else self._salvage(cells, query))]
        return sorted(rows, key=lambda item: [(value is None, value) for value in (getattr(item, name) for name in table.order)])

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Return the same as `rows` as a frame with the dtypes of the contract."""
        table = None if row in _DERIVED or is_owned(self.file.path) else self._arrow(row, Wanted(run_id, only, since_ms))
        if table is None:
            return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))
        frame = frames.frame_from_arrow(row, table)
        return _with_categories(frame) if row is EventRow else frame

    def fetch(self, where: str, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return its rows; record why it ended early, if it did, as a problem of `where`."""
        rows, problem = self.file.fetch(sql, params)
        if problem is not None:
            self.problems.add(where, problem)
        return rows

    def close(self) -> None:
        """Close the store and remove private copies of it."""
        self.file.close()

    def _salvage(self, cells: list[tuple[Any, ...]], query: Query) -> list[tuple[Any, ...]]:
        """Add the rows on the other sides of a damaged page; the last rows of a log matter most."""
        distinct = dict.fromkeys(cells)
        for sql in query.salvage:
            distinct |= dict.fromkeys(self.file.fetch(sql, query.params).rows)
        return list(distinct)

    def _query(self, row: type[Any], wanted: Wanted, left_out: Collection[str] = ()) -> Query | None:
        return select(row, self.schema, wanted, location=self.location, left_out=left_out)

    def _arrow(self, row: type[Any], wanted: Wanted) -> pa.Table | None:
        query = self._query(row, wanted, left_out={"category"})
        if query is None or TABLES_IN_SQL[row].table in self._computed:  # a query through ADBC cannot be interrupted
            return None
        return self.file.use(lambda uri: read_arrow(uri, query, contract(row)))

    def _read_schema(self) -> dict[str, tuple[str, ...]]:
        sql = (
            "SELECT m.name, c.name, m.type = 'view' OR m.sql LIKE 'CREATE VIRTUAL%' "
            "FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
            "WHERE m.type IN ('table', 'view') ORDER BY m.rowid, c.cid"
        )
        rows, problem = self.file.fetch(sql)
        schema: dict[str, tuple[str, ...]] = {}
        self._computed = {table for table, _, computed in rows if computed}
        for table, column, _ in rows:
            schema[table] = (*schema.get(table, ()), column)
        self._version = self.file.fetch(_VERSION).rows
        if problem is not None:
            self.problems.add("schema", problem)
        if not any(name.startswith(OWN_TABLES) for name in schema):
            reason = f"is damaged: {problem}" if problem else "is an SQLite file, but not a Smithers store"
            raise SourceUnreadable(f"{self.location} {reason}", hint="name the smithers.db of a project, or a backup of it")
        return schema


def _row(row: type[R], cells: tuple[Any, ...], flags: list[int]) -> R:
    if not flags:
        return row._make(cells)  # type: ignore[attr-defined, no-any-return]
    changed = list(cells)
    for index in flags:
        if changed[index] is not None:
            changed[index] = bool(changed[index])
    return row._make(changed)  # type: ignore[attr-defined, no-any-return]


def _with_categories(events: pd.DataFrame) -> pd.DataFrame:
    """Fill in the category of each event, looked up once per type: there are some forty types in any number of rows."""
    import pandas as pd

    codes, types = pd.factorize(events["type"])
    events["category"] = pd.array([event_category(name) for name in types], dtype="str").take(codes)
    return events


_DERIVED.update({ApprovalRow: approvals, OutputRow: outputs, TaskRow: tasks})
