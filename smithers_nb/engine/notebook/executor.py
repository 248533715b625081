"""Executes notebooks with parameters and time limits, and saves them atomically.

`execute` takes a notebook file, its validated parameters and limits, and returns the executed notebook, saved to a file. When a cell fails,
hangs or loses its kernel, the partially executed notebook is saved as well, and the error names its file.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from smithers_nb.artifacts import write_whole
from smithers_nb.engine.kernels.launcher import without_slow_imports
from smithers_nb.errors import NotebookError, ParameterError, Stop

if TYPE_CHECKING:
    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.notebook.papermill_engine import Progress, Session

M = TypeVar("M", bound=BaseModel)

_IDS_SINCE: Final = (4, 5)
"""The first nbformat in which cells have ids."""

_SAVE_EVERY_S: Final = 2.0
_POLL_INTERVAL_S: Final = 0.2
_GRACE_S: Final = 10.0
"""How long an execution may take to notice that its kernel was killed."""


@dataclass(frozen=True)
class ExecutedNotebook:
    """A notebook that ran to its end.

    Attributes:
        path: Its file.
        node: The notebook itself, an nbformat node.
        duration_s: Seconds from start to end, kernel included.
    """

    path: Path
    node: Any
    duration_s: float

    def shown(self, mimetype: str) -> Any:
        """Return the last output of a MIME type; None when there is none."""
        found = (
            output.data[mimetype]
            for cell in reversed(self.node.cells)
            for output in reversed(cell.get("outputs", []))
            if mimetype in output.get("data", {})
        )
        return next(found, None)


class Observer(Protocol):
    """Callbacks for every code cell, called in the thread that runs the cells."""

    def begun(self, cell: Any, index: int) -> None:
        """Called before a code cell is sent to the kernel; its source may still be changed."""
        ...

    def ended(self, cell: Any, index: int) -> None:
        """Called when the kernel has replied; the cell has its outputs, including any error."""
        ...


@runtime_checkable
class Editor(Observer, Protocol):
    """An observer that may change cells that have not begun."""

    def opened(self, notebook: Any) -> None:
        """Called with the notebook, an nbformat node, before it is executed."""
        ...


class Setting(NamedTuple):
    """Where and how a notebook is executed.

    Attributes:
        cwd: Working directory of its cells; defaults to ours.
        environment: Variables to add to its kernel's environment.
        observer: Callbacks for every code cell.
        cancelled: Stops the execution once it is set.
        kernel: Name of a kernel spec, overriding the notebook's.
        refused: File in which a process started by a cell leaves why its gate or stage was refused; the cell fails then.
    """

    cwd: Path | None = None
    environment: Mapping[str, str] = MappingProxyType({})
    observer: Observer | None = None
    cancelled: threading.Event | None = None
    kernel: str | None = None
    refused: Path | None = None


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """Check a notebook's parameters before anything is started.

    Raises:
        ParameterError: A name is unknown, or a value is missing or invalid; the message names each in one line.
    """
    try:
        return model(**values)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise ParameterError(problems, hint=f"the parameters are {', '.join(model.model_fields)}") from None


def execute(  # noqa: PLR0913  # all but three are options by name
    notebook: Path,
    output: Path,
    parameters: BaseModel | Mapping[str, Any] | None = None,
    *,
    cell_timeout_s: float = 600.0,
    total_timeout_s: float = 1800.0,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
    kernels: KernelPool | None = None,
    setting: Setting | None = None,
) -> ExecutedNotebook:
    """Execute a notebook on its own kernel.

    Args:
        notebook: The notebook, with a cell tagged `parameters`.
        output: File for the executed notebook; replaced if it exists.
        parameters: Its parameters; None for a notebook without any.
        cell_timeout_s: Time limit of one cell in seconds.
        total_timeout_s: Time limit of the whole execution in seconds, including kernel start.
        progress: Called before each cell.
        meanwhile: Called while the kernel is starting, to use that time.
        kernels: Prewarmed kernels (`engine.kernels.pool`); without them a kernel is started from scratch.
        setting: Further options of a durable run.

    Raises:
        NotebookError: A cell failed, time ran out, the kernel died, or the notebook could not be saved.
    """
    begun = time.monotonic()
    job = Job(
        notebook, output, parameters, cell_timeout_s, begun + total_timeout_s, total_timeout_s, progress, kernels, setting or Setting()
    )
    run = _Execution(job)
    threading.Thread(target=run.run, name=f"notebook {notebook.name}", daemon=True).start()
    try:
        run.started.wait(total_timeout_s)
        if meanwhile is not None and run.error is None:
            meanwhile()
        run.wait()
    finally:
        if not run.finished.is_set():
            run.stop()
            run.finished.wait(_GRACE_S)
    return run.result(begun)


class Job(NamedTuple):
    """One execution: the arguments of `execute`, with the deadline on the monotonic clock."""

    notebook: Path
    output: Path
    parameters: BaseModel | Mapping[str, Any] | None
    cell_timeout_s: float
    deadline: float
    total_timeout_s: float
    progress: Progress | None
    kernels: KernelPool | None
    setting: Setting

    @property
    def values(self) -> dict[str, Any]:
        """The parameters in papermill's format."""
        given = self.parameters
        return given.model_dump(mode="json") if isinstance(given, BaseModel) else dict(given or {})

    @property
    def is_cancelled(self) -> bool:
        """Whether the execution was cancelled."""
        return self.setting.cancelled is not None and self.setting.cancelled.is_set()


