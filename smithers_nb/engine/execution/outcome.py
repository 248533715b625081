"""The outcome of an execution, and the transaction that records it with the run's status.

The outcome is finished, failed, parked at a gate, cancelled or paused, and a failure always has a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.engine.artifacts.delivery import Delivery, artifacts_of, deliver
from smithers_nb.engine.journal import decisions, executions
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.notebook.executor import as_bytes
from smithers_nb.engine.notebook.failure_reasons import PARKED, reason_of_stop
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.stores.json_text import as_object as json_object

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.execution.cells import CellRecorder
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.location import Location
    from smithers_nb.errors import NotebookError, Stop

_MARK: Final = "papermill-error-cell-tag"


class Outcome(NamedTuple):
    """How an execution ended.

    Attributes:
        status: Status of the run now: `finished`, `failed`, `cancelled`, `waiting-approval`, `waiting-event`, `paused`; `running` when
            another process holds the run.
        notebook: The executed notebook, possibly partial.
        reason: Why it failed or is paused.
    """

    run_id: str
    status: str
    notebook: Path | None = None
    reason: FailureReason | None = None


def notebook_of(location: Location, run_id: str) -> Path:
    """Return the path of a run's executed notebook: `.smithers_nb/runs/RUN/notebook.ipynb`."""
    return location.folder / "runs" / safe_name(run_id) / "notebook.ipynb"


def outcome_of(location: Location, run_id: str) -> Outcome:
    """Return the current outcome of a run, whichever process executed it.

    Raises:
        JournalUnusable: The journal cannot be read.
    """
    from smithers_nb.engine.control.run_state import run_row
    from smithers_nb.engine.journal.store import Journal

    with Journal.open(location) as journal, journal.reading() as connection:
        row = run_row(connection, run_id)
    error = json_object(row.error_json)
    known = FailureReason(code=error["code"], message=error["message"], source=error["source"]) if error.get("source") else None
    notebook = notebook_of(location, run_id)
    return Outcome(run_id, row.status, notebook if notebook.exists() else None, known)


def settle(connection: sa.Connection, execution: Execution, outcome: Outcome) -> Outcome:
    """Record the end of an execution together with the run's status."""
    notebook = str(outcome.notebook) if outcome.notebook else None
    executions.end(connection, execution, "parked" if outcome.status.startswith("waiting-") else outcome.status, notebook)
    set_status(connection, execution.run_id, outcome.status, outcome.reason)  # type: ignore[call-overload]  # a pair of the two is checked there
    return outcome


class Lease(NamedTuple):
    """A run as it was when this process acquired it for one execution.

    Attributes:
        owner: Owner id of this process; writes are refused once the run has another owner.
        since: Sequence number of the event `ExecutionStarted`.
        again: Whether an earlier execution, or an earlier start of this one, may have left finished stages.
    """

    execution: Execution
    owner: str
    workflow: str
    path: Path
    parameters: dict[str, Any]
    config: dict[str, Any]
    workflow_hash: str | None
    since: int
    again: bool

    @property
    def cwd(self) -> Path | None:
        """Working directory of the kernel; None for the folder of the notebook."""
        folder = self.config.get("cwd") or self.config.get("rootDir")
        return Path(folder) if folder and Path(folder).is_dir() else None

    @property
    def kernel(self) -> str | None:
        """Kernel spec of the run; None for the notebook's."""
        name = self.config.get("kernel", {}).get("name")
        return str(name) if name else None

    def limit(self, name: str, default: float) -> float:
        """Return one of the time limits in seconds."""
        return float(self.config.get("kernel", {}).get(name) or default)


