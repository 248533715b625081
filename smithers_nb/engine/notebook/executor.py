"""Notebooks executed with parameters, within a time limit, saved whole.

`execute` gets a notebook file, a validated pydantic model of its parameters and limits; it gives the executed notebook, saved at its
place. When a cell fails, hangs or loses its kernel, the notebook as far as it got is saved all the same and the error names its file.
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
"""The nbformat from which on cells have ids."""

_SAVE_EVERY_S: Final = 2.0
_POLL_INTERVAL_S: Final = 0.2
_GRACE_S: Final = 10.0
"""How long an execution whose kernel was ended may take to notice."""


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
        """Return the last thing of this type that a cell displayed; None when none did."""
        found = (
            output.data[mimetype]
            for cell in reversed(self.node.cells)
            for output in reversed(cell.get("outputs", []))
            if mimetype in output.get("data", {})
        )
        return next(found, None)


class Observer(Protocol):
    """Whoever wants to know of every code cell; called in the thread that runs the cells."""

    def begun(self, cell: Any, index: int) -> None:
        """A code cell is about to be sent to the kernel; its source may still be changed."""
        ...

    def ended(self, cell: Any, index: int) -> None:
        """The kernel has answered; the cell has its outputs, an error among them."""
        ...


@runtime_checkable
class Editor(Observer, Protocol):
    """An observer that may change, between two cells, those that have not begun."""

    def opened(self, notebook: Any) -> None:
        """The notebook that is about to be executed, an nbformat node."""
        ...


class Setting(NamedTuple):
    """Where and how a notebook is executed.

    Attributes:
        cwd: Folder that its cells find themselves in; ours by default.
        environment: Variables that its kernel gets beside ours.
        observer: Told of every code cell.
        cancelled: Ends the execution once it is set.
        kernel: Name of a kernel spec, instead of the one that the notebook names.
    """

    cwd: Path | None = None
    environment: Mapping[str, str] = MappingProxyType({})
    observer: Observer | None = None
    cancelled: threading.Event | None = None
    kernel: str | None = None


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """Check a notebook's parameters before anything is started.

    Raises:
        ParameterError: A name is unknown, a value missing or of the wrong kind; one line says which.
    """
    try:
        return model(**values)
    except ValidationError as error:
        problems = "; ".join(_in_words(problem) for problem in error.errors())
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
    """Run a notebook on a kernel of its own.

    Args:
        notebook: The notebook, with a cell tagged `parameters`.
        output: Where the executed notebook goes; replaced when it exists.
        parameters: Its parameters; None for a notebook that takes none.
        cell_timeout_s: Seconds that one cell may take.
        total_timeout_s: Seconds that everything may take, the start of the kernel included.
        progress: Told before each cell.
        meanwhile: Called once the kernel is starting, to use the time that takes.
        kernels: Prewarmed kernels (`engine.kernels.pool`); without them a kernel is started from nothing.
        setting: What else a durable run wants.

    Raises:
        NotebookError: A cell failed, the time was up, the kernel died, or the notebook could not be saved.
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
    """What is to be done."""

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
        """The parameters as papermill wants them."""
        given = self.parameters
        return given.model_dump(mode="json") if isinstance(given, BaseModel) else dict(given or {})

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked for an end."""
        return self.setting.cancelled is not None and self.setting.cancelled.is_set()


class _Execution:
    """What the thread that runs the cells and the one that waits for it share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.started = threading.Event()
        self.finished = threading.Event()  # not Thread.join: a Ctrl-C there makes Python 3.11 take the thread for ended
        self.error: BaseException | None = None
        self._session: Session | None = None
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Run the cells; what goes wrong is kept in `error`."""
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
        """Wait for the end, the deadline, or somebody who cancels."""
        poll_interval = None if self.job.setting.cancelled is None else _POLL_INTERVAL_S
        while not self.job.is_cancelled and (left := self.job.deadline - time.monotonic()) > 0:
            if self.finished.wait(min(left, poll_interval or left)):
                return

    def stop(self) -> None:
        """End the kernel."""
        if self._session is not None:
            self._session.stop()

    def result(self, begun: float) -> ExecutedNotebook:
        """Save the notebook and give it, or raise what happened to it."""
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
            name, message = "Cancelled", "somebody cancelled the run"
        if not is_of_a_cell(self.error):
            session.mark(name, message)
        self._save(session.node)
        cells = session.node.cells
        location = next((_heading(session.node, index) for index, cell in enumerate(cells) if cell is session.running), "")
        return NotebookError(
            f"{self.job.notebook.name} stopped{f' at “{location}”' if location else ''}: {name}: {message}",
            notebook=self.job.output,
            stop=Stop(name, message, session.running, session.node, session.stack),
            hint=f"the notebook as far as it got: {self.job.output}",
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
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:  # so that a killed process leaves something to look at
            self._saved_at = time.monotonic()
            with suppress(OSError):
                write_whole(self.job.output, as_bytes(session.node))


def _with_ids(text: str) -> str:
    """Give each cell an id of its own, the same ones in every execution; nbformat would warn and draw lots."""
    document = json.loads(text)
    for cell in document.get("cells", ()):  # what other programs leave out, and papermill takes to be there
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
    """Write a notebook as JSON; what is no valid Unicode becomes an escape."""
    import nbformat

    return str(nbformat.writes(node)).encode("utf-8", "backslashreplace") + b"\n"


def _heading(node: Any, index: int) -> str:
    """Find the heading that stands above a cell."""
    titles = (cell.source for cell in reversed(node.cells[: index + 1]) if cell.cell_type == "markdown" and cell.source.startswith("#"))
    return next(titles, "").partition("\n")[0].lstrip("# ")


def _in_words(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "parameters"
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
