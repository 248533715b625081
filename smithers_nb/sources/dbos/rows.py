"""Convert rows of DBOS's tables to rows of runs, nodes, attempts and so on, with pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from smithers_nb.model.rows import AttemptRow, BranchRow, NodeRow, OutputRow, RunRow, SignalRow, TaskRow
from smithers_nb.model.vocabulary import TERMINAL_STATUSES
from smithers_nb.sources.dbos.values import errors_of, value_of
from smithers_nb.sources.stores.json_text import dump, text_or_none, whole

Row = Mapping[str, Any]

GIVEN_UP: Final = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
SLEEP: Final = "DBOS.sleep"
STATUSES: Final = {
    "SUCCESS": "finished",
    "ERROR": "failed",
    GIVEN_UP: "failed",
    "CANCELLED": "cancelled",
    "PENDING": "pending",
    "ENQUEUED": "waiting-queue",
    "DELAYED": "waiting-timer",
}
"""Our status for each of DBOS's. `pending` is DBOS's own: it does not record whether a process works on the workflow. Others are kept."""

_LAUNCHED_BY: Final = "subflowWorkspaceParentRunId"
_KINDS: Final = {SLEEP: "timer", "DBOS.recv": "wait-for-event", "DBOS.getEvent": "wait-for-event"}
_CONFIG: Final = {
    "queue": "queue_name",
    "executor": "executor_id",
    "application": "application_name",
    "applicationVersion": "application_version",
    "recoveryAttempts": "recovery_attempts",
    "deduplicationId": "deduplication_id",
    "priority": "priority",
    "partition": "queue_partition_key",
    "schedule": "schedule_name",
    "timeoutMs": "workflow_timeout_ms",
    "deadline": "workflow_deadline_epoch_ms",
    "delayedUntil": "delay_until_epoch_ms",
    _LAUNCHED_BY: "parent_workflow_id",
}


class Sleep(NamedTuple):
    """The sleep that is the last recorded step of an unfinished workflow.

    Attributes:
        function_id: Number of the step.
        waits: Whether it is the time limit of a wait for a message or an event; the wait itself is recorded only when it ends.
        until: When it ends, epoch milliseconds.
    """

    function_id: int
    waits: bool
    until: int | None

    @property
    def state(self) -> str:
        """State of the node and of the run."""
        return "waiting-event" if self.waits else "waiting-timer"


class Step(NamedTuple):
    """One recorded step of a workflow.

    Attributes:
        node_id: Name of the function; `iteration` counts its calls.
        errors: One record per failed attempt.
        output: The stored output and its serialisation.
    """

    run_id: str
    function_id: int
    node_id: str
    iteration: int
    state: str
    child: str | None
    started: int | None
    completed: int | None
    errors: Sequence[dict[str, Any]]
    output: tuple[Any, Any]
    sleep: Sleep | None


def status_of(row: Row, sleep: Sleep | None = None) -> str:
    """Return a workflow's status as one of ours, if there is one."""
    stored = text_or_none(row["status"]) or "unknown"
    if stored == "PENDING" and sleep is not None:
        return sleep.state
    return STATUSES.get(stored, stored)


def sleep_of(steps: Sequence[Row]) -> Sleep | None:
    """Return the sleep of an unfinished workflow; None unless its last recorded step is a sleep."""
    if not steps or steps[-1]["function_name"] != SLEEP:
        return None
    number = whole(steps[-1]["function_id"]) or 0
    wakes = value_of(steps[-1]["output"], steps[-1]["serialization"])
    until = whole(wakes * 1000) if isinstance(wakes, int | float) else None
    # a wait takes one number for itself and one for its time limit, and records the second before it begins to wait
    waits = number > 1 and number - 1 not in {whole(step["function_id"]) for step in steps}
    return Sleep(number, waits, until)


def steps_of(run_id: str, rows: Iterable[Row], sleep: Sleep | None) -> list[Step]:
    """Return the steps of one workflow, given its rows in order."""
    calls: Counter[str] = Counter()
    steps = []
    for row in rows:
        name = text_or_none(row["function_name"]) or "step"
        number = whole(row["function_id"]) or 0
        errors = errors_of(row["error"], row["serialization"])
        asleep = sleep if sleep is not None and sleep.function_id == number else None
        state = asleep.state if asleep else "failed" if errors else "finished"
        child = text_or_none(row["child_workflow_id"])
        if child:
            errors = [error | {"details": {**error.get("details", {}), "childRunId": child}} for error in errors]
        steps.append(
            Step(
                run_id,
                number,
                name,
                calls[name],
                state,
                child,
                whole(row["started_at_epoch_ms"]),
                None if asleep else whole(row["completed_at_epoch_ms"]),
                errors,
                (row.get("output"), row["serialization"]),
                asleep,
            )
        )
        calls[name] += 1
    return steps


