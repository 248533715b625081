"""Where the printed commands have to be run.

The CLI looks for its store from the current folder upward, and `bunx` finds the CLI only where the project has installed it, so the
folder is that of the very store that was read. Our own command line looks for its journal in the same way. The paths that a store
recorded show whether it lies in its project or was copied from elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smithers_nb.sources.notebooks.source import KIND as NOTEBOOKS
from smithers_nb.sources.smithers import journal
from smithers_nb.sources.smithers.migrated import ANCHOR, STORE
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot


class Folder(NamedTuple):
    """A folder to run commands in.

    Attributes:
        path: The folder.
        note: What a person has to know about it; usually empty.
    """

    path: str
    note: str = ""

    def __str__(self) -> str:
        return f"Run the commands in {self.path}{f' ({self.note})' if self.note else ''}."


def commands_folder(snapshot: Snapshot) -> Folder | None:
    """Return the folder in which the CLI finds the store that was read; None when it is unknown."""
    recorded, own = _recorded(snapshot), _own(snapshot.source.location)
    if own is None:
        return Folder(recorded) if recorded else None
    if recorded is None or _lies_in_its_project(snapshot, own):
        return Folder(str(own))
    away = "" if os.path.isdir(recorded) else ", on another machine"  # noqa: PTH112 - does not raise for a text too long for a path
    return Folder(recorded, f"the store in {own} was copied from there{away}")


def _own(location: str) -> Path | None:
    """Return the folder in which the CLI finds a store; None for one that is not a file with the name it looks for."""
    try:
        path = Path(location).absolute()
        if not path.is_file():
            return None
    except (OSError, ValueError):
        return None
    folder = path.parent
    if path.name == journal.FILE and folder.name == journal.FOLDER:
        return folder.parent
    return (folder.parent if folder.name == ANCHOR else folder) if path.name == STORE else None


def _recorded(snapshot: Snapshot) -> str | None:
    """Return the folder in which a run was started, as far as the store shows it.

    A `retry-task` (Smithers 0.32) overwrites it with the folder of the workflow's file. The nearest folder with a store is then the
    right one; where none is on this machine, the repository is the better guess.
    """
    run = snapshot.run
    if snapshot.source.kind == journal.KIND:
        return run.root
    if snapshot.source.kind == NOTEBOOKS:
        return _input_folder(as_object(run.config).get("executed") or {})
    if not run.root or not run.workflow_path or Path(run.workflow_path).parent != Path(run.root):
        return run.root
    if with_store := next((folder for folder in (Path(run.root), *Path(run.root).parents) if _has_store(folder)), None):
        return str(with_store)
    return run.repository if run.repository and any(attempt.reset for attempt in snapshot.attempts) else run.root


def _input_folder(executed: dict[str, Any]) -> str | None:
    """Return the nearest folder above an executed notebook in which papermill's relative path leads to its input."""
    relative, file = Path(str(executed.get("inputPath") or "/")), Path(str(executed.get("file")))
    try:
        return None if relative.is_absolute() else next((str(folder) for folder in file.parents if (folder / relative).is_file()), None)
    except (OSError, ValueError):
        return None


def _has_store(folder: Path) -> bool:
    try:
        return (folder / STORE).is_file()
    except (OSError, ValueError):
        return False


def _lies_in_its_project(snapshot: Snapshot, own: Path) -> bool:
    run = snapshot.run
    paths = [Path(path) for path in (run.root, run.workflow_path) if path]
    try:
        if any(own.resolve() in (path.resolve(), *path.resolve().parents) for path in paths):
            return True
        is_here = any(path.exists() for path in paths)
    except (OSError, ValueError):
        return False
    return is_here and not any(_has_store(folder) for path in paths for folder in (path, *path.parents))
