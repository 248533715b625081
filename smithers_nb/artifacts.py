"""Where what we write about a run goes, and how: inside the artifacts folder, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from smithers_nb.private_folder import PrivateFolder

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_DOTS: Final = re.compile(r"\.{2,}|^[.-]|\.$|^$")
_MAX_LENGTH: Final = 120
"""File names may have 255 bytes; suffixes and temporary names need some of them."""


def artifact_path(artifacts: Path, kind: str, run_id: str, suffix: str) -> Path:
    """Name the file of a run's artifact; with any id, it is inside `artifacts/kind`.

    Args:
        artifacts: The artifacts folder.
        kind: Folder in it, such as `autopsy`.
        run_id: Id as the store has it: hostile data.
        suffix: Such as `.html`.
    """
    return artifacts / kind / f"{safe_name(run_id)}{suffix}"


def safe_name(run_id: str) -> str:
    """Turn an id into a file name: the same id always gives the same one, and no two ids share one."""
    name = _DOTS.sub("_", _UNSAFE.sub("_", run_id))[:_MAX_LENGTH]
    if name == run_id:
        return name
    return f"{name}-{hashlib.sha256(run_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_whole(path: Path, content: bytes, *, private: bool = False, lasting: bool = True) -> None:
    """Write a file so that its name has either the old content or all of the new one.

    Args:
        path: The file; folders above it are made.
        content: All of it.
        private: Only its owner may read it.
        lasting: Wait until the disk has it. Without it, a power failure may lose the file, and a full disk may be reported late.

    Raises:
        OSError: It could not be written; nothing is left of the attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o600 if private else 0o666
    if not os.path.lexists(path) and _is_linked(path, content, mode, lasting=lasting):
        return
    with PrivateFolder(path.parent) as scratch:  # whoever is killed here leaves what the next writer sweeps
        whole = scratch / "whole"
        with open(whole, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            _fill(file, content, lasting=lasting)
        whole.replace(path)


def _is_linked(path: Path, content: bytes, mode: int, *, lasting: bool) -> bool:
    """Write a file that has no name before it is whole, so that a killed writer leaves nothing; False where that cannot be done."""
    if sys.platform != "linux":
        return False
    try:
        unnamed = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, mode)
    except OSError:  # a file system without such files, or the error that writing will raise again
        return False
    with os.fdopen(unnamed, "wb") as file:
        _fill(file, content, lasting=lasting)
        with suppress(OSError):  # no /proc, or somebody else was first
            os.link(f"/proc/self/fd/{unnamed}", path, src_dir_fd=unnamed)  # only with a folder given it follows that link
            return True
    return False


def _fill(file: IO[bytes], content: bytes, *, lasting: bool) -> None:
    file.write(content)
    file.flush()
    if lasting:
        os.fsync(file.fileno())  # some file systems say only now that they are full
