"""One process builds a run at a time, and whatever the one before left running or locked is cleared away first.

A process that is killed leaves its children: an agent that still edits a worktree, a command that still writes there, a git that holds a
lock. The lock of a run is the kernel's, so it ends with its owner, and whoever holds it knows that all of these are orphans.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.agents.providers.limited_process import MARK
from smithers_nb.errors import SmitheringError

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

_LOCK: Final = "build.lock"
_PATIENCE_S: Final = 20.0
_LOCKED: Final = ("index.lock", "HEAD.lock", "ORIG_HEAD.lock", "MERGE_HEAD.lock")


@contextmanager
def only_builder(trees: Worktrees) -> Iterator[None]:
    """Be the only process that builds a run in a repository, with nothing left of an earlier one that died.

    Raises:
        SmitheringError: Another process builds it.
    """
    lock = trees.common / "smithering" / trees.folder.name / _LOCK  # not in the checkout, which somebody may clean
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SmitheringError(f"another process builds {trees.folder.name} in {trees.repo}", hint="wait for it, or end it") from None
        _end_orphans(trees.folder)
        _remove_stale_locks(trees)
        yield


def _end_orphans(folder: Path) -> None:
    """End what was started in worktrees of this run by a process that is gone; git gets time to finish by itself."""
    deadline = time.monotonic() + _PATIENCE_S
    while orphans := _orphans(folder):
        for pid, is_git in orphans.items():
            if not is_git or time.monotonic() > deadline - _PATIENCE_S / 2:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise SmitheringError(f"processes of an earlier build cannot be ended: {', '.join(map(str, orphans))}", hint="end them by hand")
        time.sleep(0.02)


def _orphans(folder: Path) -> dict[int, bool]:
    """Return the processes that we started and that work inside a folder, and whether each is git; none where there is no `/proc`."""
    found: dict[int, bool] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            where = (process / "cwd").readlink()
            if where.is_relative_to(folder) and f"{MARK}=".encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "comm").read_text().startswith("git")
    return found


def _remove_stale_locks(trees: Worktrees) -> None:
    """Remove locks that a killed git left in what belongs to this run alone."""
    for link in (trees.common / "worktrees").glob("*/gitdir"):
        with suppress(OSError):
            if Path(link.read_text("utf-8").strip()).is_relative_to(trees.folder):
                for name in _LOCKED:
                    (link.parent / name).unlink(missing_ok=True)
    for root in (trees.common / "refs" / "heads" / trees.prefix, trees.common / "refs" / trees.prefix):
        for path in root.rglob("*.lock"):
            path.unlink(missing_ok=True)
