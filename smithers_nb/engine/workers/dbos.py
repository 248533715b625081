"""DBOS behind one class: no other module imports it.

An execution is one DBOS workflow, `RUN:N`, on the queue `notebooks`, deduplicated by run id. DBOS lets its driver's exceptions out and
logs their tracebacks, with every statement and its values, which may be secrets; here each becomes one line that a person can act on.
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
"""DBOS lets a worker take only workflows of its own version; ours changes when an execution comes to mean something else."""

_OVER: Final = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""Statuses in which DBOS does nothing more about a workflow."""

_LOG: Final = "dbos"
_MAX_LENGTH: Final = 300


class Workflow(NamedTuple):
    """What DBOS has of an execution.

    Attributes:
        executor: Owner id of the process that holds it; None before one took it.
    """

    id: str
    status: str
    executor: str | None

    @property
    def is_over(self) -> bool:
        """Whether DBOS does nothing more about it."""
        return self.status in _OVER


class Schedule(NamedTuple):
    """A notebook that is started again and again.

    Attributes:
        name: Identifies it in its project; a second one of that name replaces it.
        cron: When, in UTC: five fields, or six that begin with seconds.
        start: What `engine.control.submit` takes besides the run's id, as JSON.
    """

    name: str
    cron: str
    start: dict[str, Any]


class Dbos:
    """DBOS in this process.

    Every operation raises `JournalUnusable` when DBOS's database cannot be used: locked, read-only, damaged, no room, no server, no rights.

    Args:
        location: Project and database.
        owner: Id of this process, for DBOS its executor id.
        execute: Called by DBOS with an execution, in a thread of its own; again in another process when this one has died.
        begin: Called by DBOS at each time of a schedule with the id of the run to start and `Schedule.start`, likewise.
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
        """Start DBOS; `slots` is how many notebooks of the queue this process may execute at once, 0 for none."""
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
        """Stop DBOS; what it executes is left to the process's end."""
        from dbos import DBOS

        DBOS.destroy()
        Dbos._launched = None

    def start(self, execution: Execution) -> WorkflowHandle[dict[str, Any]]:
        """Start an execution in this process; one that DBOS has already is only waited for."""
        from dbos import DBOS, SetWorkflowID

        with self._usable(), SetWorkflowID(execution.workflow_id):
            return DBOS.start_workflow(_workflow(), *execution)

    def result(self, handle: WorkflowHandle[dict[str, Any]]) -> Outcome:
        """Wait for the outcome of a started execution."""
        with self._usable():
            return _outcome(handle.get_result(polling_interval_sec=POLL_INTERVAL_S))

    def enqueue(self, execution: Execution) -> bool:
        """Put an execution on the queue; the same one twice is one workflow.

        Returns:
            False when another execution of the run is not over in DBOS yet, so this one has to wait outside.
        """
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, error

        with self._usable(), SetWorkflowID(execution.workflow_id), SetEnqueueOptions(deduplication_id=execution.run_id):
            try:
                DBOS.enqueue_workflow(QUEUE, _workflow(), *execution)
            except error.DBOSQueueDeduplicatedError:
                return False
        return True

    def workflows(self, executions: Iterable[Execution]) -> dict[str, Workflow]:
        """Look executions up, by workflow id; those that DBOS does not know are missing."""
        ids = [execution.workflow_id for execution in executions]
        return {workflow.id: workflow for workflow in self._list(workflow_ids=ids)} if ids else {}

    def schedule(self, wanted: Schedule) -> None:
        """Let any worker of this database start a notebook at the times of a schedule.

        Raises:
            ParameterError: The times are none that DBOS understands.
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
            raise ParameterError(f"{wanted.cron!r} is no schedule: {problem}", hint="five fields of cron, such as '*/10 * * * *'") from None

    def unschedule(self, name: str) -> bool:
        """Take a schedule away; False when there is none of this name."""
        from dbos import DBOS

        with self._usable():
            if DBOS.get_schedule(name) is None:
                return False
            DBOS.delete_schedule(name)
            return True

    def held_by(self, owner: str) -> list[str]:
        """List the ids of the workflows that a process has begun and not ended."""
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
        """Turn what DBOS and its driver raise into an error of ours; what the caller understands is left to it."""
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
    """Register what DBOS executes, once per process."""
    from dbos import DBOS

    @DBOS.workflow(name="execute_notebook")
    def execute_notebook(run_id: str, number: int) -> dict[str, Any]:
        here = Dbos._launched  # noqa: SLF001
        assert here is not None
        return _row(here._execute(Execution(run_id, number)))  # noqa: SLF001

    return execute_notebook


@functools.cache
def _scheduled() -> Callable[[datetime, Any], None]:
    """Register what DBOS starts at the times of a schedule, once per process; the time is part of the run's id, so one time is one run."""
    from dbos import DBOS

    @DBOS.workflow(name="start_notebook")
    def start_notebook(at: datetime, about: Any) -> None:
        here = Dbos._launched  # noqa: SLF001
        assert here is not None
        here._begin(f"{about['name']}-{at:%Y%m%dt%H%M%S}", about["start"])  # noqa: SLF001

    return start_notebook


def _row(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as DBOS stores it."""
    reason = outcome.reason.model_dump() if outcome.reason else None
    return {"run_id": outcome.run_id, "status": outcome.status, "notebook": outcome.notebook and str(outcome.notebook), "reason": reason}


def _outcome(row: dict[str, Any]) -> Outcome:
    """Read an outcome that DBOS has stored."""
    notebook, reason = row["notebook"], row["reason"]
    return Outcome(row["run_id"], row["status"], Path(notebook) if notebook else None, FailureReason(**reason) if reason else None)


def _log_in_lines(*, silent: bool) -> None:
    """Let DBOS log an error as one line, or not at all where an exception says it; called before DBOS is made."""
    log = logging.getLogger(_LOG)
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, _Lines)]
    log.addHandler(_Lines(logging.CRITICAL + 1 if silent else logging.ERROR))  # DBOS adds none where there is one
    log.propagate = False


class _Lines(logging.Handler):
    """Writes time, what happened, and the exception's own message, without secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        reason = getattr(error, "orig", None) or error
        text = record.getMessage().partition("\n")[0].rstrip(": ") + (f": {reason}" if reason else "")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        with suppress(OSError, ValueError):  # nobody reads it any more
            sys.stderr.write(f"smithers-nb: {at} {' '.join(redact(text).split())[:_MAX_LENGTH]}\n")
