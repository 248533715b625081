"""What a worker must leave alone: looked at before it works, compared afterwards, and put back where that loses nothing.

A deleted file that git still has comes back. So do settings and hooks of the repository, because what a worker leaves there would run at
the next commit of the repository's owner; what stood there instead is kept aside. Everything else is told and left as it is: it may be the
owner's own work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.artifacts import write_whole
from smithers_nb.workflows.smithering.landing.git import attempt, git

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

_SETTINGS: Final = ("config", "config.worktree", "info/attributes", "hooks/*")
_NAMED: Final = 5


class Setting(NamedTuple):
    """A file with settings or a hook: its content and its permissions."""

    content: bytes
    mode: int


class Guarded(NamedTuple):
    """What a worker must leave alone, as it was at one moment.

    Attributes:
        base: Commit of the base branch.
        head: What is checked out in the main checkout.
        changes: Its uncommitted changes, file to git's two letters.
        settings: Settings and hooks of the repository, by their names in its own folder.
    """

    base: str
    head: str
    changes: Mapping[str, str]
    settings: Mapping[str, Setting]


def guarded(trees: Worktrees) -> Guarded:
    """Return what a worker must leave alone, as it is now."""
    listed = git(trees.repo, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    return Guarded(
        attempt(trees.repo, "rev-parse", f"refs/heads/{trees.base_branch}").output,
        attempt(trees.repo, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD").output,
        {entry[3:]: entry[:2] for entry in listed if entry},
        dict(_settings(trees.common)),
    )


def changed_outside(trees: Worktrees, before: Guarded) -> str:
    """Return what was changed outside of the worktrees since a moment, in words, with what was put back; empty when nothing was."""
    after = guarded(trees)
    told = [_files(trees.repo, before, after)]
    if after.base != before.base:
        told.append(f"the base branch {trees.base_branch} was moved")
    if after.head != before.head and after.base == before.base:
        told.append("the main checkout was switched to something else")
    if after.settings != before.settings:
        told.append(_put_back(trees, before.settings, after.settings))
    return "; ".join(filter(None, told))


def _files(repo: Path, before: Guarded, after: Guarded) -> str:
    """Tell which files of the main checkout changed; one that was as it is committed and is gone is brought back."""
    changed = sorted({name for name, _ in before.changes.items() ^ after.changes.items()})
    if not changed:
        return ""
    gone = [name for name in changed if "D" in after.changes.get(name, "") and name not in before.changes]
    back = bool(gone) and after.head == before.head and attempt(repo, "checkout", "--quiet", "HEAD", "--", *gone).code == 0
    listed = ", ".join(f"{name} (deleted, brought back)" if back and name in gone else name for name in changed[:_NAMED])
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return f"files of the main checkout changed: {listed}{more}"


def _settings(common: Path) -> Iterator[tuple[str, Setting]]:
    for pattern in _SETTINGS:
        for file in sorted(common.glob(pattern)):
            if file.is_file():
                yield file.relative_to(common).as_posix(), Setting(file.read_bytes(), file.stat().st_mode)


def _put_back(trees: Worktrees, before: Mapping[str, Setting], after: Mapping[str, Setting]) -> str:
    names = sorted({name for name, _ in before.items() ^ after.items()})
    aside = trees.common / "smithering" / trees.folder.name / "left"
    for name in names:
        file = trees.common / name
        if name in after:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            file.replace(aside / name)
            (aside / name).chmod(0o600)  # kept to be read, not to be run
        if name in before:
            write_whole(file, before[name].content)
            file.chmod(before[name].mode & 0o777)
    return f"settings or hooks of the repository changed: {', '.join(names)} (put back; what a worker left is in {aside})"
