"""Our `post-failure` workflow in a Smithers project: Smithers' own trigger launches it, and its verdict comes from `smithers-nb`.

Smithers looks for a workflow in the nearest `.smithers/workflows` before it looks anywhere else, so a file there is all it takes. The
first line of ours carries a fingerprint of the rest; a file whose fingerprint fits nobody has edited, and it may be renewed.
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

_TEMPLATE: Final = "templates/smithers/post-failure.tsx"
_COMMAND: Final = '["@@COMMAND@@"]'
_MARK: Final = "// smithers-nb: "
_ANCHOR: Final = ".smithers"
_STORE: Final = "smithers.db"
_LIBRARY: Final = "node_modules/smithers-orchestrator"

Done: TypeAlias = Literal["written", "renewed", "unchanged", "kept"]


class Installed(NamedTuple):
    """What an installation did.

    Attributes:
        path: The workflow's file.
        done: `written` where none was; `renewed` over one of ours or, by force, over any; `unchanged`; `kept` when it is
            somebody else's or was edited.
        backup: Copy of the file that was replaced by force.
        note: What a person should know; empty when all is well.
    """

    path: Path
    done: Done
    backup: Path | None = None
    note: str = ""


def install(project: str | Path | None = None, *, force: bool = False) -> Installed:
    """Put our `post-failure` workflow into a Smithers project.

    Args:
        project: A folder of it, searched upwards like Smithers does; the current folder by default.
        force: Replace a file that is not ours or was edited; the old one is kept beside it.

    Raises:
        ParameterError: There is no Smithers project.
        OSError: The file could not be written.
    """
    root = smithers_root(Path.cwd() if project is None else Path(project).expanduser().absolute())
    path, text = root / _ANCHOR / "workflows" / "post-failure.tsx", rendered()
    note = "" if _has_library(path) else "smithers-orchestrator is not installed there yet: run `bun add smithers-orchestrator` first"
    found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if found == text:
        return Installed(path, "unchanged", note=note)
    if found is not None and not _is_untouched(found) and not force:
        whose = "an edited one of ours" if found.startswith(_MARK) else "another one, such as Smithers' own"
        return Installed(path, "kept", note=f"there is {whose}; --force replaces it and keeps a copy")
    backup = None
    if found is not None and not _is_untouched(found):
        backup = path.with_name(f"{path.name}.{hashlib.sha256(found.encode()).hexdigest()[:8]}.bak")
        write_whole(backup, path.read_bytes())
    write_whole(path, text.encode())
    return Installed(path, "written" if found is None else "renewed", backup, note)


def smithers_root(folder: Path) -> Path:
    """Find the project that a folder belongs to: the nearest one with `.smithers/`, else the nearest with a store.

    Raises:
        ParameterError: There is none.
    """
    above = [place for place in (folder, *folder.parents) if _ANCHOR not in place.parts]
    for mark in (_ANCHOR, _STORE):
        for place in above:
            if (place / mark).exists():
                return place
    raise ParameterError(
        f"{folder} is in no Smithers project: neither it nor a folder above has {_ANCHOR}/ or {_STORE}",
        hint="run `bunx smithers-orchestrator init` there first, or name the project's folder",
    )


def rendered(command: list[str] | None = None) -> str:
    """Write the workflow's file.

    Args:
        command: How it calls `smithers-nb`; this very installation by default.
    """
    called = [sys.executable, "-m", "smithers_nb"] if command is None else command
    body = resource(_TEMPLATE).read_text(encoding="utf-8").replace(_COMMAND, json.dumps(called))
    return f"{_MARK}{_fingerprint(body)}\n{body}"


def _is_untouched(text: str) -> bool:
    head, _, body = text.partition("\n")
    return head == f"{_MARK}{_fingerprint(body)}"


def _fingerprint(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _has_library(path: Path) -> bool:
    return any((place / _LIBRARY).exists() for place in path.parents)
