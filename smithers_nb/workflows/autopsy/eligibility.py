"""Whether a run is one for an autopsy; asked before anything costly is started for it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.stopped import stopped_cell
from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.errors import RunNotFailed
from smithers_nb.model.vocabulary import TERMINAL_STATUSES, is_suspended

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.sources.snapshot import Snapshot

_KNOWN: Final = TERMINAL_STATUSES | {"running"}


def refuse_unless_failed(snapshot: Snapshot, now: int) -> None:
    """Stop an autopsy of something that did not die.

    Args:
        snapshot: The run. One that the engine filed as cancelled although it failed is let through, and so is one of a status
            that nobody knows but with an error on it, and the record of a notebook in which a cell was stopped.
        now: Epoch milliseconds, to say what state it is in.

    Raises:
        RunNotFailed: It says what state the run is in and what to do instead.
    """
    run = snapshot.run
    unheard_of = run.status not in _KNOWN and not is_suspended(run.status)
    if run.status == "failed" or (run.status == "cancelled" and _is_masked(snapshot)) or (unheard_of and run.error):
        return
    if stopped_cell(snapshot) is not None:
        return
    state = run_state(run, now)
    shown = state if state == run.status else f"{run.status} ({state})"
    raise RunNotFailed(
        f"run {run.run_id} did not fail: it is {shown}",
        hint=f"`smithers-nb why {shlex.quote(_name_of(run))}` shows what it waits for, or which of its tasks failed on the way",
    )


def _name_of(run: RunRow) -> str:
    """Return how a command line names a run: by the path of its file if the id is only the end of that, else by its id."""
    path = run.workflow_path or ""
    return path if path.endswith(f"/{run.run_id}") else run.run_id


def _is_masked(snapshot: Snapshot) -> bool:
    from smithers_nb.diagnosis.failure.root_failure import find_failure

    return find_failure(snapshot).kind == "masked-cancel"
