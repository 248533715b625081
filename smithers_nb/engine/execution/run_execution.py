"""One execution of one run's notebook: claim, execute, write down how it ended.

The notebook's stages write their own rows from inside the kernel; this side, in the process that started the kernel, writes the cells,
notices when somebody cancels or takes the run over, and turns the end into a status. Whatever goes wrong ends in a failure reason.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import orjson
import sqlalchemy as sa

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.engine.artifacts.delivery import Delivery, artifacts_of, deliver
from smithers_nb.engine.execution.cells import CellRecorder
from smithers_nb.engine.journal import decisions, executions
from smithers_nb.engine.journal.leases import claim
from smithers_nb.engine.journal.records import INPUT, Node, append_event, read_output
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.kernels.launcher import PRELOAD
from smithers_nb.engine.notebook.executor import Setting, as_bytes, execute
from smithers_nb.engine.notebook.failure_reasons import GAVE_UP, reason_of, reason_of_stop
from smithers_nb.engine.stages.context import JOURNAL, OWNER, ROOT, RUN, end_with_kernel
from smithers_nb.errors import ClaimLost, JournalUnusable, NotebookError
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.stores.json_text import as_object as json_object

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.notebook.executor import Observer
    from smithers_nb.engine.notebook.papermill_engine import Progress
    from smithers_nb.errors import Stop

MAX_STARTS: Final = 4
"""How often an execution may be begun: one that took its process down each time is given up."""

PARKED: Final = "Parked"
"""Name of the exception with which a gate or a question ends an execution."""

_MARK: Final = "papermill-error-cell-tag"
_GLANCE_S: Final = 0.5
_CELL_S, _TOTAL_S = 600.0, 1800.0

_ENGINE: Final = "smithers_nb.engine.stages.cache smithers_nb.workflows.notebook.api"
"""Modules that the first stage of a notebook needs."""

_PACKAGE, _OURS = b"smithers_nb", b"smithers_nb.workflows"
"""What tells a notebook with stages from any other, and one of ours, for which the kernel spec knows what it needs."""


class Outcome(NamedTuple):
    """How an execution ended.

    Attributes:
        status: Status of the run now: `finished`, `failed`, `cancelled`, `waiting-approval`, `waiting-event`, `paused`; `running` when
            another process has the run.
        notebook: The executed notebook, as far as it got.
        reason: Why it failed or is paused.
    """

    run_id: str
    status: str
    notebook: Path | None = None
    reason: FailureReason | None = None


def notebook_of(location: Location, run_id: str) -> Path:
    """Where the executed notebook of a run is, as far as it got: `.smithers_nb/runs/RUN/notebook.ipynb`."""
    return location.folder / "runs" / safe_name(run_id) / "notebook.ipynb"


def execute_run(
    journal: Journal, execution: Execution, owner: str, *, kernels: KernelPool | None = None, progress: Progress | None = None
) -> Outcome:
    """Execute a run's notebook once, from its beginning; stages that are finished give what they gave before.

    Args:
        journal: Where the run is.
        execution: Which one.
        owner: Claim of this process, registered with `claims.register`.
        kernels: Prewarmed kernels.
        progress: Told before each cell.

    Returns:
        How it ended. An execution that is over, or whose run another process has, does nothing.

    Raises:
        JournalUnusable: The journal cannot be written any more; the execution is begun again by whoever finds it.
    """
    try:
        taken = _take(journal, execution, owner)
        return taken if isinstance(taken, Outcome) else _Running(journal, execution, owner, taken).to_its_end(kernels, progress)
    except ClaimLost:
        return Outcome(execution.run_id, "running")


def abandon(journal: Journal, execution: Execution) -> None:
    """End an execution that the durable engine does not know and whose process is dead: by hand it is over, else another one is wanted."""
    with journal.writing(execution.run_id) as connection:
        if executions.is_over(connection, execution):
            return  # it has ended meanwhile
        run = connection.execute(sa.select(runs.c.status, runs.c.config_json).where(runs.c.run_id == execution.run_id)).one()
        if json_object(run.config_json).get("lab"):
            end_with_kernel(connection, execution.run_id)
        elif execution.number < executions.newest(connection, execution.run_id):
            executions.end(connection, execution, "superseded")
        else:
            executions.end(connection, execution, "lost")
            executions.want(connection, execution.run_id)


class _Taken(NamedTuple):
    """A run as it was when it was taken."""

    workflow: str
    path: Path
    parameters: dict[str, Any]
    config: dict[str, Any]
    workflow_hash: str | None
    since: int
    again: bool

    def limit(self, name: str, default: float) -> float:
        """Seconds of one of the time limits."""
        return float(self.config.get("kernel", {}).get(name) or default)


def _take(journal: Journal, execution: Execution, owner: str) -> _Taken | Outcome:
    """Claim the run, or say why there is nothing to do."""
    run_id = execution.run_id
    with journal.writing(run_id) as connection:
        run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
        over = executions.is_over(connection, execution)
        if over or execution.number < executions.newest(connection, run_id):
            if not over:
                executions.end(connection, execution, "superseded")
            return Outcome(run_id, run.status)
        if not claim(connection, run_id, owner):
            return Outcome(run_id, "running")
        starts = executions.begin(connection, execution, owner)
        if run.cancel_requested_at_ms is not None:
            return _settle(connection, execution, Outcome(run_id, "cancelled"))
        if starts > MAX_STARTS:
            message = f"the process that executed it died {starts - 1} times in a row, so it is not begun again"
            return _settle(
                connection, execution, Outcome(run_id, "failed", None, FailureReason(code=GAVE_UP, message=message, source="engine"))
            )
        set_status(connection, run_id, "running")
        since = append_event(connection, run_id, "ExecutionStarted", {"execution": execution.number, "starts": starts, "owner": owner})
        parameters = read_output(connection, Node(run_id, INPUT)) or {}
    again = execution.number > 1 or starts > 1
    config = orjson.loads(run.config_json or "{}")
    return _Taken(run.workflow_name, Path(run.workflow_path), parameters, config, run.workflow_hash, since, again)


def _settle(connection: sa.Connection, execution: Execution, outcome: Outcome) -> Outcome:
    """Write the end of an execution and of the run's status with it."""
    notebook = str(outcome.notebook) if outcome.notebook else None
    executions.end(connection, execution, "parked" if outcome.status.startswith("waiting-") else outcome.status, notebook)
    set_status(connection, execution.run_id, outcome.status, outcome.reason)  # type: ignore[call-overload]  # a pair of the two is checked there
    return outcome


