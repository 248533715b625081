"""Whether a run can go on with its notebook as it is now: hashes compared, changes named, and accepted on request.

A finished stage was made by the code of its time. So a run whose notebook or modules were edited is not continued unless somebody
says that this is meant.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.control.notebook_file import code_cells
from smithers_nb.engine.control.state import config_of
from smithers_nb.engine.journal.records import append_event, as_json
from smithers_nb.engine.journal.schema import runs
from smithers_nb.errors import ControlRefused, ParameterError

if TYPE_CHECKING:
    import sqlalchemy as sa

ENTRY, MODULES, GONE = "workflow entry file changed", "workflow module graph changed", "workflow entry hash unavailable"
"""Smithers' labels of what does not match; only the last cannot be accepted."""

_SHOWN: Final = 5


class Sources(NamedTuple):
    """The code of a notebook at one moment.

    Attributes:
        hash: Of everything that counts: code cells and the modules of the project that they import.
        cells: Digest of each code cell by its id, or `cell-N`.
    """

    hash: str
    cells: dict[str, str]


def sources_of(notebook: Path) -> Sources:
    """Read the code of a notebook.

    Raises:
        ParameterError: The notebook is gone, or is none any more.
    """
    cells = {
        name: hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12] for name, source in code_cells(notebook).items()
    }
    return Sources(_hash(notebook), cells)


def check_sources(connection: sa.Connection, row: sa.Row[Any], *, accept: bool) -> None:
    """Refuse to go on with other code than the run began with; with `accept`, take it over and write that down.

    Raises:
        ControlRefused: `RESUME_METADATA_MISMATCH`.
    """
    try:
        now = sources_of(Path(row.workflow_path or ""))
    except ParameterError as error:
        raise _refused(row, GONE, str(error), hint="put the notebook back, or start a new run") from None
    if row.workflow_hash == now.hash:
        return
    changed = changed_cells(config_of(row).get("cells", {}), now.cells)
    label = ENTRY if changed else MODULES
    names = ", ".join(changed[:_SHOWN]) + (" …" if len(changed) > _SHOWN else "") or "a module that it imports"
    if not accept:
        raise _refused(
            row,
            label,
            f"{row.workflow_hash or 'none'} → {now.hash}; changed: {names}",
            hint="undo the edit, or go on with it: add --accept-workflow-change (finished stages keep what they gave)",
        )
    config = config_of(row) | {"cells": now.cells}
    values = {"workflow_hash": now.hash, "config_json": as_json(config)}
    connection.execute(runs.update().where(runs.c.run_id == row.run_id).values(values))
    told = {"mismatch": label, "from": row.workflow_hash, "to": now.hash, "changed": changed}
    append_event(connection, row.run_id, "RunWorkflowChangeAccepted", told)


def changed_cells(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Name the cells that were edited, added or removed, in the order of the notebook."""
    names = dict.fromkeys([*after, *before])
    return [name for name in names if before.get(name) != after.get(name)] if before else []


def _refused(row: sa.Row[Any], label: str, what: str, *, hint: str) -> ControlRefused:
    return ControlRefused(
        f"run {row.run_id} cannot go on: {label} ({row.workflow_path}: {what})", code="RESUME_METADATA_MISMATCH", hint=hint
    )


def _hash(notebook: Path) -> str:
    try:
        from smithers_nb.engine.source_hash import notebook_hash
    except ModuleNotFoundError:  # until it lands
        return hashlib.sha256("\0".join(code_cells(notebook).values()).encode()).hexdigest()
    return str(notebook_hash(notebook))
