"""Where session logs are: one file, a folder, a pattern, or the usual place of a CLI.

A run's id is the path of its log below the place that was named.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Final

from smithers_nb.sources.files import LocalFiles, RunFile

SUFFIX: Final = ".jsonl"
DOCUMENT: Final = ".json"
_LINES: Final = (SUFFIX, f"{SUFFIX}.gz")
_CHATS: Final = ("session-", "ses_")
"""How a CLI begins the name of a session that is one JSON document; in a folder no other is taken for one."""
_NO_SESSIONS: Final = frozenset({"history.jsonl", "journal.jsonl"})
_HOMES: Final = {
    "claude": ("CLAUDE_CONFIG_DIR", ".claude", "projects"),
    "codex": ("CODEX_HOME", ".codex", "sessions"),
    "gemini": ("", ".gemini", "tmp"),
}
"""CLI to the variable that names its folder, if it has one, that folder in the home folder, and the folder of the logs in it."""


_LOGS: Final = {"claude": "*/{}.jsonl", "codex": "*/*/*/rollout-*-{}.jsonl", "gemini": "*/chats/session-*-{:.8}.json*"}
"""CLI to how the log of a session is named below the usual place; Gemini CLI takes the beginning of the id."""

_LOOKED_INTO: Final = 5
_ID: Final = re.compile(r"[0-9a-zA-Z][\w-]{3,63}")


def is_session(run: object) -> bool:
    """Return whether what a person named as a run is a session log, and so a place by itself; a JSON document has to be there."""
    return isinstance(run, str) and (run.endswith(_LINES) or (run.endswith(DOCUMENT) and Path(run).is_file()))


def holds_sessions(folder: Path) -> bool:
    """Return whether a folder is where a CLI keeps its logs."""
    return any((folder / inner).is_dir() and folder.name in {home, home.lstrip(".")} for _, home, inner in _HOMES.values())


def holds_logs(folder: Path) -> bool:
    """Return whether session logs lie right in a folder; of its files that could be some, the first few are looked into."""
    from smithers_nb.sources.sessions.records import is_log

    named = (entry for entry in sorted(folder.iterdir()) if entry.name.endswith(SUFFIX) and entry.name not in _NO_SESSIONS)
    return any(is_log(str(path)) for path in islice(named, _LOOKED_INTO))


def usual_place(cli: str) -> Path:
    """Return the folder in which a CLI keeps its logs: `claude`, `codex` or `gemini`."""
    variable, home, inner = _HOMES[cli]
    return (Path(os.environ[variable]) if variable and os.environ.get(variable) else Path.home() / home) / inner


def log_of(cli: str, session_id: str) -> Path | None:
    """Find the log of a session in the usual place of a CLI, the newest where there are several; None without one."""
    if not _ID.fullmatch(session_id):
        return None
    found = usual_place(cli).glob(_LOGS[cli].format(session_id))
    return max((path for path in found if path.is_file()), key=lambda path: path.stat().st_mtime, default=None)


def session_files(path: Path) -> SessionFiles:
    """Return the logs of a place; of the folder of a CLI only those in the folder that it keeps them in."""
    inner = next((path / inner for _, _, inner in _HOMES.values() if path.is_dir() and (path / inner).is_dir()), path)
    named = path.name.endswith(DOCUMENT)
    return SessionFiles(str(inner), (*_LINES, DOCUMENT), named=named)


class SessionFiles(LocalFiles):
    """Session logs on this machine; the CLIs' other files of that kind are left out.

    Args:
        where: A file, a folder with folders in it, or a pattern.
        suffixes: How their names end.
        named: JSON documents were asked for by name, so each of them counts.
    """

    def __init__(self, where: str, suffixes: tuple[str, ...], *, named: bool = False) -> None:
        super().__init__(where, suffixes)
        self._named = named
        if self._where.is_dir():
            self.location = f"sessions:{self._where}"  # a folder alone would be looked through for stores when it is opened again

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id.

        Raises:
            SourceVanished: The place is gone.
        """
        return [file for file in super().listed() if self._is_log(file.run_id.rpartition("/")[2])]

    def _is_log(self, name: str) -> bool:
        if name.endswith(DOCUMENT):
            return self._named or name.startswith(_CHATS)
        return name not in _NO_SESSIONS