class _Running:
    """An execution that has begun."""

    def __init__(self, journal: Journal, execution: Execution, owner: str, taken: _Taken) -> None:
        self.journal = journal
        self.execution = execution
        self.run_id = execution.run_id
        self.owner = owner
        self.taken = taken
        self.output = notebook_of(journal.location, execution.run_id)
        self.recorder = CellRecorder(journal, execution.run_id, owner, taken.since, taken.limit("cellTimeoutS", _CELL_S))

    def to_its_end(self, kernels: KernelPool | None, progress: Progress | None) -> Outcome:
        """Execute the cells and write how that ended."""
        try:
            changed = self._changed_source()
            if changed is not None:
                return self._end("paused", reason=changed)
            with _Watch(self.journal, self.run_id, self.owner) as watch:
                self._execute(watch, kernels, progress)
        except NotebookError as error:
            return self._stopped(error)
        except (ClaimLost, JournalUnusable):
            raise
        except Exception as error:  # noqa: BLE001  # no path may be silent
            return self._failed(reason_of(error, source="engine"), None)
        return self._finished()

    def _execute(self, watch: _Watch, kernels: KernelPool | None, progress: Progress | None) -> None:
        taken = self.taken
        self.recorder.silent = _speaks_for_itself(taken.path)
        try:
            execute(
                taken.path,
                self.output,
                taken.parameters,
                cell_timeout_s=taken.limit("cellTimeoutS", _CELL_S),
                total_timeout_s=taken.limit("totalTimeoutS", _TOTAL_S),
                progress=progress,
                kernels=kernels,
                setting=Setting(_cwd(taken), self._environment(), self._observer(), watch.stop),
            )
        finally:
            if watch.lost:
                raise ClaimLost(f"run {self.run_id} is executed by another process now")

    def _observer(self) -> Observer:
        if not self.taken.config.get("hot"):
            return self.recorder
        from smithers_nb.engine.execution.hot_reload import HotObserver

        return HotObserver(self.recorder, self.journal, self.run_id, self.owner, self.taken.path)

    def _environment(self) -> dict[str, str]:
        location = self.journal.location
        return {RUN: self.run_id, JOURNAL: location.url, OWNER: self.owner, ROOT: str(location.root), **_preload(self.taken.path)}

    def _changed_source(self) -> FailureReason | None:
        """Say how the notebook differs from the one that was begun; None when it does not, or when it may."""
        if not self.taken.again or self.taken.config.get("hot"):
            return None
        from smithers_nb.engine.notebook.source_hash import mismatches, source_of

        found = mismatches(self.taken.workflow_hash, source_of(self.taken.path, _cwd(self.taken)))
        if not found:
            return None
        return FailureReason(
            code="RESUME_METADATA_MISMATCH",
            message=f"the workflow was edited since the run began: {', '.join(found)}",
            source="engine",
            details={"mismatches": list(found)},
        )

    def _stopped(self, error: NotebookError) -> Outcome:
        stop = error.stop
        if stop is not None and stop.name == PARKED and (status := self._waits(stop)):
            return self._parked(error, stop, status)
        if stop is not None and stop.name == "Cancelled":
            with self._ending(error.notebook) as connection:
                self.recorder.cancel_open(connection, "run-cancelled")
                return _settle(connection, self.execution, Outcome(self.run_id, "cancelled", error.notebook))
        return self._failed(reason_of_stop(error, "notebook"), error)

    def _failed(self, reason: FailureReason, error: NotebookError | None) -> Outcome:
        """Fail what was under way; the run fails with the reason of what failed first."""
        cell = error.stop.cell if error is not None and error.stop is not None else None
        notebook = error.notebook if error is not None else None
        with self._ending(notebook) as connection:
            self.recorder.fail_open(connection, cell, reason)
            first = self.recorder.first_failure(connection) or {}
            told = first.get("error") or {}
            own = FailureReason(
                code=told.get("code") or reason.code,
                message=told.get("message") or reason.message,
                source=f"node:{first.get('nodeId', 'notebook')}",
                details=reason.details if told.get("message") == reason.message else {"name": told.get("name") or reason.code},
            )
            return _settle(connection, self.execution, Outcome(self.run_id, "failed", notebook, own))

    def _waits(self, stop: Stop) -> str | None:
        """Say what the run waits for; None when the exception only looks like that of a gate."""
        node_id = json_object(stop.message).get("node_id")
        if not isinstance(node_id, str):
            return None
        with self.journal.reading() as connection:
            return decisions.asks(connection, self.run_id, node_id)

    def _finished(self) -> Outcome:
        """End the run well, unless it asks for something still: a gate that a notebook caught, or asked in a thread, is as shut as any."""
        notebook = self.output if self.output.exists() else None
        with self._ending(notebook) as connection:
            self.recorder.finish_open(connection)
            status = decisions.asks(connection, self.run_id) or "finished"
            return _settle(connection, self.execution, Outcome(self.run_id, status, notebook))

    def _parked(self, error: NotebookError, stop: Stop, status: str) -> Outcome:
        """Let the run wait, with a notebook that reads as if it had ended there."""
        if error.notebook is not None:
            clean_of_parking(stop.notebook)
            with suppress(OSError):
                write_whole(error.notebook, as_bytes(stop.notebook))
        with self._ending(error.notebook) as connection:
            self.recorder.park_open(connection, status)
            return _settle(connection, self.execution, Outcome(self.run_id, status, error.notebook))

    def _end(self, status: str, reason: FailureReason | None = None) -> Outcome:
        notebook = self.output if self.output.exists() else None
        with self._ending(notebook) as connection:
            return _settle(connection, self.execution, Outcome(self.run_id, status, notebook, reason))

    @contextmanager
    def _ending(self, notebook: Path | None) -> Iterator[sa.Connection]:
        """Give the transaction in which the execution ends, once its notebook is where artifacts go."""
        artifacts = artifacts_of(self.taken.config)
        if artifacts is not None and notebook is not None:
            deliver(self.journal, self.run_id, self.owner, Delivery(artifacts, self.taken.workflow, notebook))
        with self.journal.writing(self.run_id, self.owner) as connection:
            yield connection


