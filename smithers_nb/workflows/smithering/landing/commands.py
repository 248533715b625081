"""One verification command in one checkout, and whether its end says something about the work.

A command is green, red, or `infra`: it ended for a reason that is not in the code. Only red is the worker's to repair. Commands come from
tickets, so they run only after the gate that showed them, see nothing but an allow-list of our environment, and end with whatever they
started.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal, NamedTuple

from smithers_nb.agents.providers.limited_process import run_bounded
from smithers_nb.agents.providers.settings import HANDED_ON
from smithers_nb.artifacts import write_whole
from smithers_nb.redact import redact

Status = Literal["green", "red", "infra"]

_TAIL: Final = 400_000
_FROM_OUTSIDE: Final = {code for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU") for code in (getattr(signal, name),)}
"""Signals that somebody else sends; a program that crashes by itself (SIGSEGV, SIGABRT) is red."""
_BY_SHELL: Final = 128
_TIMED_OUT: Final = 124
_REPORT: Final = re.compile(
    r"\b\d+ (?:failed|passed|failures?|errors?|tests?)\b|error TS\d+|^(?:FAIL|FAILED|ERROR|not ok|--- FAIL)\b|\bTests?:|AssertionError"
    r"|Traceback \(most recent|no tests ran|test result:|SyntaxError",
    re.MULTILINE,
)
_OUTSIDE: Final = re.compile(
    r"ENOSPC|No space left on device|ECONNRESET|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|Cannot allocate memory|out of memory|OutOfMemoryError"
    r"|Temporary failure in name resolution|Could not resolve host|Too many open files|^Killed$",
    re.MULTILINE,
)
_RUNNERS: Final = re.compile(r"\b(?:pytest|unittest|jest|vitest|mocha|go test|cargo test|tsc)\b")
_USAGE: Final = {126, 127}
"""A shell's exit codes for a command that cannot be found or executed: an answer about the checkout, so red."""


class Result(NamedTuple):
    """How a command ended.

    Attributes:
        command: The command line.
        status: green, red or infra.
        why: In words, such as `exit 1` or `no test report`.
        seconds: How long it took.
        output: The end of what it wrote, redacted.
    """

    command: str
    status: Status
    why: str
    seconds: float
    output: str


def run_command(command: str, folder: Path, log: Path | None = None, *, timeout_s: float = 1_800.0, names: Collection[str] = ()) -> Result:
    """Run a command line by a shell and write what it said to a log, redacted.

    Args:
        command: The command line.
        folder: Checkout that it runs in.
        log: File of its output; the first line is the command, the last how it ended, so it is never empty.
        timeout_s: Seconds after which it is ended with everything it started.
        names: Further variables of our environment that it may see.
    """
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name in HANDED_ON or name in names}
    shell = shutil.which("bash") or "/bin/sh"
    try:
        ended = run_bounded([shell, "-c", f"exec 2>&1\n{command}"], b"", folder, {**environment, "CI": "1"}, timeout_s, tail=_TAIL)
        status, why = _judged(command, ended.code, ended.why, ended.output)
        output = redact(ended.output)
    except OSError as error:
        status, why, output = "infra", f"could not be started: {error.strerror}", ""
    seconds = time.monotonic() - began
    if log is not None:
        lines = [f"$ {redact(command)}", *output.splitlines(), f"[{status}: {why}, {seconds:.2f} s]", ""]
        write_whole(log, "\n".join(lines).encode("utf-8", "replace"), lasting=False)
    return Result(command, status, why, seconds, output)


def _judged(command: str, code: int | None, why: str, output: str) -> tuple[Status, str]:
    """Tell green, red and infra apart; the first rule that fits decides."""
    reported = bool(_REPORT.search(output))
    number = code if code is not None else 0
    sent = -number if number < 0 else number - _BY_SHELL
    outside = _OUTSIDE.search(output)
    rules: list[tuple[bool, Status, str]] = [
        (code is None, "infra", why),
        (code == 0, "green", "exit 0"),
        (sent in _FROM_OUTSIDE, "infra", f"ended by {signal.Signals(sent).name}" if sent in _FROM_OUTSIDE else ""),
        (code == _TIMED_OUT and not reported, "infra", f"exit {_TIMED_OUT}, a time limit of its own"),
        (outside is not None and not reported, "infra", f"exit {code}: {outside.group(0) if outside else ''}"),
        (code in _USAGE, "red", f"exit {code}: the command cannot be found or executed"),
        (bool(_RUNNERS.search(command)) and not reported, "infra", f"exit {code} without a test report"),
    ]
    return next(((status, text) for fits, status, text in rules if fits), ("red", f"exit {code}"))
