"""DBOS behind one class: no other module imports it.

An execution is one DBOS workflow, `RUN:N`, on the queue `notebooks`, deduplicated by run id. DBOS raises its driver's exceptions and logs
their tracebacks, with every statement and its values, which may be secrets; here each becomes one line that a person can act on.
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from smithers_nb.engine.execution.outcome import Outcome
from smithers_nb.engine.journal.executions import Execution
from smithers_nb.engine.journal.store import unusable
from smithers_nb.errors import ParameterError
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.redact import redact
from smithers_nb.sources.stores.sqlite_file import own

if TYPE_CHECKING:
    from datetime import datetime

    from dbos import WorkflowHandle

    from smithers_nb.engine.location import Location

QUEUE: Final = "notebooks"
POLL_INTERVAL_S: Final = 0.2

_APPLICATION: Final = "smithers-nb"
_VERSION: Final = "1"
"""DBOS gives a worker only workflows of its own version; raise this when the meaning of an execution changes."""

_OVER: Final = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""Statuses of workflows that have ended for DBOS."""

_LOG: Final = "dbos"
_MAX_LENGTH: Final = 300


class Workflow(NamedTuple):
    """An execution as DBOS knows it.

    Attributes:
        executor: Owner id of the process that holds it; None before one has taken it.
    """

    id: str
    status: str
    executor: str | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended for DBOS."""
        return self.status in _OVER


class Schedule(NamedTuple):
    """A notebook that is started on a schedule.

    Attributes:
        name: Unique in its project; a second schedule of that name replaces it.
        cron: Cron expression in UTC: five fields, or six that begin with seconds.
        start: Arguments of `engine.control.submit` except the run's id, as JSON.
    """

    name: str
    cron: str
    start: dict[str, Any]


class Dbos:
    """DBOS in this process.

    Every operation raises `JournalUnusable` when DBOS's database cannot be used: locked, read-only, damaged, disk full, no server, no
    rights.

    Args:
        location: Project and database.
        owner: Owner id of this process, which is its executor id in DBOS.
        execute: Called by DBOS with an execution, in its own thread; again in another process if this one dies.
        begin: Called by DBOS at each scheduled time with the id of the run to start and `Schedule.start`; likewise repeated.
    """

    _launched: ClassVar[Dbos | None] = None  # one per process, as DBOS is

    def __init__(
        self,
        location: Location,
        owner: str,
        execute: Callable[[Execution], Outcome],
        begin: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._location, self._owner, self._execute, self._begin = location, owner, execute, begin

    def launch(self, slots: int) -> None:
        """Start DBOS; `slots` is how many queued notebooks this process may execute at once, 0 for none."""
        from dbos import DBOS, DBOSConfig

        if self._location.file is not None:
            own(self._location.engine_url.removeprefix("sqlite:///"))
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_url": self._location.engine_url,
            "executor_id": self._owner,
            "application_version": _VERSION,
            "log_level": "ERROR",
        }
        Dbos._launched = self
        _log_in_lines(silent=not slots)
        DBOS(config=config)
        _workflow()
        _scheduled()
        DBOS.listen_queues([QUEUE] if slots else [])
        with self._usable():
            DBOS.launch()
            if slots:
                DBOS.register_queue(QUEUE, worker_concurrency=slots, polling_interval_sec=POLL_INTERVAL_S, on_conflict="always_update")

    def destroy(self) -> None:
        """Stop DBOS; running executions end with the process."""
        from dbos import DBOS

        DBOS.destroy()
        Dbos._launched = None

    def start(self, execution: Execution) -> WorkflowHandle[dict[str, Any]]:
        """Start an execution in this process; one that DBOS knows already is not started again."""
        from dbos import DBOS, SetWorkflowID

        with self._usable(), SetWorkflowID(execution.workflow_id):
            return DBOS.start_workflow(_workflow(), *execution)

    def result(self, handle: WorkflowHandle[dict[str, Any]]) -> Outcome:
        """Wait for the outcome of a started execution."""
        with self._usable():
            return _outcome(handle.get_result(polling_interval_sec=POLL_INTERVAL_S))

    def enqueue(self, execution: Execution) -> bool:
        """Put an execution on the queue; queueing the same one twice makes one workflow.

        Returns:
            False when another execution of the run has not ended in DBOS yet, so this one has to wait.
        """
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, error

        with self._usable(), SetWorkflowID(execution.workflow_id), SetEnqueueOptions(deduplication_id=execution.run_id):
            try:
                DBOS.enqueue_workflow(QUEUE, _workflow(), *execution)
            except error.DBOSQueueDeduplicatedError:
                return False
        return True

    def workflows(self, executions: Iterable[Execution]) -> dict[str, Workflow]:
        """Return the workflows of executions, by workflow id; those unknown to DBOS are missing."""
        ids = [execution.workflow_id for execution in executions]
        return {workflow.id: workflow for workflow in self._list(workflow_ids=ids)} if ids else {}

    def schedule(self, wanted: Schedule) -> None:
        """Schedule a notebook to be started by any worker of this database.

        Raises:
            ParameterError: DBOS rejects the cron expression.
        """
        from dbos import DBOS, error

        self.unschedule(wanted.name)
        about = {"name": wanted.name, "start": wanted.start}
        try:
            with self._usable(but=error.DBOSException):
                DBOS.register_queue(QUEUE, polling_interval_sec=POLL_INTERVAL_S, on_conflict="never_update")
                DBOS.create_schedule(
                    schedule_name=wanted.name, workflow_fn=_scheduled(), schedule=wanted.cron, context=about, queue_name=QUEUE
                )
        except error.DBOSException as problem:
            raise ParameterError(
                f"{wanted.cron!r} is not a valid schedule: {problem}", hint="five fields of cron, such as '*/10 * * * *'"
            ) from None

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; return False when there is none of this name."""
        from dbos import DBOS

        with self._usable():
            if DBOS.get_schedule(name) is None:
                return False
            DBOS.delete_schedule(name)
            return True

    def held_by(self, owner: str) -> list[str]:
        """Return the ids of the workflows that a process has begun and not ended."""
        return [workflow.id for workflow in self._list(status="PENDING", executor_id=owner)]

    def resume(self, workflow_id: str) -> None:
        """Put a workflow back on the queue."""
        from dbos import DBOS

        with self._usable():
            DBOS.resume_workflow(workflow_id, queue_name=QUEUE)

    def _list(self, **which: Any) -> list[Workflow]:
        from dbos import DBOS

        with self._usable():
            rows = DBOS.list_workflows(**which, load_input=False, load_output=False)
        return [Workflow(row.workflow_id, row.status, row.executor_id) for row in rows]

    @contextmanager
    def _usable(self, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        """Convert exceptions of DBOS and its driver to `JournalUnusable`, except those the caller handles."""
        import sqlalchemy as sa
        from dbos import error as dbos_error

        try:
            yield
        except but:
            raise
        except (sa.exc.DBAPIError, dbos_error.DBOSException, OSError) as error:
            location = self._location
            where = location.shown if location.file is None else location.file.with_name("dbos.db")
            raise unusable(f"the durable engine's database {where}", error) from error


@functools.cache
def _workflow() -> Callable[[str, int], dict[str, Any]]:
    """Register the workflow that executes a notebook, once per process."""
    from dbos import DBOS

    @DBOS.workflow(name="execute_notebook")
    def execute_notebook(run_id: str, number: int) -> dict[str, Any]:
        here = Dbos._launched  # noqa: SLF001
        assert here is not None
        return _row(here._execute(Execution(run_id, number)))  # noqa: SLF001

    return execute_notebook


@functools.cache
def _scheduled() -> Callable[[datetime, Any], None]:
    """Register the workflow that starts a scheduled run, once per process; the time is part of the run id, so each time is one run."""
    from dbos import DBOS

    @DBOS.workflow(name="start_notebook")
    def start_notebook(at: datetime, about: Any) -> None:
        here = Dbos._launched  # noqa: SLF001
        assert here is not None
        here._begin(f"{about['name']}-{at:%Y%m%dt%H%M%S}", about["start"])  # noqa: SLF001

    return start_notebook


def _row(outcome: Outcome) -> dict[str, Any]:
    """Convert an outcome to the row that DBOS stores."""
    reason = outcome.reason.model_dump() if outcome.reason else None
    return {"run_id": outcome.run_id, "status": outcome.status, "notebook": outcome.notebook and str(outcome.notebook), "reason": reason}


def _outcome(row: dict[str, Any]) -> Outcome:
    """Convert a row stored by DBOS to an outcome."""
    notebook, reason = row["notebook"], row["reason"]
    return Outcome(row["run_id"], row["status"], Path(notebook) if notebook else None, FailureReason(**reason) if reason else None)


def _log_in_lines(*, silent: bool) -> None:
    """Make DBOS log errors as one line, or not at all when an exception reports them; call this before DBOS is created."""
    log = logging.getLogger(_LOG)
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, _Lines)]
    log.addHandler(_Lines(logging.CRITICAL + 1 if silent else logging.ERROR))  # DBOS adds a handler only if there is none
    log.propagate = False


class _Lines(logging.Handler):
    """Logs the time, the message and the exception's text on one line, redacted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a line."""
        error = record.exc_info[1] if record.exc_info else None
        reason = getattr(error, "orig", None) or error
        text = record.getMessage().partition("\n")[0].rstrip(": ") + (f": {reason}" if reason else "")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        with suppress(OSError, ValueError):  # standard error is closed
            sys.stderr.write(f"smithers-nb: {at} {' '.join(redact(text).split())[:_MAX_LENGTH]}\n")
