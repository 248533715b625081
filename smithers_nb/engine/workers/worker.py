"""The durable engine: DBOS runs executions of notebooks from one queue, in as many processes as there are.

An execution is one DBOS workflow, `RUN:N`, on the queue `notebooks`, deduplicated by run id. A foreground run starts its workflow in its
own process; a worker takes whatever is queued. Every process that executes announces itself in the journal; when one dies, any worker has
DBOS put what it held back on the queue. DBOS cannot know by itself that a process on another machine is dead; that is all we add.
"""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.engine.execution.run_execution import Outcome, abandon, execute_run
from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.executions import Execution
from smithers_nb.engine.journal.leases import BEAT_S, beat_until, deregister, known_workers, new_owner, register, take_from
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.kernels.socket_dirs import sweep
from smithers_nb.engine.workers.dbos_database import as_row, log_in_lines, outcome_of, telling
from smithers_nb.errors import JournalUnusable
from smithers_nb.model.timestamps import now_ms
from smithers_nb.sources.stores.sqlite_file import own

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dbos import WorkflowHandle

    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.notebook.papermill_engine import Progress

QUEUE: Final = "notebooks"
_APPLICATION: Final = "smithers-nb"
_VERSION: Final = "1"
"""DBOS lets a worker take only workflows of its own version; ours changes when an execution comes to mean something else."""

_POLL_S: Final = 0.2
_IDLE_S: Final = 5.0
"""How often to look for work, and how long a worker that ends when idle waits for more."""

_AWAY_S: Final = 120.0
"""How long such a worker, which nobody looks after, waits for a database that is away."""

_OVERDUE_S: Final = 30.0
_OVER: Final = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""Statuses of DBOS in which it does nothing more about a workflow."""

_GRACE_S: Final = 20.0
_log: Final = logging.getLogger("smithers_nb")


def run_here(location: Location, run_id: str, *, progress: Progress | None = None) -> Outcome:
    """Execute a run in this process, from its beginning to its end or to the next gate; Ctrl-C cancels it.

    Args:
        location: Project and database of the run.
        run_id: A run that `control.submit` or `control.resume` has made ready.
        progress: Told before each cell.

    Raises:
        JournalUnusable: The journal cannot be written.
    """
    with Journal.open(location) as journal, _engine(journal, progress=progress) as engine:
        with journal.writing(run_id) as connection:
            execution = executions.want(connection, run_id, queued=True)
        return engine.start(execution)


def enqueue(location: Location, run_id: str) -> Execution:
    """Ask for the next execution of a run; a worker takes it.

    Raises:
        JournalUnusable: The journal cannot be written.
        RunNotFound: There is no such run.
    """
    with Journal.open(location) as journal, journal.writing(run_id) as connection:
        return executions.want(connection, run_id)


def ensure_worker(location: Location) -> bool:
    """Start a worker that ends when it has nothing to do, unless one is alive already; tell whether one was started."""
    with Journal.open(location) as journal, journal.reading() as connection:
        if any(worker.queue == QUEUE and worker.is_alive(now_ms()) for worker in known_workers(connection)):
            return False
    log = location.folder / "logs" / "worker.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = "import sys; from smithers_nb.cli import main; sys.exit(main())"
    environment = os.environ if location.file is not None else {**os.environ, "SMITHERS_NB_DATABASE": location.url}
    with log.open("ab") as stream:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-c", code, "worker", "--until-idle"],
            cwd=location.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    # whoever lives longer than the worker, such as a notebook's kernel, has to take note of its end
    threading.Thread(target=process.wait, name="worker", daemon=True).start()
    return True


def work(
    location: Location,
    *,
    concurrency: int | None = None,
    until_idle: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Take executions from the queue until told to stop.

    Args:
        location: Project and database.
        concurrency: Notebooks at once, for every worker of this database; the number of cores by default.
        until_idle: End when there has been nothing to do for some seconds.
        on_outcome: Told how each execution ended, in the thread that ran it; its errors are logged and go no further.
        stop: Set by the caller to end; what is under way is taken over by the next worker.

    Raises:
        JournalUnusable: The journal cannot be opened.
    """
    from smithers_nb.engine.kernels.pool import prewarmed

    at_once = concurrency or os.cpu_count() or 1
    with (
        Journal.open(location) as journal,
        prewarmed() as kernels,
        _engine(journal, at_once=at_once, kernels=kernels, on_outcome=on_outcome) as engine,
    ):
        engine.serve(stop or threading.Event(), until_idle=until_idle)


