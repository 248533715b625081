"""A branch and a worktree per ticket, the integration branch they land on, and what a worker may not touch.

A worktree is where somebody works; what it was is safe only as commits, so whatever a dead process left in one is committed under a
reference of its own before the worktree is used again. A branch is kept until its land commit is seen on the integration branch.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.artifacts import safe_name
from smithers_nb.errors import GitFailed, SmitheringError
from smithers_nb.workflows.smithering.landing.git import (
    BRANCHES,
    attempt,
    commit_of,
    common_folder,
    exclude,
    git,
    is_clean,
    is_related,
    move,
)
from smithers_nb.workflows.smithering.landing.guard import Guarded, Outside, changed_outside

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.landing.git_trace import WorkerGit

_OURS: Final = {"/.smithers_nb/": ("worktrees/", "runs/", "logs/", "*.db", "*.db-*"), "/artifacts/": ("smithering/",)}
"""Folders of a project that hold what we write about it, each with what is ours in one where the project has files of its own."""

_TRAILER: Final = "smithering-land"


class Worktrees:
    """The worktrees and branches of one run in one repository.

    Attributes:
        repo: The main checkout.
        base: Commit that the integration branch starts from.
        integration: Name of the integration branch.
    """

    def __init__(self, repo: Path, run_id: str, base_branch: str, *, folder: Path | None = None) -> None:
        run = safe_name(run_id)
        if run.endswith(".lock"):
            run = f"{run}_"  # git keeps this ending to itself
        self.repo = repo.resolve()
        self.base_branch = base_branch
        self.prefix = f"{BRANCHES}/{run}"
        self.integration = f"{self.prefix}/integration"
        self.folder = (folder or self.repo / ".smithers_nb" / "worktrees").resolve() / run
        self._lock = threading.Lock()  # git makes and removes worktrees of one repository one at a time
        self.base = ""
        self._known_tip = ""

    @cached_property
    def common(self) -> Path:
        """The folder of the repository's own data."""
        return common_folder(self.repo)

    def prepare(self) -> None:
        """Make the integration branch if it is not there, remember what it starts from, and forget worktrees whose folders are gone.

        Raises:
            SmitheringError: There is no such base branch.
        """
        hide_ours(self.repo)
        start, reference = f"refs/{self.prefix}/base", f"refs/heads/{self.integration}"
        if commit_of(self.repo, start) is None:
            base = commit_of(self.repo, f"refs/heads/{self.base_branch}")
            if base is None:
                raise SmitheringError(f"there is no branch {self.base_branch} with a commit", hint="name the branch to start from")
            git(self.repo, "update-ref", start, base, "")
        self.base = git(self.repo, "rev-parse", start)
        if commit_of(self.repo, reference) is None:
            git(self.repo, "update-ref", reference, self.base, "")
        self.folder.mkdir(parents=True, exist_ok=True)
        git(self.repo, "worktree", "prune")

    def tip(self) -> str:
        """Return the commit that the integration branch is at; one that somebody removed meanwhile is put back, so that nothing is lost."""
        reference = f"refs/heads/{self.integration}"
        tip = commit_of(self.repo, reference)
        if tip is None:
            if self._known_tip:
                move(self.repo, reference, self._known_tip, "")
            tip = git(self.repo, "rev-parse", "--verify", f"{reference}^{{commit}}")
        self._known_tip = tip
        return tip

    def advance(self, new: str, old: str) -> bool:
        """Move the integration branch, if it still is where it was; return whether it was moved."""
        moved = move(self.repo, f"refs/heads/{self.integration}", new, old)
        if moved:
            self._known_tip = new
        return moved

    def landed(self) -> dict[str, str]:
        """Return the tickets that have landed since the base, each with its land commit."""
        lines = git(self.repo, "log", f"--format=%H %(trailers:key={_TRAILER},valueonly,separator=%x20)", f"{self.base}..{self.tip()}")
        return {name: commit for commit, *names in map(str.split, lines.splitlines()) for name in names}

    def path(self, ticket_id: str) -> Path:
        """Return the folder of a ticket's worktree."""
        return self.folder / ticket_id

    def branch(self, ticket_id: str) -> str:
        """Return the branch of a ticket."""
        return f"{self.prefix}/{ticket_id}"

    def head(self, ticket_id: str) -> str | None:
        """Return the commit that a ticket's branch is at; None when there is none."""
        return commit_of(self.repo, f"refs/heads/{self.branch(ticket_id)}")

    def open(self, ticket_id: str, tip: str | None = None) -> Path:
        """Return a clean worktree on the ticket's branch, which starts from the tip when it is new."""
        path, branch = self.path(ticket_id), self.branch(ticket_id)
        with self._lock:
            if path.exists() and not self._is_ours(path, branch):
                if self._is_linked(path):  # on another branch: what was made there is kept
                    self._put_aside(path, ticket_id)
                    self._keep(ticket_id, git(path, "rev-parse", "HEAD"))
                shutil.rmtree(path)  # else half made by a process that died, or its link was cut
            if not path.exists():
                new = ("--no-track", "-b", branch, str(path), tip or self.tip())
                git(self.repo, "worktree", "add", "--force", "--quiet", *(new if self.head(ticket_id) is None else (str(path), branch)))
                return path
        self._put_aside(path, ticket_id)
        return path

    def bring_up_to_date(self, path: Path, tip: str) -> list[str]:
        """Merge the tip into a ticket's worktree; return the files in conflict, which then hold both sides between markers."""
        if attempt(path, "merge-base", "--is-ancestor", tip, "HEAD").code == 0:
            return []
        if not is_related(path, tip, "HEAD"):  # what was committed there can never land; it stays under a reference of its own
            self._keep(path.name, git(path, "rev-parse", "HEAD"))
            git(path, "reset", "--hard", "--quiet", tip)
            return []
        merged = attempt(path, "merge", "--no-edit", "--quiet", tip)
        if merged.code == 0:
            return []
        files = git(path, "diff", "--name-only", "--diff-filter=U").splitlines()
        if not files:
            raise GitFailed(f"the tip could not be merged into {path.name}", command="git merge", output=merged.errors)
        return files

    def commit_rest(self, path: Path, message: str) -> None:
        """Commit what a worker left uncommitted, so that nothing it made is lost and the worktree is clean."""
        _unlock(path)
        if self._is_merging(path) or not is_clean(path):
            git(path, "add", "--all")
            git(path, "commit", "--quiet", "--allow-empty", "--message", message)

    def checkout(self, name: str) -> Path:
        """Return a folder for verifications, detached from every branch."""
        path = self.folder / f"_{name}"
        with self._lock:
            if path.exists() and not (path / ".git").is_file():
                shutil.rmtree(path)
            if not path.exists():
                git(self.repo, "worktree", "add", "--force", "--quiet", "--detach", str(path), self.tip())
        return path

    def show(self, path: Path, commit: str) -> None:
        """Make a folder for verifications hold exactly one commit and nothing else."""
        _unlock(path)  # of a command that was ended
        git(path, "checkout", "--quiet", "--force", "--detach", commit)
        git(path, "clean", "-ffdxq")

    def close(self, ticket_id: str, landed: dict[str, str]) -> None:
        """Remove a ticket's worktree and, if its land commit is there, its branch."""
        path = self.path(ticket_id)
        with self._lock:
            if path.exists():
                if ticket_id not in landed and self._is_linked(path):
                    self._put_aside(path, ticket_id)
                self._remove(path)
            if ticket_id in landed:
                # where that fails, the branch stays until the next build of the run closes the ticket again
                attempt(self.repo, "update-ref", "-d", f"refs/heads/{self.branch(ticket_id)}")

    def close_checkouts(self) -> None:
        """Remove the folders for verifications."""
        with self._lock:
            for path in self.folder.glob("_*"):
                self._remove(path)
            git(self.repo, "worktree", "prune")  # what somebody else has removed

    def discard(self) -> None:
        """Remove everything of a run that was only a trial: its folders, its branches and where it started."""
        self.close_checkouts()
        with self._lock:
            for reference in git(
                self.repo, "for-each-ref", "--format=%(refname)", f"refs/heads/{self.prefix}/", f"refs/{self.prefix}/"
            ).splitlines():
                git(self.repo, "update-ref", "-d", reference)
            shutil.rmtree(self.folder, ignore_errors=True)

    def left_behind(self, before: Guarded, path: Path, ticket_id: str, did: WorkerGit) -> Outside:
        """Return what changed outside of a worker's worktree since a moment, and that its worktree was cut off."""
        outside = changed_outside(self, before, did)
        if self._is_ours(path, self.branch(ticket_id)):
            return outside
        cut_off = f"its worktree is not on the branch {self.branch(ticket_id)} any more"
        return outside._replace(by_worker="; ".join(filter(None, (cut_off, outside.by_worker))))

    def _is_linked(self, path: Path) -> bool:
        """Return whether a folder is a worktree of this repository."""
        link = path / ".git"
        ours = f"gitdir: {self.common / 'worktrees'}"
        return link.is_file() and link.read_text("utf-8", "replace").startswith(ours) and (_own_folder(path) / "HEAD").exists()

    def _is_ours(self, path: Path, branch: str) -> bool:
        """Return whether a folder is a worktree of this repository on a branch."""
        return self._is_linked(path) and attempt(path, "symbolic-ref", "--quiet", "HEAD").output.strip() == f"refs/heads/{branch}"

    def _put_aside(self, path: Path, ticket_id: str) -> None:
        """Keep what an attempt left uncommitted under `refs/smithering/…` and clean the worktree."""
        _unlock(path)
        if self._is_merging(path) or not is_clean(path):
            git(path, "add", "--all")
            tree = git(path, "write-tree")
            head = git(path, "rev-parse", "HEAD")
            kept = git(path, "commit-tree", tree, "-p", head, "-m", f"Left uncommitted by an attempt at {ticket_id}")
            self._keep(ticket_id, kept)
            git(path, "reset", "--hard", "--quiet")

    def _keep(self, ticket_id: str, commit: str) -> None:
        """Keep a commit that no branch has any more."""
        git(self.repo, "update-ref", f"refs/{self.prefix}/left/{ticket_id}/{commit[:12]}", commit)

    @staticmethod
    def _is_merging(path: Path) -> bool:
        return (_own_folder(path) / "MERGE_HEAD").exists()

    def _remove(self, path: Path) -> None:
        if attempt(self.repo, "worktree", "remove", "--force", "--force", str(path)).code != 0:
            shutil.rmtree(path, ignore_errors=True)
            git(self.repo, "worktree", "prune")


def hide_ours(folder: Path) -> None:
    """Have git ignore what we write into a project, in this clone only and not what the project keeps there; no clone is left alone."""
    with suppress(GitFailed):
        if (folder / ".git").exists():
            for ours, inside in _OURS.items():
                is_theirs = git(folder, "ls-files", "--", ours.strip("/"))
                exclude(folder, [f"{ours}{name}" for name in inside] if is_theirs else [ours])


def _unlock(path: Path) -> None:
    """Remove the lock that a worker's git left when it was ended; nobody works in the worktree now."""
    (_own_folder(path) / "index.lock").unlink(missing_ok=True)


def _own_folder(path: Path) -> Path:
    """Return the folder in which git keeps what belongs to one worktree alone."""
    return Path((path / ".git").read_text("utf-8", "replace").removeprefix("gitdir: ").strip())
