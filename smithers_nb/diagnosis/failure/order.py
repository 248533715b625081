"""Runs and attempts in the order in which they were started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.sources.base import CHILD_MARK

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.model.rows import AttemptRow

_AUTOPSY = "post-failure-"


def by_start(attempt: AttemptRow) -> tuple[int, int]:
    """Order attempts in time: a retry-task may begin to count at 1 again, over the row of the old attempt 1."""
    return attempt.started_at or 0, attempt.attempt


def by_time(runs: pd.DataFrame) -> pd.DataFrame:
    """Sort runs by start, oldest first; a run that never started counts from its creation."""
    began = runs["started_at"].fillna(runs["created_at"])
    return runs.assign(began=began).sort_values(["began", "run_id"], kind="stable").drop(columns="began")


def is_own_run(runs: pd.DataFrame) -> pd.Series[bool]:
    """Mark runs that somebody launched: no children of a subflow, no autopsies of the engine."""
    children = runs["parent_run_id"].notna() & runs["run_id"].str.contains(CHILD_MARK, regex=False)
    return ~(children | runs["run_id"].str.startswith(_AUTOPSY))


def epoch_ms(time: Any) -> int | None:
    """Give a timestamp of a frame as epoch milliseconds, None for NaT."""
    return None if time is None or time != time else int(time.timestamp() * 1000)  # noqa: PLR0124 - NaT is the value that is not itself