class _Engine:
    """DBOS in this process, launched.

    Attributes:
        owner: Id of this process, for DBOS and in the journal.
    """

    def __init__(
        self, journal: Journal, kernels: KernelPool | None, progress: Progress | None, on_outcome: Callable[[Outcome], None] | None
    ) -> None:
        self.journal = journal
        self.owner = new_owner()
        self._kernels = kernels
        self._progress = progress
        self._on_outcome = on_outcome
        self._looked_for_overdue = 0.0
        self._at_work: set[Execution] = set()
        self._ended: dict[Execution, Outcome] = {}  # only the last one

    def execute(self, execution: Execution) -> Outcome:
        """Execute a notebook; called by DBOS, and again somewhere else when the process that did it has died."""
        self._at_work.add(execution)
        try:
            outcome = execute_run(self.journal, execution, self.owner, kernels=self._kernels, progress=self._progress)
            self._ended = {execution: outcome}
            self._tell(outcome)
        finally:
            self._at_work.discard(execution)
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        if self._on_outcome is None:
            return
        try:
            self._on_outcome(outcome)
        except Exception:  # noqa: BLE001  # the execution is over and well recorded; what follows it cannot undo that
            _log.exception("what follows the end of run %s failed", outcome.run_id)

    def start(self, execution: Execution) -> Outcome:
        """Start an execution in this process and wait for its end."""
        from dbos import DBOS, SetWorkflowID

        with telling(self.journal.location):
            execution = self._unknown_to_dbos(execution)
            with SetWorkflowID(execution.workflow_id):
                handle = DBOS.start_workflow(_workflow(), *execution)
            try:
                return self._result(handle, execution)
            except KeyboardInterrupt:
                self._cancel(execution.run_id)
                return self._result(handle, execution)

    def _result(self, handle: WorkflowHandle[dict[str, Any]], execution: Execution) -> Outcome:
        try:
            return outcome_of(handle.get_result(polling_interval_sec=_POLL_S))
        except Exception:
            if execution in self._ended:  # DBOS could not write down what the journal has
                return self._ended[execution]
            raise

    def _unknown_to_dbos(self, execution: Execution) -> Execution:
        """Number one anew that DBOS has heard of: it would start nothing, but wait for a worker or tell of an earlier journal."""
        from dbos import DBOS

        while DBOS.list_workflows(workflow_ids=[execution.workflow_id], load_input=False, load_output=False):
            with self.journal.writing(execution.run_id) as connection:
                if executions.is_begun(connection, execution):
                    break  # a worker was faster
                executions.end(connection, execution, "superseded")
                execution = executions.want(connection, execution.run_id, queued=True)
        return execution

    def serve(self, stop: threading.Event, *, until_idle: bool) -> None:
        """Hand over what is wanted, bring back what dead processes held, until told to stop or idle."""
        busy_at = there_at = time.monotonic()
        looked_at = 0.0
        while not stop.wait(_POLL_S):
            try:
                with telling(self.journal.location):
                    self._hand_over()
                    if time.monotonic() - looked_at > BEAT_S:
                        looked_at = time.monotonic()
                        self._bring_back()
                    if until_idle and self._has_work():
                        busy_at = time.monotonic()
                    if until_idle and time.monotonic() - busy_at > _IDLE_S:
                        if self._leaves():
                            return
                        busy_at = time.monotonic()
                there_at = time.monotonic()
            except JournalUnusable:  # a database that is away for a moment comes back
                if until_idle and time.monotonic() - there_at > _AWAY_S:
                    raise

    def _leaves(self) -> bool:
        """Take no more work, unless some came in this very moment.

        Who asks for work looks for a worker afterwards; a worker that leaves says so first and looks for work afterwards. So one of
        the two sees the other.
        """
        take_from(self.journal, self.owner, None)
        if not self._has_work():
            return True
        take_from(self.journal, self.owner, QUEUE)
        return False

    def is_executing(self) -> bool:
        """Tell whether this process is at work on a run, or has one claimed."""
        import sqlalchemy as sa

        if self._at_work:
            return True
        with self.journal.reading() as connection:
            return connection.execute(sa.select(runs.c.run_id).where(runs.c.runtime_owner_id == self.owner)).first() is not None

    def _cancel(self, run_id: str) -> None:
        with self.journal.writing(run_id) as connection:
            connection.execute(runs.update().where(runs.c.run_id == run_id).values(cancel_requested_at_ms=now_ms()))

    def _hand_over(self) -> None:
        """Put on DBOS's queue what is wanted in the journal; the same id twice is one workflow."""
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, error

        with self.journal.reading() as connection:
            waiting = executions.wanted(connection)
        for execution in waiting:
            try:
                with SetWorkflowID(execution.workflow_id), SetEnqueueOptions(deduplication_id=execution.run_id):
                    DBOS.enqueue_workflow(QUEUE, _workflow(), *execution)
            except error.DBOSQueueDeduplicatedError:
                continue  # the execution before it is not quite over
            with self.journal.writing() as connection:
                executions.mark_queued(connection, execution)

    def _has_work(self) -> bool:
        """Tell whether an execution waits, is under way here, or was left behind by a process that is dead, if only to be followed."""
        if self._at_work:
            return True
        with self.journal.reading() as connection:
            others = [worker for worker in known_workers(connection) if worker.owner != self.owner]
            alive = {worker.owner for worker in others if worker.is_alive(now_ms())}
            return len(alive) < len(others) or any(left.owner not in alive for left in executions.unfinished(connection))

    def _bring_back(self) -> None:
        """Let DBOS queue again what processes held that are dead, and ask anew for what it has lost or given up."""
        from dbos import DBOS

        with self.journal.reading() as connection:
            workers = known_workers(connection)
            alive = {worker.owner for worker in workers if worker.owner == self.owner or worker.is_alive(now_ms())}
            doubtful = {one.execution for one in executions.unfinished(connection) if self._is_left(one, alive)} | self._overdue(connection)
        dead = [worker.owner for worker in workers if worker.owner not in alive]
        for owner in dead:  # also what had ended in the journal and not in DBOS yet
            for held in DBOS.list_workflows(status="PENDING", executor_id=owner, load_input=False, load_output=False):
                DBOS.resume_workflow(held.workflow_id, queue_name=QUEUE)
        ids = [execution.workflow_id for execution in doubtful]
        found = DBOS.list_workflows(workflow_ids=ids, load_input=False, load_output=False) if ids else []
        known = {held.workflow_id: held for held in found}
        for execution in doubtful:
            there = known.get(execution.workflow_id)
            if there is None or there.status in _OVER:
                abandon(self.journal, execution)
            elif there.status == "PENDING" and there.executor_id not in alive:
                DBOS.resume_workflow(there.workflow_id, queue_name=QUEUE)
        for owner in dead:
            deregister(self.journal, owner)
        if dead:
            sweep()

    def _is_left(self, one: executions.Unfinished, alive: set[str]) -> bool:
        """Tell whether nobody works on an execution that somebody has begun."""
        if one.owner is None:
            return False
        return one.owner not in alive or (one.owner == self.owner and one.execution not in self._at_work)

    def _overdue(self, connection: sa.Connection) -> set[Execution]:
        """Find, now and then, what was handed to the queue long ago and has not begun: mostly it just waits for its turn."""
        if time.monotonic() - self._looked_for_overdue < _OVERDUE_S:
            return set()
        self._looked_for_overdue = time.monotonic()
        return set(executions.overdue(connection, now_ms() - round(_OVERDUE_S * 1000)))


