"""Hot mode: edits of a notebook apply to the running execution, from the next cell on.

After every code cell the notebook's file is checked for changes. Cells that have not run yet are edited, added, removed and moved as in the
file. Cells that have run stay as they ran; an edit of one applies to the next execution, and so does an edit of an imported module (unless
the notebook begins with `%load_ext autoreload` and `%autoreload 2`). A file that is half written or not valid Python is ignored. A finished
stage whose schema was changed is refused when it is called (`engine.stages.cache`).
"""

from __future__ import annotations

import ast
import copy
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb.engine.control.edit_check import folder_of, restamp
from smithers_nb.engine.journal.records import append_event
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.notebook.source_hash import Source, changed_parts, source_of
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.notebook.executor import Observer

_INJECTED: Final = "injected-parameters"
_PAPERMILL: Final = {"exception": None, "start_time": None, "end_time": None, "duration": None, "status": "pending"}


class Rejected(Exception):
    """The edited file cannot be used; the message says why."""


class HotObserver:
    """Forwards every cell to another observer, and applies edits between cells."""

    def __init__(self, inner: Observer, journal: Journal, run_id: str, owner: str, path: Path) -> None:
        self._inner = inner
        self._journal, self._run_id, self._owner = journal, run_id, owner
        self._path = path
        self._stamp = _stamp(path)
        self._notebook: Any = None
        self._config, began_with = self._read_run()
        self._source = source_of(path, folder_of(self._config))
        self._generation = 0
        if self._source.cells is not None and self._source.hash != began_with:
            self._take_over_edits_since()

    def opened(self, notebook: Any) -> None:
        """Keep the notebook, so that cells which have not begun can be changed."""
        self._notebook = notebook

    def begun(self, cell: Any, index: int) -> None:
        """Forward that a cell begins."""
        self._inner.begun(cell, index)

    def ended(self, cell: Any, index: int) -> None:
        """Forward that a cell has ended, and apply edits of the following cells."""
        self._inner.ended(cell, index)
        stamp = _stamp(self._path)
        if stamp == self._stamp or any(output.get("output_type") == "error" for output in cell.outputs):
            return
        self._stamp = stamp
        now = source_of(self._path, folder_of(self._config))
        if now.cells is None:
            self._log(
                {"WorkflowReloadDetected": {"changedFiles": [self._path.name]}, "WorkflowReloadFailed": _error("it is not a notebook")}
            )
        elif now.hash != self._source.hash:
            self._reload(now, index)

    def _reload(self, now: Source, index: int) -> None:
        """Apply the current file."""
        cells = changed_parts(self._source.cells or {}, now.cells or {})
        modules = changed_parts(self._source.modules, now.modules)
        detected: dict[str, Any] = {"changedFiles": [*([self._path.name] if cells else []), *modules]}
        try:
            rest = self._rest(index)
        except Rejected as error:
            self._log({"WorkflowReloadDetected": detected, "WorkflowReloadFailed": _error(str(error))})
            return
        over = {_id(cell) for cell in self._notebook.cells[: index + 1]}
        self._notebook.cells[index + 1 :] = rest
        self._source = now
        self._generation += 1
        coming = {_id(cell) for cell in rest}
        later = [name for name in cells if name in over or (name in (now.cells or {}) and name not in coming)]
        reloaded = detected | {"generation": self._generation, "cells": [name for name in cells if name not in later], "later": later}
        events: dict[str, dict[str, Any]] = {"WorkflowReloadDetected": detected, "WorkflowReloaded": reloaded}
        if modules:
            reason = f"a kernel keeps what it has imported, unless the notebook uses %autoreload: {', '.join(modules)}"
            events["WorkflowReloadUnsafe"] = {"reason": reason}
        self._log(events, restamped=True)

    def _rest(self, index: int) -> list[Any]:
        """Return the cells that are still to run, from the current file.

        Raises:
            Rejected: The file is not a notebook, its cells have no ids, or a cell that is to run is not valid Python.
        """
        edited = _read(self._path)
        before, after = self._notebook.cells[: index + 1], self._notebook.cells[index + 1 :]
        over, waiting = {_id(cell) for cell in before}, {_id(cell) for cell in after}
        if any(not _id(cell) for cell in edited.cells):
            raise Rejected("its cells have no ids, so it is unknown which have run; save it in a newer Jupyter")
        last = max((position for position, cell in enumerate(edited.cells) if _id(cell) == _id(before[-1])), default=-1)
        known = {_id(cell): cell for cell in after}
        rest = [cell for cell in after if _INJECTED in cell.metadata.get("tags", [])]
        for position, cell in enumerate(edited.cells):
            name = _id(cell)
            if name in over or (position < last and name not in waiting):
                continue
            same = name in known and known[name].source == cell.source and known[name].cell_type == cell.cell_type
            rest.append(known[name] if same else _fresh(cell))
        if _is_python(edited):
            _check_syntax([cell for cell in rest if cell.cell_type == "code" and known.get(_id(cell)) is not cell])
        return rest

    def _log(self, events: dict[str, dict[str, Any]], *, restamped: bool = False) -> None:
        with self._journal.writing(self._run_id, self._owner) as connection:
            for name, payload in events.items():
                append_event(connection, self._run_id, name, payload)
            if restamped:  # so that a later resume does not refuse the edit
                restamp(connection, self._run_id, self._config, self._source)

    def _take_over_edits_since(self) -> None:
        """Apply edits made while the run was not executed."""
        cells = changed_parts(self._config.get("cells") or {}, self._source.cells or {})
        modules = changed_parts(self._config.get("modules") or {}, self._source.modules)
        detected = {"changedFiles": [*([self._path.name] if cells else []), *modules]}
        reloaded = detected | {"generation": self._generation, "cells": cells, "later": []}
        self._log({"WorkflowReloadDetected": detected, "WorkflowReloaded": reloaded}, restamped=True)

    def _read_run(self) -> tuple[dict[str, Any], str | None]:
        query = sa.select(runs.c.config_json, runs.c.workflow_hash).where(runs.c.run_id == self._run_id)
        with self._journal.reading() as connection:
            row = connection.execute(query).one()
        return as_object(row.config_json or "{}"), row.workflow_hash


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return the modification time and size of a file; None when it does not exist."""
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001  # half written, missing or damaged
        raise Rejected(f"it is not a notebook: {error}") from None


def _fresh(cell: Any) -> Any:
    """Return a copy of a cell as not yet run, with the metadata that papermill expects."""
    from nbformat import from_dict

    made = copy.deepcopy(cell)
    made.metadata["papermill"] = from_dict(dict(_PAPERMILL))
    if made.cell_type == "code":
        made.outputs, made.execution_count = [], None
    return made


def _check_syntax(cells: list[Any]) -> None:
    from IPython.core.inputtransformer2 import TransformerManager

    for cell in cells:
        try:
            code = TransformerManager().transform_cell(cell.source)
            compile(code, f"cell {_id(cell)}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        except (SyntaxError, ValueError) as error:
            raise Rejected(f"cell {_id(cell)} is not valid Python: {error}") from None


def _is_python(notebook: Any) -> bool:
    metadata = notebook.metadata
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name") or "python"
    return str(named).lower() == "python"


def _id(cell: Any) -> str:
    return str(cell.get("id") or "")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"name": "HotReloadError", "code": "HOT_RELOAD_INVALID_MODULE", "message": message}}
