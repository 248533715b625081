"""Kernels that start in milliseconds, forked from a process that has everything imported.

`prewarmed` starts that process, the zygote, and yields a pool for `engine.notebook.executor.execute`. A kernel of the pool behaves like any
other of ours: it has its own environment, folder, process group and log, and exits with its owner. When there is no zygote, or it has died,
the pool logs why once and notebooks run on ordinary kernels.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from smithers_nb.engine.kernels import launcher, zygote
from smithers_nb.resources import resource

_MODULE: Final = zygote.__name__
_log: Final = logging.getLogger("smithers_nb")
_START_S: Final = 60.0
_ANSWER_S: Final = 20.0
_STATUS_S: Final = 2.0
_INTERPRETER_PREFIXES: Final = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "ARROW_")
"""Prefixes of variables that are read at process start and so cannot be applied to a forked kernel."""
_NOT_OURS: Final = ("JPY_PARENT_PID", "JPY_INTERRUPT_EVENT")
"""When a pool is used inside a notebook, these refer to that notebook's kernel."""


class NotPrewarmed(Exception):
    """A kernel has to be started normally; the message says why."""


@contextmanager
def prewarmed(*, wait: bool = False, rehearse: Sequence[str] | None = None) -> Iterator[KernelPool]:
    """Run a zygote for the duration of the block, and yield its pool.

    The pool is for `execute(..., kernels=pool)`, and may be used by several threads.

    Args:
        wait: Wait until the zygote is ready, which takes a second or two; otherwise the first kernel waits.
        rehearse: Functions, `module:name`, that it calls once; defaults to those of the kernel spec.
    """
    pool = KernelPool(rehearse)
    try:
        pool.start()
        if wait:
            with suppress(NotPrewarmed):
                pool.wait_until_ready()
        yield pool
    finally:
        pool.close()