class _Watch:
    """Looks, while a notebook is executed, whether somebody cancels the run or has taken it over.

    Attributes:
        stop: Set when the execution shall end.
        lost: Whether another process has the run now.
    """

    def __init__(self, journal: Journal, run_id: str, owner: str) -> None:
        self.stop = threading.Event()
        self.lost = False
        self._over = threading.Event()
        self._journal, self._run_id, self._owner = journal, run_id, owner
        self._thread = threading.Thread(target=self._look, name=f"watch {run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        columns = (runs.c.cancel_requested_at_ms, runs.c.runtime_owner_id)
        while not self._over.wait(_GLANCE_S):
            with suppress(JournalUnusable), self._journal.reading() as connection:
                asked, owner = connection.execute(sa.select(*columns).where(runs.c.run_id == self._run_id)).one()
                self.lost = owner != self._owner
                if asked is not None or self.lost:
                    self.stop.set()
                    return


def clean_of_parking(notebook: Any) -> None:
    """Take out of an executed notebook what only tells that it stopped: papermill's marks and the exception of the gate."""
    notebook.cells = [cell for cell in notebook.cells if _MARK not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("ename") != PARKED]


def _speaks_for_itself(path: Path) -> bool:
    """Tell whether a notebook's stages are its nodes, rather than its cells."""
    with suppress(OSError):
        settings = json_object(path.read_bytes()).get("metadata", {}).get("smithers_nb", {})
        return isinstance(settings, dict) and settings.get("nodes") == "stages"
    return False


def _preload(path: Path) -> dict[str, str]:
    """Let a kernel import, before its first cell, what its notebook will need and nothing else."""
    with suppress(OSError):
        text = path.read_bytes()
        return {} if _OURS in text else {PRELOAD: _ENGINE if _PACKAGE in text else ""}
    return {}


def _cwd(taken: _Taken) -> Path | None:
    folder = taken.config.get("cwd") or taken.config.get("rootDir")
    return Path(folder) if folder and Path(folder).is_dir() else None