class Ending:
    """Records the end of one execution, for each way it can end."""

    def __init__(self, journal: Journal, lease: Lease, recorder: CellRecorder) -> None:
        self._journal, self._lease, self._recorder = journal, lease, recorder
        self._run_id = lease.execution.run_id

    def stopped(self, error: NotebookError) -> Outcome:
        """Park, cancel or fail, depending on the notebook's last exception."""
        stop = error.stop
        if stop is not None and stop.name == PARKED and (status := self._waits(stop)):
            return self._parked(error, stop, status)
        if stop is not None and stop.name == "Cancelled":
            with self._ending(error.notebook) as connection:
                self._recorder.cancel_open(connection, "run-cancelled")
                decisions.close_requests(connection, self._run_id)
                return self._settle(connection, "cancelled", error.notebook)
        return self.failed(reason_of_stop(error, "notebook"), error)

    def failed(self, reason: FailureReason, error: NotebookError | None) -> Outcome:
        """Fail the open attempts; the run fails with the reason of the first failure."""
        cell = error.stop.cell if error is not None and error.stop is not None else None
        notebook = error.notebook if error is not None else None
        with self._ending(notebook) as connection:
            self._recorder.fail_open(connection, cell, reason)
            decisions.close_requests(connection, self._run_id)
            first = self._recorder.first_failure(connection) or {}
            error_of = first.get("error") or {}
            cause = FailureReason(
                code=error_of.get("code") or reason.code,
                message=error_of.get("message") or reason.message,
                source=f"node:{first.get('nodeId', 'notebook')}",
                details=reason.details if error_of.get("message") == reason.message else {"name": error_of.get("name") or reason.code},
            )
            return self._settle(connection, "failed", notebook, cause)

    def finished(self) -> Outcome:
        """Finish the run, unless a stage has failed or a request is still open, from a thread or a gate that the notebook caught."""
        notebook = self._notebook()
        with self._ending(notebook) as connection:
            self._recorder.cancel_open(connection, "the notebook ended before it did")
            status = decisions.asks(connection, self._run_id)
            failed = self._recorder.first_failure(connection)
            if status is None and failed is not None:
                return self._settle(connection, "failed", notebook, _unnoticed(failed))
            return self._settle(connection, status or "finished", notebook)

    def paused(self, reason: FailureReason) -> Outcome:
        """Pause the run until a person resumes it."""
        notebook = self._notebook()
        with self._ending(notebook) as connection:
            return self._settle(connection, "paused", notebook, reason)

    def _waits(self, stop: Stop) -> str | None:
        """Return the waiting status; None when the exception only looks like that of a gate."""
        node_id = json_object(stop.message).get("node_id")
        if not isinstance(node_id, str):
            return None
        with self._journal.reading() as connection:
            return decisions.asks(connection, self._run_id, node_id)

    def _parked(self, error: NotebookError, stop: Stop, status: str) -> Outcome:
        """Park the run, with a notebook that reads as if it had ended there."""
        if error.notebook is not None:
            clean_of_parking(stop.notebook)
            with suppress(OSError):
                write_whole(error.notebook, as_bytes(stop.notebook))
        with self._ending(error.notebook) as connection:
            self._recorder.park_open(connection, status)
            return self._settle(connection, status, error.notebook)

    def _notebook(self) -> Path | None:
        output = notebook_of(self._journal.location, self._run_id)
        return output if output.exists() else None

    def _settle(self, connection: sa.Connection, status: str, notebook: Path | None, reason: FailureReason | None = None) -> Outcome:
        return settle(connection, self._lease.execution, Outcome(self._run_id, status, notebook, reason))

    @contextmanager
    def _ending(self, notebook: Path | None) -> Iterator[sa.Connection]:
        """Yield the transaction in which the execution ends, after copying its notebook to the artifact store."""
        artifacts = artifacts_of(self._lease.config)
        if artifacts is not None and notebook is not None:
            deliver(self._journal, self._run_id, self._lease.owner, Delivery(artifacts, self._lease.workflow, notebook))
        with self._journal.writing(self._run_id, self._lease.owner, durable=True) as connection:
            yield connection


def _unnoticed(event: dict[str, Any]) -> FailureReason:
    """Return the failure reason of a run whose notebook continued after a stage had failed."""
    error, node_id = event["error"], event["nodeId"]
    message = f"{error['message']} (the notebook continued after this; to ignore an error, catch it inside the stage)"
    return FailureReason(
        code=error["code"], message=message, source=f"node:{node_id}", details={"name": error.get("name") or error["code"]}
    )


def clean_of_parking(notebook: Any) -> None:
    """Remove from a parked notebook what only shows that it stopped: papermill's marks and the gate's exception."""
    notebook.cells = [cell for cell in notebook.cells if _MARK not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("ename") != PARKED]
