"""Find the store that a person means: nothing, a folder inside a project, a file, or a URL.

A project folder may hold a store of Smithers and our own journal; then both are opened as one place. A notebook file, a pattern, a URL
that fsspec knows and a folder of notebooks without a store are executed notebooks; a `.jsonl` file that an agent CLI wrote, and
a folder of them, are session logs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from smithers_nb.errors import SourceError, SourceMoved, SourceNotFound, SourceUnreadable
from smithers_nb.sources.files import SUFFIX, LocalFiles, RemoteFiles, holds_notebooks, is_pattern
from smithers_nb.sources.sessions.files import holds_logs, holds_sessions, is_session, session_files, usual_place
from smithers_nb.sources.smithers.journal import DATABASE, journal_file
from smithers_nb.sources.smithers.journal import SCHEMA as JOURNAL_SCHEMA
from smithers_nb.sources.smithers.migrated import ANCHOR, STORE, connection_string, moved_to
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.urls import POSTGRES, is_postgres, scheme_of, without_secrets

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source
    from smithers_nb.sources.stores.postgres import PostgresDatabase


def open_source(where: str | Path | None = None, *, upward: bool = True) -> Source:
    """Open the store at a place.

    Args:
        where: A file; a folder, which is searched upward to the nearest `smithers.db`, `.smithers/` or `.smithers_nb/journal.db`; a URL
            (`sqlite:///path`, `file:path`, `journal:path` for our own runs alone, `postgresql://…`, `dbos+sqlite:///path`,
            `dbos+postgresql://…`, `beads:PATH` for work items, `env:NAME` for what a variable says); executed notebooks (`out.ipynb`,
            `runs/*.ipynb`, `s3://bucket/runs/`, `notebooks:FOLDER` beside any store); session logs of agent CLIs (`SESSION.jsonl`,
            `logs/*.jsonl`, `sessions:FOLDER`, `claude:`, `codex:` and `gemini:` for the usual places); None is the current folder.
        upward: Whether the folders above a folder without a store are searched too.

    Raises:
        SourceNotFound: Nothing that holds runs is there; `searched` lists where it was looked for.
        SourceMoved: The project's history was migrated to another backend.
        SourceUnreadable: There is a file, but not a readable Smithers store.
    """
    text = "." if where is None else str(where)
    scheme = scheme_of(text)
    if scheme is not None and not os.path.exists(text):  # noqa: PTH110 - a text too long for a path raises nothing here
        opener = OPENERS.get(scheme) or _opener_of_notebooks(scheme)
        if opener is None:
            raise SourceNotFound(
                f"{without_secrets(text)!r}: this version cannot open {scheme}: sources",
                searched=(without_secrets(text),),
                hint=f"it opens a path, or a URL that starts with {', '.join(f'{name}:' for name in OPENERS)}",
            )
        return opener(text)
    if not text.strip():
        raise SourceNotFound("no source is named: the text is empty", hint="leave it out to search from the current folder upwards")
    return _open_path(Path(os.path.expanduser(text)), upward=upward)  # noqa: PTH111 - a `~` that is nobody's home is a name like any other


def _open_path(path: Path, *, upward: bool = True) -> Source:
    try:
        if path.is_dir():
            return _open_folder(path, upward=upward)
        if is_pattern(str(path)) and not path.exists():
            return _open_sessions(path) if is_session(str(path)) else _open_notebooks(path)
        if path.exists():
            return _open_file(path)
    except PermissionError as error:
        raise SourceUnreadable(
            f"{path} cannot be read: {error.strerror}", hint="ask for read permission on the file and its folder"
        ) from error
    except OSError as error:  # a name too long for a file, a current folder that was deleted
        raise SourceNotFound(f"{path}: {error.strerror or error}", hint=f"name a project folder or its {STORE}") from error
    raise SourceNotFound(f"there is no {path}", searched=(str(path),), hint=f"name a project folder or its {STORE}")


def _open_folder(folder: Path, *, upward: bool) -> Source:
    if str(folder) != "." and holds_sessions(folder) and not _own_stores(folder.absolute()):
        return _open_sessions(folder)
    if str(folder) != "." and not _own_stores(folder.absolute()) and holds_notebooks(folder):
        return _open_notebooks(folder)
    if str(folder) != "." and not _own_stores(folder.absolute()) and holds_logs(folder):
        return _open_sessions(folder)
    searched: list[str] = []
    shared = [partial(_open_shared, url) for url in (os.environ.get(DATABASE),) if url]
    here = folder.absolute()
    places = [place for place in (here, *here.parents) if ANCHOR not in place.parts]
    for place in places if upward else places[:1]:
        searched += [str(place / STORE), str(place / ANCHOR / STORE), str(journal_file(place))]
        theirs = _stores_of_smithers(place)
        ours = [partial(_checked, path) for path in (journal_file(place),) if not shared and path.is_file()]
        if theirs or ours:
            return _open_readable([*theirs, *ours, *shared])
        if (place / ANCHOR).is_dir():
            break
    if shared:
        return shared[0]()
    if holds_notebooks(folder, deep=str(folder) != "."):
        return _open_notebooks(folder)
    raise SourceNotFound(
        f"no runs for {here}: searched {len(searched)} places from {searched[0] if searched else folder} upward"
        if upward
        else f"no runs in {here}",
        searched=searched,
        hint="start a workflow or `smithers-nb up FILE.ipynb` there first, or name another project's folder or smithers.db with --source",
    )


def _own_stores(place: Path) -> bool:
    """Return whether a folder itself is a project with a store."""
    return bool(_stores_of_smithers(place)) or journal_file(place).is_file() or ANCHOR in place.parts


def open_smithers(folder: str | Path) -> Source:
    """Open the store of Smithers that a folder's project has, leaving our own journal aside.

    Raises:
        SourceError: There is none, or it cannot be read.
    """
    here = Path(folder).absolute()
    for place in (here, *here.parents):
        if theirs := _stores_of_smithers(place):
            return theirs[0]()
        if (place / ANCHOR).is_dir():
            break
    raise SourceNotFound(f"no Smithers store for {here}", searched=(str(here / STORE),), hint="start a workflow there first")


def _stores_of_smithers(place: Path) -> Sequence[Callable[[], Source]]:
    if moved_to(place):
        return [partial(_open_moved, place)]
    return [partial(_checked, path) for path in (place / STORE, place / ANCHOR / STORE) if path.is_file()][:1]


def _open_readable(openers: Sequence[Callable[[], Source]]) -> Source:
    """Open the stores of a project; one that cannot be read is a problem of the others, unless it is the only one."""
    opened: list[Source] = []
    errors: list[SourceError] = []
    for opener in openers:
        try:
            opened.append(opener())
        except SourceError as error:
            errors.append(error)
    if not opened:
        raise errors[0]
    for unread in errors:
        opened[0].problems.add("project", str(unread))
    if len(opened) == 1:
        return opened[0]
    from smithers_nb.sources.composite import Together

    return Together(*opened)


def _open_file(path: Path) -> Source:
    if path.name.endswith(SUFFIX):
        return _open_notebooks(path)
    if is_session(str(path)):
        return _open_sessions(path)
    source = _checked(path)
    project = path.absolute().parent
    for place in (project, project.parent) if project.name == ANCHOR else (project,):
        moved = moved_to(place)
        if moved is not None:
            backend, target = moved
            said = f"newer history of this project is in {backend} at {target}; this file ends at its migration"
            source.problems.add("backend", said)
    return source


def _checked(path: Path) -> Source:
    """Open a file that is a store of Smithers, our journal, or else the system database of a DBOS application."""
    source = SmithersSource(path)
    try:
        _ = source.schema
    except SourceUnreadable:
        source.close()
        with suppress(SourceUnreadable):
            return _open_dbos_file(path)
        raise
    return source


def _open_dbos_file(path: Path) -> Source:
    from smithers_nb.sources.dbos.source import DbosSource
    from smithers_nb.sources.dbos.tables import SqliteTables

    return DbosSource(SqliteTables(path))


def _open_moved(place: Path) -> Source:
    """Follow a project's markers to the database that has its history now.

    Raises:
        SourceMoved: The markers name a place that cannot be opened from here.
    """
    backend, target = moved_to(place) or ("", "")
    url = connection_string(place) if backend == "postgres" else None
    if url is None:
        wanted = "set SMITHERS_POSTGRES_URL, or " if backend == "postgres" else ""
        raise SourceMoved(
            f"the history of {place} was migrated to {backend}: it is in {target} now",
            backend=backend,
            where=target,
            hint=f"{wanted}name {place / STORE} itself for the history before that, or migrate back: "
            "`bunx smithers-orchestrator migrate --to sqlite`",
        )
    source = _open_postgres_url(url)
    source.problems.add("backend", f"{place} keeps its history in postgres: {source.location} is shown")
    return source


def _open_sqlite_url(url: str) -> Source:
    """Open `sqlite:///relative`, `sqlite:////absolute`; the query of an SQLite URI is not needed here and ignored."""
    return _open_path(_path_of(url))


def _path_of(url: str) -> Path:
    return Path(unquote(url.partition(":")[2].partition("?")[0]).removeprefix("///") or ".")


def _open_file_url(url: str) -> Source:
    """Open `file:relative`, `file:/absolute`, `file:///absolute`."""
    path = url.partition(":")[2].partition("?")[0]
    return _open_path(Path(unquote(path.removeprefix("//") if path.startswith("///") else path) or "."))


def _open_named(text: str) -> Source:
    """Open `env:NAME`: what the environment variable says."""
    name = text.partition(":")[2]
    where = os.environ.get(name, "")
    if not where or scheme_of(where) == "env":
        raise SourceNotFound(f"the environment has no {name}", searched=(text,), hint=f"set {name} to the path or the URL of the store")
    return open_source(where)


def _open_postgres_url(url: str) -> Source:
    """Open `postgresql://user@host/database`; `?schema=` names the schema, else the search path and then our journal's are looked at."""
    from smithers_nb.sources.smithers.postgres import PostgresSource
    from smithers_nb.sources.stores.postgres import PostgresDatabase

    database = PostgresDatabase(url, without_secrets(url))
    try:
        return PostgresSource(database).checked()
    except SourceUnreadable:
        with suppress(SourceUnreadable):
            return _open_dbos_database(database)
        database.close()
        raise


