"""Workflows of any DBOS application as runs, read from its system database.

A workflow is a run, a recorded step is a node (the third `charge` of a workflow is `charge`, iteration 2) with its attempts, a message
is a signal. DBOS keeps no log: events are told from the times in its tables. What was pickled is read without being unpickled.
DBOS records no sign of life either, so a workflow that is not over keeps its own word, `pending`, whether or not anybody works on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.model.rows import AttemptRow, BranchRow, EventRow, NodeRow, OutputRow, RunRow, SignalRow, TaskRow
from smithers_nb.sources.base import AllBut, Only, R, fits
from smithers_nb.sources.dbos import rows as to
from smithers_nb.sources.dbos.events import event_rows
from smithers_nb.sources.dbos.tables import STEPS, WORKFLOWS, Question, Row, Tables
from smithers_nb.sources.dbos.values import errors_of, value_of
from smithers_nb.sources.smithers.query import Wanted

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.dbos.rows import Sleep, Step

KIND: Final = "dbos"
_UUID: Final = "workflow_uuid"
_OF_A_WORKFLOW: Final = (
    *(_UUID, "status", "name", "class_name", "executor_id", "created_at", "updated_at", "completed_at", "started_at_epoch_ms"),
    *("application_version", "application_name", "recovery_attempts", "queue_name", "deduplication_id", "priority"),
    *("queue_partition_key", "parent_workflow_id", "forked_from", "workflow_timeout_ms", "schedule_name", "delay_until_epoch_ms"),
)
_OF_A_STEP: Final = (
    *(_UUID, "function_id", "function_name", "child_workflow_id", "started_at_epoch_ms", "completed_at_epoch_ms"),
    *("error", "serialization"),
)
_BY_STEP: Final = (_UUID, "function_id")
_ALSO: Final = {"waiting-timer": ("PENDING",), "waiting-event": ("PENDING",)}

Among = dict[str, Collection[str | int]]


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
        if row not in _GRAINS:
            return []
        read, time = _GRAINS[row]
        found = [one for one in read(self, Wanted(run_id, only, since_ms)) if fits(one, only)]
        return [one for one in found if since_ms is None or time is None or (getattr(one, time) or 0) >= since_ms]

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Let go of the database."""
        self.tables.close()

    def _runs(self, wanted: Wanted) -> list[RunRow]:
        among = self._among_runs(wanted)
        since = None if wanted.since_ms is None else ("created_at", wanted.since_ms)
        found = self.tables.ask(Question(WORKFLOWS, _OF_A_WORKFLOW, among, since, order=(_UUID,)))
        errors = self._errors(found)
        asleep = self._asleep([row[_UUID] for row in found if row["status"] == "PENDING"])
        return [to.run_row(row, self.location, errors.get(row[_UUID]), asleep.get(row[_UUID])) for row in found]

    def _nodes(self, wanted: Wanted) -> list[NodeRow]:
        return _sorted(to.node_row(step) for step in self._flat(wanted))

    def _attempts(self, wanted: Wanted) -> list[AttemptRow]:
        return _sorted(attempt for step in self._flat(wanted) for attempt in to.attempt_rows(step))

    def _tasks(self, wanted: Wanted) -> list[TaskRow]:
        failed = self.tables.ask(Question(WORKFLOWS, _OF_A_WORKFLOW, {**_of_run(wanted), "status": _words(["failed"])}))
        errors = self._errors(failed)
        return [to.task_row(step, errors.get(step.run_id)) for step in self._flat(wanted)]

    def _events(self, wanted: Wanted) -> list[EventRow]:
        steps = self._steps(wanted)
        said = self._said(wanted, steps)
        runs = self._runs(Wanted(wanted.run_id, _only_runs(wanted.only)))
        return [event for run in runs for event in event_rows(run, steps.get(run.run_id, ()), said.get(run.run_id, ()))]

    def _outputs(self, wanted: Wanted) -> list[OutputRow]:
        rows = [
            to.output_row(run_id, (node, 0), table, stored)
            for table, column, node in (("workflow_input", "inputs", "input"), ("workflow_output", "output", "output"))
            for run_id, stored in self._values(table, column, _of_run(wanted)).items()
        ]
        steps = self._flat(wanted, outputs=True)
        rows += [
            to.output_row(step.run_id, (step.node_id, step.iteration), STEPS, step.output) for step in steps if step.output[0] is not None
        ]
        return sorted(rows, key=lambda row: (row.run_id, row.node_id, row.iteration))

    def _signals(self, wanted: Wanted) -> list[SignalRow]:
        columns = ("destination_uuid", "topic", "message", "created_at_epoch_ms", "serialization")
        named = _of_run(wanted)
        among: Among = {"destination_uuid": named[_UUID]} if named else {}
        order = ("destination_uuid", "created_at_epoch_ms", "message_uuid")
        found = self.tables.ask(Question("notifications", columns, among, order=order))
        grouped = groupby(found, key=lambda row: row["destination_uuid"])
        return [to.signal_row(row, seq) for _, rows in grouped for seq, row in enumerate(rows)]

    def _branches(self, wanted: Wanted) -> list[BranchRow]:
        columns = (_UUID, "forked_from", "created_at")
        forks = self.tables.ask(Question(WORKFLOWS, columns, _of_run(wanted), present="forked_from", order=(_UUID,)))
        of_forks = Question(STEPS, (*_BY_STEP, "completed_at_epoch_ms"), {_UUID: [row[_UUID] for row in forks]}, order=_BY_STEP)
        steps = _by_workflow(self.tables.ask(of_forks)) if forks else {}
        return [
            to.branch_row(row, sum((step["completed_at_epoch_ms"] or 0) < row["created_at"] for step in steps.get(row[_UUID], ())))
            for row in forks
        ]

    def _flat(self, wanted: Wanted, *, outputs: bool = False) -> list[Step]:
        return [step for steps in self._steps(wanted, outputs=outputs).values() for step in steps]

    def _steps(self, wanted: Wanted, *, outputs: bool = False) -> dict[str, list[Step]]:
        """Read the steps of each workflow, in the order in which it called them."""
        among = _of_run(wanted)
        if _only_failed(wanted.only):
            broken = self.tables.ask(Question(STEPS, (_UUID,), among, present="error"))
            among = {_UUID: sorted({row[_UUID] for row in broken})}
        pending = self.tables.ask(Question(WORKFLOWS, (_UUID,), {**among, "status": ["PENDING"]}))
        asleep = self._asleep([row[_UUID] for row in pending])
        columns = (*_OF_A_STEP, "output") if outputs else _OF_A_STEP
        grouped = _by_workflow(self.tables.ask(Question(STEPS, columns, among, order=_BY_STEP)))
        return {run_id: to.steps_of(run_id, rows, asleep.get(run_id)) for run_id, rows in grouped.items()}

    def _asleep(self, pending: Collection[str]) -> dict[str, Sleep]:
        """Find workflows whose last recorded step is a sleep, or the time limit of a wait."""
        if not pending:
            return {}
        columns = (_UUID, "function_id", "function_name")
        grouped = _by_workflow(self.tables.ask(Question(STEPS, columns, {_UUID: pending}, order=_BY_STEP)))
        maybe = [run_id for run_id, rows in grouped.items() if rows[-1]["function_name"] == to.SLEEP]
        naps = {_UUID: maybe, "function_name": [to.SLEEP]}
        found = _by_workflow(self.tables.ask(Question(STEPS, (*columns, "output", "serialization"), naps, order=_BY_STEP))) if maybe else {}
        sleeps = {run_id: to.sleep_of([*grouped[run_id][:-1], rows[-1]]) for run_id, rows in found.items()}
        return {run_id: sleep for run_id, sleep in sleeps.items() if sleep is not None}

    def _errors(self, workflows: Iterable[Row]) -> dict[str, dict[str, Any]]:
        """Describe what each of these workflows failed with, if it failed."""
        failed = {row[_UUID]: row for row in workflows if to.status_of(row) == "failed"}
        if not failed:
            return {}
        stored = self._values("workflow_output", "error", {_UUID: list(failed)})
        columns = (_UUID, "error", "serialization")
        of_steps = _by_workflow(self.tables.ask(Question(STEPS, columns, {_UUID: list(failed)}, present="error", order=_BY_STEP)))
        found = {}
        for run_id, row in failed.items():
            records = [errors[-1] for step in of_steps.get(run_id, ()) if (errors := errors_of(step["error"], step["serialization"]))]
            if error := to.run_error(row, stored.get(run_id), records):
                found[run_id] = error
        return found

    def _values(self, table: str, column: str, among: Among) -> dict[str, tuple[Any, Any]]:
        """Read inputs, outputs or errors with how they are serialised; older versions of DBOS keep them with the workflow itself."""
        kinds = {row[_UUID]: row["serialization"] for row in self.tables.ask(Question(WORKFLOWS, (_UUID, "serialization"), among))}
        found: dict[str, tuple[Any, Any]] = {}
        for place in (WORKFLOWS, table):
            for row in self.tables.ask(Question(place, (_UUID, column), among, present=column)):
                found[row[_UUID]] = (row[column], kinds.get(row[_UUID]))
        return found

    def _said(self, wanted: Wanted, steps: dict[str, list[Step]]) -> dict[str, list[tuple[str, int | None, dict[str, Any]]]]:
        """Collect what workflows told others and were told: events, streams, messages."""
        times = {(step.run_id, step.function_id): step.completed or step.started for of_run in steps.values() for step in of_run}
        said: dict[str, list[tuple[str, int | None, dict[str, Any]]]] = {}
        for table, kind in (("workflow_events_history", "EventSet"), ("streams", "StreamWritten")):
            for row in self.tables.ask(Question(table, (*_BY_STEP, "key", "value", "serialization"), _of_run(wanted), order=_BY_STEP)):
                payload = {"key": row["key"], "value": value_of(row["value"], row["serialization"]), "functionId": row["function_id"]}
                said.setdefault(row[_UUID], []).append((kind, times.get((row[_UUID], row["function_id"])), payload))
        for signal in self._signals(wanted):
            payload = {"signalName": signal.signal_name, "seq": signal.seq}
            said.setdefault(signal.run_id, []).append(("SignalReceived", signal.received_at, payload))
        return said

    def _among_runs(self, wanted: Wanted) -> Among:
        """Take the filters that DBOS's own columns answer."""
        among = _of_run(wanted)
        only = wanted.only or {}
        if "parent_run_id" in only and not isinstance(only["parent_run_id"], AllBut):
            found: set[str] = set()
            for column in ("parent_workflow_id", "forked_from"):
                found |= {row[_UUID] for row in self.tables.ask(Question(WORKFLOWS, (_UUID,), {**among, column: only["parent_run_id"]}))}
            among = {_UUID: sorted(found)}
        if "status" in only and not isinstance(only["status"], AllBut):
            among["status"] = _words(only["status"])
        return among


