"""Where the printed commands have to be run.

The CLI looks for its store from the current folder upward, and `bunx` finds the CLI only where the project has it installed, so
the folder is that of the very store that was read; our own command line looks for its journal in the same way. A store that somebody
brought here from elsewhere is told from one that lies in its project by the paths it recorded.
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
        note: What has to be known about it; mostly nothing.
    """

    path: str
    note: str = ""

    def __str__(self) -> str:
        return f"Run the commands in {self.path}{f' ({self.note})' if self.note else ''}."


def commands_folder(snapshot: Snapshot) -> Folder | None:
    """Find the folder in which the CLI meets the store that was read; None when nothing says which it could be."""
    recorded, own = _recorded(snapshot), _own(snapshot.source.location)
    if own is None:
        return Folder(recorded) if recorded else None
    if recorded is None or _lies_in_its_project(snapshot, own):
        return Folder(str(own))
    away = "" if os.path.isdir(recorded) else ", on another machine"  # noqa: PTH112 - a text too long for a path raises nothing here
    return Folder(recorded, f"the store in {own} was copied from there{away}")


def _own(location: str) -> Path | None:
    """Return the folder of a store that is a file under the name that the CLI looks for."""
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
    """Return the folder a run was started in.

    A `retry-task` (Smithers 0.32) puts the folder of the workflow's file in its place; then the one with a store is meant, where that
    can be seen, and the repository is the better guess where not.
    """
    run = snapshot.run
    if snapshot.source.kind == journal.KIND:
        return run.root
    if snapshot.source.kind == NOTEBOOKS:
        return _where_input_is(as_object(run.config).get("executed") or {})
    if not run.root or not run.workflow_path or Path(run.workflow_path).parent != Path(run.root):
        return run.root
    if with_store := next((place for place in (Path(run.root), *Path(run.root).parents) if _has_store(place)), None):
        return str(with_store)
    return run.repository if run.repository and any(attempt.reset for attempt in snapshot.attempts) else run.root


def _where_input_is(told: dict[str, Any]) -> str | None:
    """Return the nearest folder, from that of an executed notebook upward, in which papermill's relative path names its input."""
    given, file = Path(str(told.get("inputPath") or "/")), Path(str(told.get("file")))
    try:
        return None if given.is_absolute() else next((str(place) for place in file.parents if (place / given).is_file()), None)
    except (OSError, ValueError):
        return None


def _has_store(place: Path) -> bool:
    try:
        return (place / STORE).is_file()
    except (OSError, ValueError):
        return False


def _lies_in_its_project(snapshot: Snapshot, own: Path) -> bool:
    run = snapshot.run
    paths = [Path(path) for path in (run.root, run.workflow_path) if path]
    try:
        if any(own.resolve() in (path.resolve(), *path.resolve().parents) for path in paths):
            return True
        here = any(path.exists() for path in paths)
    except (OSError, ValueError):
        return False
    return here and not any(_has_store(place) for path in paths for place in (path, *path.parents))