_here: _Engine | None = None
"""The engine of this process; DBOS itself is one per process."""


@contextmanager
def _engine(
    journal: Journal,
    *,
    at_once: int = 0,
    kernels: KernelPool | None = None,
    progress: Progress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Iterator[_Engine]:
    """Launch DBOS in this process; `at_once` is how many notebooks of the queue it may execute, 0 for none."""
    global _here  # noqa: PLW0603  # one per process, as DBOS is
    from dbos import DBOS

    engine = _Engine(journal, kernels, progress, on_outcome)
    register(journal, engine.owner, QUEUE if at_once else None)
    _here, over = engine, threading.Event()
    beating = threading.Thread(target=beat_until, args=(journal, engine.owner, over), name="heartbeat", daemon=True)
    beating.start()
    try:
        _launch(journal.location, engine.owner, at_once)
        yield engine
    finally:
        over.set()
        beating.join()
        DBOS.destroy()
        _here = None
        with suppress(JournalUnusable):
            if not engine.is_executing():  # else the next worker takes it over, because this process is dead then
                deregister(journal, engine.owner)


def _launch(location: Location, owner: str, at_once: int) -> None:
    from dbos import DBOS, DBOSConfig

    if location.file is not None:
        own(location.engine_url.removeprefix("sqlite:///"))
    config: DBOSConfig = {
        "name": _APPLICATION,
        "system_database_url": location.engine_url,
        "executor_id": owner,
        "application_version": _VERSION,
        "log_level": "ERROR",
    }
    log_in_lines(silent=not at_once)
    DBOS(config=config)
    _workflow()
    DBOS.listen_queues([QUEUE] if at_once else [])
    with telling(location):
        DBOS.launch()
        if at_once:
            DBOS.register_queue(QUEUE, worker_concurrency=at_once, polling_interval_sec=_POLL_S, on_conflict="always_update")


@functools.cache
def _workflow() -> Callable[[str, int], dict[str, Any]]:
    """Register what DBOS executes, once per process."""
    from dbos import DBOS

    @DBOS.workflow(name="execute_notebook")
    def execute_notebook(run_id: str, number: int) -> dict[str, Any]:
        assert _here is not None
        return as_row(_here.execute(Execution(run_id, number)))

    return execute_notebook