class KernelPool:
    """A zygote and the kernels made of it.

    Attributes:
        problem: Why kernels are started normally; empty while the pool works.
        made: Number of kernels made so far.
        threads: Number of Python threads in the zygote when it became ready.
    """

    def __init__(self, rehearse: Sequence[str] | None = None) -> None:
        self._rehearse = {} if rehearse is None else {zygote.REHEARSE: " ".join(rehearse)}
        self.problem = ""
        self.made = 0
        self.threads = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready = False
        self._fixed: dict[str, str] = {}
        self._codes: dict[int, int] = {}
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """Pid of the zygote; None when there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the zygote; on failure `problem` says why."""
        if not _is_supported():
            self._give_up("this system cannot fork prepared kernels")
            return
        spec = json.loads((resource("templates/kernel/smithers-nb") / "kernel.json").read_text("utf-8"))
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        self._fixed = _interpreter_variables(environment)
        ours, its = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-m", _MODULE, str(its.fileno())],
                env={**environment, **spec["env"], **self._rehearse},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
            ours.settimeout(_START_S)
            self._channel = ours
        except OSError as error:
            ours.close()
            self._give_up(f"the process they are made of could not be started: {error.strerror or error}")
        finally:
            its.close()

    def wait_until_ready(self) -> None:
        """Wait until the zygote is ready.

        Raises:
            NotPrewarmed: It failed to start.
        """
        with self._lock:
            if self._ready:
                return
            channel = self._open_channel()
            try:
                answer, _ = zygote.receive(channel)
            except (OSError, EOFError, ValueError) as error:
                raise self._give_up(f"the process they are made of ended before it was ready ({error})") from error
            if "ready" not in answer:
                raise self._give_up(f"the process they are made of could not be prepared: {answer.get('failed')}")
            channel.settimeout(_ANSWER_S)
            self.threads = answer["threads"]
            self._ready = True

    def launch(self, argv: Sequence[str], environment: Mapping[str, str], cwd: str | None, log: int) -> WarmProcess:
        """Make a kernel.

        Args:
            argv: Arguments of the launcher.
            environment: Its whole environment.
            cwd: Its working directory; defaults to the current one.
            log: Open file for its standard output and error.

        Raises:
            NotPrewarmed: The zygote is gone, or this kernel needs its own interpreter.
        """
        if _interpreter_variables(environment) != self._fixed:
            raise NotPrewarmed("its environment changes how the interpreter itself starts")
        request = {"argv": list(argv), "env": dict(environment), "cwd": os.path.realpath(cwd or "."), "umask": _umask()}
        read, write = os.pipe()
        try:
            with self._lock:
                self.wait_until_ready()
                pid, handle = self._ask(request, [read, log])
                self.made += 1
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        return WarmProcess(self, pid, handle, write)

    def code_of(self, pid: int) -> int | None:
        """Return the exit status of a kernel that has ended, as `Popen.returncode`; None when it is unknown."""
        until = time.monotonic() + _STATUS_S
        with self._lock, suppress(OSError, EOFError, ValueError):
            while pid not in self._codes and self._channel is not None:
                if not select.select([self._channel], [], [], max(0.0, until - time.monotonic()))[0]:
                    break
                self._note(zygote.receive(self._channel)[0])
        return self._codes.pop(pid, None)

    def close(self) -> None:
        """End the zygote; running kernels continue until their owner ends them."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def _ask(self, request: dict[str, Any], fds: list[int]) -> tuple[int, int]:
        channel = self._open_channel()
        try:
            zygote.send(channel, request, fds)
            answer, given = zygote.receive(channel)
            while "pid" not in answer:
                self._note(answer)
                answer, given = zygote.receive(channel)
        except (OSError, EOFError, ValueError) as error:
            raise self._give_up(f"the process they are made of is gone ({error})") from error
        return answer["pid"], given[0]

    def _note(self, message: dict[str, Any]) -> None:
        if "ended" in message:
            self._codes[message["ended"]] = message["code"]

    def _open_channel(self) -> socket.socket:
        if self._channel is None:
            raise NotPrewarmed(self.problem or "the pool is closed")
        return self._channel

    def _give_up(self, reason: str) -> NotPrewarmed:
        """Stop using the zygote, and log why once."""
        if not self.problem:
            self.problem = f"kernels are not prewarmed: {reason}"
            _log.warning("%s; notebooks take longer", self.problem)
        self.close()
        return NotPrewarmed(self.problem)


class WarmProcess:
    """A kernel forked by the zygote, with the part of `subprocess.Popen` that kernel managers use.

    Attributes:
        pid: Its pid, which is also its process group.
        returncode: Exit status as in `Popen`; None while it runs.
        stdin: The pipe that ends it when closed.
    """

    stdout = stderr = None

    def __init__(self, pool: KernelPool, pid: int, handle: int, owner: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[bytes] = os.fdopen(owner, "wb", buffering=0)
        self._pool = pool
        self._handle = handle

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        if self.returncode is None and self._is_over(0):
            code = self._pool.code_of(self.pid)
            self.returncode = -signal.SIGKILL if code is None else code  # its parent is gone and the status is lost: treat it as killed
            self._close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for it to end.

        Raises:
            subprocess.TimeoutExpired: It is still running after `timeout` seconds.
        """
        if self.returncode is None and not self._is_over(timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
        code = self.poll()
        return 0 if code is None else code

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signum)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _is_over(self, timeout: float | None) -> bool:
        poller = select.poll()
        poller.register(self._handle, select.POLLIN)
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def _close(self) -> None:
        with suppress(OSError):
            os.close(self._handle)

    def __del__(self) -> None:
        if self.returncode is None:
            self._close()
        self.stdin.close()


def _is_supported() -> bool:
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


def _interpreter_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_INTERPRETER_PREFIXES)}


def _umask() -> int:
    """Read the umask without `os.umask`, which would change it for other threads."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)


LAUNCHER: Final = ["-m", launcher.__name__]
"""The command of our kernel spec; the zygote can make no other kernels."""
