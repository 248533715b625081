"""How the run of a notebook ended, from evidence: failed, interrupted, partial or finished, and which cell decides.

No flag is believed on its own. papermill notes a dead kernel, a time-out and Ctrl-C as success; its banner and its `exception` survive
later edits; outputs may be cleared while every cell is noted as completed. So a cell counts as run only if something shows that it began,
and as answered only if the kernel is known to have answered. What cannot be told is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from smithers_nb.sources.notebooks import producers
from smithers_nb.sources.notebooks.cascade import definers, followers, undefined_name
from smithers_nb.sources.notebooks.errors import (
    INTERRUPT,
    error_beside_outputs,
    has_error,
    is_crash,
    is_interrupt,
    thrown,
    was_skipped,
)
from smithers_nb.sources.notebooks.expected import is_announced, is_tagged
from smithers_nb.sources.notebooks.streams import shell_error

if TYPE_CHECKING:
    from smithers_nb.sources.notebooks.document import Cell, Document

State = Literal["failed", "interrupted", "partial", "finished"]
Reason = Literal[
    "error",
    "no-error-recorded",
    "printed-error",
    "kernel-died",
    "timeout",
    "interrupt",
    "executor-stopped",
    "stopped",
    "never-run",
    "unrun",
    "",
]

_SLIPS: Final = frozenset(
    {
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "Error",
        "Exception",
        "IndentationError",
        "IndexError",
        "IntegrityError",
        "KeyError",
    }
    | {"LoadError", "LookupError", "MethodError", "NameError", "NotImplementedError", "OverflowError", "RecursionError", "SyntaxError"}
    | {"TypeError", "UnboundLocalError", "UnicodeDecodeError", "ValidationError", "ValueError", "ZeroDivisionError"}
)
"""Errors that lessons show; what a machine lacks is not shown on purpose without a word."""

_CRASH: Final = re.compile(r"\bfatal\b|no module named|segmentation fault|out of memory", re.IGNORECASE)
_GAP: Final = 0.1
"""Share of cells in the middle that may have no count; people paste and split cells after a run."""


_SHOWN_AFTER: Final = 3
_A_LIMIT_LATE: Final = 0.03
"""Seconds after a time limit, which is a whole number of them, within which nbclient stops a cell."""

_IDLE, _REPLY = "iopub.status.idle", "shell.execute_reply"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: The state.
        reason: Why it is that state; empty for a run that came to its end.
        cell: The cell that decides; none in a run that came to its end.
        error: Name, message and code of its error, see `errors`.
        follows: Cells whose error only follows from the one that decides, or came after it.
        expected: Cells that end with an error on purpose: a tag or words say so.
        undecided: Cells with an error after which the run went on; nothing says whether it was meant.
        never_ran: Cells with code that were never run.
        defined_in: Cells that define the name which the deciding cell misses.
        went_on: Later cells were run after the error that decides.
    """

    state: State
    reason: Reason = ""
    cell: Cell | None = None
    error: dict[str, Any] | None = None
    follows: tuple[Cell, ...] = ()
    expected: tuple[Cell, ...] = ()
    undecided: tuple[Cell, ...] = ()
    never_ran: tuple[Cell, ...] = ()
    defined_in: tuple[Cell, ...] = ()
    went_on: bool = False


def outcome_of(document: Document) -> Outcome:
    """Find out how the run ended."""
    return _by_papermill(document) or _by_death(document) or _by_errors(document) or _by_prints(document) or _without_error(document)


def was_started(cell: Cell, document: Document) -> bool:
    """Return whether anything shows that a cell was run."""
    noted = cell.papermill
    if cell.count is not None or cell.execution.get("iopub.status.busy") or cell.execution.get("iopub.execute_input"):
        return not was_skipped(cell)
    if noted:
        return bool(noted.get("start_time"))
    if document.papermill and not document.papermill.get("start_time"):
        return False
    return bool(cell.outputs) or document.is_stripped


def time_key(cell: Cell) -> tuple[int, int, int]:
    """Order cells in time: by the clock where it was noted, then by count, then by place."""
    return producers.started_at(cell) or 0, cell.count or 0, cell.index


def _by_papermill(document: Document) -> Outcome | None:
    """Take the cell that papermill stopped at, unless cells after it were run since."""
    if document.papermill.get("exception") is not True:
        return None
    blamed = [cell for cell in document.cells if cell.papermill.get("status") == "failed" or cell.papermill.get("exception") is True]
    for cell in blamed:
        later = document.cells[cell.index + 1 :]
        if any(after.count is not None or after.outputs for after in later):
            continue
        if is_interrupt(cell):
            return _stopped(document, cell)
        error = thrown(cell) if has_error(cell) else error_beside_outputs(cell)
        if error or cell.count is not None or cell.outputs:
            return _failed(document, "error" if error else "no-error-recorded", cell, error or None)
    pending = [cell for cell in document.work if cell.papermill.get("status") == "pending"]
    ran = [cell for cell in document.work if was_started(cell, document)]
    if not blamed and pending and ran and not any(map(has_error, document.cells)):  # a handler of its own ended the run quietly
        return _failed(document, "no-error-recorded", ran[-1], error_beside_outputs(ran[-1]) or None)
    return None


