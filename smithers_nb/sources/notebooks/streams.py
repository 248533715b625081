"""Errors that only stand in what a cell printed: a shell's commands make no error output, or one without the cause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from smithers_nb.sources.notebooks.document import Cell

_SHELL_LINE: Final = re.compile(r"^\s*!{1,2}(?!\[)\s*(?P<command>\S.*)$|^\s*\w[\w, ]*=\s*!(?P<assigned>\S.*)$", re.MULTILINE)
_SHELL_CELL: Final = re.compile(r"^\s*(?:%%capture\b.*\n\s*)?%%(?:bash|sh|script|system|sx|!)\b(?P<options>.*)\n?(?P<body>(?s:.*))")
_FORGIVEN: Final = re.compile(r"--no-raise-error\b|\|\|\s*(?:true|:)\s*$|\bset \+e\b", re.MULTILINE)
_SPARK_SIGNS: Final = ("An error was encountered:", "The code failed because of a fatal error:")
_SPARKMAGIC: Final = re.compile(rf"^(?:{'|'.join(_SPARK_SIGNS)})\s*\n(?P<text>(?s:.+))", re.MULTILINE)
_GROUP_SIGN: Final = "Exception Group Traceback"
_GROUP_RAIL: Final = re.compile(r"^ *(?:[|+][ -]?)+", re.MULTILINE)
_EXIT_NOTICE: Final = "An exception has occurred, use %tb to see the full traceback."
_GROUP: Final = re.compile(r"^ *\| (?P<name>[\w.]*ExceptionGroup): (?P<message>.* sub-exceptions\))$", re.MULTILINE)
_SETTING: Final = re.compile(r"set\s+[-+]|#|(?:export|cd|source)\s")
_SCRIPT_LINE: Final = re.compile(r"^\S+: line (\d+): ")
_FRAME: Final = re.compile(r'^\s*File ".*", line \d+.*$', re.MULTILINE)
_THROWN: Final = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.+)|:?[ \t]*)$", re.MULTILINE)
_TRACEBACK: Final = "Traceback (most recent call last)"
_DIED: Final = re.compile(
    r"^.*(?:died with <Signals\.\w+: \d+>|Segmentation fault|\bKilled\b\s*$|core dumped|command not found|: not found$"
    r"|No such file or directory$|Permission denied).*$",
    re.MULTILINE,
)
_COMPLAINT: Final = re.compile(
    r"\bfatal\b|\berror\b|\bexception\b|[a-z]Error\b|[a-z]Exception\b|\bcannot\b"
    r"|could not|no such|not found|\bdenied\b|\bmissing\b|\bfailed\b|\binvalid\b"
    r"|no module named",
    re.IGNORECASE,
)
_BEGINS: Final = re.compile(r"^\W*(?:[\w.-]+: )?(?:fatal|error|[\w.]*(?:Error|Exception))\b", re.IGNORECASE)
_FRAME_LINE: Final = re.compile(r"^\s*(?:at |\d+ +\S+\.(?:so|dylib)\b|#\d+ |frame #)")
_RUNS_PROGRAM: Final = re.compile(r"^[ \t]*(?:\w+[ \t]*=[ \t]*)?(?:!|%(?:pip|conda|mamba|uv|system|sx)\b|os\.system\().*$", re.MULTILINE)
_SAYS_IT_FAILED: Final = re.compile(
    r"^(?:\w+: )?(?:ERROR|error|fatal|FATAL|npm ERR!|E:)(?!\w)|command not found|: not found$|No such file or directory"
    r"|[Pp]ermission denied|No space left|[Cc]ould not (?:find|resolve|connect)|^\w*Error: "
)
_AFTER: Final = 6
"""Lines that a program may print after the exception that ended it."""


class Printed(NamedTuple):
    """An exception whose traceback was printed."""

    name: str
    message: str


def shell_command(cell: Cell, told: str = "") -> str:
    """Return a command that a cell hands to a shell: the one whose line was told, else the first that does something; empty without."""
    if "!" not in cell.source and "%%" not in cell.source:
        return ""
    whole = _SHELL_CELL.match(cell.source)
    if whole:
        lines = whole["body"].splitlines()
        named = _SCRIPT_LINE.match(told)
        if named and 0 < int(named[1]) <= len(lines):
            return lines[int(named[1]) - 1].strip()
        written = [line.strip() for line in lines if line.strip()]
        return next((line for line in written if not _SETTING.match(line)), written[0] if written else "")
    found = _SHELL_LINE.search(cell.source)
    return (found["command"] or found["assigned"] or "").strip() if found else ""


def is_one_command(cell: Cell, told: str = "") -> bool:
    """Return whether an exit status is that of one command: a shell is handed no other, or what was told names its line."""
    if _SCRIPT_LINE.match(told):
        return True
    whole = _SHELL_CELL.match(cell.source)
    return whole is None or sum(bool(line.strip()) and not _SETTING.match(line.strip()) for line in whole["body"].splitlines()) == 1


def failed_unnoticed(source: str, printed: str) -> tuple[str, str] | None:
    """Find a program that a cell runs and whose failure raises nothing, as that of `!pip install`.

    Returns:
        Its command line and the last line with which it says that it failed; None when it does not.
    """
    run = _RUNS_PROGRAM.search(source)
    lines = [line.strip() for line in printed.splitlines() if _SAYS_IT_FAILED.search(line)] if run else []
    return (run[0].strip()[:120], lines[-1][:300]) if run and lines else None


def shell_error(cell: Cell) -> Printed | None:
    """Find the error that ended a shell's command, or that sparkmagic printed, in a cell without an error output.

    A command that is told not to fail, and an exception that the program went on after, are none.
    """
    command = shell_command(cell)
    if not command and not any(output.get("name") == "stderr" for output in cell.outputs):
        return None
    stderr = cell.streams("stderr")
    if any(sign in stderr for sign in _SPARK_SIGNS) and (spark := _SPARKMAGIC.search(stderr)):
        lines = [line for line in spark["text"].splitlines() if line.strip()]
        return python_error(spark["text"]) or Printed("", lines[0].strip() if lines else "")
    if not command or _FORGIVEN.search(cell.source):
        return None
    text = cell.streams()
    return python_error(text, at_end=True) or _death(text)


def python_error(text: str, *, at_end: bool = False) -> Printed | None:
    """Return the exception that the last traceback in a text ends with; with `at_end` only when next to nothing follows it."""
    if _TRACEBACK not in text:
        return None
    if _GROUP_SIGN in text:  # the last exception in it, without the lines that are drawn around it
        text = _GROUP_RAIL.sub("", text).rstrip("- \n")
    start = text.rfind(_TRACEBACK)
    frames = list(_FRAME.finditer(text, start))
    if not frames:
        return None
    found = _THROWN.search(text, frames[-1].end())
    if found is None or (at_end and sum(1 for line in text[found.end() :].splitlines() if line.strip()) > _AFTER):
        return None
    return Printed(found["name"].rpartition(".")[2], (found["message"] or "").strip())


def exception_group(text: str) -> Printed | None:
    """Return a group of several exceptions whose traceback a text holds; one of a single exception says no more than that one."""
    found = _GROUP.search(text) if _GROUP_SIGN in text else None
    return Printed(found["name"].rpartition(".")[2], found["message"]) if found else None


def said_before_exit(text: str) -> str:
    """Return what a program wrote on stderr before it ended itself, without what IPython adds to that."""
    return text.partition(_EXIT_NOTICE)[0].strip()


def complaint(text: str) -> str:
    """Return the line of what was printed that says what went wrong; empty when none does."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _FRAME_LINE.match(line)]
    begun = [line for line in lines if _BEGINS.match(line)]
    found = begun or [line for line in lines if _COMPLAINT.search(line)]
    return found[-1] if found else ""


def _death(text: str) -> Printed | None:
    lines = [line for line in text.splitlines() if line.strip()][-_AFTER:]
    found = [line.strip() for line in lines if _DIED.match(line)]
    return Printed("", found[-1]) if found else None