def _open_shared(url: str) -> Source:
    """Open the journal of a shared database: in Postgres it has its own schema."""
    ours = is_postgres(url) and "schema=" not in url
    return open_source(f"{url}{'&' if '?' in url else '?'}schema={JOURNAL_SCHEMA}" if ours else url)


def _open_dbos_url(url: str) -> Source:
    """Open `dbos+sqlite:///path` or `dbos+postgresql://…`; the schema there is `dbos` unless `?schema=` names another."""
    plain = url.partition("+")[2]
    if plain.startswith("sqlite:"):
        path = _path_of(plain)
        if not path.is_file():
            raise SourceNotFound(
                f"there is no {path}", searched=(str(path),), hint="name the file of the application's system_database_url"
            )
        return _open_dbos_file(path)
    from smithers_nb.sources.stores.postgres import PostgresDatabase

    return _open_dbos_database(PostgresDatabase(plain, without_secrets(plain)))


def _open_dbos_database(database: PostgresDatabase) -> Source:
    from smithers_nb.sources.dbos.source import DbosSource
    from smithers_nb.sources.dbos.tables import PostgresTables

    return DbosSource(PostgresTables(database))


def _open_journal_url(url: str) -> Source:
    """Open `journal:PROJECT` or `journal:FILE`: only our runs, not the project's other stores; `journal:` is the current folder's."""
    path = Path(unquote(url.partition(":")[2].partition("?")[0]).removeprefix("//") or ".").absolute()
    for place in (path, *path.parents) if path.is_dir() else ():
        if journal_file(place).is_file():
            return _open_path(journal_file(place))
    if path.is_dir():
        raise SourceNotFound(
            f"no journal for {path}", searched=(str(journal_file(path)),), hint="`smithers-nb up NOTEBOOK.ipynb` starts one"
        )
    return _open_path(path)


