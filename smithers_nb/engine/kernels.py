"""Kernels for notebook runs: lean, private, and gone afterwards.

`LeanKernelManager` is the kernel manager that papermill is told to use. It starts our own kernel spec, found in our own resources so
that nothing is installed into anybody's Jupyter folders, and talks to it over sockets in a private folder instead of TCP ports. Where
either is not possible it does what the plain `python3` kernel would do.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from smithers_nb.engine.launcher import FOLDER
from smithers_nb.resources import resource

KERNEL_NAME: Final = "smithers-nb"
_SPEC: Final = f"templates/kernel/{KERNEL_NAME}"

_ENVIRONMENT: Final = {"SMITHERS_POST_FAILURE": "0"}
"""Whatever a notebook starts must not launch an autopsy of its own."""

_LONGEST_PARENT: Final = 60
"""A Unix socket's whole path may have 107 bytes; what follows the parent folder takes about 40."""


class LeanKernelManager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client has no types
    """Starts our kernel spec over private sockets, else the kernel it was asked for over TCP.

    Attributes:
        folder: Private folder of the sockets; None when TCP is used.
        last_words: End of what the kernel's process wrote to its error stream, once it is over.
        on_start: Called when the kernel's process has been started.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.last_words = ""
        self.on_start: Callable[[], None] = lambda: None
        self._use_own_spec()
        self.folder = _private_folder()
        if self.folder is not None:
            self.transport = "ipc"
            self.ip = str(self.folder / "socket")
            self.connection_file = str(self.folder / "kernel.json")

    async def start_kernel(self, **options: Any) -> None:
        """Start it with our environment; nothing that its process prints reaches our own output."""
        folder = {FOLDER: str(self.folder)} if self.folder and self.kernel_name == KERNEL_NAME else {}
        options["env"] = {**(options.get("env") or os.environ), **_ENVIRONMENT, **folder}
        with (self.folder / "log").open("wb") if self.folder else open(os.devnull, "wb") as log:  # noqa: ASYNC230, PTH123
            await super().start_kernel(stdin=subprocess.PIPE if folder else subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.on_start()

    def kill_now(self) -> None:
        """End the kernel and whatever it started, from any thread, at once."""
        pid = getattr(self.provisioner, "pid", None)
        if pid and self.provisioner.process is not None and self.provisioner.process.poll() is None:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the sockets as well, and remember how the process's error stream ended."""
        await super()._async_cleanup_resources(restart=restart)
        if self.folder is not None and not restart:
            with suppress(OSError):
                self.last_words = (self.folder / "log").read_text(errors="replace")[-2_000:].strip()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _use_own_spec(self) -> None:
        with suppress(FileNotFoundError):
            self.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(resource(_SPEC).parent)], ensure_native_kernel=False)
            self.kernel_name = KERNEL_NAME


def _private_folder() -> Path | None:
    """Make a folder that only this user can enter, with a path short enough for sockets."""
    parents = (tempfile.gettempdir(), "/tmp")  # noqa: S108  # mkdtemp makes it private
    fitting = next((p for p in parents if len(os.fsencode(p)) <= _LONGEST_PARENT and os.access(p, os.W_OK)), None)
    return Path(tempfile.mkdtemp(prefix="snb-", dir=fitting)) if fitting and sys.platform != "win32" else None
