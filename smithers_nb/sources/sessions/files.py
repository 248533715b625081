"""Where session logs are: one file, a folder, a pattern, or the folder in which a CLI keeps them.

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
_LOG_SUFFIXES: Final = (SUFFIX, f"{SUFFIX}.gz")
_DOCUMENT_PREFIXES: Final = ("session-", "ses_")
"""How the names of sessions that are one JSON document begin; other documents in a folder are ignored."""

_OTHER_FILES: Final = frozenset({"history.jsonl", "journal.jsonl"})
_HOMES: Final = {
    "claude": ("CLAUDE_CONFIG_DIR", ".claude", "projects"),
    "codex": ("CODEX_HOME", ".codex", "sessions"),
    "gemini": ("", ".gemini", "tmp"),
}
"""Per CLI: the variable that overrides its folder (empty if there is none), its folder in the home folder, and the log folder in that."""

_LOG_PATTERNS: Final = {"claude": "*/{}.jsonl", "codex": "*/*/*/rollout-*-{}.jsonl", "gemini": "*/chats/session-*-{:.8}.json*"}
"""Per CLI: the pattern of a session's log below the log folder; Gemini CLI uses the beginning of the id."""

_MAX_PROBED: Final = 5
_ID: Final = re.compile(r"[0-9a-zA-Z][\w-]{3,63}")


def is_session(run: object) -> bool:
    """Return whether a run was named by the path of a session log; a JSON document must exist to count as one."""
    return isinstance(run, str) and (run.endswith(_LOG_SUFFIXES) or (run.endswith(DOCUMENT) and Path(run).is_file()))


def holds_sessions(folder: Path) -> bool:
    """Return whether a folder is the folder of a CLI, with its logs in it."""
    return any((folder / inner).is_dir() and folder.name in {home, home.lstrip(".")} for _, home, inner in _HOMES.values())


def holds_logs(folder: Path) -> bool:
    """Return whether a folder directly contains session logs; only the first few candidates are opened."""
    from smithers_nb.sources.sessions.records import is_log

    named = (entry for entry in sorted(folder.iterdir()) if entry.name.endswith(SUFFIX) and entry.name not in _OTHER_FILES)
    return any(is_log(str(path)) for path in islice(named, _MAX_PROBED))


def usual_place(cli: str) -> Path:
    """Return the folder in which a CLI keeps its logs: `claude`, `codex` or `gemini`."""
    variable, home, inner = _HOMES[cli]
    return (Path(os.environ[variable]) if variable and os.environ.get(variable) else Path.home() / home) / inner


def log_of(cli: str, session_id: str) -> Path | None:
    """Return the newest log of a session in the log folder of a CLI; None if there is none."""
    if not _ID.fullmatch(session_id):
        return None
    logs = usual_place(cli).glob(_LOG_PATTERNS[cli].format(session_id))
    return max((path for path in logs if path.is_file()), key=lambda path: path.stat().st_mtime, default=None)


def session_files(path: Path) -> SessionFiles:
    """Return the logs below a path; for the folder of a CLI, only those in its log folder."""
    inner = next((path / inner for _, _, inner in _HOMES.values() if path.is_dir() and (path / inner).is_dir()), path)
    named = path.name.endswith(DOCUMENT)
    return SessionFiles(str(inner), (*_LOG_SUFFIXES, DOCUMENT), named=named)


class SessionFiles(LocalFiles):
    """Session logs on this machine, without the CLIs' other files of the same type.

    Args:
        where: A file, a folder (searched recursively), or a pattern.
        suffixes: Suffixes of log files.
        named: JSON documents were named explicitly, so any file name counts.
    """

    def __init__(self, where: str, suffixes: tuple[str, ...], *, named: bool = False) -> None:
        super().__init__(where, suffixes)
        self._named = named
        if self._where.is_dir():
            self.location = f"sessions:{self._where}"  # reopened as a bare folder, it would be searched for stores

    def listed(self) -> list[RunFile]:
        """List the files, sorted by run id.

        Raises:
            SourceVanished: The path no longer exists.
        """
        return [file for file in super().listed() if self._is_log(file.run_id.rpartition("/")[2])]

    def _is_log(self, name: str) -> bool:
        if name.endswith(DOCUMENT):
            return self._named or name.startswith(_DOCUMENT_PREFIXES)
        return name not in _OTHER_FILES
