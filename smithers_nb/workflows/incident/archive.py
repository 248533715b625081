"""A run directory as one tar file that has been read back and compared: the copy that everything else may rely on.

Written before the first command, because even `status` may change a run, and before anything is replaced. The bytes depend on names and
contents alone (sorted, no times, no owners); times are in the manifest beside it, which also says which files changed while they were read.
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
_TICK_NS: Final = 50_000_000
"""Longer than two changes of a file may be apart and have the same time."""
_verified: dict[Path, tuple[tuple[int, ...], Archive]] = {}
"""What this process has verified, with what would show that the file is another one by now."""


class ArchivedFile(Finding):
    """One name of the directory.

    Attributes:
        path: Relative to the directory; bytes that are not UTF-8 are surrogate escapes.
        kind: `file`, `directory`, `link` or `other`; only the content of files is kept.
        sha256: Of a file's content; empty when it could not be read.
        target: Where a link points to; it was not followed.
        unsteady: It changed while it was read; what was read is what was hashed.
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
    """Copy a run directory into a tar file, read it back, and compare; an archive that is there already is only verified.

    Args:
        run: The directory.
        file: The tar file; its manifest is beside it, with the suffix `.json`. Only its owner may read them: they hold what the run holds.

    Raises:
        ArtifactsNotWritten: It could not be written whole, as on a full disk; nothing is left of it.
    """
    known = read_archive(file)
    if known is not None:
        return known
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            hashing = HashingWriter(out)
            files = tuple(_copied(run, hashing))
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
    """Read an archive and verify it, once per process; None when there is none or it is not what its manifest says."""
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
    """Note that a file was verified, unless it is so new that a later change might leave its time of modification as it is."""
    if time.time_ns() - stamp[-1] > _TICK_NS:
        _verified[file.absolute()] = stamp, archive


def _stamp(file: Path) -> tuple[int, ...]:
    stat = file.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def difference(file: Path, archive: Archive) -> str:
    """Compare a tar file with what should be in it; the first difference, or nothing."""
    wanted = {item.path: item.size for item in archive.files if item.sha256}
    try:
        with file.open("rb") as raw:
            if _hash_of(raw) != archive.sha256:
                return f"{file.name} has another content than was written"
            raw.seek(0)
            with tarfile.open(fileobj=raw, mode="r:") as tar:
                there = {member.name: member.size for member in tar}
    except (OSError, tarfile.TarError) as error:
        return f"{file.name} cannot be read: {error}"
    return "" if there == wanted else f"{file.name} does not hold the files of its manifest"


def extract(file: Path, archive: Archive, folder: Path) -> None:
    """Put the archived files into an empty folder, with the modification times they had; links are left out.

    Raises:
        OSError: It could not be written.
        tarfile.TarError: The file is damaged, or a name leads out of the folder.
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
    """A file that is hashed while it is written, so that nothing has to be read again to know what was written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._digest, self._at = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._digest.update(data)
        self._at += len(data)
        return self._out.write(data)

    def tell(self) -> int:
        """Return how much was written."""
        return self._at

    def hexdigest(self) -> str:
        """Return the hash of everything written so far."""
        return self._digest.hexdigest()


def _copied(run: RunDirectory, out: HashingWriter) -> Iterator[ArchivedFile]:
    # not as a stream, which copies all that it has buffered with each piece that it is given
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, copybufsize=_CHUNK) as tar:  # type: ignore[call-overload]
        for entry in run.entries:
            yield _copy(run, entry, tar)


def _copy(run: RunDirectory, entry: Entry, tar: tarfile.TarFile) -> ArchivedFile:
    row = ArchivedFile(path=entry.path, kind=entry.kind, size=entry.size, mtime_ns=entry.mtime_ns, target=entry.target)
    if entry.kind != "file":
        return row
    with suppress(OSError), run.open(entry.path) as file:  # without a hash the manifest says that it could not be read
        before = os.fstat(file.fileno())
        content = _Exactly(file, before.st_size)
        tar.addfile(plain_member(entry.path, before.st_size), cast("IO[bytes]", content))
        after = os.fstat(file.fileno())
        unsteady = content.short or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        return replace(row, size=before.st_size, mtime_ns=before.st_mtime_ns, sha256=content.hexdigest(), unsteady=unsteady)
    return row


class _Exactly:
    """A file as long as it was when it was opened: what grows is cut, what shrinks is filled with zeros, so that the tar stays readable."""

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
