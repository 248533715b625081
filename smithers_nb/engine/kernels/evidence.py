"""What a kernel tells of a cell that failed or hangs, beyond the traceback that IPython prints.

Runs inside the kernel. A program whose output was captured says why it failed only in an attribute of the exception, which is printed
below the cell's traceback; a cell that hangs says nothing at all, so its stack goes to the kernel's log when its owner asks with a signal.
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
"""Makes the kernel write the stack of its main thread to its log; a cell may take the signal for itself."""

_MAX_TEXT: Final = 4_000
_MAX_DEPTH: Final = 8


def install(log: int) -> None:
    """Write stacks to a file descriptor when asked; call it before anything takes the error stream away."""
    if hasattr(faulthandler, "register"):
        faulthandler.register(STACK_SIGNAL, file=os.dup(log), all_threads=False)


def watch(shell: Any) -> None:
    """Print what an exception knows besides its message, once a cell has failed."""
    shell.events.register("post_run_cell", _after_a_cell)
    # ipykernel 7 reads this after every error; an exception group, which is printed as text, never sets it, and the answer is never sent
    shell._last_traceback = None  # noqa: SLF001


def _after_a_cell(result: Any) -> None:
    error = getattr(result, "error_in_exec", None)
    if isinstance(error, BaseException):
        with suppress(Exception):  # the cell has failed already; nothing here may add to that
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
    """Return what a program printed that was run with its output captured; empty for any other error."""
    if type(error).__module__ != "subprocess":
        return ""
    streams = (getattr(error, "stderr", None), getattr(error, "stdout", None))
    texts = (stream.decode("utf-8", "replace") if isinstance(stream, bytes) else stream for stream in streams)
    return next((text.strip()[-_MAX_TEXT:] for text in texts if isinstance(text, str) and text.strip()), "")


def ending(code: int) -> str:
    """Describe how a process ended, by its exit status; negative where a signal ended it."""
    if code >= 0:
        return f"exited with status {code}"
    with suppress(ValueError):
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"was killed by signal {-code}"
