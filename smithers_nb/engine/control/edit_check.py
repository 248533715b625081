"""Checks whether a notebook was edited since its run began, names the changes, and accepts them on request.

A finished stage was computed by the code of that time. So a run whose notebook or modules were edited is continued only if a person
confirms that this is intended.
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

_MAX_NAMES: Final = 5


def stamp(config: dict[str, Any], source: Source) -> dict[str, Any]:
    """Add the digests of cells and modules to a run's configuration, so that a later change can be named."""
    return config | {"cells": source.cells, "modules": source.modules}


def check_sources(connection: sa.Connection, row: sa.Row[Any], *, accept: bool) -> None:
    """Refuse to continue with code other than the run began with; with `accept`, adopt and log the change.

    Raises:
        ControlRefused: `RESUME_METADATA_MISMATCH`; `RUN_NOT_RESUMABLE` for an interactive run.
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
        raise _refused(row, labels, "it cannot be read", hint="restore the notebook, or start a new run")
    changed = [*changed_parts(config.get("cells") or {}, now.cells or {}), *changed_parts(config.get("modules") or {}, now.modules)]
    if not accept:
        names = ", ".join(changed[:_MAX_NAMES]) + (" …" if len(changed) > _MAX_NAMES else "")
        raise _refused(
            row,
            labels,
            f"{_short(row.workflow_hash)} → {_short(now.hash)}; changed: {names}",
            hint="undo the edit, or accept it: add --accept-workflow-change (finished stages keep their outputs)",
        )
    restamp(connection, row.run_id, config, now)
    change = {"mismatch": ", ".join(labels), "from": row.workflow_hash, "to": now.hash, "changed": changed}
    append_event(connection, row.run_id, "RunWorkflowChangeAccepted", change)


def is_edited(location: Location, run_id: str) -> bool:
    """Return whether a run will be paused because its notebook was edited, as far as this machine can see."""
    with Journal.open(location) as journal, journal.reading() as connection:
        row = run_row(connection, run_id)
    config = config_of(row)
    labels = mismatches(row.workflow_hash, source_of(Path(row.workflow_path or ""), folder_of(config)))
    return bool(labels) and UNAVAILABLE not in labels and not config.get("hot")


def left_behind(location: Location, run_id: str, executed: Path) -> tuple[ResetItem, ...]:
    """Return the finished stages, decisions and answers of a run that its edited notebook no longer contains.

    Args:
        location: The project and its journal.
        run_id: The run; a unique beginning is enough.
        executed: The run's executed notebook, which has the cells as they were.

    Returns:
        What the edit loses: a renamed stage runs again, a renamed gate asks again. Only literal ids are recognised, not computed ones.
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
    """Return the code of a notebook and of modules; None when the notebook cannot be read."""
    try:
        cells = code_cells(notebook).values()
    except ParameterError:
        return None
    return "\n".join((*cells, *(module.read_text("utf-8", "replace") for module in modules if module.is_file())))


def _names(code: str, node_id: str) -> bool:
    return f'"{node_id}"' in code or f"'{node_id}'" in code


def restamp(connection: sa.Connection, run_id: str, config: dict[str, Any], source: Source) -> None:
    """Record the current source as that of the run."""
    values = {"workflow_hash": source.hash, "config_json": as_json(stamp(config, source))}
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(values))


def folder_of(config: dict[str, Any]) -> Path | None:
    """Return the working directory of a run's notebook."""
    folder = config.get("cwd") or config.get("rootDir")
    return Path(folder) if folder else None


def _short(source_hash: str | None) -> str:
    """Shorten a hash of cells and modules for display."""
    return ".".join(part[:8] for part in (source_hash or "none").split("."))


def _refused(row: sa.Row[Any], labels: tuple[str, ...], what: str, *, hint: str) -> ControlRefused:
    return ControlRefused(
        f"run {row.run_id} cannot go on: {', '.join(labels)} ({row.workflow_path}: {what})", code="RESUME_METADATA_MISMATCH", hint=hint
    )