def _open_notebooks(path: Path) -> Source:
    from smithers_nb.sources.notebooks.source import NotebookSource

    return NotebookSource(LocalFiles(str(path))).checked()


def _open_notebooks_url(url: str) -> Source:
    """Open `notebooks:PLACE`: only executed notebooks, even if other stores are there."""
    place = url.partition(":")[2]
    if not os.path.exists(place) and (scheme := scheme_of(place)) and (opener := _opener_of_notebooks(scheme)):  # noqa: PTH110
        return opener(place)
    path = Path(unquote(place).removeprefix("//") or ".").expanduser()
    if not path.exists() and not is_pattern(str(path)):
        raise SourceNotFound(f"there is no {path}", searched=(str(path),), hint="name a notebook, a folder or a pattern")
    return _open_notebooks(path)


def _open_sessions(path: Path) -> Source:
    from smithers_nb.sources.sessions.source import SessionSource

    return SessionSource(session_files(path)).checked()


def _open_sessions_url(url: str) -> Source:
    """Open `sessions:PLACE`, or `claude:`, `codex:` and `gemini:` for the usual place of that CLI; `claude:PLACE` is another one."""
    scheme, _, place = url.partition(":")
    named = Path(unquote(place).removeprefix("//")).expanduser() if place.strip("/") else None
    path = named or (Path() if scheme == "sessions" else usual_place(scheme))
    if not path.exists() and not is_pattern(str(path)):
        raise SourceNotFound(f"there is no {path}", searched=(str(path),), hint="name a session log, a folder or a pattern")
    return _open_sessions(path)


def _opener_of_notebooks(scheme: str) -> Callable[[str], Source] | None:
    """Return what opens a URL of a file system that fsspec knows; None for any other scheme."""
    from fsspec import available_protocols

    return _open_remote if scheme in available_protocols() else None


def _open_remote(url: str) -> Source:
    from smithers_nb.sources.notebooks.source import NotebookSource

    return NotebookSource(RemoteFiles(url)).checked()


def _open_beads(url: str) -> Source:
    """Open `beads:PATH`: exports, logs and databases of work items, a folder or one file."""
    from smithers_nb.sources.beads.source import BeadsSource

    return BeadsSource.of_url(url)


OPENERS: Final[dict[str, Callable[[str], Source]]] = {
    "sqlite": _open_sqlite_url,
    "file": _open_file_url,
    "journal": _open_journal_url,
    "notebooks": _open_notebooks_url,
    **dict.fromkeys(("sessions", "claude", "codex", "gemini"), _open_sessions_url),
    "env": _open_named,
    "beads": _open_beads,
    **dict.fromkeys(POSTGRES, _open_postgres_url),
    **dict.fromkeys(("dbos+sqlite", *(f"dbos+{scheme}" for scheme in POSTGRES)), _open_dbos_url),
}
"""URL scheme to what opens it; a new kind of source adds one line."""
