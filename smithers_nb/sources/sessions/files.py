"""Where session logs are: one file, a folder, a pattern, or the usual place of a CLI.

A run's id is the path of its log below the place that was named.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from smithers_nb.sources.files import LocalFiles, RunFile

SUFFIX: Final = ".jsonl"
_SUFFIXES: Final = (SUFFIX, f"{SUFFIX}.gz")
_NO_SESSIONS: Final = frozenset({"history.jsonl", "journal.jsonl"})
_HOMES: Final = {"claude": ("CLAUDE_CONFIG_DIR", ".claude", "projects"), "codex": ("CODEX_HOME", ".codex", "sessions")}
"""CLI to the variable that names its folder, that folder in the home folder, and the folder of the logs in it."""


def is_session(run: object) -> bool:
    """Return whether what a person named as a run is a session log, and so a place by itself."""
    return isinstance(run, str) and run.endswith(_SUFFIXES)


def holds_sessions(folder: Path) -> bool:
    """Return whether a folder is where a CLI keeps its logs."""
    return any((folder / inner).is_dir() and folder.name in {home, home.lstrip(".")} for _, home, inner in _HOMES.values())


def usual_place(cli: str) -> Path:
    """Return the folder in which a CLI keeps its logs: `claude` or `codex`."""
    variable, home, inner = _HOMES[cli]
    return (Path(os.environ[variable]) if os.environ.get(variable) else Path.home() / home) / inner


def session_files(path: Path) -> SessionFiles:
    """Return the logs of a place; of the folder of a CLI only those in the folder that it keeps them in."""
    inner = next((path / inner for _, _, inner in _HOMES.values() if path.is_dir() and (path / inner).is_dir()), path)
    return SessionFiles(str(inner), _SUFFIXES)


class SessionFiles(LocalFiles):
    """Session logs on this machine; the CLIs' other files of that kind are left out."""

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id.

        Raises:
            SourceVanished: The place is gone.
        """
        return [file for file in super().listed() if file.run_id.rpartition("/")[2] not in _NO_SESSIONS]
