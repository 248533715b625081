"""Where what we write about a run goes, and how: inside the artifacts folder, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_DOTS: Final = re.compile(r"\.{2,}|^[.-]|\.$|^$")
_MAX_LENGTH: Final = 120
"""File names may have 255 bytes; suffixes and temporary names need some of them."""


def artifact_path(artifacts: Path, kind: str, run_id: str, suffix: str) -> Path:
    """Name the file of a run's artifact; whatever the id contains, it lies in `artifacts/kind`.

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
        lasting: Wait until the disk has it. Without, a machine that loses its power may lose the file, and a full disk may be told late.

    Raises:
        OSError: It could not be written; nothing is left of the attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        mode = 0o600 if private else 0o666
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())  # some file systems say only now that they are full
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
