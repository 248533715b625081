"""Run one program within limits of time and output, and end everything it started.

Its descendants are found by their process group and, on Linux, where a child may have left the group, by a variable in their environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

_MAX_OUTPUT: Final = 2_000_000
_MAX_ERRORS: Final = 20_000
_CHUNK: Final = 65_536
_GRACE_S: Final = 2.0
MARK: Final = "SMITHERS_NB_STARTED_BY"
"""Environment variable that every process started here passes on to its descendants."""

_KILL_ROUNDS: Final = 20


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        code: Its exit code; None when we ended it.
        output: What it wrote to standard output.
        errors: The end of what it wrote to standard error.
        why: Why we ended it, such as `took longer than 5 s`; empty when it exited by itself.
    """

    code: int | None
    output: str
    errors: str
    why: str = ""


def run_bounded(  # noqa: PLR0913  # the last is an option by name
    words: Sequence[str], given: bytes, folder: Path, environment: Mapping[str, str], timeout_s: float, *, tail: int | None = None
) -> Ended:
    """Run a program and wait for it, with bytes on its standard input.

    Args:
        words: Program and arguments; no shell is involved.
        given: Its standard input.
        folder: Its working directory.
        environment: Its whole environment.
        timeout_s: Seconds after which it is ended, with everything it started.
        tail: Keep only this many bytes from the end of its output, instead of ending it when it writes too much.

    Raises:
        OSError: It could not be started.
    """
    mark = uuid.uuid4().hex
    deadline = time.monotonic() + timeout_s
    program = subprocess.Popen(  # noqa: S603  # the person who set CODING_AGENT_CMD chose the program; no shell is involved
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**environment, MARK: mark},
        start_new_session=True,
    )
    streams = _Streams(program, given, tail)
    try:
        why = streams.wait(deadline, timeout_s)
    finally:
        left = _end_descendants(program, f"{MARK}={mark}")
        streams.close()
    if left:
        why = f"left processes behind that could not be ended: {', '.join(map(str, sorted(left)))}"
    return Ended(None if why else program.returncode, streams.output.text(), streams.errors.text(), why)


class _Captured:
    """The output of one stream: the beginning, up to a limit that must not be exceeded, or only the tail."""

    def __init__(self, limit: int, *, tail: bool = False) -> None:
        self.limit, self.tail = limit, tail
        self.data = bytearray()
        self.flooded = threading.Event()

    def read(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), _CHUNK):
                self.data += chunk
                if len(self.data) > self.limit and not self.tail:
                    self.flooded.set()
                    return
                del self.data[: -self.limit if self.tail else 0]

    def text(self) -> str:
        return bytes(self.data[: self.limit]).decode("utf-8", "replace")


class _Streams:
    """The three pipes of a program, each with its own thread, so that none can block another."""

    def __init__(self, program: subprocess.Popen[bytes], given: bytes, tail: int | None) -> None:
        self.program = program
        self.output = _Captured(_MAX_OUTPUT) if tail is None else _Captured(tail, tail=True)
        self.errors = _Captured(_MAX_ERRORS, tail=True)
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        self.pipes = (program.stdin, program.stdout, program.stderr)
        self.threads = [
            threading.Thread(target=_feed, args=(program.stdin, given), daemon=True),
            threading.Thread(target=self.output.read, args=(program.stdout,), daemon=True),
            threading.Thread(target=self.errors.read, args=(program.stderr,), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def wait(self, deadline: float, timeout_s: float) -> str:
        """Wait for the program to exit; return the reason when it has to be ended first."""
        while time.monotonic() < deadline:
            if self.output.flooded.is_set():
                return f"wrote more than {_MAX_OUTPUT // 1_000_000} MB to its standard output"
            with suppress(subprocess.TimeoutExpired):
                self.program.wait(min(0.1, max(0.0, deadline - time.monotonic())))
                self.threads[1].join(_GRACE_S)  # a child it left behind may hold the pipe open
                return "" if not self.output.flooded.is_set() else f"wrote more than {_MAX_OUTPUT // 1_000_000} MB to its standard output"
        return f"took longer than {timeout_s:g} s"

    def close(self) -> None:
        for thread in self.threads:
            thread.join(_GRACE_S)
        for pipe in self.pipes:
            with suppress(OSError):
                pipe.close()


def _feed(pipe: IO[bytes], given: bytes) -> None:
    with suppress(OSError, ValueError):  # a program need not read all of it
        pipe.write(given)
        pipe.close()


def _end_descendants(program: subprocess.Popen[bytes], mark: str) -> set[int]:
    """Kill the program and everything it started, even in other sessions; return the processes that survived."""
    left: set[int] = set()
    for _ in range(_KILL_ROUNDS):  # a process may have started another one before it was killed
        left = _descendants(program, mark.encode())
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            program.wait(_GRACE_S)
        if not left:
            break
        time.sleep(0.02)
    return left


def _descendants(program: subprocess.Popen[bytes], mark: bytes) -> set[int]:
    """Find the processes with the mark in their environment, and their descendants; empty where there is no `/proc`."""
    parents: dict[int, int] = {}
    found = {program.pid} if program.poll() is None else set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            state, parent = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if state in {"Z", "X"}:
                continue
            parents[int(folder.name)] = int(parent)
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {program.pid}
