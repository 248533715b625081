"""Private folders for what is needed for a while, each locked for as long as its owner lives.

An owner removes its folder. One that is killed cannot, and leaves a folder whose lock is free: whoever makes the next one, or takes over
from a dead worker, removes it with `sweep`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_PREFIX: Final = "snb-own-"
_LOCK: Final = ".owner"


class PrivateFolder:
    """A folder that only this user can enter.

    It is removed at the end of a `with` block, which gives its path, and otherwise with the object or at the end of the process.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: str | Path | None = None) -> None:
        """Make it in `parent`, by default where temporary files are; raises OSError where that is not possible."""
        parent = tempfile.gettempdir() if parent is None else parent
        sweep(parent)
        locked = None
        while locked is None:  # until nobody takes it for abandoned before it is locked
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            locked = _locked(self.path)
        self._lock = locked
        self._discard = weakref.finalize(self, _remove, self.path, locked, os.getpid())

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self._discard()

    def keep(self) -> Path:
        """Leave it to a person, for good; gives its path."""
        if self._discard.detach():
            (self.path / _LOCK).unlink(missing_ok=True)
            self._lock.close()
        return self.path


def sweep(*parents: str | Path) -> int:
    """Remove the folders of this user in `parents`, by default wherever we make them, that nobody owns any more; gives their number."""
    if sys.platform == "win32":
        return 0
    where = parents or (tempfile.gettempdir(), "/tmp")  # noqa: S108  # mkdtemp makes it private
    return sum(_is_swept(folder) for parent in {*map(str, where)} for folder in Path(parent).glob(f"{_PREFIX}*"))


def _locked(folder: Path) -> IO[bytes] | None:
    """Lock a new folder; None when somebody swept it meanwhile."""
    if sys.platform == "win32":
        return open(os.devnull, "wb")  # noqa: PTH123  # an open file in it could not be removed
    import fcntl

    try:
        lock = (folder / _LOCK).open("wb")
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks: nobody can take it for abandoned either
        fcntl.flock(lock, fcntl.LOCK_EX)
    if (folder / _LOCK).exists():
        return lock
    lock.close()
    return None


def _is_swept(folder: Path) -> bool:
    import fcntl

    with suppress(OSError):  # locked, of somebody else, or gone meanwhile
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        if not (folder / _LOCK).exists():
            folder.rmdir()  # its owner was killed before it could lock it; one that was kept is not empty
            return True
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_folder(folder)
            return True
    return False


def _remove(folder: Path, lock: IO[bytes], owner: int) -> None:
    if os.getpid() == owner:  # a fork inherits the object, not the folder
        remove_folder(folder)
    lock.close()


def remove_folder(folder: str | Path) -> None:
    """Remove a folder, its lock last: whoever is killed in between leaves what can be swept."""
    with suppress(OSError):
        for path in Path(folder).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink()
        Path(folder, _LOCK).unlink(missing_ok=True)
        Path(folder).rmdir()
