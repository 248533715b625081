"""Kernels for notebook runs: lean, private, and gone afterwards.

`LeanKernelManager` is the kernel manager that papermill is told to use. It starts our own kernel spec, found in our own resources so
that nothing is installed into anybody's Jupyter folders, and talks to it over sockets in a private folder instead of TCP ports. Where
either is not possible it does what the plain `python3` kernel would do.
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
"""Kernel names that mean "some Python": they get our own spec; a notebook that names another kernel gets that one."""

_SPEC: Final = f"templates/kernel/{KERNEL_NAME}"

_ENVIRONMENT: Final = {"SMITHERS_POST_FAILURE": "0", "SMITHERS_NB_RUN_ID": "", KERNEL: ""}
"""Whatever a notebook starts must not launch an autopsy of its own, nor take itself for a part of the run that starts it."""

_STACK: Final = "(most recent call first):"
_STACK_S: Final = 1.0
"""How the list of frames begins that a kernel is asked for, and how long to wait for it."""

_MAX_PARENT: Final = 56
"""A Unix socket's whole path may have 107 bytes; what follows the parent folder takes about 40."""

_LISTENS_S: Final = 10.0
_POLL_INTERVAL_S: Final = 0.005
"""How long to wait for the sockets before asking all the same, and how often to look whether something has happened."""


class LeanKernelClient(AsyncKernelClient):  # type: ignore[misc]  # jupyter_client has no types
    """Is ready when the kernel has answered and its outputs arrive.

    The client that it replaces then waits for a fifth of a second in which nothing arrives. nbclient looks at each message's parent, so
    that what came before the first cell does no harm.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as its base is called
        """Wait for the first answer; raises RuntimeError when the kernel dies first or takes longer than `timeout` seconds."""
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
    """Has a kernel made by a pool, else starts it like any other; both look the same from then on."""

    pool: KernelPool | None = None
    exit_status: int | None = None

    async def poll(self) -> int | None:
        """Look whether the process has ended, and remember how: nobody can ask once it was cleaned up."""
        code: int | None = await super().poll()
        if code is not None and self.process is not None and self.exit_status is None:
            self.exit_status = code
        return code

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Start the kernel; gives its connection info."""
        if self.pool is not None and cmd[1:3] == LAUNCHER:
            with suppress(NotPrewarmed):
                log = options["stdout"].fileno()
                self.process = await asyncio.to_thread(self.pool.launch, cmd[3:], options["env"], options.get("cwd"), log)
                self.pid = self.pgid = self.process.pid
                self.cwd = options.get("cwd") or str(Path.cwd())
                return self.connection_info
        return await super().launch_kernel(cmd, **options)


class LeanKernelManager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client has no types
    """Starts our kernel spec over private sockets, else the kernel it was asked for over TCP.

    Attributes:
        folder: Private folder of the sockets; None when TCP is used.
        last_words: End of what the kernel's process wrote to its error stream, once it is over.
        on_start: Called when the kernel's process has been started.
        pool: Where the kernel comes from when it is to start fast.
        cwd: Folder that it is started in; ours when None.
        environment: Variables that it gets beside ours.
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
        """Start it with our environment; nothing that its process prints reaches our own output."""
        folder = {FOLDER: str(self.folder)} if self.folder and self.kernel_name == KERNEL_NAME else {}
        options["env"] = {**(options.get("env") or os.environ), **_ENVIRONMENT, **self.environment, **folder}
        if PRELOAD in self.environment and self.kernel_spec is not None:  # what a spec says goes before what we say
            self.kernel_spec.env = {**self.kernel_spec.env, PRELOAD: self.environment[PRELOAD]}
        if self.cwd is not None:
            options["cwd"] = str(self.cwd)
        with (self.folder / "log").open("wb") if self.folder else open(os.devnull, "wb") as log:  # noqa: ASYNC230, PTH123
            await super().start_kernel(stdin=subprocess.PIPE if folder else subprocess.DEVNULL, stdout=log, stderr=log, **options)

    @property
    def exit_status(self) -> int | None:
        """How the process ended that was seen to be dead: its exit status, negative for a signal; None while it lives."""
        status = getattr(self.provisioner, "exit_status", None)
        return status if isinstance(status, int) else None

    async def stack_now(self) -> str:
        """Ask our kernel where it is; innermost frame first, empty when it does not say."""
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
        """End the kernel and whatever it started, from any thread, at once."""
        pid = getattr(self.provisioner, "pid", None)
        if pid and self.provisioner.process is not None and self.provisioner.process.poll() is None:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the sockets as well, and remember how the process's error stream ended."""
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
        await self._until_it_listens()
        await super()._async_post_start_kernel(**options)

    async def _until_it_listens(self) -> None:
        """Wait for the sockets: ZeroMQ tries one that is not there yet again only after a tenth of a second."""
        if self.folder is None:
            return
        last = f"{self.ip}-{self.iopub_port}"
        until = time.monotonic() + _LISTENS_S
        while not os.path.exists(last) and time.monotonic() < until and await self.is_alive():  # noqa: ASYNC110, ASYNC240, PTH110
            await asyncio.sleep(_POLL_INTERVAL_S)  # nobody tells

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
    """Make a folder whose path is short enough for sockets; None where that is not possible."""
    if sys.platform == "win32":
        return None
    parents = (tempfile.gettempdir(), "/tmp")  # noqa: S108  # the folder in it is private
    fits = (parent for parent in parents if len(os.fsencode(parent)) <= _MAX_PARENT and os.access(parent, os.W_OK))
    parent = next(fits, None)
    return None if parent is None else PrivateFolder(parent)
