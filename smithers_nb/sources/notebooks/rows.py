"""The outcome of a notebook's run as rows of runs, nodes, attempts and events: pure functions, no reading.

A code cell is a node, `cell:N` the N-th code cell from 0; that it was run is its attempt. An error that was meant, or after which the
run went on, leaves its cell finished, with the error's words on the attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import AttemptRow, EventRow, NodeRow, OutputRow, RunRow, TaskRow
from smithers_nb.model.vocabulary import event_category
from smithers_nb.sources.notebooks.cascade import undefined_name
from smithers_nb.sources.notebooks.document import Cell, Document
from smithers_nb.sources.notebooks.errors import error_of, has_error, thrown
from smithers_nb.sources.notebooks.producers import Producer, ended_at, producer_of, run_times, started_at, workflow_name
from smithers_nb.sources.notebooks.state import Outcome, outcome_of, was_started
from smithers_nb.sources.notebooks.streams import failed_unnoticed, shell_command
from smithers_nb.sources.stores.json_text import dump

if TYPE_CHECKING:
    from smithers_nb.sources.files import RunFile

CELL: Final = "notebook-cell"
"""Kind of an attempt and a task: code of an executed notebook, behind which no engine stands."""

_LABEL: Final = 80
_LISTED: Final = 200
_MESSAGE: Final = 2_000
_ENDS: Final = {"finished": "RunFinished", "failed": "RunFailed", "interrupted": "RunCancelled"}
_SAID: Final = {
    "kernel-died": ("DeadKernelError", "KERNEL_DIED", "the kernel died while it ran this cell; the file does not say why"),
    "timeout": ("CellTimeoutError", "TASK_TIMEOUT", "the cell ran into its time limit{after} and was stopped"),
    "no-error-recorded": ("Error", "NOT_RECORDED", "the run stopped at this cell, and its error was not recorded"),
}
"""Reason to name, code and words of an error that left no output."""


@dataclass(frozen=True)
class Step:
    """One code cell of a run, without its outputs."""

    node_id: str
    index: int
    label: str
    count: int | None
    state: str
    started: int | None
    ended: int | None
    error: dict[str, Any] | None
    after: str | None


@dataclass(frozen=True)
class NotebookRun:
    """What is kept of one notebook file.

    Attributes:
        file: The file.
        outcome: How the run ended, its cells without their outputs.
        producer: Who executed it.
        kernel: Name of the kernel.
        started: When, epoch milliseconds.
        ended: When, epoch milliseconds.
        cells: Code cells that hold something to run.
        cleared: Neither counts nor outputs are left.
        deciding: The cell that decides.
        steps: Every code cell; none until somebody asks for more than the run itself.
    """

    file: RunFile
    outcome: Outcome
    producer: Producer
    kernel: str | None
    started: int | None
    ended: int | None
    cells: int
    cleared: bool
    deciding: Step | None
    steps: tuple[Step, ...]


def read_run(file: RunFile, document: Document, *, whole: bool = True) -> NotebookRun:
    """Find out how the run of a notebook ended and keep what its rows need.

    Args:
        file: The file.
        document: What it holds.
        whole: Also keep each cell, which takes most of the time over many files.
    """
    outcome = outcome_of(document)
    kernelspec = document.metadata.get("kernelspec")
    kernel = kernelspec.get("name") if isinstance(kernelspec, dict) else None
    started, ended = run_times(document)
    deciding = None if outcome.cell is None else _step(outcome.cell, document, outcome, whole=whole)
    steps = tuple(_step(cell, document, outcome) for cell in document.cells) if whole else ()
    cleared = not any(cell.outputs or cell.count is not None for cell in document.cells)
    kernel = kernel if isinstance(kernel, str) else None
    return NotebookRun(file, _light(outcome), producer_of(document), kernel, started, ended, len(document.work), cleared, deciding, steps)


def _light(outcome: Outcome) -> Outcome:
    """Let go of outputs, which may be large: what is kept of a cell is its place and its count."""

    def bare(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(Cell(cell.index, "", cell.count, (), {}) for cell in cells)

    return replace(
        outcome,
        cell=None if outcome.cell is None else bare((outcome.cell,))[0],
        follows=bare(outcome.follows),
        expected=bare(outcome.expected),
        undecided=bare(outcome.undecided),
        never_ran=bare(outcome.never_ran),
        defined_in=bare(outcome.defined_in),
    )


def _step(cell: Cell, document: Document, outcome: Outcome, *, whole: bool = True) -> Step:
    decides = outcome.cell is not None and cell.index == outcome.cell.index
    started, ended = started_at(cell), ended_at(cell)
    state, error = _state_and_error(cell, document, outcome, decides=decides)
    if decides and whole and error and has_error(cell):
        error = error_of(cell)
    if decides and outcome.state == "failed" and error is None:
        error = {**_unsaid(outcome.reason, started, ended), **_where_stopped(cell, outcome)}
    if decides and whole and error:
        error = {**error, **_unnoticed(cell, document)}
    after = outcome.cell.node_id if outcome.cell is not None and state == "failed" and not decides else None
    return Step(cell.node_id, cell.index, _label(cell), cell.count, state, started, ended, error, after)


def _state_and_error(cell: Cell, document: Document, outcome: Outcome, *, decides: bool) -> tuple[str, dict[str, Any] | None]:
    if decides:
        state = {"failed": "failed", "interrupted": "cancelled"}.get(outcome.state, "in-progress")
        return ("finished" if outcome.reason == "stopped" else state), outcome.error
    if cell in outcome.follows:
        return "failed", error_of(cell)
    if cell.is_empty:
        return "skipped", None
    if cell in outcome.never_ran or not was_started(cell, document):
        return "pending", None
    return "finished", error_of(cell) if has_error(cell) else None


def _unnoticed(deciding: Cell, document: Document) -> dict[str, Any]:
    """Find the last program before the deciding cell whose failure did not stop the notebook."""
    before = (cell for cell in reversed(document.cells) if cell.index < deciding.index)
    found = next((found for cell in before if (found := failed_unnoticed(cell.source, cell.streams()))), None)
    return {"program": found[0], "programSaid": found[1]} if found else {}


def _unsaid(reason: str, started: int | None, ended: int | None) -> dict[str, Any]:
    """Describe what ended a cell that left no error."""
    name, code, words = _SAID.get(reason, _SAID["no-error-recorded"])
    after = f" after {(ended - started) / 1000:.0f} s" if started is not None and ended is not None else ""
    return {"name": name, "code": code, "message": words.format(after=after)}


def _where_stopped(cell: Cell, outcome: Outcome) -> dict[str, Any]:
    """Keep the traceback of the interrupt that a time limit caused: it shows what the cell was waiting for."""
    stack = thrown(cell).get("stack") if outcome.reason == "timeout" and cell.errors else None
    return {"stack": stack} if stack else {}


def _label(cell: Cell) -> str:
    """Name a cell as its reader sees it: its number in the margin and the first line of its code."""
    line = next((line.strip() for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    line = line or next((line.strip() for line in cell.source.splitlines() if line.strip()), "")
    if line.startswith("%%") and (command := shell_command(cell)):  # a hundred cells may begin with `%%bash`
        line = f"{line} {command}"
    shown = line if len(line) <= _LABEL else f"{line[: _LABEL - 1]}…"
    return f"In [{cell.count}]: {shown}" if cell.count else shown


def run_row(run: NotebookRun, location: str) -> RunRow:
    """Describe a run; its status is the state, in the words that this source has for it."""
    outcome, step = run.outcome, run.deciding
    error = {**(step.error or {}), "source": f"node:{step.node_id}"} if step and outcome.state == "failed" else None
    return RunRow(
        run_id=run.file.run_id,
        source=location,
        workflow=workflow_name(run.file.run_id, run.producer),
        workflow_path=run.producer.input_path or run.file.path,
        workflow_hash=None,
        parent_run_id=None,
        status=outcome.state,
        state=outcome.state,
        created_at=run.started if run.started is not None else run.file.modified_at,
        started_at=run.started,
        finished_at=run.ended if outcome.state != "partial" else None,
        heartbeat_at=None,
        duration_s=(run.ended - run.started) / 1000 if run.started is not None and run.ended is not None else None,
        error_code=error.get("code") if error else None,
        error_message=_message(run, step),
        error=dump(error) if error else None,
        config=dump({"executed": _told(run)}),
        owner=None,
        cancel_requested_at=None,
        root=None,
    )


def _message(run: NotebookRun, step: Step | None) -> str | None:
    """Summarise in one line what ended the run and in which cell."""
    never = len(run.outcome.never_ran)
    if run.outcome.state == "finished":
        return None
    if step is None:
        return f"{never} of {run.cells} cells were never run"
    if run.outcome.state == "failed":
        name, words = (step.error or {}).get("name"), str((step.error or {}).get("message") or "")
        return f"{step.node_id}: {': '.join(part for part in (None if name == 'Error' else name, words) if part)}"[:_MESSAGE]
    return f"stopped in {step.node_id}"


def _told(run: NotebookRun) -> dict[str, Any]:
    """What only this source knows of a run, for whoever puts it into words."""
    outcome = run.outcome
    told = {
        "producer": run.producer.name,
        "batch": run.producer.is_batch,
        "canRerun": run.producer.can_rerun,
        "kernel": run.kernel,
        "inputPath": run.producer.input_path,
        "outputPath": run.producer.output_path,
        "file": run.file.path,
        "reason": outcome.reason,
        "cell": outcome.cell.node_id if outcome.cell else None,
        "count": outcome.cell.count if outcome.cell else None,
        "cells": run.cells,
        "ran": run.cells - len(outcome.never_ran),
        "neverRan": _ids(outcome.never_ran),
        "expected": _ids(outcome.expected),
        "undecided": _ids(outcome.undecided),
        "definedIn": _ids(outcome.defined_in),
        "missing": undefined_name(str((outcome.error or {}).get("message") or "")),
        "cleared": run.cleared,
        "wentOn": outcome.went_on,
    }
    return {key: value for key, value in told.items() if value not in (None, "", [], False)}


def _ids(cells: tuple[Cell, ...]) -> list[str]:
    return [cell.node_id for cell in cells[:_LISTED]]


def node_rows(run: NotebookRun) -> Iterator[NodeRow]:
    """Describe each code cell."""
    for step in run.steps:
        attempts = None if step.state in {"pending", "skipped"} else 1
        at = step.ended or step.started
        yield NodeRow(run.file.run_id, step.node_id, 0, step.node_id, step.state, step.label or None, attempts, at, None)


def attempt_rows(run: NotebookRun) -> Iterator[AttemptRow]:
    """Describe the run of each cell that was run."""
    for step in run.steps:
        if step.state in {"pending", "skipped"}:
            continue
        error = step.error or {}
        yield AttemptRow(
            run_id=run.file.run_id,
            node_id=step.node_id,
            iteration=0,
            attempt=1,
            state=step.state,
            started_at=step.started,
            finished_at=step.ended,
            duration_s=(step.ended - step.started) / 1000 if step.ended is not None and step.started is not None else None,
            heartbeat_at=None,
            kind=CELL,
            agent=None,
            engine=None,
            model=None,
            retries=0,
            timeout_ms=None,
            retryable=None,
            error_name=error.get("name"),
            error_code=error.get("code"),
            error_message=error.get("message") or error.get("name"),
            error_stack=error.get("stack") or None,
            error=dump(error) if error and step.state == "failed" else None,
            cached=None,
            response=None,
            reset=False,
        )


def task_rows(run: NotebookRun) -> Iterator[TaskRow]:
    """Give each cell its place; an error that follows from another one depends on it."""
    for step in run.steps:
        after = dump([step.after]) if step.after else None
        yield TaskRow(run.file.run_id, step.node_id, 0, step.index, CELL, 1, after, None, None)


def output_rows(run: NotebookRun) -> Iterator[OutputRow]:
    """Return the parameters of the run, as its input."""
    if run.producer.parameters:
        yield OutputRow(run.file.run_id, "input", 0, "parameters", dump(run.producer.parameters))


def event_rows(run: NotebookRun) -> Iterator[EventRow]:
    """Distinguish the course of the run from the times in the file."""
    story: list[tuple[int | None, str, dict[str, Any]]] = [(run.started, "RunStarted", {})]
    for step in sorted(
        (step for step in run.steps if step.state not in {"pending", "skipped"}), key=lambda one: (one.started or 0, one.count or 0)
    ):
        key = {"nodeId": step.node_id, "iteration": 0, "attempt": 1}
        story.append((step.started, "NodeStarted", key))
        if step.state == "failed":
            story.append((step.ended, "NodeFailed", key | {"error": step.error}))
        elif step.state == "finished":
            story.append((step.ended, "NodeFinished", key))
    if run.outcome.state in _ENDS:
        story.append((run.ended, _ENDS[run.outcome.state], {"status": run.outcome.state}))
    for seq, (at, kind, payload) in enumerate(story):
        node = payload.get("nodeId")
        iteration, attempt = (0, 1) if node else (None, None)
        text = dump({"type": kind, "runId": run.file.run_id, **payload})
        yield EventRow(run.file.run_id, seq, at, kind, event_category(kind), node, iteration, attempt, text)
