"""Whether a run can go on with its notebook as it is now: hashes compared, changes named, and accepted on request.

A finished stage was made by the code of its time. So a run whose notebook or modules were edited is not continued unless somebody
says that this is meant.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb.engine.control.run_state import config_of, resolve, run_row
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import Node, append_event, as_json
from smithers_nb.engine.journal.schema import nodes, runs
from smithers_nb.engine.notebook.file import code_cells
from smithers_nb.engine.notebook.source_hash import UNAVAILABLE, Source, changed_parts, mismatches, source_of
from smithers_nb.errors import ControlRefused, ParameterError

if TYPE_CHECKING:
    from smithers_nb.engine.control.reset import ResetItem
    from smithers_nb.engine.location import Location

_SHOWN: Final = 5


def stamp(config: dict[str, Any], source: Source) -> dict[str, Any]:
    """Add to a run's configuration which parts its source has, so that a later change can be named."""
    return config | {"cells": source.cells, "modules": source.modules}


def check_sources(connection: sa.Connection, row: sa.Row[Any], *, accept: bool) -> None:
    """Refuse to go on with other code than the run began with; with `accept`, take it over and write that down.

    Raises:
        ControlRefused: `RESUME_METADATA_MISMATCH`; `RUN_NOT_RESUMABLE` of a run that a person made cell by cell in a kernel of their own.
    """
    config = config_of(row)
    if config.get("lab"):
        raise ControlRefused(
            f"run {row.run_id} was run by hand, cell by cell, and ended with its kernel",
            code="RUN_NOT_RESUMABLE",
            hint=f"run the cells again, or start a durable run: smithers-nb up {shlex.quote(row.workflow_path or 'NOTEBOOK.ipynb')}",
        )
    now = source_of(Path(row.workflow_path or ""), folder_of(config))
    labels = mismatches(row.workflow_hash, now)
    if not labels:
        return
    if UNAVAILABLE in labels:
        raise _refused(row, labels, "it cannot be read", hint="put the notebook back, or start a new run")
    changed = [*changed_parts(config.get("cells") or {}, now.cells or {}), *changed_parts(config.get("modules") or {}, now.modules)]
    if not accept:
        names = ", ".join(changed[:_SHOWN]) + (" …" if len(changed) > _SHOWN else "")
        raise _refused(
            row,
            labels,
            f"{_short(row.workflow_hash)} → {_short(now.hash)}; changed: {names}",
            hint="undo the edit, or go on with it: add --accept-workflow-change (finished stages keep what they gave)",
        )
    restamp(connection, row.run_id, config, now)
    told = {"mismatch": ", ".join(labels), "from": row.workflow_hash, "to": now.hash, "changed": changed}
    append_event(connection, row.run_id, "RunWorkflowChangeAccepted", told)


def is_edited(location: Location, run_id: str) -> bool:
    """Return whether a run will be paused because its notebook was edited, as far as that can be seen from here."""
    with Journal.open(location) as journal, journal.reading() as connection:
        row = run_row(connection, run_id)
    config = config_of(row)
    labels = mismatches(row.workflow_hash, source_of(Path(row.workflow_path or ""), folder_of(config)))
    return bool(labels) and UNAVAILABLE not in labels and not config.get("hot")


def left_behind(location: Location, run_id: str, executed: Path) -> tuple[ResetItem, ...]:
    """List what a run has finished or been told at stages, gates and questions that its edited notebook no longer has.

    Args:
        location: Where the journal is.
        run_id: The run; a unique beginning is enough.
        executed: The run's executed notebook, which has the cells as they were.

    Returns:
        What the edit gives up: a stage of another name is done anew, and a gate asked anew. Names that code puts together are not seen.
    """
    from smithers_nb.engine.control.reset import items_of

    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.reading() as connection:
            row = run_row(connection, found)
            before = _words(executed)
            source = source_of(Path(row.workflow_path or ""), folder_of(config_of(row)))
            now = _words(Path(row.workflow_path or ""), *source.files)
            if before is None or now is None:
                return ()
            known = connection.execute(sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == found)).all()
            gone = [Node(found, *key) for key in known if _names(before, key.node_id) and not _names(now, key.node_id)]
            return tuple(item for item in items_of(connection, gone) if item.loss)


def _words(notebook: Path, *modules: Path) -> str | None:
    """Read the code of a notebook and of modules; None when the notebook cannot be read."""
    try:
        cells = code_cells(notebook).values()
    except ParameterError:
        return None
    return "\n".join((*cells, *(module.read_text("utf-8", "replace") for module in modules if module.is_file())))


def _names(code: str, node_id: str) -> bool:
    return f'"{node_id}"' in code or f"'{node_id}'" in code


def restamp(connection: sa.Connection, run_id: str, config: dict[str, Any], source: Source) -> None:
    """Let a run be one of this source from now on."""
    values = {"workflow_hash": source.hash, "config_json": as_json(stamp(config, source))}
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(values))


def folder_of(config: dict[str, Any]) -> Path | None:
    """Name the folder that a run's notebook runs in."""
    folder = config.get("cwd") or config.get("rootDir")
    return Path(folder) if folder else None


def _short(source_hash: str | None) -> str:
    """Shorten a hash of cells and modules to what tells two of them apart."""
    return ".".join(part[:8] for part in (source_hash or "none").split("."))


def _refused(row: sa.Row[Any], labels: tuple[str, ...], what: str, *, hint: str) -> ControlRefused:
    return ControlRefused(
        f"run {row.run_id} cannot go on: {', '.join(labels)} ({row.workflow_path}: {what})", code="RESUME_METADATA_MISMATCH", hint=hint
    )
