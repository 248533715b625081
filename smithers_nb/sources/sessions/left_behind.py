"""What the calls of a session left behind: files changed since the last commit, processes in the background that nothing ended.

Only what the log itself says: what a command did besides, or a person afterwards, is not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.marks import Mark

_PUT_AWAY: Final = re.compile(r"\bgit\b[^|;&\n]{0,80}\b(?:commit|stash|reset --hard|restore|checkout (?:--|\.))")
_IN_BACKGROUND: Final = re.compile(
    r"^\s*(?:nohup|setsid)\b|\bStart-Process\b|[^&>|\s]\s*(?<![&>|])&\s*(?:$|\n|\)|echo\b|sleep\b|disown\b)"
    r"|\bdocker(?: compose|-compose)\b.{0,80}\bup\b.{0,40}\s-d\b|\bdocker run\b.{0,80}\s-d\b",
    re.MULTILINE,
)
_ENDS_PROCESSES: Final = re.compile(r"\b(?:kill|pkill|killall|taskkill|Stop-Process|fuser -k)\b|\bdocker\b.{0,80}\b(?:down|stop|rm)\b")
_STARTED: Final = re.compile(r"running in background with ID: (\w+)|Process running with session ID (\d+)")
_ENDERS: Final = frozenset({"KillShell", "KillBash", "TaskStop"})
_OVER: Final = re.compile(r"<status>(?:completed|failed|killed|stopped)</status>|Process exited with code")
_MAX: Final = 20


@dataclass(slots=True)
class Process:
    """Something that runs in the background.

    Attributes:
        line: Record of the call that started it.
        command: What was called.
        key: Its id, where the CLI gives it one.
        slow: It has only been slow so far: nobody has looked whether it still runs.
    """

    line: int
    command: str
    key: str = ""
    slow: bool = False


class LeftBehind:
    """Takes each call with its result."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.processes: list[Process] = []
        self._keys: list[str] = []

    def ended(self, call: Mark, result: Mark) -> None:
        """Take any call: it may have ended a process, or have seen its end."""
        if call.more.get("name") in _ENDERS or _OVER.search(result.text):
            self.processes = [one for one in self.processes if not one.key or not re.search(rf"\b{one.key}\b", call.text)]

    def changed(self, line: int, call: Mark) -> None:
        """Take a call that changed files."""
        for file in call.more.get("files") or [call.text]:
            if file and (file in self.files or len(self.files) < _MAX):
                self.files[file] = line

    def ran(self, line: int, call: Mark, result: Mark) -> None:
        """Take any other call that went well.

        Args:
            line: Record of the call.
            call: The call.
            result: Its result.
        """
        if _PUT_AWAY.search(call.text):
            self.files.clear()
        if _ENDS_PROCESSES.search(call.text):
            self.processes = [one for one in self.processes if one.key]
        started = _STARTED.search(result.text)
        if (started or _IN_BACKGROUND.search(call.text)) and len(self.processes) < _MAX:
            key = next((group for group in started.groups() if group), "") if started else ""
            again = next((one for one in self.processes if key and one.key == key), None)
            if again is not None:
                again.slow = False
                return
            self.processes.append(Process(line, call.text, key, slow=started is not None and started[2] is not None))
            self._keys.extend([key] if key else [])

    def knew(self, words: str) -> bool:
        """Return whether a notice is of a process that was started here."""
        return any(f">{key}<" in words for key in self._keys)

    def told(self, words: str) -> None:
        """Take a notice of the CLI that something in the background is over."""
        if _OVER.search(words):
            self.processes = [one for one in self.processes if not one.key or f">{one.key}<" not in words]
