"""What an autopsy takes out of a store to show it: the end of the log, the workflow's source, slim attempts.

Everything is cut and redacted here, because from here on it is kept in rows, notebooks and reports.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.workflow_edits import was_edited
from smithers_nb.diagnosis.failure.stack import own_frame
from smithers_nb.diagnosis.state.executed import course
from smithers_nb.errors import ParameterError
from smithers_nb.model.verdict import Evidence
from smithers_nb.redact import redact, redact_value
from smithers_nb.sources.stores.json_text import as_object, loads
from smithers_nb.workflows.autopsy.results import EventLine

if TYPE_CHECKING:
    from smithers_nb.diagnosis.failure.stack import Frame
    from smithers_nb.model.rows import AttemptRow, EventRow, RunRow
    from smithers_nb.model.verdict import Classification, Failure
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.autopsy.results import Gathered

_EVENTS: Final = 80
_SOURCE: Final = 20_000
_LINE: Final = 300
_AROUND: Final = 2
_MESSAGE: Final = 2_000
_MAX_ATTEMPTS: Final = 2_000
_MILESTONES: Final = frozenset({"run", "supervisor", "time-travel"})
_MAX_MILESTONES: Final = 200
_INCONCLUSIVE: Final = frozenset({"none", "look-elsewhere"})
"""Rules by which an error says nothing that points to a cause."""

_NOTEBOOK: Final = ".ipynb"
_LARGEST_NOTEBOOK: Final = 20_000_000
_CELL: Final = re.compile(r"^# %% cell (\d+)$", re.MULTILINE)
_SOURCE_SUFFIXES: Final = frozenset({".tsx", ".ts", ".jsx", ".js", ".mts", ".mjs", ".mdx", _NOTEBOOK})
"""A recorded path is data of the store: only files that can be a workflow are opened on its word."""
_TOLD_ELSEWHERE: Final = frozenset({"type", "runId", "timestampMs", "nodeId", "correlation"})


def last_events(snapshot: Snapshot) -> tuple[EventLine, ...]:
    """Take the end of the log, without events that tell nothing by themselves."""
    return tuple(_line(event) for event in snapshot.last_events(_EVENTS))


def workflow_source(run: RunRow, given: str | None) -> tuple[str | None, str]:
    """Read the workflow's file: the one the caller named, else the one the run recorded.

    Returns:
        The path, and the text as far as it may be shown; empty when the file is not on this machine.

    Raises:
        ParameterError: The caller named a file that cannot be read.
    """
    if given is not None:
        path = Path(given).expanduser()
        try:
            return str(path), _read(path)
        except OSError as error:
            raise ParameterError(
                f"workflow_path: {path} cannot be read: {error.strerror}", hint="name the workflow's file, or leave it out"
            ) from error
    recorded = run.workflow_path
    if recorded is None or not Path(recorded).is_absolute() or Path(recorded).suffix not in _SOURCE_SUFFIXES:
        return recorded, ""
    try:
        return recorded, _read(Path(recorded))
    except (OSError, ValueError):
        return recorded, ""


def source_line(failure: Failure, gathered: Gathered) -> tuple[Evidence, ...]:
    """Quote the line of the workflow that threw, when the stack quotes it, or its source is at hand and is the file that the stack names.

    A file that the caller named stands for the one that the run was started from, whatever its name is here.
    """
    frame = own_frame(failure.chain)
    if frame is not None and frame.text:
        return (Evidence(ref=f"source:{_place(frame, gathered)}", quote=redact(frame.text)[:_LINE], note="the line that threw"),)
    names = {Path(path).name for path in (gathered.workflow_path, gathered.recorded_path) if path}
    if frame is None or frame.name not in names:
        return ()
    lines = gathered.workflow_source.splitlines()
    text = lines[frame.line - 1].strip() if 0 < frame.line <= len(lines) else ""
    return (Evidence(ref=f"source:{frame.name}:{frame.line}", quote=text[:_LINE], note="the line that threw"),) if text else ()


def thrown_line(failure: Failure, run: RunRow, source: str, path: str | None) -> str:
    """Read the line of the workflow's file that threw; empty unless the file is known to be the one that the run was started with."""
    frame = own_frame(failure.chain)
    if frame is None or path is None or frame.name not in {Path(p).name for p in (path, run.workflow_path) if p}:
        return ""
    lines = text_that_ran(run, source, path).splitlines()
    return lines[frame.line - 1] if 0 < frame.line <= len(lines) else ""


def text_that_ran(run: RunRow, source: str, path: str | None) -> str:
    """Give back the workflow's text if it is known to be the one that the run was started with, else nothing."""
    return source if path is not None and source and was_edited(run, Path(path)) is False else ""


