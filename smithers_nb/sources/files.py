"""Files that are runs, executed notebooks and session logs: one file, a folder, a pattern, or any of these at a URL that fsspec knows.

A run's id is the path of its file below the place that was named. fsspec is only imported for URLs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Protocol

from smithers_nb.errors import SourceNotFound, SourceUnreadable, SourceVanished
from smithers_nb.sources.urls import without_secrets

SUFFIX: Final = ".ipynb"
_MAGIC: Final = re.compile(r"[*?\[]")
_LEFT_OUT: Final = frozenset({".ipynb_checkpoints", "node_modules", "__pycache__", "site-packages"})


class RunFile(NamedTuple):
    """One file.

    Attributes:
        run_id: Its path below the place that was named, with `/` between folders.
        path: Where to read it.
        modified_at: Last change, epoch milliseconds; None where the file system does not say.
        size: Bytes.
    """

    run_id: str
    path: str
    modified_at: int | None
    size: int | None


class Files(Protocol):
    """Files of one place, each of which is a run."""

    @property
    def location(self) -> str:
        """The place as it may be shown."""
        ...

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id."""
        ...

    def again(self, file: RunFile) -> RunFile | None:
        """Look at one of them again; None when it is gone."""
        ...

    def read(self, file: RunFile) -> bytes:
        """Read one of them.

        Raises:
            OSError: It cannot be read.
        """
        ...


def is_notebook(run: object) -> bool:
    """Return whether what a person named as a run is a notebook file, or the URL of one, which is also its own source."""
    return isinstance(run, str) and run.endswith(SUFFIX)


def run_id_of(file: str) -> str:
    """Return the run id of a notebook file that is looked at alone."""
    return PurePosixPath(file.replace(os.sep, "/")).name


def is_pattern(text: str) -> bool:
    """Return whether a path is a pattern such as `runs/*.ipynb`."""
    return _MAGIC.search(text) is not None


def holds_notebooks(folder: Path, *, deep: bool = False) -> bool:
    """Return whether notebook files lie right in a folder; with `deep` also in the folders below it."""
    return any(True for _ in _walk(folder, "", deep=deep))


class LocalFiles:
    """Notebook files, or files of another kind, on this machine.

    Args:
        where: A file, a folder with folders in it, or a pattern.
        suffixes: How their names end.
    """

    def __init__(self, where: str, suffixes: tuple[str, ...] = (SUFFIX,)) -> None:
        self.location = where
        self._suffixes = suffixes
        self._where = Path(where).absolute()
        self._root = _fixed_part(self._where)

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id.

        Raises:
            SourceVanished: The place is gone.
        """
        if not self._root.is_dir():
            raise SourceVanished(f"{self.location} is gone", hint="it was there before; was it moved?")
        if self._where.is_file():
            return [_local(str(self._where), self._where.name)]
        pattern = None if self._where == self._root else self._where.relative_to(self._root).as_posix()
        found = (_local(path, name) for path, name in _walk(self._root, "", self._suffixes) if pattern is None or _fits(name, pattern))
        return sorted(found)

    def again(self, file: RunFile) -> RunFile | None:
        """Look at one of them again; None when it is gone."""
        found = _local(file.path, file.run_id)
        return found if found.size is not None else None

    def read(self, file: RunFile) -> bytes:
        """Read one of them."""
        with open(file.path, "rb") as opened:  # noqa: PTH123 - a folder may hold thousands
            return opened.read()


class RemoteFiles:
    """Notebook files at a URL that fsspec knows: `s3://bucket/runs/`, `gs://…/*.ipynb`, `memory://…`.

    Raises:
        SourceUnreadable: The file system of the URL cannot be used, because a package or a permission is missing.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.location = without_secrets(url)
        try:
            self._system, path = fsspec.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise SourceUnreadable(f"{self.location} cannot be opened: {error}", hint="install what fsspec names for it") from error
        self._path = str(path).rstrip("/")
        self._root = _before_magic(self._path)

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id.

        Raises:
            SourceNotFound: Nothing is there.
            SourceUnreadable: It cannot be listed.
        """
        try:
            return sorted(self._found())
        except FileNotFoundError as error:
            raise SourceNotFound(f"there is no {self.location}", searched=(self.location,), hint="name a notebook or a folder") from error
        except OSError as error:
            raise SourceUnreadable(f"{self.location} cannot be listed: {error}", hint="check the permission to list it") from error

    def again(self, file: RunFile) -> RunFile | None:
        """Look at one of them again; None when it is gone."""
        return next((found for found in self.listed() if found.run_id == file.run_id), None)

    def read(self, file: RunFile) -> bytes:
        """Read one of them."""
        content: bytes = self._system.cat_file(file.path)
        return content

    def _found(self) -> Iterator[RunFile]:
        if is_pattern(self._path):
            listed = self._system.glob(self._path, detail=True)
        elif self._path.endswith(SUFFIX) and self._system.isfile(self._path):
            listed, self._root = {self._path: self._system.info(self._path)}, self._path.rpartition("/")[0]
        else:
            listed = self._system.find(self._path, detail=True)
            if not listed and not self._system.exists(self._path):
                raise FileNotFoundError(self._path)
        for path, info in listed.items():
            name = str(path).removeprefix(self._root).lstrip("/")
            if name.endswith(SUFFIX) and not _LEFT_OUT & set(name.split("/")):
                yield RunFile(name, str(path), _modified(info), info.get("size"))


def _fixed_part(where: Path) -> Path:
    """Return the folder that run ids are relative to: the path before the first part with a wildcard."""
    if where.is_dir():
        return where
    at = next((place for place, part in enumerate(where.parts) if is_pattern(part)), len(where.parts) - 1)
    return Path(*where.parts[:at])


def _before_magic(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[: next((place for place, part in enumerate(parts) if is_pattern(part)), len(parts))])


def _walk(folder: Path, prefix: str, suffixes: tuple[str, ...] = (SUFFIX,), *, deep: bool = True) -> Iterator[tuple[str, str]]:
    """Yield path and name of the files of a kind below a folder; hidden folders and links to folders are left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if deep and entry.name not in _LEFT_OUT and not entry.name.startswith("."):
                yield from _walk(Path(entry.path), f"{name}/", suffixes)
        elif entry.name.endswith(suffixes):
            yield entry.path, name


def _fits(name: str, pattern: str) -> bool:
    """Match part by part, so that `*` stays within its folder; `**` is any number of folders."""
    return _parts_fit(name.split("/"), pattern.split("/"))


def _parts_fit(parts: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_parts_fit(parts[skipped:], wanted[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], wanted[0]) and _parts_fit(parts[1:], wanted[1:])


def _local(path: str, name: str) -> RunFile:
    try:
        stat = os.stat(path)  # noqa: PTH116 - a folder may hold thousands
    except OSError:
        return RunFile(name, path, None, None)
    return RunFile(name, path, stat.st_mtime_ns // 1_000_000, stat.st_size)


def _modified(info: dict[str, Any]) -> int | None:
    """Return the time of the last change; file systems give it under different names and as different types."""
    for key in ("LastModified", "last_modified", "mtime", "modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        if isinstance(value, int | float):
            return round(value * 1000)
    return None
