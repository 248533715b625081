"""The kernel manager for notebook runs: fast to start, private, and cleaned up afterwards.

papermill is configured to use `LeanKernelManager`. It starts our own kernel spec, which ships with the package so that nothing is installed
into Jupyter's folders, and talks to it over sockets in a private folder instead of TCP ports. Where either is not possible it behaves like
the plain `python3` kernel.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any, Final

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from smithers_nb.engine.kernels.evidence import STACK_SIGNAL
from smithers_nb.engine.kernels.launcher import FOLDER, KERNEL, PRELOAD
from smithers_nb.engine.kernels.pool import LAUNCHER, KernelPool, NotPrewarmed
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.resources import resource

KERNEL_NAME: Final = "smithers-nb"
OURS: Final = ("python3", "python", KERNEL_NAME)
"""Kernel names that mean "any Python" and get our own spec; a notebook that names another kernel gets that one."""

_SPEC: Final = f"templates/kernel/{KERNEL_NAME}"

_ENVIRONMENT: Final = {"SMITHERS_POST_FAILURE": "0", "SMITHERS_NB_RUN_ID": "", KERNEL: ""}
"""A process started by a notebook must neither launch an autopsy nor mistake itself for part of the run."""

_STACK: Final = "(most recent call first):"
_STACK_S: Final = 1.0
"""First line of the stack dump requested from a kernel, and how long to wait for it."""

_MAX_PARENT: Final = 56
"""A Unix socket path may have 107 bytes; the part after the parent folder takes about 40."""

_LISTENS_S: Final = 10.0
_POLL_INTERVAL_S: Final = 0.005
"""How long to wait for the sockets before connecting anyway, and how often to poll."""


class LeanKernelClient(AsyncKernelClient):  # type: ignore[misc]  # jupyter_client has no types
    """A client that is ready as soon as the kernel has answered and its output channel works.

    The stock client then waits for a fifth of a second without messages. That is unnecessary, since nbclient matches messages by their
    parent and ignores those from before the first cell.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as its base is called
        """Wait for the first reply; raise RuntimeError when the kernel dies or takes longer than `timeout` seconds."""
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            self.kernel_info()
            with suppress(Empty):
                if (await self.shell_channel.get_msg(timeout=1))["msg_type"] == "kernel_info_reply":
                    await self.iopub_channel.get_msg(timeout=0.2)
                    return
            if not await self.parent.is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > until:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")


