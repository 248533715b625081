"""Git as we call it: without hooks, prompts, editors, signatures or background work, in an environment of its own, within a time.

Everything that decides what lands is done on objects and references, never in somebody's checkout: a merge is computed by `merge-tree`, a
commit made by `commit-tree`, a branch moved by compare-and-set. So a process that dies leaves objects that nothing points to, and no
half-finished merge.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from smithers_nb.agents.providers.limited_process import MARK
from smithers_nb.agents.providers.settings import HANDED_ON
from smithers_nb.errors import GitFailed
from smithers_nb.redact import redact

AUTHOR: Final = ("smithering", "smithering@localhost")
"""Who makes the commits that no worker made."""

BRANCHES: Final = "smithering"
"""What the names of our branches begin with."""

_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.editor": "true",
    "core.quotePath": "false",
    "protocol.file.allow": "never",
    "protocol.ext.allow": "never",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "rerere.enabled": "false",
    "log.showSignature": "false",
    "trailer.separators": ":",
    "user.name": AUTHOR[0],
    "user.email": AUTHOR[1],
}
_COMMAND: Final = ["git", "--no-pager", *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}"))]
_ALWAYS: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_COUNT": "0", "LC_ALL": "C", "GIT_EDITOR": "true"}
_TIMEOUT_S: Final = 300.0
_LINES: Final = 12
_UNFINISHED: Final = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


class Problem(NamedTuple):
    """What keeps a repository from being built in: a code for programs, a sentence, and what to do."""

    code: str
    message: str
    hint: str


class Done(NamedTuple):
    """How a git command ended: its exit code and the two outputs."""

    code: int
    output: str
    errors: str


def git(folder: Path, *words: str, given: str = "") -> str:
    """Run a git command that must succeed and return what it printed, without the last line break.

    Raises:
        GitFailed: It did not, took longer than five minutes, or there is no git.
    """
    done = attempt(folder, *words, given=given)
    if done.code != 0:
        said = _last_lines(done.errors or done.output)
        raise GitFailed(f"git {words[0]} ended with exit code {done.code}: {said}", command=_shown(words), output=said)
    return done.output.removesuffix("\n")


def attempt(folder: Path, *words: str, given: str = "") -> Done:
    """Run a git command whose failure is an answer.

    Raises:
        GitFailed: It took longer than five minutes, or there is no git.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # an argument list, no shell
            [*_COMMAND, *words],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitFailed(f"git could not be started in {folder}: {error.strerror}", command=_shown(words)) from error
    try:
        output, errors = process.communicate(given.encode("utf-8", "surrogateescape"), _TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _end(process)
        raise GitFailed(f"git {words[0]} took longer than {_TIMEOUT_S:g} s", command=_shown(words)) from None
    except BaseException:
        _end(process)
        raise
    return Done(process.returncode, *(text.decode("utf-8", "surrogateescape") for text in (output, errors)))


def commit_of(folder: Path, name: str) -> str | None:
    """Return the commit that a branch, reference or id stands for; None when there is none."""
    done = attempt(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.output.strip() if done.code == 0 else None


def move(folder: Path, reference: str, new: str, old: str) -> bool:
    """Move a reference, if it still is where it was; return whether it was moved."""
    return attempt(folder, "update-ref", reference, new, old).code == 0


def is_related(folder: Path, one: str, other: str) -> bool:
    """Return whether two commits have a commit in common."""
    return attempt(folder, "merge-base", one, other).code == 0


def is_clean(folder: Path) -> bool:
    """Return whether a checkout has no change and no file that git does not know."""
    return not git(folder, "status", "--porcelain", "--untracked-files=normal")


def patch_id(folder: Path, patch: str) -> str:
    """Return the id of a change, which stays when the same change is made elsewhere; empty for no change."""
    return git(folder, "patch-id", "--stable", given=f"{patch}\n").partition(" ")[0] if patch else ""


def common_folder(repo: Path) -> Path:
    """Return the folder of the repository's own data, which all of its worktrees share."""
    return Path(git(repo, "rev-parse", "--path-format=absolute", "--git-common-dir"))


def exclude(repo: Path, patterns: Iterable[str]) -> None:
    """Make git ignore our own folders in this clone, without a change to any file of the project."""
    path = common_folder(repo) / "info" / "exclude"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    missing = [pattern for pattern in patterns if pattern not in lines]
    if missing:
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([*lines, *missing, ""]), "utf-8")


def preflight(repo: Path, base: str) -> list[Problem]:
    """Return what keeps a repository from being built in; nothing is changed.

    Args:
        repo: Folder of its main checkout.
        base: Branch that the work starts from.
    """
    if not repo.is_dir():
        return [Problem("NO_FOLDER", f"there is no folder {repo}", "name the folder of a git repository")]
    inside = attempt(repo, "rev-parse", "--is-inside-work-tree")
    if inside.code != 0 or inside.output.strip() != "true":
        if "dubious ownership" in inside.errors:
            return [Problem("NOT_OURS", f"{repo} belongs to another user", f"run `git config --global --add safe.directory {repo}`")]
        kind = "is a bare repository" if inside.code == 0 else "is not a git repository"
        return [Problem("NOT_A_REPOSITORY", f"{repo} {kind}", f"run `git init` in {repo}, or name another folder")]
    top = Path(git(repo, "rev-parse", "--show-toplevel"))
    if top != repo.resolve():
        return [Problem("NOT_THE_TOP", f"{repo} is a folder inside the repository {top}", f"name {top}")]
    found = [
        Problem("UNFINISHED", f"a {word} is not finished", f"finish it, or run `git {word} {'reset' if word == 'bisect' else '--abort'}`")
        for name, word in _UNFINISHED.items()
        if Path(git(repo, "rev-parse", "--path-format=absolute", "--git-path", name)).exists()
    ]
    if attempt(repo, "symbolic-ref", "--quiet", "HEAD").code != 0:
        found.append(Problem("DETACHED_HEAD", "no branch is checked out (detached HEAD)", f"run `git switch {base}`"))
    if commit_of(repo, f"refs/heads/{BRANCHES}") is not None:
        hint = f"rename it: `git branch --move {BRANCHES} NAME`"
        found.append(Problem("BRANCH_IN_THE_WAY", f"a branch is called {BRANCHES}, which is what the names of ours begin with", hint))
    status = attempt(repo, "status", "--porcelain", "--untracked-files=normal")
    if status.code != 0:
        found.append(
            Problem(
                "NO_STATUS",
                f"git cannot compare the checkout: {'; '.join(_last_lines(status.errors).splitlines())}",
                "run `git status` and mend it",
            )
        )
    elif changed := status.output.splitlines():
        listed = ", ".join(line[3:] for line in changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")  # noqa: PLR2004
        found.append(Problem("DIRTY_TREE", f"not committed: {redact(listed)}", "commit or stash it; a build starts from what is committed"))
    if commit_of(repo, f"refs/heads/{base}") is None:
        found.append(
            Problem("NO_BASE_BRANCH", f"there is no branch {base} with a commit", "name the branch to start from, or commit first")
        )
    return found


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in HANDED_ON}
    return {**kept, **_ALWAYS, MARK: "git"}


def _shown(words: Iterable[str]) -> str:
    return redact(" ".join(("git", *words)))[:300]


def _last_lines(text: str) -> str:
    return redact("\n".join(text.strip().splitlines()[-_LINES:])) or "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
