"""What the calls of a session left behind: files changed since the last commit, and background processes that nothing ended.

Only what the log records: side effects of a command, and what a person did afterwards, are not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_CLEANS_TREE: Final = re.compile(r"\bgit\b[^|;&\n]{0,80}\b(?:commit|stash|reset --hard|restore|checkout (?:--|\.))")
_IN_BACKGROUND: Final = re.compile(
    r"^\s*(?:nohup|setsid)\b|\bStart-Process\b|[^&>|\s]\s*(?<![&>|])&\s*(?:$|\n|\)|echo\b|sleep\b|disown\b)"
    r"|\bdocker(?: compose|-compose)\b.{0,80}\bup\b.{0,40}\s-d\b|\bdocker run\b.{0,80}\s-d\b",
    re.MULTILINE,
)
_ENDS_PROCESSES: Final = re.compile(r"\b(?:kill|pkill|killall|taskkill|Stop-Process|fuser -k)\b|\bdocker\b.{0,80}\b(?:down|stop|rm)\b")
_STARTED: Final = re.compile(r"running in background with ID: (\w+)|Process running with session ID (\d+)")
_END_TOOLS: Final = frozenset({"KillShell", "KillBash", "TaskStop"})
_ENDED: Final = re.compile(r"<status>(?:completed|failed|killed|stopped)</status>|Process exited with code")
_MAX_ITEMS: Final = 20


@dataclass(slots=True)
class Process:
    """A process in the background.

    Attributes:
        line: Record of the call that started it.
        command: Its command.
        key: Its id, if the CLI gave it one.
        slow: It may only have been slow; the agent has not yet checked whether it still runs.
    """

    line: int
    command: str
    key: str = ""
    slow: bool = False


class LeftBehind:
    """Collects changed files and background processes, call by call."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.processes: list[Process] = []
        self._keys: list[str] = []

    def drop_ended(self, call: Mark, result: Mark) -> None:
        """Remove processes that a call ended, or whose end its result shows."""
        if call.more.get("name") in _END_TOOLS or _ENDED.search(result.text):
            self.processes = [run for run in self.processes if not run.key or not re.search(rf"\b{run.key}\b", call.text)]

    def add_files(self, line: int, call: Mark) -> None:
        """Add the files that a call changed."""
        for file in call.more.get("files") or [call.text]:
            if file and (file in self.files or len(self.files) < _MAX_ITEMS):
                self.files[file] = line

    def add_command(self, line: int, call: Mark, result: Mark) -> None:
        """Add any other call that succeeded.

        Args:
            line: Record of the call.
            call: The call.
            result: Its result.
        """
        if _CLEANS_TREE.search(call.text):
            self.files.clear()
        if _ENDS_PROCESSES.search(call.text):
            self.processes = [run for run in self.processes if run.key]
        started = _STARTED.search(result.text)
        if (started or _IN_BACKGROUND.search(call.text)) and len(self.processes) < _MAX_ITEMS:
            key = next((group for group in started.groups() if group), "") if started else ""
            known = next((run for run in self.processes if key and run.key == key), None)
            if known is not None:
                known.slow = False
                return
            self.processes.append(Process(line, call.text, key, slow=started is not None and started[2] is not None))
            self._keys.extend([key] if key else [])

    def has_started(self, words: str) -> bool:
        """Return whether a notice is about a process that this session started."""
        return any(f">{key}<" in words for key in self._keys)

    def drop_reported(self, words: str) -> None:
        """Remove the process that a notice of the CLI reports as ended."""
        if _ENDED.search(words):
            self.processes = [run for run in self.processes if not run.key or f">{run.key}<" not in words]
