"""What our kernel spec runs: ipykernel, without imports that nothing here needs, and not a moment longer than its owner.

With a jupyter server installed, `jsonschema` finds `rfc3987_syntax`, which builds a grammar for almost a second in every kernel
and again at the first rich display. Naming a module None makes Python say that it is not there, and jsonschema does without.
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
"""Environment variable with the process of the kernel, by which what a cell starts can tell that it is not the kernel itself."""

PRELOAD: Final = "SMITHERS_NB_PRELOAD"
"""Environment variable with what a notebook will need, separated by spaces: `module` or `module:name`."""

SLOW_AND_OPTIONAL: Final = ("rfc3987_syntax", "pyarrow.fs")
"""The grammar above, and what papermill imports only to read notebooks from Hadoop."""

DEBUGGER: Final = ("debugpy",)
"""ipykernel imports it for a debugger that nobody can attach: our kernel spec says that there is none."""

_CONTROL_S: Final = 1.0


def without_slow_imports() -> AbstractContextManager[None]:
    """Let optional modules that cost much look as if they were not installed, for as long as others are imported."""
    return hidden(SLOW_AND_OPTIONAL)


@contextmanager
def hidden(modules: Sequence[str]) -> Iterator[None]:
    """Let modules that are not imported yet look as if they were not installed."""
    there = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(there))  # type: ignore[arg-type]  # None is how Python spells "not there"
    try:
        yield
    finally:
        for name in there:
            sys.modules.pop(name, None)


def main() -> None:
    """Start the kernel with the arguments of the kernel spec."""
    run(sys.argv[1:])


def run(arguments: Sequence[str]) -> NoReturn:
    """Be a kernel until it is told to end, and end this process then."""
    if folder := os.environ.pop(FOLDER, None):
        _end_with_owner(folder)
    os.environ[KERNEL] = str(os.getpid())
    evidence.install(2)
    gc.disable()  # until everything is imported: the collector would look through all of it again and again
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # for the whole life of this process
    with hidden(DEBUGGER):
        from ipykernel.kernelapp import IPKernelApp

        kernel = IPKernelApp.instance()
        kernel.initialize(list(arguments))
    kernel.shell.ask_exit = _exit
    evidence.watch(kernel.shell)
    _preload()  # in this thread: of two that import parts of one package at once, Python may let one fail
    kernel.start()
    _end(kernel)


def _exit() -> NoReturn:
    """Let `exit()` and `quit()` do what they do in a program.

    IPython would run the rest of the cell and shut the kernel down afterwards, perhaps before anybody has read its answer.
    """
    raise SystemExit(0)


def _end(kernel: Any) -> NoReturn:
    """Let threads and exit handlers finish, then go without taking everything apart: that would cost more than most cells.

    The thread of the control channel flushes our output after it has answered, for which it needs the thread that publishes it;
    ipykernel stops that one first, and every now and then both wait until somebody kills the process.
    """
    kernel.control_thread.stop()
    kernel.control_thread.join(_CONTROL_S)
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # what the interpreter does first when it ends
    atexit._run_exitfuncs()  # noqa: SLF001  # and this second
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(Exception):
            stream.flush()  # type: ignore[union-attr]  # a process without streams is as good
    os._exit(0)


def _preload() -> None:
    """Import what `PRELOAD` names before the kernel answers, so that it counts as start-up and not as time of the first cell."""
    for named in os.environ.get(PRELOAD, "").split():
        module, _, name = named.partition(":")
        with suppress(ImportError, AttributeError):  # the cell that needs it will say what is wrong with it
            getattr(importlib.import_module(module), name or "__name__")  # a package may load its names when they are asked for
    gc.freeze()
    gc.enable()


def _end_with_owner(folder: str) -> None:
    """Remove the sockets and end when the pipe that our input is closes: its owner is gone, however that came about."""
    from smithers_nb.private_folder import remove_folder

    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what a cell starts must not wait for that pipe

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        remove_folder(folder)
        os._exit(1)

    threading.Thread(target=wait, name="owner", daemon=True).start()


if __name__ == "__main__":
    main()
