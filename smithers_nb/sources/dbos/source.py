"""Workflows of any DBOS application as runs, read from its system database.

A workflow is a run; a recorded step is a node with its attempts (the third `charge` of a workflow is `charge`, iteration 2); a message
is a signal. DBOS keeps no log, so events are derived from the times in its tables. Pickles are parsed without being unpickled. DBOS
records no heartbeat either, so an unfinished workflow has the status `pending` whether or not a process is working on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.model.rows import AttemptRow, BranchRow, EventRow, NodeRow, OutputRow, RunRow, SignalRow, TaskRow
from smithers_nb.sources.base import AllBut, Only, R, fits
from smithers_nb.sources.dbos import rows as dbos_rows
from smithers_nb.sources.dbos.events import event_rows
from smithers_nb.sources.dbos.tables import STEPS, WORKFLOWS, Request, Row, Tables
from smithers_nb.sources.dbos.values import errors_of, value_of
from smithers_nb.sources.smithers.query import Wanted

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.dbos.rows import Sleep, Step

KIND: Final = "dbos"
_UUID: Final = "workflow_uuid"
_WORKFLOW_COLUMNS: Final = (
    *(_UUID, "status", "name", "class_name", "executor_id", "created_at", "updated_at", "completed_at", "started_at_epoch_ms"),
    *("application_version", "application_name", "recovery_attempts", "queue_name", "deduplication_id", "priority"),
    *("queue_partition_key", "parent_workflow_id", "forked_from", "workflow_timeout_ms", "workflow_deadline_epoch_ms"),
    *("schedule_name", "delay_until_epoch_ms"),
)
_STEP_COLUMNS: Final = (
    *(_UUID, "function_id", "function_name", "child_workflow_id", "started_at_epoch_ms", "completed_at_epoch_ms"),
    *("error", "serialization"),
)
_STEP_KEY: Final = (_UUID, "function_id")
_MORE_STATUSES: Final = {"waiting-timer": ("PENDING",), "waiting-event": ("PENDING",)}
"""Further statuses of DBOS that a status of ours may come from."""

Filters = dict[str, Collection[str | int]]
"""Column to the values that a row may have in it."""


class DbosSource:
    """A read-only view of a DBOS system database; see `sources.base.Source`."""

    kind: str = KIND
    version: str = ""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.location = tables.location
        self.problems = tables.problems

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List workflow ids that start with a prefix, sorted, at most `limit`."""
        return self.tables.starting(WORKFLOWS, _UUID, prefix, limit)

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        if row not in _READERS:
            return []
        read, time = _READERS[row]
        rows = [item for item in read(self, Wanted(run_id, only, since_ms)) if fits(item, only)]
        return [item for item in rows if since_ms is None or time is None or (getattr(item, time) or 0) >= since_ms]

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Return the same as `rows` as a frame with the dtypes of the contract."""
        return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Close the database."""
        self.tables.close()

    def _runs(self, wanted: Wanted) -> list[RunRow]:
        filters = self._run_filters(wanted)
        since = None if wanted.since_ms is None else ("created_at", wanted.since_ms)
        workflows = self.tables.read(Request(WORKFLOWS, _WORKFLOW_COLUMNS, filters, since, order=(_UUID,)))
        errors = self._errors(workflows)
        sleeps = self._sleeps([row[_UUID] for row in workflows if row["status"] == "PENDING"])
        return [dbos_rows.run_row(row, self.location, errors.get(row[_UUID]), sleeps.get(row[_UUID])) for row in workflows]

    def _nodes(self, wanted: Wanted) -> list[NodeRow]:
        return _sorted(dbos_rows.node_row(step) for step in self._flat(wanted))

    def _attempts(self, wanted: Wanted) -> list[AttemptRow]:
        return _sorted(attempt for step in self._flat(wanted) for attempt in dbos_rows.attempt_rows(step))

    def _tasks(self, wanted: Wanted) -> list[TaskRow]:
        filters = {**_by_run(wanted), "status": _dbos_statuses(["failed"])}
        errors = self._errors(self.tables.read(Request(WORKFLOWS, _WORKFLOW_COLUMNS, filters)))
        return [dbos_rows.task_row(step, errors.get(step.run_id)) for step in self._flat(wanted)]

    def _events(self, wanted: Wanted) -> list[EventRow]:
        steps = self._steps(wanted)
        messages = self._messages(wanted, steps)
        runs = self._runs(Wanted(wanted.run_id, _only_runs(wanted.only)))
        return [event for run in runs for event in event_rows(run, steps.get(run.run_id, ()), messages.get(run.run_id, ()))]

    def _outputs(self, wanted: Wanted) -> list[OutputRow]:
        rows = [
            dbos_rows.output_row(run_id, (node, 0), table, stored)
            for table, column, node in (("workflow_input", "inputs", "input"), ("workflow_output", "output", "output"))
            for run_id, stored in self._values(table, column, _by_run(wanted)).items()
        ]
        steps = self._flat(wanted, outputs=True)
        rows += [
            dbos_rows.output_row(step.run_id, (step.node_id, step.iteration), STEPS, step.output)
            for step in steps
            if step.output[0] is not None
        ]
        return sorted(rows, key=lambda row: (row.run_id, row.node_id, row.iteration))

    def _signals(self, wanted: Wanted) -> list[SignalRow]:
        columns = ("destination_uuid", "topic", "message", "created_at_epoch_ms", "serialization")
        of_run = _by_run(wanted)
        filters: Filters = {"destination_uuid": of_run[_UUID]} if of_run else {}
        order = ("destination_uuid", "created_at_epoch_ms", "message_uuid")
        messages = self.tables.read(Request("notifications", columns, filters, order=order))
        grouped = groupby(messages, key=lambda row: row["destination_uuid"])
        return [dbos_rows.signal_row(row, seq) for _, rows in grouped for seq, row in enumerate(rows)]

    def _branches(self, wanted: Wanted) -> list[BranchRow]:
        columns = (_UUID, "forked_from", "created_at")
        forks = self.tables.read(Request(WORKFLOWS, columns, _by_run(wanted), present="forked_from", order=(_UUID,)))
        of_forks = Request(STEPS, (*_STEP_KEY, "completed_at_epoch_ms"), {_UUID: [row[_UUID] for row in forks]}, order=_STEP_KEY)
        steps = _by_workflow(self.tables.read(of_forks)) if forks else {}
        return [
            dbos_rows.branch_row(row, sum((step["completed_at_epoch_ms"] or 0) < row["created_at"] for step in steps.get(row[_UUID], ())))
            for row in forks
        ]

    def _flat(self, wanted: Wanted, *, outputs: bool = False) -> list[Step]:
        return [step for steps in self._steps(wanted, outputs=outputs).values() for step in steps]

    def _steps(self, wanted: Wanted, *, outputs: bool = False) -> dict[str, list[Step]]:
        """Return the steps of each workflow, in the order in which it called them."""
        filters = _by_run(wanted)
        if _only_failed(wanted.only):
            failed = self.tables.read(Request(STEPS, (_UUID,), filters, present="error"))
            filters = {_UUID: sorted({row[_UUID] for row in failed})}
        pending = self.tables.read(Request(WORKFLOWS, (_UUID,), {**filters, "status": ["PENDING"]}))
        sleeps = self._sleeps([row[_UUID] for row in pending])
        columns = (*_STEP_COLUMNS, "output") if outputs else _STEP_COLUMNS
        grouped = _by_workflow(self.tables.read(Request(STEPS, columns, filters, order=_STEP_KEY)))
        return {run_id: dbos_rows.steps_of(run_id, rows, sleeps.get(run_id)) for run_id, rows in grouped.items()}

    def _sleeps(self, pending: Collection[str]) -> dict[str, Sleep]:
        """Return the workflows whose last recorded step is a sleep, or the time limit of a wait."""
        if not pending:
            return {}
        columns = (_UUID, "function_id", "function_name")
        grouped = _by_workflow(self.tables.read(Request(STEPS, columns, {_UUID: pending}, order=_STEP_KEY)))
        asleep = [run_id for run_id, rows in grouped.items() if rows[-1]["function_name"] == dbos_rows.SLEEP]
        if not asleep:
            return {}
        filters: Filters = {_UUID: asleep, "function_name": [dbos_rows.SLEEP]}
        full = _by_workflow(self.tables.read(Request(STEPS, (*columns, "output", "serialization"), filters, order=_STEP_KEY)))
        sleeps = {run_id: dbos_rows.sleep_of([*grouped[run_id][:-1], rows[-1]]) for run_id, rows in full.items()}
        return {run_id: sleep for run_id, sleep in sleeps.items() if sleep is not None}

    def _errors(self, workflows: Iterable[Row]) -> dict[str, dict[str, Any]]:
        """Return the error of each of these workflows that failed."""
        failed = {row[_UUID]: row for row in workflows if dbos_rows.status_of(row) == "failed"}
        if not failed:
            return {}
        stored = self._values("workflow_output", "error", {_UUID: list(failed)})
        columns = (_UUID, "error", "serialization")
        of_steps = _by_workflow(self.tables.read(Request(STEPS, columns, {_UUID: list(failed)}, present="error", order=_STEP_KEY)))
        errors_by_run = {}
        for run_id, row in failed.items():
            records = [errors[-1] for step in of_steps.get(run_id, ()) if (errors := errors_of(step["error"], step["serialization"]))]
            if error := dbos_rows.run_error(row, stored.get(run_id), records):
                errors_by_run[run_id] = error
        return errors_by_run

    def _values(self, table: str, column: str, filters: Filters) -> dict[str, tuple[Any, Any]]:
        """Return inputs, outputs or errors and their serialisation; older versions of DBOS store them in the row of the workflow."""
        kinds = {row[_UUID]: row["serialization"] for row in self.tables.read(Request(WORKFLOWS, (_UUID, "serialization"), filters))}
        values: dict[str, tuple[Any, Any]] = {}
        for name in (WORKFLOWS, table):
            for row in self.tables.read(Request(name, (_UUID, column), filters, present=column)):
                values[row[_UUID]] = (row[column], kinds.get(row[_UUID]))
        return values

    def _messages(self, wanted: Wanted, steps: dict[str, list[Step]]) -> dict[str, list[tuple[str, int | None, dict[str, Any]]]]:
        """Return what each workflow sent and received: events set, streams written, messages."""
        times = {(step.run_id, step.function_id): step.completed or step.started for of_run in steps.values() for step in of_run}
        messages: dict[str, list[tuple[str, int | None, dict[str, Any]]]] = {}
        for table, kind in (("workflow_events_history", "EventSet"), ("streams", "StreamWritten")):
            columns = (*_STEP_KEY, "key", "value", "serialization")
            for row in self.tables.read(Request(table, columns, _by_run(wanted), order=_STEP_KEY)):
                payload = {"key": row["key"], "value": value_of(row["value"], row["serialization"]), "functionId": row["function_id"]}
                messages.setdefault(row[_UUID], []).append((kind, times.get((row[_UUID], row["function_id"])), payload))
        for signal in self._signals(wanted):
            payload = {"signalName": signal.signal_name, "seq": signal.seq}
            messages.setdefault(signal.run_id, []).append(("SignalReceived", signal.received_at, payload))
        return messages

    def _run_filters(self, wanted: Wanted) -> Filters:
        """Return the filters on runs that DBOS's own columns can apply."""
        filters = _by_run(wanted)
        only = wanted.only or {}
        if "parent_run_id" in only and not isinstance(only["parent_run_id"], AllBut):
            children: set[str] = set()
            for column in ("parent_workflow_id", "forked_from"):
                by_parent = Request(WORKFLOWS, (_UUID,), {**filters, column: only["parent_run_id"]})
                children |= {row[_UUID] for row in self.tables.read(by_parent)}
            filters = {_UUID: sorted(children)}
        if "status" in only and not isinstance(only["status"], AllBut):
            filters["status"] = _dbos_statuses(only["status"])
        return filters