def source_around(failure: Failure, source: str, *paths: str | None) -> tuple[str, ...]:
    """Show the line that threw with two lines on each side, numbered, and itself marked.

    Args:
        failure: The failure.
        source: Text of the workflow's file, a notebook's as `workflow_source` gives it; may be empty.
        *paths: Names under which that file is known; a stack that names another file gets no lines.
    """
    frame = own_frame(failure.chain)
    if frame is None or not source:
        return ()
    lines = source.splitlines()
    if frame.is_cell:
        lines = next((part for part in _cells(source) if _stands_at(frame, part)), [])
    elif frame.name not in {Path(path.replace("\\", "/")).name for path in paths if path}:
        return ()
    if not (0 < frame.line <= len(lines) and lines[frame.line - 1].strip()):
        return ()
    around = range(max(1, frame.line - _AROUND), min(len(lines), frame.line + _AROUND) + 1)
    return tuple(f"{'→' if number == frame.line else ' '} {number:>4} │ {lines[number - 1][:_LINE]}".rstrip() for number in around)


def surroundings(snapshot: Snapshot, classification: Classification) -> str:
    """Describe the rest of a run: how a record went on, or, where nothing explains a failure, what was looked at in vain."""
    if engine_of(snapshot).is_record:
        return course(snapshot)
    if classification.rule not in _INCONCLUSIVE:
        return ""
    outputs = [output for output in snapshot.outputs if output.node_id != "input"]
    counted = {
        "attempts": len(snapshot.attempts),
        "events": len(snapshot.events),
        "lines of agents": len(snapshot.agent_events),
        "outputs": len(outputs),
    }
    counts = ", ".join(f"{what} {number}" for what, number in counted.items())
    return f"What was looked at without finding more: {counts}"


def compact_attempts(snapshot: Snapshot, failure: Failure) -> tuple[AttemptRow, ...]:
    """Keep what a timeline needs of every attempt of the run, and of the child run that failed."""
    child = [c for c in snapshot.children if c.run_id == failure.run_id] if failure.parents else []
    attempts = [attempt for one in (snapshot, *child) for attempt in one.attempts]
    failed_first = sorted(attempts, key=lambda a: a.state != "failed")[:_MAX_ATTEMPTS]
    return tuple(_slim(attempt) for attempt in sorted(failed_first, key=lambda a: a.started_at or 0))


def milestones(snapshot: Snapshot) -> tuple[EventRow, ...]:
    """Keep the events that say when somebody or something started, stopped or turned back the run."""
    telling = [event for event in snapshot.events if event.category in _MILESTONES][-_MAX_MILESTONES:]
    return tuple(event._replace(payload=None) for event in telling)


def _place(frame: Frame, gathered: Gathered) -> str:
    """Name the line of a file, or of a notebook's cell: counted among its cells of code where that line is found, else by its kernel."""
    if not frame.is_cell:
        return f"{frame.name}:{frame.line}"
    notebook = Path((gathered.recorded_path or gathered.workflow_path or "notebook").replace("\\", "/")).name
    for number, lines in enumerate(_cells(gathered.workflow_source), 1):
        if _stands_at(frame, lines):
            return f"{notebook} cell {number} line {frame.line}"
    return f"{notebook} {frame.name} line {frame.line}"


def _cells(source: str) -> list[list[str]]:
    """Take the text of a notebook apart into the lines of its cells of code."""
    return [text.removeprefix("\n").split("\n") for text in _CELL.split(source)[2::2]]


def _stands_at(frame: Frame, lines: list[str]) -> bool:
    return 0 < frame.line <= len(lines) and bool(frame.text) and lines[frame.line - 1].strip() == redact(frame.text)


def _line(event: EventRow) -> EventLine:
    return EventLine(seq=event.seq, at=event.at, type=event.type, node_id=event.node_id, text=_said(event.payload))


def _said(payload: str | None) -> str:
    try:
        value = loads(payload or "{}")
    except orjson.JSONDecodeError:
        return redact(payload or "")[:_LINE]
    rest = {key: inner for key, inner in value.items() if key not in _TOLD_ELSEWHERE} if isinstance(value, dict) else value
    return orjson.dumps(redact_value(rest)).decode("utf-8", "replace")[:_LINE] if rest else ""


def _read(path: Path) -> str:
    if not path.is_file():  # a pipe or a device would be read forever
        raise FileNotFoundError(2, "there is no such file")
    if path.suffix == _NOTEBOOK:
        return redact(_code(path))[:_SOURCE]
    with path.open(encoding="utf-8", errors="replace") as file:
        return redact(file.read(_SOURCE * 2))[:_SOURCE]


def _code(path: Path) -> str:
    """Read the code of a notebook as one text, each cell under a line with its number."""
    cells = as_object(path.read_bytes()).get("cells") if path.stat().st_size <= _LARGEST_NOTEBOOK else None
    code = [cell.get("source") for cell in cells or () if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    texts = ("".join(map(str, source)) if isinstance(source, list) else str(source) for source in code)
    return "\n".join(f"# %% cell {number}\n{text}\n" for number, text in enumerate(texts, 1))


def _slim(attempt: AttemptRow) -> AttemptRow:
    message = redact(attempt.error_message)[:_MESSAGE] if attempt.error_message else None
    return attempt._replace(error_message=message, error=None, error_stack=None, response=None)