def _by_death(document: Document) -> Outcome | None:
    """Find a run that just stopped: the kernel died, the time was up, somebody pressed Ctrl-C, or its program was killed."""
    noted = [cell for cell in document.work if cell.papermill]
    running = next((cell for cell in noted if cell.papermill.get("status") == "running"), None)
    if running is not None and document.papermill.get("end_time") is None:
        return Outcome("partial", "executor-stopped", running, never_ran=_unrun(document))
    started = [cell for cell in noted if cell.papermill.get("start_time")]
    left_out = [cell for cell in noted if cell.papermill.get("status") == "completed" and not was_started(cell, document)]
    if started and (last := started[-1]) and (left_out or _unanswered(last)) and not is_tagged(last):
        if is_interrupt(last):
            return _stopped(document, last)
        if _unanswered(last) or (last.count is None and any(cell.count is not None for cell in started)):
            return _failed(document, "kernel-died", last, None)
        if not has_error(last) and left_out:
            return Outcome("partial", "stopped", last, never_ran=_unrun(document))
    lost = next(
        (cell for cell in document.work if not cell.papermill and cell.execution.get("iopub.status.busy") and _unanswered(cell)), None
    )
    if lost is not None and not has_error(lost) and not any(producers.started_at(cell) for cell in document.cells[lost.index + 1 :]):
        return _failed(document, "kernel-died", lost, None)
    return None


def _unanswered(cell: Cell) -> bool:
    """Return whether the times of a cell's messages were noted and the kernel's last ones are missing."""
    return isinstance(cell.metadata.get("execution"), dict) and _IDLE not in cell.execution and _REPLY not in cell.execution


def _stopped(document: Document, cell: Cell) -> Outcome:
    if _timed_out(cell):
        return _failed(document, "timeout", cell, None)
    return Outcome("interrupted", "interrupt", cell, thrown(cell), never_ran=_unrun(document))


def _timed_out(cell: Cell) -> bool:
    """Distinguish a time limit, after which nbclient waits for no reply, from Ctrl-C: after it the cell took no whole number of seconds."""
    took = cell.papermill.get("duration")
    on_time = not isinstance(took, float) or took % 1 <= _A_LIMIT_LATE
    return _IDLE in cell.execution and _REPLY not in cell.execution and on_time


def _by_errors(document: Document) -> Outcome | None:
    """Weigh the error outputs of a run that nothing else says enough about."""
    failed = sorted((cell for cell in document.cells if has_error(cell)), key=time_key)
    if not failed:
        return None
    tagged = [cell for cell in failed if is_tagged(cell)]
    records = {cell.index: thrown(cell) for cell in failed}
    stops = [cell for cell in failed if is_interrupt(cell) and cell not in tagged]
    errors = [cell for cell in failed if cell not in tagged and cell not in stops]
    meant = [cell for cell in errors if not is_crash(cell) and is_announced(cell, str(records[cell.index].get("name")))]
    shown = [_thrown(records[cell.index]) for cell in meant]
    meant += [cell for cell in errors if cell not in meant and _thrown(records[cell.index]) in shown]
    if len(meant) > len(errors) / 2:  # a lesson on errors need not say it of each
        meant += [cell for cell in errors if cell not in meant and _is_slip(records[cell.index])]
    left = [cell for cell in errors if cell not in meant]
    expected = tuple(sorted((*tagged, *meant), key=lambda cell: cell.index))
    if left and _all_ran_on(document, left, failed, records):
        return _ended(document, expected, tuple(left))
    if left:
        follows = followers([(cell, str(records[cell.index].get("message"))) for cell in left])
        roots = [cell for cell in left if cell.index not in follows]
        chosen = roots[0] if _in_order(document) else roots[-1]
        others = tuple(cell for cell in left if cell is not chosen)
        return replace(_failed(document, "error", chosen, records[chosen.index], others), expected=expected)
    if stops:
        last = stops[-1]
        if last.papermill and _timed_out(last) and not _went_on(document, last):
            return _failed(document, "timeout", last, None)
        return Outcome(
            "interrupted",
            "interrupt",
            last,
            records[last.index],
            expected=expected,
            never_ran=_unrun(document),
            went_on=_went_on(document, last),
        )
    return _ended(document, expected) if expected else None


def _is_slip(record: dict[str, Any]) -> bool:
    """Return whether an error is of a kind that lessons show; a crash, or something that is not installed, is not."""
    return record.get("name") in _SLIPS and not _CRASH.search(str(record.get("message")))