def run_row(row: Row, location: str, error: dict[str, Any] | None, sleep: Sleep | None) -> RunRow:
    """Return a workflow as a run."""
    status = status_of(row, sleep)
    created, updated = whole(row["created_at"]), whole(row["updated_at"])
    waiting = text_or_none(row["status"]) in {"ENQUEUED", "DELAYED"}
    started = whole(row["started_at_epoch_ms"]) or (None if waiting else created)
    ended = (whole(row["completed_at"]) or updated) if status in TERMINAL_STATUSES else None
    names = [text for text in (text_or_none(row["class_name"]), text_or_none(row["name"])) if text]
    config = {name: row[column] for name, column in _CONFIG.items() if row.get(column) not in {None, ""}}
    return RunRow(
        run_id=str(row["workflow_uuid"]),
        source=location,
        workflow=".".join(names[-2:] if len(names) > 1 and "." not in names[-1] else names[-1:]) or None,
        workflow_path=None,
        workflow_hash=text_or_none(row["application_version"]),
        parent_run_id=text_or_none(row["parent_workflow_id"]) or text_or_none(row["forked_from"]),
        status=status,
        state="succeeded" if status == "finished" else status,
        created_at=created,
        started_at=started,
        finished_at=ended,
        heartbeat_at=None,
        duration_s=(ended - started) / 1000 if ended is not None and started is not None else None,
        error_code=text_or_none(error.get("code")) if error else None,
        error_message=text_or_none(error.get("message")) if error else None,
        error=dump(error) if error else None,
        config=dump(config),
        owner=text_or_none(row["executor_id"]) if status == "pending" else None,
        cancel_requested_at=updated if status == "cancelled" else None,
        root=None,
    )


def run_error(row: Row, stored: tuple[Any, Any] | None, of_steps: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what a workflow failed with; an error that none of its steps had is the workflow's own and has a code."""
    if row["status"] == GIVEN_UP:
        times = whole(row["recovery_attempts"])
        message = f"the workflow was started {times} times and never finished, so DBOS gave up recovering it"
        return {"name": "MaxRecoveryAttemptsExceeded", "code": GIVEN_UP, "message": message}
    records = errors_of(*stored) if stored else []
    if not records:
        return None
    record = records[-1]
    return record if any(is_same(record, error) for error in of_steps) else record | {"code": record["name"]}


def is_same(error: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records are the same error, raised by a step and passed on by its workflow."""
    return (error["name"], error["message"]) == (other["name"], other["message"])


def node_row(step: Step) -> NodeRow:
    """Return a step as a node."""
    return NodeRow(
        run_id=step.run_id,
        node_id=step.node_id,
        iteration=step.iteration,
        logical_id=step.node_id,
        state=step.state,
        label=f"starts {step.child}" if step.child and not step.node_id.startswith("DBOS.") else None,
        last_attempt=max(1, len(step.errors)),
        updated_at=step.completed or step.started,
        output_table="operation_outputs" if step.state == "finished" else None,
    )


def attempt_rows(step: Step) -> Iterator[AttemptRow]:
    """Yield the attempts of a step: DBOS records the error of each, and one start and one end for all of them."""
    errors: Sequence[dict[str, Any]] = step.errors or [{}]
    for number, error in enumerate(errors, 1):
        yield AttemptRow(
            run_id=step.run_id,
            node_id=step.node_id,
            iteration=step.iteration,
            attempt=number,
            state=step.state,
            started_at=step.started,
            finished_at=step.completed,
            duration_s=(step.completed - step.started) / 1000 if step.completed is not None and step.started is not None else None,
            heartbeat_at=None,
            kind=_KINDS.get(step.node_id, "subflow" if step.child else "compute"),
            agent=None,
            engine=None,
            model=None,
            retries=len(errors) - 1,
            timeout_ms=None,
            retryable=None,
            error_name=error.get("name"),
            error_code=None,
            error_message=error.get("message"),
            error_stack=None,
            error=dump(error) if error else None,
            cached=None,
            response=None,
            reset=False,
        )


def task_row(step: Step, error: Mapping[str, Any] | None) -> TaskRow:
    """Return a step as a task; one whose failure did not fail the workflow was allowed to fail."""
    survived = bool(step.errors) and not (error is not None and is_same(step.errors[-1], error))
    props: dict[str, Any] = {"functionId": step.function_id}
    props |= ({"continueOnFail": "true"} if survived else {}) | ({"childRunId": step.child} if step.child else {})
    props |= {"until": step.sleep.until} if step.sleep else {}
    return TaskRow(
        run_id=step.run_id,
        node_id=step.node_id,
        iteration=step.iteration,
        ordinal=step.function_id,
        kind=_KINDS.get(step.node_id, "subflow" if step.child else "compute"),
        max_attempts=None,
        depends_on=None,
        within=None,
        props=dump(props),
    )


def output_row(run_id: str, node: tuple[str, int], table: str, stored: tuple[Any, Any]) -> OutputRow:
    """Return the output of a step or a workflow, or the input of a workflow."""
    value = value_of(*stored)
    return OutputRow(run_id, *node, table, dump(value if isinstance(value, dict) else {"value": value}))


def signal_row(row: Row, seq: int) -> SignalRow:
    """Return a message to a workflow as a signal."""
    return SignalRow(
        run_id=str(row["destination_uuid"]),
        seq=seq,
        signal_name=_topic(row["topic"]),
        correlation_id=None,
        payload=dump(value_of(row["message"], row["serialization"])),
        received_at=whole(row["created_at_epoch_ms"]),
        received_by=None,
    )


def branch_row(row: Row, steps: int) -> BranchRow:
    """Return a forked workflow as a branch that took over this many steps."""
    return BranchRow(
        run_id=str(row["workflow_uuid"]),
        parent_run_id=str(row["forked_from"]),
        parent_frame=steps,
        label=None,
        description=f"Fork of {row['forked_from']}",
        created_at=whole(row["created_at"]),
    )


def _topic(stored: Any) -> str:
    topic = text_or_none(stored) or ""
    return "(no topic)" if topic in {"", "__null__topic__"} else topic
