"""What a worker's process had git do: read from the trace that git itself writes (`GIT_TRACE2_EVENT`).

Whatever changes in a repository while somebody works in a worktree of it may be the doing of a person, or of another worker. A git command
in this trace was started by the worker's own process, or by what that started; nobody else's is in it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "GIT_TRACE2_EVENT"

_IN_CHECKOUT: Final = frozenset(
    {
        *("add", "am", "apply", "bisect", "branch", "checkout", "cherry-pick", "clean", "commit", "merge", "mv", "pull", "rebase", "reset"),
        *("restore", "revert", "rm", "stash", "switch", "update-ref"),
    }
)
"""Commands that change the checkout in which they run, or its branch."""

_BY_REFSPEC: Final = frozenset({"push", "fetch"})
_BY_NAME: Final = frozenset({"update-ref", "branch", "symbolic-ref"})
_SECTIONS: Final = {
    "remote": "remote.",
    "submodule": "submodule.",
    **dict.fromkeys(("branch", "checkout", "switch", "push", "pull"), "branch."),
}
"""Commands that write settings beside `git config`, and the section that they write."""


@dataclass(kw_only=True)
class GitCommand:
    """A git command that ended well.

    Attributes:
        words: As it was called.
        name: The subcommand.
        worktree: The checkout that it worked in; None when it was none.
    """

    words: tuple[str, ...] = ()
    name: str = ""
    worktree: Path | None = None


class WorkerGit:
    """The git commands of one worker's process that ended well; none when nothing was traced."""

    def __init__(self, commands: Iterable[GitCommand] = ()) -> None:
        self.commands = tuple(commands)

    @classmethod
    def read(cls, trace: Path) -> WorkerGit:
        """Read a trace; what is no event in it is skipped, because the worker can write there, too."""
        try:
            lines = trace.read_text("utf-8", "replace").splitlines()
        except OSError:
            return cls()
        return cls(_commands(filter(None, map(_event, lines))))

    def changed_checkout(self, repo: Path) -> bool:
        """Whether it changed the files, the index or the branch of a checkout."""
        return any(each.name in _IN_CHECKOUT and each.worktree == repo for each in self.commands)

    def moved(self, branch: str) -> bool:
        """Whether it named a branch to a command that moves branches from wherever it runs."""
        names = {branch, f"refs/heads/{branch}"}
        for each in self.commands:
            if each.name in _BY_NAME and names & set(each.words):
                return True
            if each.name in _BY_REFSPEC and any(word.rpartition(":")[2] in names for word in each.words if ":" in word):
                return True
        return False

    def set(self, names: Collection[str]) -> list[str]:
        """Return those of some settings that it wrote."""
        spoken = {word.casefold().partition("=")[0] for each in self.commands if each.name == "config" for word in each.words}
        sections = tuple(_SECTIONS[each.name] for each in self.commands if each.name in _SECTIONS)
        return [name for name in sorted(names) if name.casefold() in spoken or name.startswith(sections)]


def _commands(events: Iterable[dict[str, Any]]) -> Iterator[GitCommand]:
    begun: dict[str, GitCommand] = {}
    for event in events:
        command = begun.setdefault(str(event.get("sid")), GitCommand())
        match event:
            case {"event": "start", "argv": [*words]}:
                command.words = tuple(map(str, words))
            case {"event": "cmd_name", "name": str(name)}:
                command.name = name
            case {"event": "def_repo", "worktree": str(worktree)}:
                command.worktree = Path(worktree).resolve()
            case {"event": "exit", "code": 0}:
                yield command


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
