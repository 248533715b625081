"""What a worker must leave alone: looked at before it works and compared afterwards.

A change outside of its worktree is the worker's when its own process is known to have made it; a setting that it wrote is put back.
Anything else may be the work of the repository's owner, or of another worker: it is told without blame, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.workflows.smithering.landing.git import attempt, git

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.landing.git_trace import WorkerGit
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

_CONFIG: Final = "config"
_OTHER_SETTINGS: Final = ("config.worktree", "info/attributes", "hooks/*")
_NAMED: Final = 5


class Guarded(NamedTuple):
    """What a worker must leave alone, as it was at one moment.

    Attributes:
        base: Commit of the base branch.
        head: What is checked out in the main checkout.
        changes: Its uncommitted changes, file to git's two letters.
        config: Settings of the repository, each with its values.
        others: Hooks and further settings, by their names in its own folder: content and permissions.
    """

    base: str
    head: str
    changes: Mapping[str, str]
    config: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[bytes, int]]


class Outside(NamedTuple):
    """What changed outside of a worktree while somebody worked in it, in words.

    Attributes:
        by_worker: What its own process did; empty when nothing is known to be.
        by_anyone: What anyone may have done, and was left as it is.
    """

    by_worker: str = ""
    by_anyone: str = ""


def guarded(trees: Worktrees) -> Guarded:
    """Return what a worker must leave alone, as it is now."""
    listed = git(trees.repo, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    return Guarded(
        attempt(trees.repo, "rev-parse", f"refs/heads/{trees.base_branch}").output,
        attempt(trees.repo, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD").output,
        {entry[3:]: entry[:2] for entry in listed if entry},
        _config(trees),
        dict(_others(trees.common)),
    )


def changed_outside(trees: Worktrees, before: Guarded, did: WorkerGit) -> Outside:
    """Return what was changed outside of the worktrees since a moment; settings that the worker's own commands wrote are put back."""
    after = guarded(trees)
    in_checkout = did.changed_checkout(trees.repo)
    moved = after.base != before.base and (in_checkout or did.moved(trees.base_branch))
    told = [(in_checkout or moved, _files(before, after))]  # git counts the files of a branch that was moved under its checkout as changed
    if after.base != before.base:
        told.append((moved, f"the base branch {trees.base_branch} was moved from {before.base[:12]}"))
    if after.head != before.head and after.base == before.base:
        told.append((in_checkout, "the main checkout was switched to something else"))
    changed = {name for name, _ in before.config.items() ^ after.config.items()}
    set_by_it = did.set(changed)
    told.append((True, _put_back(trees, before, set_by_it)))
    others = sorted((changed - set(set_by_it)) | {name for name, _ in before.others.items() ^ after.others.items()})
    if others:
        told.append((False, f"settings or hooks of the repository changed: {_list(others)}"))
    return Outside(*("; ".join(text for its, text in told if text and its == blamed) for blamed in (True, False)))


def _files(before: Guarded, after: Guarded) -> str:
    """Tell which files of the main checkout changed, and how one that is gone comes back."""
    changed = sorted({name for name, _ in before.changes.items() ^ after.changes.items()})
    if not changed:
        return ""
    gone = {name for name in changed if "D" in after.changes.get(name, "") and name not in before.changes}
    shown = [f"{name} (deleted; `git checkout HEAD -- {name}` brings it back)" if name in gone else name for name in changed]
    return f"files of the main checkout changed: {_list(shown)}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _config(trees: Worktrees) -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for entry in attempt(trees.repo, "config", "--file", str(trees.common / _CONFIG), "--null", "--list").output.split("\0"):
        name, _, value = entry.partition("\n")
        if name:
            values[name] = (*values.get(name, ()), value)
    return values


def _others(common: Path) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for pattern in _OTHER_SETTINGS:
        for file in sorted(common.glob(pattern)):
            if file.is_file():
                yield file.relative_to(common).as_posix(), (file.read_bytes(), file.stat().st_mode)


def _put_back(trees: Worktrees, before: Guarded, names: list[str]) -> str:
    """Give the settings that a worker wrote their old values, and no other."""
    if not names:
        return ""
    config = ("config", "--file", str(trees.common / _CONFIG))
    for name in names:
        attempt(trees.repo, *config, "--unset-all", name)
        for value in before.config.get(name, ()):
            git(trees.repo, *config, "--add", name, value)
    return f"settings of the repository changed: {_list(names)} (put back)"
