"""Acquires the lease of a run: one process executes it, and its writes are refused once another process has the lease."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import sqlalchemy as sa

from smithers_nb.engine.execution.outcome import Lease, Outcome, settle
from smithers_nb.engine.journal import executions
from smithers_nb.engine.journal.leases import take_lease
from smithers_nb.engine.journal.records import INPUT, Node, append_event, read_output
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.notebook.failure_reasons import GAVE_UP
from smithers_nb.model.failure_reason import FailureReason

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.executions import Execution

MAX_STARTS: Final = 4
"""How often an execution may be started; one that killed its process each time is given up."""


def acquire(journal: Journal, execution: Execution, owner: str) -> Lease | Outcome:
    """Acquire the run for this process and start the execution.

    Returns:
        The lease, or an outcome when there is nothing to do: the execution has ended, the run is cancelled or given up, or a live process
        holds it.

    Raises:
        JournalUnusable: The journal cannot be written.
    """
    run_id = execution.run_id
    with journal.writing(run_id) as connection:
        run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
        over = executions.is_over(connection, execution)
        if over or execution.number < executions.newest(connection, run_id):
            if not over:
                executions.end(connection, execution, "superseded")
            return Outcome(run_id, run.status)
        if not take_lease(connection, run_id, owner):
            return Outcome(run_id, "running")
        starts = executions.begin(connection, execution, owner)
        if run.cancel_requested_at_ms is not None:
            return settle(connection, execution, Outcome(run_id, "cancelled"))
        if starts > MAX_STARTS:
            message = f"the process that executed it died {starts - 1} times in a row, so it is not started again"
            return settle(
                connection, execution, Outcome(run_id, "failed", None, FailureReason(code=GAVE_UP, message=message, source="engine"))
            )
        set_status(connection, run_id, "running")
        since = append_event(connection, run_id, "ExecutionStarted", {"execution": execution.number, "starts": starts, "owner": owner})
        parameters = read_output(connection, Node(run_id, INPUT)) or {}
    again = execution.number > 1 or starts > 1
    config = orjson.loads(run.config_json or "{}")
    return Lease(execution, owner, run.workflow_name, Path(run.workflow_path), parameters, config, run.workflow_hash, since, again)
