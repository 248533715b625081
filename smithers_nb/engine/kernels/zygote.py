"""The zygote: a process that has imported everything our notebooks need, and forks kernels on request.

`pool.KernelPool` starts it with one end of a socket pair; it exits when the other end is closed for any reason. A request brings arguments,
environment and folder, the kernel's log and the pipe of its owner. The zygote forks, returns the pid and a pidfd, and reports how each
kernel ended. It has a single thread, no open database and no event loop, so that a fork is a complete copy; what a kernel changes stays in
that kernel.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from smithers_nb.engine.kernels import launcher

REHEARSE: Final = "SMITHERS_NB_REHEARSE"
"""Environment variable with functions, `module:name` separated by spaces, that warm up what the first cells need."""

_ALWAYS: Final = """
    ipykernel.kernelapp ipykernel.ipkernel ipykernel.zmqshell ipykernel.debugger matplotlib_inline.backend_inline faulthandler pdb code
    IPython.core.historyapp IPython.core.completerlib IPython.core.debugger IPython.core.oinspect IPython.extensions.storemagic
    tornado.platform.asyncio tornado.gen tornado.locks tornado.queues
"""
"""Modules that a kernel imports before its first cell."""

_LOOK_FOR_PARENT_S: Final = 5.0
_HEAD: Final = struct.Struct("!I")
_MAX_FDS: Final = 4


def send(channel: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message, optionally with open files.

    Raises:
        OSError: The other side is gone.
    """
    body = json.dumps(message).encode()
    whole = _HEAD.pack(len(body)) + body
    sent = socket.send_fds(channel, [whole], fds) if fds else channel.send(whole)
    channel.sendall(whole[sent:])


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for one message and the open files sent with it.

    Raises:
        EOFError: The other side is gone.
        OSError: The connection broke or timed out.
    """
    head, fds, _, _ = socket.recv_fds(channel, _HEAD.size, _MAX_FDS)
    head += _receive_exactly(channel, _HEAD.size - len(head))
    return json.loads(_receive_exactly(channel, *_HEAD.unpack(head))), fds


def _receive_exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            raise EOFError("the other side is gone")
        parts += part
    return bytes(parts)


def main() -> None:
    """Import everything, report readiness, and serve the socket whose number is the only argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the owner, which then closes the socket
    try:
        _prepare()
    except BaseException as error:  # noqa: BLE001  # any error is reported to the owner, which then works without a zygote
        send(channel, {"failed": f"{type(error).__name__}: {error}"})
        return
    with suppress(EOFError, OSError):
        send(channel, {"ready": os.getpid(), "threads": threading.active_count()})
        _serve(channel, parent)


def _prepare() -> None:
    """Import and rehearse what kernels need, then put it where the collector does not touch its pages any more."""
    gc.disable()
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # as in the launcher, for the same reason
    for name in (*_ALWAYS.split(), *os.environ.get(launcher.PRELOAD, "").split()):
        with suppress(Exception), launcher.hidden(launcher.DEBUGGER):  # the cell that needs it will say what is wrong with it
            importlib.import_module(name)
    for spelled in os.environ.get(REHEARSE, "").split():
        module, _, name = spelled.partition(":")
        try:
            getattr(importlib.import_module(module), name)()
        except Exception:  # noqa: BLE001  # a kernel that has not rehearsed is slower, not wrong
            traceback.print_exc()
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket, parent: int) -> None:
    """Answer requests and tell about kernels that ended, until the owner is gone."""
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    while os.getppid() == parent:
        readable, _, _ = select.select([channel.fileno(), wake], [], [], _LOOK_FOR_PARENT_S)
        if wake in readable:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
        _reap(channel)
        if channel.fileno() in readable:
            request, fds = receive(channel)
            _fork(channel, request, fds, (wake, woken))


def _reap(channel: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            send(channel, {"ended": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})


def _fork(channel: socket.socket, request: dict[str, Any], fds: list[int], own: tuple[int, ...]) -> None:
    """Make one kernel; the pidfd is taken before anybody waits for it, so that it cannot be another process's."""
    pid = os.fork()
    if pid == 0:
        _be_kernel(channel, request, fds, own)
    for fd in fds:
        os.close(fd)
    handle = os.pidfd_open(pid)
    try:
        send(channel, {"pid": pid}, [handle])
    finally:
        os.close(handle)


def _be_kernel(channel: socket.socket, request: dict[str, Any], fds: list[int], own: tuple[int, ...]) -> NoReturn:
    """Turn the copy into what the launcher would be, had it been started with this environment and in this folder."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        channel.close()
        owner, log = fds
        for source, target in ((owner, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for fd in {*fds, *own} - {0, 1, 2}:
            os.close(fd)
        _take_over(request)
        launcher.run(request["argv"])
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:  # noqa: BLE001  # a fork must never get back into the zygote's loop
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _take_over(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    time.tzset()
    os.umask(request["umask"])
    sys.path[0] = request["cwd"]  # what `python -m` puts there
    sys.argv = [launcher.__file__, *request["argv"]]
    importlib.invalidate_caches()
    random.seed()
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()
    gc.enable()


if __name__ == "__main__":
    main()
