"""Private folders for the sockets of kernels, each locked for as long as its owner lives.

The owner of a kernel removes its folder, and the kernel does when the owner is gone. When both are killed, or the owner while the kernel
is starting, nobody is left to do it: `sweep` removes every folder whose lock is free.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

_PREFIX: Final = "snb-k-"
_LOCK: Final = "owner"
_MAX_PARENT: Final = 60
"""A Unix socket's whole path may have 107 bytes; what follows the parent folder takes about 40."""


class PrivateFolder(NamedTuple):
    """A folder that only this user can enter; `lock` is held as long as it is open."""

    path: Path
    lock: IO[bytes]

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


def private_folder() -> PrivateFolder | None:
    """Make a folder whose path is short enough for sockets; None where that is not possible."""
    if sys.platform == "win32":
        return None
    import fcntl

    parent = next((parent for parent in _parents() if len(os.fsencode(parent)) <= _MAX_PARENT and os.access(parent, os.W_OK)), None)
    if parent is None:
        return None
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))
    lock = (made / _LOCK).open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = made.rename(made.with_name(made.name.removeprefix(".")))  # from now on it can be swept, and is locked
    return PrivateFolder(path, lock)


def sweep() -> int:
    """Remove the folders of this user that nobody owns any more; gives their number."""
    if sys.platform == "win32":
        return 0
    return sum(_is_removed(folder) for parent in {*_parents()} for folder in Path(parent).glob(f"{_PREFIX}*"))


def _is_removed(folder: Path) -> bool:
    import fcntl

    with suppress(OSError):  # locked, of somebody else, or gone meanwhile
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            return True
    return False


def _parents() -> tuple[str, str]:
    return tempfile.gettempdir(), "/tmp"  # noqa: S108  # mkdtemp makes it private
