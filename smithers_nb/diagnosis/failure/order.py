"""Runs and attempts in the order in which they were started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smithers_nb.sources.base import CHILD_MARK

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, RunRow

_AUTOPSY = "post-failure-"


def by_start(attempt: AttemptRow) -> tuple[int, int]:
    """Return the sort key for attempts in time; numbers alone do not order them, because a retry-task may start again at 1."""
    return attempt.started_at or 0, attempt.attempt


def began(run: RunRow) -> int | None:
    """Return when a run started, in epoch milliseconds, or when it was created if it never started."""
    return run.created_at if run.started_at is None else run.started_at


def by_time(runs: Iterable[RunRow]) -> list[RunRow]:
    """Return runs sorted by start, oldest first; those without any time come last."""
    return sorted(runs, key=lambda run: (began(run) is None, began(run) or 0, run.run_id))


def is_own_run(run: RunRow) -> bool:
    """Return whether this run was launched by itself, and is neither a subflow's child nor an autopsy by the engine."""
    is_child = run.parent_run_id is not None and CHILD_MARK in run.run_id
    return not is_child and not run.run_id.startswith(_AUTOPSY)
