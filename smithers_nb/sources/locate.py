"""Find the store that a person means: nothing, a folder inside a project, a file, or a URL."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from smithers_nb.errors import SourceMoved, SourceNotFound, SourceUnreadable
from smithers_nb.sources.json_text import as_object
from smithers_nb.sources.smithers import SmithersSource

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

STORE: Final = "smithers.db"
ANCHOR: Final = ".smithers"
_MARKERS: Final = ("backend.json", "migrated.json")
_TARGET_KEYS: Final = ("dataDir", "connectionString", "url")
_ELSEWHERE: Final = ("pglite", "postgres")


def open_source(where: str | Path | None = None) -> Source:
    """Open the store at a place.

    Args:
        where: A file; a folder, which is searched upward to the nearest `.smithers/` or `smithers.db`; a URL (`sqlite:///path`,
            `file:path`); None is the current folder.

    Raises:
        SourceNotFound: Nothing that holds runs is there; `searched` lists where it was looked for.
        SourceMoved: The project's history was migrated to another backend.
        SourceUnreadable: There is a file, but not a readable Smithers store.
    """
    text = "." if where is None else str(where)
    scheme = _scheme(text)
    if scheme is not None and not os.path.exists(text):  # noqa: PTH110 - a text too long for a path raises nothing here
        opener = OPENERS.get(scheme)
        if opener is None:
            raise SourceNotFound(
                f"{_without_secrets(text)!r}: this version cannot open {scheme}: sources",
                searched=(_without_secrets(text),),
                hint=f"it opens a path, or a URL that starts with {', '.join(f'{name}:' for name in OPENERS)}",
            )
        return opener(text)
    if not text.strip():
        raise SourceNotFound("no source is named: the text is empty", hint="leave it out to search from the current folder upwards")
    return _open_path(Path(os.path.expanduser(text)))  # noqa: PTH111 - a `~` that is nobody's home is a name like any other


def _open_path(path: Path) -> Source:
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.exists():
            return _open_file(path)
    except PermissionError as error:
        raise SourceUnreadable(
            f"{path} cannot be read: {error.strerror}", hint="ask for read permission on the file and its folder"
        ) from error
    except OSError as error:  # a name too long for a file, a current folder that was deleted
        raise SourceNotFound(f"{path}: {error.strerror or error}", hint=f"name a project folder or its {STORE}") from error
    raise SourceNotFound(f"there is no {path}", searched=(str(path),), hint=f"name a project folder or its {STORE}")


def _open_folder(folder: Path) -> Source:
    searched: list[str] = []
    for place in (here := folder.absolute(), *here.parents):
        if ANCHOR in place.parts:
            continue
        searched += [str(place / STORE), str(place / ANCHOR / STORE)]
        _refuse_moved(place)
        found = next((path for path in (place / STORE, place / ANCHOR / STORE) if path.is_file()), None)
        if found is not None:
            return _checked(found)
        if (place / ANCHOR).is_dir():
            break
    raise SourceNotFound(
        f"no Smithers store for {folder.absolute()}: searched {len(searched)} places from {searched[0] if searched else folder} upward",
        searched=searched,
        hint="start a workflow there first, or name the folder or the smithers.db of another project",
    )


def _open_file(path: Path) -> Source:
    source = _checked(path)
    project = path.absolute().parent
    for place in (project, project.parent) if project.name == ANCHOR else (project,):
        moved = _moved_to(place)
        if moved is not None:
            backend, target = moved
            source.add_problem("backend", f"newer history of this project is in {backend} at {target}; this file ends at its migration")
    return source


def _checked(path: Path) -> SmithersSource:
    source = SmithersSource(path)
    _ = source.schema
    return source


def _refuse_moved(place: Path) -> None:
    moved = _moved_to(place)
    if moved is None:
        return
    backend, target = moved
    raise SourceMoved(
        f"the history of {place} was migrated to {backend}: it is in {target} now",
        backend=backend,
        where=target,
        hint=f"name {place / STORE} itself for the history before that, or migrate back: `bunx smithers-orchestrator migrate --to sqlite`",
    )


def _moved_to(place: Path) -> tuple[str, str] | None:
    """Read the project's markers: the backend that is not SQLite, and where its data lies.

    The engine asks `backend.json` first and the migration's receipt when that names no backend.
    """
    for name in _MARKERS:
        marker = _marker(place / ANCHOR / name)
        target = marker.get("target")
        details = target if isinstance(target, dict) else {}
        backend = str(marker.get("backend") or details.get("backend") or target or "").lower()
        if backend == "sqlite":
            return None
        if backend in _ELSEWHERE:
            named = next((details[key] for key in _TARGET_KEYS if isinstance(details.get(key), str)), None)
            default = str(place / ANCHOR / "pg") if backend == "pglite" else "the database of SMITHERS_POSTGRES_URL"
            return backend, _without_secrets(named or default)
    return None


def _marker(path: Path) -> dict[str, Any]:
    try:
        return as_object(path.read_bytes())
    except OSError:
        return {}


def _scheme(text: str) -> str | None:
    """Name the scheme of a URL; a path has none, nor has a drive letter."""
    head, colon, _ = text.partition(":")
    return head.lower() if colon and len(head) > 1 and head.replace("+", "").replace("-", "").isalnum() else None


def _without_secrets(url: str) -> str:
    if "@" not in url:
        return url
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _open_sqlite_url(url: str) -> Source:
    """Open `sqlite:///relative`, `sqlite:////absolute`; the query of an SQLite URI is not needed here and ignored."""
    return _open_path(Path(unquote(url.partition(":")[2].partition("?")[0]).removeprefix("///") or "."))


def _open_file_url(url: str) -> Source:
    """Open `file:relative`, `file:/absolute`, `file:///absolute`."""
    path = url.partition(":")[2].partition("?")[0]
    return _open_path(Path(unquote(path.removeprefix("//") if path.startswith("///") else path) or "."))


OPENERS: Final[dict[str, Callable[[str], Source]]] = {"sqlite": _open_sqlite_url, "file": _open_file_url}
"""URL scheme to what opens it; a new kind of source adds one line."""