class PrewarmedProvisioner(LocalProvisioner):  # type: ignore[misc]  # jupyter_client has no types
    """Takes a kernel from a pool, else starts it normally; the two look the same afterwards."""

    pool: KernelPool | None = None
    exit_status: int | None = None

    async def poll(self) -> int | None:
        """Return the exit status, and remember it, since it is no longer available after clean-up."""
        code: int | None = await super().poll()
        if code is not None and self.process is not None and self.exit_status is None:
            self.exit_status = code
        return code

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Start the kernel and return its connection info."""
        if self.pool is not None and cmd[1:3] == LAUNCHER:
            with suppress(NotPrewarmed):
                log = options["stdout"].fileno()
                self.process = await asyncio.to_thread(self.pool.launch, cmd[3:], options["env"], options.get("cwd"), log)
                self.pid = self.pgid = self.process.pid
                self.cwd = options.get("cwd") or str(Path.cwd())
                return self.connection_info
        return await super().launch_kernel(cmd, **options)


class LeanKernelManager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client has no types
    """Starts our kernel spec over private sockets, else the requested kernel over TCP.

    Attributes:
        folder: Private folder of the sockets; None when TCP is used.
        last_words: The end of the kernel process's standard error, available once it has ended.
        on_start: Called when the kernel process has been started.
        pool: Pool of prewarmed kernels; None to start each from scratch.
        cwd: Its working directory; None for ours.
        environment: Variables to add to its environment.
    """

    provisioner: Any
    kernel_id: Any
    kernel_name: Any
    client_factory = LeanKernelClient

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.last_words = ""
        self.pool: KernelPool | None = None
        self.cwd: Path | None = None
        self.environment: Mapping[str, str] = {}
        self.on_start: Callable[[], None] = lambda: None
        self._use_own_spec()
        self._private = _folder_of_sockets()
        self.folder = None if self._private is None else self._private.path
        if self.folder is not None:
            self.transport = "ipc"
            self.ip = str(self.folder / "socket")
            self.connection_file = str(self.folder / "kernel.json")

    async def start_kernel(self, **options: Any) -> None:
        """Start it with our environment, and its output redirected to a log."""
        folder = {FOLDER: str(self.folder)} if self.folder and self.kernel_name == KERNEL_NAME else {}
        options["env"] = {**(options.get("env") or os.environ), **_ENVIRONMENT, **self.environment, **folder}
        if PRELOAD in self.environment and self.kernel_spec is not None:  # the spec's environment would override ours
            self.kernel_spec.env = {**self.kernel_spec.env, PRELOAD: self.environment[PRELOAD]}
        if self.cwd is not None:
            options["cwd"] = str(self.cwd)
        with (self.folder / "log").open("wb") if self.folder else open(os.devnull, "wb") as log:  # noqa: ASYNC230, PTH123
            await super().start_kernel(stdin=subprocess.PIPE if folder else subprocess.DEVNULL, stdout=log, stderr=log, **options)

    @property
    def exit_status(self) -> int | None:
        """Exit status of the process, negative for a signal; None while it is not known to have ended."""
        status = getattr(self.provisioner, "exit_status", None)
        return status if isinstance(status, int) else None

    async def stack_now(self) -> str:
        """Ask the kernel for its current stack, innermost frame first; empty when it does not answer."""
        pid = getattr(self.provisioner, "pid", None)
        if self._private is None or self.kernel_name != KERNEL_NAME or not pid:
            return ""
        log = self._private.path / "log"
        with suppress(OSError):
            before = log.stat().st_size
            os.kill(pid, STACK_SIGNAL)
            until = time.monotonic() + _STACK_S
            while time.monotonic() < until:
                await asyncio.sleep(_STACK_S / 20)
                if (text := log.read_bytes()[before:].decode("utf-8", "replace")).endswith("\n") and _STACK in text:
                    return text[text.index(_STACK) :]
        return ""

    def kill_now(self) -> None:
        """Kill the kernel and everything it started; may be called from any thread."""
        pid = getattr(self.provisioner, "pid", None)
        if pid and self.provisioner.process is not None and self.provisioner.process.poll() is None:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Also remove the sockets, and remember the end of the process's standard error."""
        await super()._async_cleanup_resources(restart=restart)
        if self._private is not None and not restart:
            with suppress(OSError):
                self.last_words = (self._private.path / "log").read_text(errors="replace")[-2_000:].strip()
            self._private.remove()

    async def _async_pre_start_kernel(self, **options: Any) -> Any:
        if self.provisioner is None:
            self.kernel_id = self.kernel_id or str(uuid.uuid4())
            self.provisioner = PrewarmedProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
            self.provisioner.pool = self.pool
        return await super()._async_pre_start_kernel(**options)

    async def _async_post_start_kernel(self, **options: Any) -> None:
        self.on_start()
        await self._wait_for_sockets()
        await super()._async_post_start_kernel(**options)

    async def _wait_for_sockets(self) -> None:
        """Wait for the sockets to exist: ZeroMQ retries a missing one only after a tenth of a second."""
        if self.folder is None:
            return
        last = f"{self.ip}-{self.iopub_port}"
        until = time.monotonic() + _LISTENS_S
        while not os.path.exists(last) and time.monotonic() < until and await self.is_alive():  # noqa: ASYNC110, ASYNC240, PTH110
            await asyncio.sleep(_POLL_INTERVAL_S)  # there is no event to wait for

    async def _async_finish_shutdown(
        self, waittime: float | None = None, pollinterval: float = _POLL_INTERVAL_S, restart: bool = False
    ) -> None:
        await super()._async_finish_shutdown(waittime, pollinterval, restart)

    def _use_own_spec(self) -> None:
        if self.kernel_name not in OURS:
            return
        with suppress(FileNotFoundError):
            self.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(resource(_SPEC).parent)], ensure_native_kernel=False)
            self.kernel_name = KERNEL_NAME


def _folder_of_sockets() -> PrivateFolder | None:
    """Create a folder whose path is short enough for sockets; None where that is not possible."""
    if sys.platform == "win32":
        return None
    parents = (tempfile.gettempdir(), "/tmp")  # noqa: S108  # the folder in it is private
    fits = (parent for parent in parents if len(os.fsencode(parent)) <= _MAX_PARENT and os.access(parent, os.W_OK))
    parent = next(fits, None)
    return None if parent is None else PrivateFolder(parent)