class _Execution:
    """State shared by the thread that runs the cells and the one that waits for it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.started = threading.Event()
        self.finished = threading.Event()  # not Thread.join: Ctrl-C during it makes Python 3.11 consider the thread ended
        self.error: BaseException | None = None
        self._session: Session | None = None
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Run the cells; any exception is stored in `error`."""
        try:
            with without_slow_imports():
                import nbformat

                from smithers_nb.engine.notebook.papermill_engine import Session

            node = nbformat.reads(_with_ids(self.job.notebook.read_text("utf-8")), as_version=4)
            self._session = Session(self.job.cell_timeout_s, self.job.deadline, self.started, self._on_cell, self.job.setting)
            self._session.pool = self.job.kernels
            self._session.execute(node, self.job.values)
        except BaseException as error:  # noqa: BLE001  # the waiting thread raises it
            self.error = error
        finally:
            self.started.set()
            self.finished.set()

    def wait(self) -> None:
        """Wait for the end, the deadline, or a cancellation."""
        poll_interval = None if self.job.setting.cancelled is None else _POLL_INTERVAL_S
        while not self.job.is_cancelled and (left := self.job.deadline - time.monotonic()) > 0:
            if self.finished.wait(min(left, poll_interval or left)):
                return

    def stop(self) -> None:
        """Kill the kernel."""
        if self._session is not None:
            self._session.stop()

    def result(self, begun: float) -> ExecutedNotebook:
        """Save the notebook and return it, or raise the error that stopped it."""
        session = self._session
        if session is None or session.node is None:
            reason = self.error or "no kernel within the time limit"
            raise NotebookError(f"{self.job.notebook.name} could not be started: {reason}") from self.error
        if self.error is None and self.finished.is_set():
            self._save(session.node)
            return ExecutedNotebook(self.job.output, session.node, time.monotonic() - begun)
        raise self._failure(session) from None

    def _failure(self, session: Session) -> NotebookError:
        from smithers_nb.engine.notebook.papermill_engine import in_words, is_of_a_cell

        name, message = in_words(self.error or TimeoutError(), session, self.job)
        if self.job.is_cancelled:
            name, message = "Cancelled", "the run was cancelled"
        if not is_of_a_cell(self.error):
            session.mark(name, message)
        self._save(session.node)
        cells = session.node.cells
        heading = next((_heading(session.node, index) for index, cell in enumerate(cells) if cell is session.running), "")
        return NotebookError(
            f"{self.job.notebook.name} stopped{f' at “{heading}”' if heading else ''}: {name}: {message}",
            notebook=self.job.output,
            stop=Stop(name, message, session.running, session.node, session.stack),
            hint=f"the partially executed notebook: {self.job.output}",
        )

    def _save(self, node: Any) -> None:
        try:
            write_whole(self.job.output, as_bytes(node))
        except OSError as error:
            reason = f"{self.job.output} could not be written: {error.strerror or error}"
            raise NotebookError(reason, unsaved=True, hint="free some space, or name another folder for artifacts") from error

    def _on_cell(self, session: Session, index: int) -> None:
        if self.job.progress is not None:
            self.job.progress(index, len(session.node.cells), _heading(session.node, index))
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:  # so that a killed process leaves a partial notebook
            self._saved_at = time.monotonic()
            with suppress(OSError):
                write_whole(self.job.output, as_bytes(session.node))


def _with_ids(text: str) -> str:
    """Give each cell a unique id that is the same in every execution; nbformat would warn and make random ones."""
    document = json.loads(text)
    for cell in document.get("cells", ()):  # fields that other programs omit and papermill requires
        cell.setdefault("metadata", {})
        if cell.get("cell_type") == "code":
            cell |= {"outputs": cell.get("outputs", []), "execution_count": cell.get("execution_count")}
    document.setdefault("metadata", {})
    if (document["nbformat"], document.get("nbformat_minor", 0)) < _IDS_SINCE:
        return json.dumps(document)
    seen: set[str] = set()
    for number, cell in enumerate(document["cells"], 1):
        name = str(cell.get("id") or "")
        while not name or name in seen:
            name = f"cell-{number}" if not name.startswith(f"cell-{number}") else f"{name}-again"
        seen.add(name)
        cell["id"] = name
    return json.dumps(document)


def as_bytes(node: Any) -> bytes:
    """Serialise a notebook as JSON; invalid Unicode is escaped."""
    import nbformat

    return str(nbformat.writes(node)).encode("utf-8", "backslashreplace") + b"\n"


def _heading(node: Any, index: int) -> str:
    """Return the heading above a cell."""
    titles = (cell.source for cell in reversed(node.cells[: index + 1]) if cell.cell_type == "markdown" and cell.source.startswith("#"))
    return next(titles, "").partition("\n")[0].lstrip("# ")


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "parameters"
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
