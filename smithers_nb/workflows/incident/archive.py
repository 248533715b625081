"""A verified copy of a run directory: one tar file that has been read back and compared.

It is written before the first command, because even `status` may change a run. The bytes depend only on names and contents (sorted, no
times, no owners); times are in the manifest next to it, which also says which files changed while they were being read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ArtifactsNotWritten
from smithers_nb.model.finding import Finding
from smithers_nb.workflows.bundle import plain_member

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.directory import Entry, RunDirectory

_CHUNK: Final = 1 << 20
_CLOCK_TICK_NS: Final = 50_000_000
"""Coarsest file timestamp we expect: two changes within this time may leave the same modification time."""
_verified: dict[Path, tuple[tuple[int, ...], Archive]] = {}
"""The archives this process has verified, with the file's device, inode, size and time, which change when it is replaced."""


class ArchivedFile(Finding):
    """One name of the directory.

    Attributes:
        path: Relative to the directory; bytes that are not UTF-8 are surrogate escapes.
        kind: `file`, `directory`, `link` or `other`; only the content of files is kept.
        sha256: Hash of a file's content; empty when it could not be read.
        target: Target of a link, which was not followed.
        unsteady: The file changed while it was read; the hash is of what was read.
    """

    path: str
    kind: str
    size: int
    mtime_ns: int
    sha256: str = ""
    target: str = ""
    unsteady: bool = False


class Archive(Finding):
    """A verified copy of a run directory.

    Attributes:
        file: The tar file.
        sha256: Of the tar file.
        files: Everything in the directory, sorted by path.
    """

    file: str
    sha256: str
    files: tuple[ArchivedFile, ...]

    def mtimes(self) -> dict[str, int]:
        """Modification times by path, nanoseconds since the epoch."""
        return {item.path: item.mtime_ns for item in self.files}


def write_archive(run: RunDirectory, file: Path) -> Archive:
    """Copy a run directory into a tar file and verify it by reading it back; an existing archive is only verified.

    Args:
        run: The directory.
        file: The tar file; its manifest has the suffix `.json`. Only the owner may read them, since they contain everything in the run.

    Raises:
        ArtifactsNotWritten: The archive could not be written completely, as on a full disk; nothing is left behind.
    """
    known = read_archive(file)
    if known is not None:
        return known
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            hashing = HashingWriter(out)
            files = tuple(_copy_all(run, hashing))
            out.flush()
            os.fsync(out.fileno())
        archive = Archive(file=file.name, sha256=hashing.hexdigest(), files=files)
        stamp = _stamp(part)
        if problem := difference(part, archive):
            raise ArtifactsNotWritten(f"the copy of {run.root} is not what was read: {problem}", hint="check the disk, then try again")
        write_whole(file.with_suffix(".json"), json.dumps(archive.as_json()).encode(), private=True)
        part.replace(file)
        _remember(file, archive, stamp)
    except OSError as error:
        raise ArtifactsNotWritten(f"{run.root} could not be copied: {error.strerror}", hint=f"make room in {file.parent}") from error
    finally:
        with suppress(OSError):
            part.unlink()
    return archive


def read_archive(file: Path) -> Archive | None:
    """Read and verify an archive, once per process; None when it is missing or does not match its manifest."""
    try:
        archive = Archive.read(json.loads(file.with_suffix(".json").read_bytes()))
        stamp = _stamp(file)
        if _verified.get(file.absolute()) == (stamp, archive):
            return archive
    except (OSError, ValueError):
        return None
    if difference(file, archive):
        return None
    _remember(file, archive, stamp)
    return archive


def _remember(file: Path, archive: Archive, stamp: tuple[int, ...]) -> None:
    """Remember a verified file, unless it is so new that a later change might not alter its modification time."""
    if time.time_ns() - stamp[-1] > _CLOCK_TICK_NS:
        _verified[file.absolute()] = stamp, archive


def _stamp(file: Path) -> tuple[int, ...]:
    stat = file.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def difference(file: Path, archive: Archive) -> str:
    """Return the first difference between a tar file and its manifest; empty when they match."""
    wanted = {item.path: item.size for item in archive.files if item.sha256}
    try:
        with file.open("rb") as raw:
            if _hash_of(raw) != archive.sha256:
                return f"the content of {file.name} is not what was written"
            raw.seek(0)
            with tarfile.open(fileobj=raw, mode="r:") as tar:
                there = {member.name: member.size for member in tar}
    except (OSError, tarfile.TarError) as error:
        return f"{file.name} cannot be read: {error}"
    return "" if there == wanted else f"{file.name} does not hold the files of its manifest"


def extract(file: Path, archive: Archive, folder: Path) -> None:
    """Extract the files into an empty folder with their modification times; links are left out.

    Raises:
        OSError: The folder cannot be written.
        tarfile.TarError: The archive is damaged, or a name points outside the folder.
    """
    times = archive.mtimes()
    for item in archive.files:
        if item.kind == "directory":
            (folder / item.path).mkdir(parents=True, exist_ok=True)
    with tarfile.open(file) as tar:
        for member in tar:
            tar.extract(member, folder, filter="data")
            os.utime(folder / member.name, ns=(times[member.name], times[member.name]))


class HashingWriter:
    """A writable file that hashes what is written to it, so that it need not be read again."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._digest, self._at = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._digest.update(data)
        self._at += len(data)
        return self._out.write(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._at

    def hexdigest(self) -> str:
        """Return the hash of everything written so far."""
        return self._digest.hexdigest()


def _copy_all(run: RunDirectory, out: HashingWriter) -> Iterator[ArchivedFile]:
    # not in stream mode (w|), which copies its whole buffer for each piece that is written
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, copybufsize=_CHUNK) as tar:  # type: ignore[call-overload]
        for entry in run.entries:
            yield _copy(run, entry, tar)


def _copy(run: RunDirectory, entry: Entry, tar: tarfile.TarFile) -> ArchivedFile:
    row = ArchivedFile(path=entry.path, kind=entry.kind, size=entry.size, mtime_ns=entry.mtime_ns, target=entry.target)
    if entry.kind != "file":
        return row
    with suppress(OSError), run.open(entry.path) as file:  # an empty hash in the manifest means that the file could not be read
        before = os.fstat(file.fileno())
        content = _FixedSize(file, before.st_size)
        tar.addfile(plain_member(entry.path, before.st_size), cast("IO[bytes]", content))
        after = os.fstat(file.fileno())
        unsteady = content.short or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        return replace(row, size=before.st_size, mtime_ns=before.st_mtime_ns, sha256=content.hexdigest(), unsteady=unsteady)
    return row


class _FixedSize:
    """Reads exactly the size a file had when opened: growth is cut off, a shortfall is padded with zeros, so the tar stays valid."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left, self._digest = file, size, hashlib.sha256()
        self.short = False

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        if not data and self._left:
            self.short = True
            data = bytes(min(size, self._left))
        self._left -= len(data)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _hash_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
