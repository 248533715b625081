"""A run directory as evidence: listed, read and hashed without following a link out of it and without changing it.

Everything in it is hostile: names, contents, links, and that it may change while it is read. Files are opened step by step from the
root with `O_NOFOLLOW`, so that a link that is swapped in between leads nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Literal, NamedTuple, TypeAlias

from smithers_nb.errors import SourceNotFound, SourceUnreadable

Kind: TypeAlias = Literal["file", "directory", "link", "other"]

_MAX_ENTRIES: Final = 200_000
_READ_LIMIT: Final = 4_000_000
_CHUNK: Final = 1 << 20


class Entry(NamedTuple):
    """One name below a run directory.

    Attributes:
        path: Relative to the run directory, with `/`; bytes that are not UTF-8 are surrogate escapes.
        kind: What it is; links are never followed.
        size: Bytes of a file, else 0.
        mtime_ns: When its content was last changed, nanoseconds since the epoch.
        target: Where a link points to; empty for anything else.
    """

    path: str
    kind: Kind
    size: int
    mtime_ns: int
    target: str = ""


class RunDirectory:
    """The directory of one run, read-only.

    Args:
        root: The directory itself; a link here is followed, since a person named it.

    Raises:
        SourceNotFound: There is no such directory.
        SourceUnreadable: It may not be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        if not self.root.is_dir():
            raise SourceNotFound(f"there is no run directory {root}", searched=(str(root),), hint="name the directory of one run")
        if not os.access(self.root, os.R_OK | os.X_OK):
            raise SourceUnreadable(f"{root} may not be read", hint="run this as somebody who may")

    @property
    def run_id(self) -> str:
        """The directory's name, which orchestrators use as the id of the run."""
        return self.root.name

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Everything below the directory, sorted by path, as it was when first asked for.

        Raises:
            SourceUnreadable: There are more than 200,000 names.
        """
        return tuple(sorted(self._walk("")))

    def entry(self, path: str) -> Entry | None:
        """Return what is at a path now; None when nothing is, or when a link leads there."""
        try:
            with self._parent(path) as (folder, name):
                return _entry(path, name, folder)
        except OSError:
            return None

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a regular file for reading.

        Raises:
            OSError: It is not there, not a regular file, or reached through a link.
        """
        with self._parent(path) as (folder, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(f"{path} is not a regular file")
            yield file

    def read(self, path: str, limit: int = _READ_LIMIT) -> bytes | None:
        """Read a file, at most `limit` bytes of it; None when it cannot be read."""
        try:
            with self.open(path) as file:
                return file.read(limit)
        except OSError:
            return None

    def text(self, path: str, limit: int = _READ_LIMIT) -> str | None:
        """Read a file as UTF-8, what is not UTF-8 replaced; None when it cannot be read."""
        content = self.read(path, limit)
        return None if content is None else content.decode("utf-8", "replace")

    def json(self, path: str) -> Any:
        """Read a file as JSON.

        Raises:
            ValueError: It is not JSON.
            FileNotFoundError: It cannot be read.
        """
        content = self.read(path)
        if content is None:
            raise FileNotFoundError(path)
        try:
            return json.loads(content)
        except RecursionError:
            raise ValueError(f"{path} is nested too deeply") from None

    def sha256(self, path: str) -> str | None:
        """Hash a file's content; None when it cannot be read."""
        digest = hashlib.sha256()
        try:
            with self.open(path) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError:
            return None
        return digest.hexdigest()

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds a path, one step after another and never through a link."""
        *folders, name = PurePosixPath(path).parts or ("",)
        if not name or name == ".." or ".." in folders or path.startswith("/"):
            raise FileNotFoundError(path)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _walk(self, folder: str) -> Iterator[Entry]:
        count = 0
        waiting = [folder]
        while waiting:
            above = waiting.pop()
            for found in self._listed(above):
                count += 1
                if count > _MAX_ENTRIES:
                    raise SourceUnreadable(f"{self.root} has more than {_MAX_ENTRIES:,} files", hint="name the directory of one run")
                yield found
                if found.kind == "directory":
                    waiting.append(found.path)

    def _listed(self, folder: str) -> Iterator[Entry]:
        try:
            descriptor = self._folder(folder)
        except OSError:  # it went away, or may not be read: what is left is still evidence
            return
        try:
            for name in os.listdir(descriptor):  # noqa: PTH208  # a Path cannot be a descriptor
                path = f"{folder}/{name}" if folder else name
                with suppress(OSError):
                    yield _entry(path, name, descriptor)
        finally:
            os.close(descriptor)

    def _folder(self, folder: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if not folder:
            return os.open(self.root, flags)
        with self._parent(folder) as (above, name):
            return os.open(name, flags | os.O_NOFOLLOW, dir_fd=above)


def _entry(path: str, name: str, folder: int) -> Entry:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        return Entry(path, "link", 0, found.st_mtime_ns, os.readlink(name, dir_fd=folder))
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, "directory", 0, found.st_mtime_ns)
    return Entry(
        path, "file" if stat.S_ISREG(found.st_mode) else "other", found.st_size if stat.S_ISREG(found.st_mode) else 0, found.st_mtime_ns
    )
