"""Evidence from inside a kernel about a cell that failed or hangs, beyond the traceback that IPython prints.

A program whose output was captured explains its failure only in an attribute of the exception, so that is printed below the cell's
traceback. A cell that hangs prints nothing, so its stack is written to the kernel's log when the owner sends a signal.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

STACK_SIGNAL: Final = signal.SIGUSR1
"""Signal on which the kernel writes the stack of its main thread to its log; a cell may install its own handler."""

_MAX_TEXT: Final = 4_000
_MAX_DEPTH: Final = 8


def install(log: int) -> None:
    """Install the signal handler; call this before standard error is redirected."""
    if hasattr(faulthandler, "register"):
        faulthandler.register(STACK_SIGNAL, file=os.dup(log), all_threads=False)


def watch(shell: Any) -> None:
    """Print the captured output of an exception after a cell has failed."""
    shell.events.register("post_run_cell", _after_a_cell)
    # ipykernel 7 reads this after every error; an exception group never sets it, and then no reply is sent
    shell._last_traceback = None  # noqa: SLF001


def _after_a_cell(result: Any) -> None:
    error = getattr(result, "error_in_exec", None)
    if isinstance(error, BaseException):
        with suppress(Exception):  # the cell has failed already; an error here must not replace its own
            for text in _known(error):
                sys.stderr.write(f"{text}\n")


def _known(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    for _ in range(_MAX_DEPTH):
        if seen is None:
            return
        if text := captured(seen):
            yield text
        seen = seen.__cause__ or seen.__context__


def captured(error: BaseException) -> str:
    """Return the captured output of a failed program; empty for any other error."""
    if type(error).__module__ != "subprocess":
        return ""
    streams = (getattr(error, "stderr", None), getattr(error, "stdout", None))
    texts = (stream.decode("utf-8", "replace") if isinstance(stream, bytes) else stream for stream in streams)
    return next((text.strip()[-_MAX_TEXT:] for text in texts if isinstance(text, str) and text.strip()), "")


def ending(code: int) -> str:
    """Return how a process ended, in words; a negative status is a signal."""
    if code >= 0:
        return f"exited with status {code}"
    with suppress(ValueError):
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"was killed by signal {-code}"