_READERS: Final[dict[type, tuple[Callable[[DbosSource, Wanted], list[Any]], str | None]]] = {
    RunRow: (DbosSource._runs, "created_at"),  # noqa: SLF001  # the table belongs to the class
    NodeRow: (DbosSource._nodes, "updated_at"),  # noqa: SLF001
    AttemptRow: (DbosSource._attempts, "started_at"),  # noqa: SLF001
    EventRow: (DbosSource._events, "at"),  # noqa: SLF001
    OutputRow: (DbosSource._outputs, None),  # noqa: SLF001
    TaskRow: (DbosSource._tasks, None),  # noqa: SLF001
    SignalRow: (DbosSource._signals, "received_at"),  # noqa: SLF001
    BranchRow: (DbosSource._branches, "created_at"),  # noqa: SLF001
}
"""For each row class that DBOS has data for: its reader, and the column that `since_ms` applies to."""


def _by_run(wanted: Wanted) -> Filters:
    """Return the filter on workflow ids; empty for all workflows."""
    if wanted.run_id is not None:
        return {_UUID: [wanted.run_id]}
    run_ids = (wanted.only or {}).get("run_id")
    return {} if run_ids is None or isinstance(run_ids, AllBut) else {_UUID: run_ids}


def _only_runs(only: Only | None) -> Only | None:
    return {"run_id": only["run_id"]} if only and "run_id" in only else None


def _only_failed(only: Only | None) -> bool:
    states = (only or {}).get("state")
    return states is not None and not isinstance(states, AllBut) and set(states) <= {"failed", "cancelled"}


def _dbos_statuses(statuses: Collection[str | int]) -> list[str | int]:
    """Return the statuses of DBOS that these statuses may come from."""
    theirs = [stored for stored, status in dbos_rows.STATUSES.items() if status in statuses]
    return [*theirs, *(stored for status in statuses for stored in _MORE_STATUSES.get(str(status), ())), *statuses]


def _by_workflow(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return {run_id: list(group) for run_id, group in groupby(rows, key=lambda row: str(row[_UUID]))}


def _sorted(rows: Iterable[R]) -> list[R]:
    """Sort rows by run, node and iteration; the attempts of a step stay in their order."""
    return sorted(rows, key=lambda row: row[:3])
