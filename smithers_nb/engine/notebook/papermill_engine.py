"""A papermill engine that runs a notebook on our kernel and can be observed and stopped from another thread.

A `Session` is one execution. It holds the notebook with its outputs so far, the running cell and the kernel, so that the caller can save a
partial notebook, say which cell hung, and kill a kernel that does not end by itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.log import logger

from smithers_nb.engine.kernels.evidence import ending
from smithers_nb.engine.kernels.manager import OURS, LeanKernelManager
from smithers_nb.engine.notebook.failure_reasons import PARKED
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.notebook.executor import Job, Setting

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the number of cells done, the total, and the heading above the cell that runs next."""

_LIMIT: Final = "the {0} took longer than its limit of {1:g} s; {2} SECONDS raises it, also when the run is resumed"
_INJECTED: Final = "injected-parameters"
_EXIT: Final = "SystemExit"
_GOOD_EXITS: Final = ("", "0", "None")
_ENGINE: Final = "smithers-nb"
_START_TIMEOUT_S: Final = 60
_CELL_FILE: Final = "/ipykernel_"
"""Part of the file name under which IPython compiles a cell."""


class Session:
    """One execution of one notebook.

    Attributes:
        running: The cell that was started last.
        node: The notebook with its outputs so far; None until the parameters are injected.
        started: Set when the kernel process has been started.
        stack: The kernel's stack when it timed out, as a Python traceback; empty otherwise.
        pool: Pool of prewarmed kernels; None to start one from scratch.
        cell_timeout_s: Time limit of one cell in seconds.
    """

    def __init__(
        self,
        cell_timeout_s: float,
        deadline: float,
        started: threading.Event,
        on_cell: Callable[[Session, int], None],
        setting: Setting,
    ) -> None:
        self.node: Any = None
        self.pool: KernelPool | None = None
        self.started = started
        self.running: Any = None
        self.stack = ""
        self.cell_timeout_s = cell_timeout_s
        self._deadline = deadline
        self._on_cell = on_cell
        self._setting = setting
        self._kernel: LeanKernelManager | None = None
        self._stopped = False
        self._has_exited = False
        self._exit_call = ""

    def execute(self, node: Any, parameters: dict[str, Any]) -> None:
        """Run all cells; raises whatever papermill, nbclient and jupyter_client raise."""
        with _silenced(logger), _own_event_loop():
            kernel, language = _kernel_of(node, self._setting.kernel)
            execute_notebook(
                node, None, parameters, engine_name=_ENGINE, kernel_name=kernel, language=language, progress_bar=False, session=self
            )
        if refused := self._refused():  # by a process that outlived its cell
            raise ParameterError(refused)
        if self._has_exited:  # papermill takes `sys.exit(0)` for a good end
            raise EndedEarly(f"{self.position}: it called {self._exit_call}")

    def run_cells(self, manager: Any, kernel_name: str) -> None:
        """Start the kernel and run the cells of papermill's manager; papermill calls this through the engine."""
        self.node = manager.nb
        from smithers_nb.engine.notebook.executor import Editor

        if isinstance(self._setting.observer, Editor):
            self._setting.observer.opened(self.node)
        client = _Client(
            manager,
            on_timeout=self._timed_out,
            kernel_name=kernel_name,
            kernel_manager_class=LeanKernelManager,
            startup_timeout=_START_TIMEOUT_S,
            timeout_func=self._time_left,
            log=logger,
            on_cell_start=self._begin,
            on_cell_execute=self._sent,
            on_cell_executed=self._answered,
        )
        self._kernel = client.create_kernel_manager()
        self._kernel.on_start = self.started.set
        self._kernel.pool = self.pool
        self._kernel.cwd = self._setting.cwd
        self._kernel.environment = self._setting.environment
        if not self._stopped:
            client.execute()

    @property
    def position(self) -> str:
        """Where the notebook stopped, in words: `ended early at cell 3 of 7`; what is not code does not count."""
        cells = [cell for cell in self.node.cells if cell.cell_type == "code" and _INJECTED not in cell.metadata.get("tags", [])]
        number = next((number for number, cell in enumerate(cells, 1) if cell is self.running), 0)
        return f"the notebook ended early at cell {number} of {len(cells)}"

    def stop(self) -> None:
        """Kill the kernel, which makes the execution fail; may be called from any thread."""
        self._stopped = True
        if self._kernel is not None:
            self._kernel.kill_now()

    @property
    def kernel_log(self) -> str:
        """Standard error of the kernel process."""
        return self._kernel.last_words if self._kernel is not None else ""

    @property
    def kernel_ending(self) -> str:
        """How a kernel that died had ended, in words; empty when that is unknown."""
        status = self._kernel.exit_status if self._kernel is not None else None
        return "" if status is None else ending(status)

    def mark(self, name: str, message: str) -> None:
        """Add an error output to the cell that was running, where a reader will look for it."""
        from nbformat.v4 import new_output

        cells = self.node.cells if self.node is not None else []
        cell = self.running if self.running is not None else next((c for c in cells if c.cell_type == "code"), None)
        if cell is not None:
            # a kernel stopped by a timeout reports KeyboardInterrupt, which would mislead
            cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
            cell.outputs.append(new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"]))
            cell.metadata.setdefault("papermill", {}).update(status="failed", exception=True)

    def _time_left(self, _cell: Any) -> float:
        return max(0.01, min(self.cell_timeout_s, self._deadline - time.monotonic()))

    def _sent(self, cell: Any, cell_index: int) -> None:
        if self._setting.observer is not None:
            self._setting.observer.begun(cell, cell_index)

    def _answered(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        said = execute_reply["content"]
        parked = said.get("ename") == PARKED
        if parked:  # any error raised after parking is a consequence of it
            cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
        self._note_exit(cell, said)
        refused = self._refused()
        if refused and said.get("status") == "ok":
            said.update(status="error", ename=ParameterError.__name__, evalue=refused, traceback=[])
        if said.get("status") == "error" and not any(output.output_type == "error" for output in cell.outputs):
            cell.outputs.append(_error_of(said, cell))
        if self._setting.observer is not None:
            self._setting.observer.ended(cell, cell_index)
        if parked:  # also in a cell tagged `raises-exception`, whose errors nbclient ignores
            raise CellExecutionError.from_cell_and_msg(cell, said)
        if self._has_exited or refused:
            raise CellExecutionError.from_cell_and_msg(cell, said)

    def _refused(self) -> str:
        """Return why a process that the notebook started was refused a gate or a stage; empty when none was."""
        file = self._setting.refused
        return file.read_text(encoding="utf-8") if file is not None and file.exists() else ""

    def _note_exit(self, cell: Any, said: dict[str, Any]) -> None:
        """Record that a cell ended the program, with `sys.exit(0)`, or with `quit()` in a kernel that shuts down for it."""
        quits = any(payload.get("source") == "ask_exit" for payload in said.get("payload") or ())
        if quits and said.get("status") == "ok":
            said.update(status="error", ename=_EXIT, evalue="0", traceback=[])
        allowed = "raises-exception" in cell.metadata.get("tags", [])
        if quits or (said.get("ename") == _EXIT and said.get("evalue") in _GOOD_EXITS and not allowed):
            self._has_exited, self._exit_call = True, "quit()" if quits else "sys.exit(0)"

    async def _timed_out(self) -> None:
        if self._kernel is not None:
            self.stack = as_traceback(await self._kernel.stack_now(), self.running.source)

    def _begin(self, cell: Any, cell_index: int) -> None:
        self.running = cell
        self._on_cell(self, cell_index)


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """A client that asks the kernel for its stack before it gives up on a cell."""

    def __init__(self, manager: Any, *, on_timeout: Callable[[], Awaitable[None]], **options: Any) -> None:
        super().__init__(manager, **options)
        self._on_timeout = on_timeout

    async def _async_handle_timeout(self, timeout: int, cell: Any = None) -> Any:  # noqa: ASYNC109  # as its base is called
        await self._on_timeout()
        return await super()._async_handle_timeout(timeout, cell)


class _Engine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """Delegates the execution to the session."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, session: Session, **_: Any) -> None:
        """Run the cells; the method that papermill calls."""
        session.run_cells(nb_man, kernel_name)


def _error_of(reply: dict[str, Any], cell: Any) -> Any:
    """Build the error output missing from a cell: IPython prints an exception group as text, and only its reply names it."""
    from nbformat.v4 import new_output

    printed = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"]
    name, value = str(reply.get("ename") or "Error"), str(reply.get("evalue") or "")
    return new_output("error", ename=name, evalue=value, traceback=reply.get("traceback") or printed[-1:] or [f"{name}: {value}"])


def _kernel_of(node: Any, wanted: str | None) -> tuple[str, str]:
    """Return the kernel and language of a notebook; ours if it names none, or a Python kernel that is not installed."""
    if wanted is not None:
        return wanted, "python" if wanted in OURS else str(KernelSpecManager().get_kernel_spec(wanted).language)
    spec = node.metadata.get("kernelspec", {})
    language = str(spec.get("language") or node.metadata.get("language_info", {}).get("name") or "python")
    name = str(spec.get("name") or "")
    if not name or (language == "python" and name not in OURS and name not in KernelSpecManager().find_kernel_specs()):
        name = OURS[0]
    return name, language


papermill_engines.register(_ENGINE, _Engine)


class EndedEarly(Exception):
    """A cell ended the program with a success status, so the following cells did not run; whether that was intended is unknown."""


def is_of_a_cell(error: BaseException | None) -> bool:
    """Return whether a cell raised the error, in which case the notebook already shows it."""
    return isinstance(error, PapermillExecutionError)


def in_words(error: BaseException, session: Session, job: Job) -> tuple[str, str]:
    """Return the name and message of what ended an execution."""
    if isinstance(error, PapermillExecutionError):
        ended = error.ename == _EXIT and session.running is not None
        value = error.evalue if re.fullmatch(r"-?\d+|True|False", error.evalue) else repr(error.evalue)
        return error.ename, f"{session.position}: it called sys.exit({value})" if ended else error.evalue
    if isinstance(error, EndedEarly):
        return type(error).__name__, str(error)
    if time.monotonic() >= job.deadline:
        return "Timeout", _LIMIT.format("notebook", job.total_timeout_s, "--timeout")
    if isinstance(error, CellTimeoutError):
        return "Timeout", _LIMIT.format("cell", job.cell_timeout_s, "--cell-timeout")
    name = type(error).__name__
    if name != "DeadKernelError" and "Kernel died" not in str(error):
        return name, str(error) or name
    log = session.kernel_log.splitlines()
    said = f"; its last words: {log[-1]}" if log else ""
    return name, f"the kernel died{f': its process {how}' if (how := session.kernel_ending) else ''}{said}"


def as_traceback(frames: str, source: str) -> str:
    """Convert the frames written by `faulthandler`, innermost first, to a traceback from the cell to its innermost call.

    Args:
        frames: The kernel's output.
        source: Source of the cell, quoted in the traceback; the kernel knows only line numbers.
    """
    lines = [line for line in frames.splitlines() if line.startswith("  File ")]
    outermost = max((at for at, line in enumerate(lines) if _CELL_FILE in line), default=-1)
    if outermost < 0:
        return ""
    own = lines[outermost].partition(", line ")[0]
    quoted = source.lstrip("\n").splitlines()  # IPython counts lines from the first non-empty one
    told = ["Traceback (most recent call last):"]
    for line in reversed(lines[: outermost + 1]):
        told.append(re.sub(r"(, line \d+) in ", r"\1, in ", line))
        number = re.search(r", line (\d+)", line)
        if number and line.startswith(own) and int(number[1]) <= len(quoted):
            told.append(f"    {quoted[int(number[1]) - 1].strip()}")
    return "\n".join(told)


@contextmanager
def _silenced(log: logging.Logger) -> Iterator[None]:
    """Silence papermill's logger, which concurrent executions share; errors are raised anyway."""
    with _quiet.lock:
        if _quiet.wanted == 0:
            _quiet.before = log.level
            log.setLevel(logging.CRITICAL + 1)
        _quiet.wanted += 1
    try:
        yield
    finally:
        with _quiet.lock:
            _quiet.wanted -= 1
            if _quiet.wanted == 0:
                log.setLevel(_quiet.before)


class _Quiet:
    """How many executions want papermill's logger silent, and its level before the first of them."""

    lock = threading.Lock()
    wanted = 0
    before = logging.NOTSET


_quiet: Final = _Quiet()


@contextmanager
def _own_event_loop() -> Iterator[None]:
    """Cancel the tasks that nbclient leaves on its event loop when a cell is cut off."""
    loop = ensure_event_loop()  # the loop that nbclient uses in this thread
    try:
        yield
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
