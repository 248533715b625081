"""The program of our kernel spec: ipykernel without unnecessary imports, which exits together with its owner.

With a Jupyter server installed, `jsonschema` imports `rfc3987_syntax`, which spends almost a second building a grammar in every kernel, and
again at the first rich display. Setting a module to None in `sys.modules` makes it look missing, and jsonschema works without it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, NoReturn

from smithers_nb.engine.kernels import evidence

FOLDER: Final = "SMITHERS_NB_KERNEL_FOLDER"
"""Environment variable that names the private folder of the sockets, when there is one."""

KERNEL: Final = "SMITHERS_NB_KERNEL_PID"
"""Environment variable with the kernel's pid, by which a process started from a cell knows that it is not the kernel."""

PRELOAD: Final = "SMITHERS_NB_PRELOAD"
"""Environment variable with modules to import early, separated by spaces: `module` or `module:name`."""

SLOW_AND_OPTIONAL: Final = ("rfc3987_syntax", "pyarrow.fs")
"""The grammar above, and a module that papermill needs only to read notebooks from Hadoop."""

DEBUGGER: Final = ("debugpy",)
"""ipykernel imports it for a debugger, which our kernel spec declares unsupported."""

_CONTROL_S: Final = 1.0


def without_slow_imports() -> AbstractContextManager[None]:
    """Hide expensive optional modules while others are imported."""
    return hidden(SLOW_AND_OPTIONAL)


@contextmanager
def hidden(modules: Sequence[str]) -> Iterator[None]:
    """Make modules that are not imported yet look as if they were not installed."""
    there = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(there))  # type: ignore[arg-type]  # None makes an import raise ImportError
    try:
        yield
    finally:
        for name in there:
            sys.modules.pop(name, None)


def main() -> None:
    """Start the kernel with the arguments of the kernel spec."""
    run(sys.argv[1:])


def run(arguments: Sequence[str]) -> NoReturn:
    """Run a kernel until it is shut down, then exit this process."""
    if folder := os.environ.pop(FOLDER, None):
        _end_with_owner(folder)
    os.environ[KERNEL] = str(os.getpid())
    evidence.install(2)
    gc.disable()  # until everything is imported: the collector would traverse it again and again
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # for the life of this process
    with hidden(DEBUGGER):
        from ipykernel.kernelapp import IPKernelApp

        kernel = IPKernelApp.instance()
        kernel.initialize(list(arguments))
    kernel.shell.ask_exit = _exit
    evidence.watch(kernel.shell)
    _preload()  # in this thread: importing parts of one package from two threads at once can fail
    kernel.start()
    _end(kernel)


def _exit() -> NoReturn:
    """Make `exit()` and `quit()` behave as in a script.

    IPython would run the rest of the cell and then shut the kernel down, perhaps before its reply has been read.
    """
    raise SystemExit(0)


def _end(kernel: Any) -> NoReturn:
    """Let threads and exit handlers finish, then exit without the interpreter's teardown, which would take longer than most cells.

    The control thread flushes our output after its last reply, for which it needs the IOPub thread. ipykernel stops that one first, and
    sometimes both then wait until the process is killed.
    """
    kernel.control_thread.stop()
    kernel.control_thread.join(_CONTROL_S)
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # the first step of the interpreter's own exit
    atexit._run_exitfuncs()  # noqa: SLF001  # and the second
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(Exception):
            stream.flush()  # type: ignore[union-attr]  # a process without streams has nothing to flush
    os._exit(0)


def _preload() -> None:
    """Import the modules in `PRELOAD` before the kernel answers, so that the first cell does not wait for them."""
    for named in os.environ.get(PRELOAD, "").split():
        module, _, name = named.partition(":")
        with suppress(ImportError, AttributeError):  # the cell that needs it will report the problem
            getattr(importlib.import_module(module), name or "__name__")  # accessing the name triggers lazy imports
    gc.freeze()
    gc.enable()


def _end_with_owner(folder: str) -> None:
    """Remove the sockets and exit when the pipe on standard input closes, because the owner has ended in any way."""
    from smithers_nb.private_folder import remove_folder

    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # processes started by a cell must not read from that pipe

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        remove_folder(folder)
        os._exit(1)

    threading.Thread(target=wait, name="owner", daemon=True).start()


if __name__ == "__main__":
    main()
