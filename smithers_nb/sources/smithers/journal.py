"""Our own journal as a source: it has Smithers' tables, so `SmithersSource` reads it, in SQLite and in Postgres.

This module has the differences: how to recognise a journal, where it is, and that all outputs are JSON rows of one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.model.rows import OutputRow
from smithers_nb.sources.stores.json_text import text_or_none, whole

if TYPE_CHECKING:
    from collections.abc import Collection

    from smithers_nb.sources.smithers.query import Wanted
    from smithers_nb.sources.smithers.source import SmithersSource

KIND: Final = "journal"
FOLDER: Final = ".smithers_nb"
FILE: Final = "journal.db"
DATABASE: Final = "SMITHERS_NB_DATABASE"
"""Environment variable with the URL of a shared Postgres database; without it a project uses its own SQLite files."""

SCHEMA: Final = "smithers_nb"
"""Schema of the journal in a shared Postgres database."""

EXECUTIONS: Final = "_smithers_nb_executions"
OUTPUTS: Final = "_smithers_nb_outputs"


def is_journal(schema: Mapping[str, Collection[str]]) -> bool:
    """Return whether the tables are those of a journal."""
    return EXECUTIONS in schema


def journal_file(project: Path) -> Path:
    """Return the path of a project folder's journal."""
    return project / FOLDER / FILE


def outputs(source: SmithersSource, wanted: Wanted) -> list[OutputRow]:
    """Return the outputs of nodes; the input of a run is the output of its node `input`."""
    if OUTPUTS not in source.schema:
        return []
    where, params = ("", ()) if wanted.run_id is None else (" WHERE run_id = ?", (wanted.run_id,))
    sql = f"SELECT run_id, node_id, iteration, schema_name, row_json FROM {OUTPUTS}{where} ORDER BY 1, 2, 3"
    return [
        OutputRow(str(run_id), str(node_id), whole(iteration) or 0, str(schema_name), text_or_none(row) or "{}")
        for run_id, node_id, iteration, schema_name, row in source.fetch(OUTPUTS, sql, params)
    ]