_GRAINS: Final[dict[type, tuple[Callable[[DbosSource, Wanted], list[Any]], str | None]]] = {
    RunRow: (DbosSource._runs, "created_at"),  # noqa: SLF001  # the table belongs to the class
    NodeRow: (DbosSource._nodes, "updated_at"),  # noqa: SLF001
    AttemptRow: (DbosSource._attempts, "started_at"),  # noqa: SLF001
    EventRow: (DbosSource._events, "at"),  # noqa: SLF001
    OutputRow: (DbosSource._outputs, None),  # noqa: SLF001
    TaskRow: (DbosSource._tasks, None),  # noqa: SLF001
    SignalRow: (DbosSource._signals, "received_at"),  # noqa: SLF001
    BranchRow: (DbosSource._branches, "created_at"),  # noqa: SLF001
}
"""Table to what reads it, and the column that `since_ms` is compared with; DBOS has nothing for the other tables."""


def _of_run(wanted: Wanted) -> Among:
    """Take the workflows that are asked for; every workflow when none is named."""
    if wanted.run_id is not None:
        return {_UUID: [wanted.run_id]}
    listed = (wanted.only or {}).get("run_id")
    return {} if listed is None or isinstance(listed, AllBut) else {_UUID: listed}


def _only_runs(only: Only | None) -> Only | None:
    return {"run_id": only["run_id"]} if only and "run_id" in only else None


def _only_failed(only: Only | None) -> bool:
    states = (only or {}).get("state")
    return states is not None and not isinstance(states, AllBut) and set(states) <= {"failed", "cancelled"}


def _words(statuses: Collection[str | int]) -> list[str | int]:
    """Return DBOS's words for ours."""
    ours = [theirs for theirs, word in to.STATUSES.items() if word in statuses]
    return [*ours, *(word for status in statuses for word in _ALSO.get(str(status), ())), *statuses]


def _by_workflow(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return {run_id: list(found) for run_id, found in groupby(rows, key=lambda row: str(row[_UUID]))}


def _sorted(rows: Iterable[R]) -> list[R]:
    """Put rows into the order of run, node and iteration; the attempts of one step come in theirs."""
    return sorted(rows, key=lambda row: row[:3])
