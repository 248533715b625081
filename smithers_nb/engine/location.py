"""Where durable runs are stored: a project folder with `.smithers_nb/`, or a Postgres database by URL.

A `Location` knows the paths of the journal, the DBOS database, installed workflows and saved notebooks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from smithers_nb.errors import ParameterError
from smithers_nb.sources.smithers.journal import DATABASE, FOLDER
from smithers_nb.sources.urls import without_secrets


@dataclass(frozen=True)
class Location:
    """A project and the database of its runs.

    Attributes:
        root: The project's folder; notebooks run there.
        url: `sqlite:////…/journal.db` or `postgresql://…`, including any password.
    """

    root: Path
    url: str

    @classmethod
    def of(cls, where: str | Path | None = None, *, database: str | None = None) -> Location:
        """Return the location for a folder or URL.

        Args:
            where: A folder, searched upwards for `.smithers_nb/`, then `.smithers/` or `smithers.db`; used itself when none is found.
                Or the URL of a journal. None is the current folder.
            database: URL of a shared database; defaults to `SMITHERS_NB_DATABASE`.

        Raises:
            ParameterError: The URL is not of a supported database.
        """
        text = "." if where is None else os.fspath(where)
        if "://" in text:
            return cls._of_url(text)
        root = _project(Path(text).expanduser().absolute())
        shared = database or os.environ.get(DATABASE)
        return cls(root, _checked(shared)) if shared else cls(root, f"sqlite:///{root / FOLDER / 'journal.db'}")

    @classmethod
    def _of_url(cls, url: str) -> Location:
        if url.startswith("sqlite:"):
            file = Path(url.removeprefix("sqlite:///")).absolute()
            root = file.parent.parent if file.parent.name == FOLDER else file.parent
            return cls(root, f"sqlite:///{file}")
        return cls(_project(Path.cwd()), _checked(url))

    @property
    def file(self) -> Path | None:
        """The journal's file; None in Postgres."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:") else None

    @property
    def engine_url(self) -> str:
        """URL of the DBOS database: a file next to the journal, or the same Postgres database."""
        return self.url if self.file is None else f"sqlite:///{self.file.with_name('dbos.db')}"

    @property
    def folder(self) -> Path:
        """Folder for everything we store in the project: `.smithers_nb`."""
        return self.root / FOLDER

    @property
    def workflows(self) -> Path:
        """Folder of the installed workflows."""
        return self.folder / "workflows"

    @property
    def shown(self) -> str:
        """The database as shown to people, without secrets."""
        return without_secrets(self.url) if self.file is None else str(self.file)


def _project(folder: Path) -> Path:
    for marks in ((FOLDER,), (".smithers", "smithers.db")):
        for candidate in (folder, *folder.parents):
            if any((candidate / mark).exists() for mark in marks):
                return candidate
    return folder


def _checked(url: str) -> str:
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres", "sqlite"):
        raise ParameterError(
            f"{scheme}: is not a supported database", hint="give postgresql://USER@HOST/DATABASE, or leave it out for SQLite"
        )
    try:
        _ = urlsplit(url).port
    except ValueError:  # its message would show a part of the password
        hint = "give postgresql://USER@HOST:PORT/DATABASE, with / @ : [ ] of a password written as %2F %40 %3A %5B %5D"
        raise ParameterError("the host and port in the URL of the database cannot be parsed", hint=hint) from None
    return url.replace("postgres://", "postgresql://", 1)
