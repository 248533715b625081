"""Installs our workflows into a Smithers project; they call `smithers-nb` and need no agent.

Smithers' own trigger launches `post-failure`; `monitor`, `monitor-smithers` and `triage-run`, which its pack used to have, are run by name.
Smithers looks for a workflow in the nearest `.smithers/workflows` first, so a file there is enough. The first line of our files is a hash
of the rest; if it matches, the file has not been edited and may be updated.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ParameterError
from smithers_nb.resources import resource
from smithers_nb.sources.smithers.migrated import ANCHOR, STORE

TRIGGERED: Final = "post-failure"
WORKFLOWS: Final = (TRIGGERED, "monitor", "monitor-smithers", "triage-run")

_TEMPLATES: Final = "templates/smithers"
_COMMAND: Final = '["@@COMMAND@@"]'
_MARK: Final = "// smithers-nb: "
_LIBRARY: Final = "node_modules/smithers-orchestrator"

_SHIPPED: Final = "node_modules/@smithers-orchestrator/cli/src/seeded-workflow-pack.generated.js"
"""Where the engine keeps the workflows that its own `init` writes."""

Done: TypeAlias = Literal["written", "renewed", "replaced", "unchanged", "kept"]


class Installed(NamedTuple):
    """The result of installing one workflow.

    Attributes:
        path: The workflow's file.
        done: `written`, a new file; `renewed`, an unedited one of ours or Smithers' was updated; `replaced`, by force; `unchanged`;
            `kept`, because a person has edited or written it.
        backup: Copy of a replaced file that was not an unedited one of ours.
        note: A note for the person; empty when all is well.
    """

    path: Path
    done: Done
    backup: Path | None = None
    note: str = ""


def install_all(project: str | Path | None = None, *, force: bool = False) -> list[Installed]:
    """Install each of `WORKFLOWS` into a Smithers project; see `install`."""
    return [install(project, name, force=force) for name in WORKFLOWS]


def install(project: str | Path | None = None, name: str = TRIGGERED, *, force: bool = False) -> Installed:
    """Install one of our workflows into a Smithers project.

    Args:
        project: A folder in the project, searched upwards as Smithers does; defaults to the current folder.
        name: One of `WORKFLOWS`.
        force: Replace a file that was edited or written by somebody else; a backup is kept next to it.

    Raises:
        ParameterError: There is no Smithers project.
        OSError: The file could not be written.
    """
    root = smithers_root(Path.cwd() if project is None else Path(project).expanduser().absolute())
    path, text = _file(root, name), rendered(name=name)
    note = "" if _above(path, _LIBRARY) else "smithers-orchestrator is not installed there yet: run `bun add smithers-orchestrator` first"
    found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if found == text:
        return Installed(path, "unchanged", note=note)
    if found is None or _is_untouched(found):
        write_whole(path, text.encode())
        return Installed(path, "written" if found is None else "renewed", note=note)
    shipped = _is_shipped(found, path)
    if not (force or shipped):
        whose = "was edited" if found.startswith(_MARK) else "is not one of ours"
        return Installed(path, "kept", note=f"the existing file {whose}; --force replaces it and keeps a copy")
    backup = path.with_name(f"{path.name}.{hashlib.sha256(found.encode()).hexdigest()[:8]}.bak")
    write_whole(backup, path.read_bytes())
    write_whole(path, text.encode())
    return Installed(path, "renewed" if shipped else "replaced", backup, note or f"the previous file is kept as {backup.name}")


def is_installed(folder: Path) -> bool:
    """Return whether Smithers' own trigger launches our autopsy in a project, even an edited one."""
    try:
        with _file(smithers_root(folder)).open(encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(_MARK)
    except (ParameterError, OSError):
        return False


def has_trigger(folder: Path) -> bool:
    """Return whether a project has a post-failure workflow for Smithers' own trigger, whoever wrote it."""
    try:
        return _file(smithers_root(folder.absolute())).is_file()
    except (ParameterError, OSError):
        return False


def smithers_root(folder: Path) -> Path:
    """Return the project that a folder belongs to: the nearest folder with `.smithers/`, else the nearest with a store.

    Raises:
        ParameterError: The folder is not in a Smithers project.
    """
    candidates = [parent for parent in (folder, *folder.parents) if ANCHOR not in parent.parts]
    for mark in (ANCHOR, STORE):
        for candidate in candidates:
            if (candidate / mark).exists():
                return candidate
    raise ParameterError(
        f"{folder} is not in a Smithers project: neither it nor a parent folder has {ANCHOR}/ or {STORE}",
        hint="run `bunx smithers-orchestrator init` there first, or name the project's folder",
    )


def rendered(command: list[str] | None = None, name: str = TRIGGERED) -> str:
    """Return the text of a workflow's file.

    Args:
        command: How it calls `smithers-nb`; defaults to this installation.
        name: One of `WORKFLOWS`.
    """
    called = [sys.executable, "-P", "-m", "smithers_nb"] if command is None else command
    body = resource(f"{_TEMPLATES}/{name}.tsx").read_text(encoding="utf-8").replace(_COMMAND, json.dumps(called))
    return f"{_MARK}{_fingerprint(body)}\n{body}"


def _file(root: Path, name: str = TRIGGERED) -> Path:
    return root / ANCHOR / "workflows" / f"{name}.tsx"


def _is_untouched(text: str) -> bool:
    head, _, body = text.partition("\n")
    return head == f"{_MARK}{_fingerprint(body)}"


def _fingerprint(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _is_shipped(text: str, path: Path) -> bool:
    """Return whether a text is Smithers' own workflow exactly as its `init` wrote it."""
    shipped = _above(path, _SHIPPED)
    return shipped is not None and json.dumps(text, ensure_ascii=False) in shipped.read_text(encoding="utf-8", errors="replace")


def _above(path: Path, name: str) -> Path | None:
    return next((parent / name for parent in path.parents if (parent / name).exists()), None)