def _thrown(record: dict[str, Any]) -> tuple[Any, Any]:
    return record.get("name"), record.get("message")


def _by_prints(document: Document) -> Outcome | None:
    """Take an error that a shell's command only printed: its exit status is lost, so the notebook went on."""
    printed = [(cell, found) for cell in document.work if cell.outputs and not has_error(cell) and (found := shell_error(cell))]
    broken = [(cell, found) for cell, found in printed if not is_tagged(cell) and found.name != INTERRUPT]
    if not broken:
        stopped = next((cell for cell, found in printed if found.name == INTERRUPT), None)
        return (
            None
            if stopped is None
            else Outcome("interrupted", "interrupt", stopped, {"name": INTERRUPT, "message": ""}, never_ran=_unrun(document))
        )
    broken.sort(key=lambda one: time_key(one[0]))
    cell, found = broken[0 if _in_order(document) else -1]
    others = tuple(other for other, _ in broken if other is not cell)
    return _failed(document, "printed-error", cell, {"name": found.name, "message": found.message}, others)


def _without_error(document: Document) -> Outcome:
    return _ended(document)


def _ended(document: Document, expected: tuple[Cell, ...] = (), undecided: tuple[Cell, ...] = ()) -> Outcome:
    """Distinguish a run that came to its end from one that stopped on the way, or of which nothing is left."""
    never = _unrun(document)
    if not never:
        return Outcome("finished", expected=expected, undecided=undecided)
    ran = [cell for cell in document.work if cell not in never]
    if not ran:
        return Outcome("partial", "never-run", never_ran=never)
    trailing = never[-1].index > ran[-1].index
    if trailing or document.papermill or len(never) > max(1, _GAP * len(document.work)):
        return Outcome("partial", "unrun", expected=expected, undecided=undecided, never_ran=never)
    return Outcome("finished", expected=expected, undecided=undecided, never_ran=never)


def _failed(document: Document, reason: Reason, cell: Cell, error: dict[str, Any] | None, follows: tuple[Cell, ...] = ()) -> Outcome:
    name = undefined_name(str((error or {}).get("message") or ""))
    elsewhere = [one for one in definers(document.cells, name) if one is not cell and one not in follows] if name else []
    expected = tuple(one for one in document.cells if one.errors and is_tagged(one))
    return Outcome(
        "failed",
        reason,
        cell,
        error,
        follows,
        expected,
        (),
        _not_reached(document, cell),
        tuple(elsewhere),
        went_on=_went_on(document, cell),
    )


def _unrun(document: Document) -> tuple[Cell, ...]:
    return tuple(cell for cell in document.work if not was_started(cell, document))


def _not_reached(document: Document, failed: Cell) -> tuple[Cell, ...]:
    """List the cells that were never run; where counts were stripped, those after the error from which on no cell has an output."""
    if not document.is_stripped:
        return _unrun(document)
    last = max((cell.index for cell in document.cells if cell.outputs), default=failed.index)
    return tuple(cell for cell in document.work if cell.index > last)


def _in_order(document: Document) -> bool:
    """Return whether the cells were run from the first to the last, as far as their counts tell."""
    counts = [cell.count for cell in document.cells if cell.count or (cell.outputs and not document.is_stripped)]
    return None not in counts and counts == sorted(set(counts), key=lambda count: count or 0)


def _went_on(document: Document, failed: Cell) -> bool:
    """Return whether a cell below was run after the error."""
    later = [cell for cell in document.work if cell.index > failed.index and not cell.is_empty]
    if failed.count:
        return any((cell.count or 0) > failed.count for cell in later)
    return any(cell.outputs and not was_skipped(cell) for cell in later)


def _all_ran_on(document: Document, left: Sequence[Cell], failed: Sequence[Cell], records: dict[int, dict[str, Any]]) -> bool:
    """Return whether the run went straight on after each error, with a slip that lessons show, and nothing follows from it.

    A program that executes the notebook and was told to go on does that after every error, so there it says nothing.
    """
    if producers.is_batch_run(document) and not document.papermill:
        return False
    if any(is_crash(cell) or not _is_slip(records[cell.index]) for cell in left):
        return False
    if followers([(cell, str(records[cell.index].get("message"))) for cell in failed]):
        return False
    return all(_ran_straight_on(document, cell, failed) for cell in left)


def _ran_straight_on(document: Document, cell: Cell, failed: Sequence[Cell]) -> bool:
    after = [other for other in document.cells[cell.index + 1 :] if other.source.strip()]
    if document.papermill and document.papermill.get("exception") is not True and not _unrun(document):
        return not cell.is_blamed  # `%run` shows an error and the kernel answers "ok": papermill finds it at the end, and fails
    if not after or after[0] in failed:
        return False
    if cell.count:
        return after[0].count == cell.count + 1
    return document.is_stripped and sum(1 for other in after if other.outputs) >= _SHOWN_AFTER
