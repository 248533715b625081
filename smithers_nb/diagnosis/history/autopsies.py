"""Which autopsies looked into a failure, whichever engine runs them, and how they stand.

An autopsy is a run of the workflow `post-failure`; its input names the run that failed. One that began before the failure looked into an
earlier one of the same run.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from smithers_nb.model.explanation import Autopsy
from smithers_nb.model.rows import OutputRow, RunRow
from smithers_nb.sources.composite import store_of
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

WORKFLOW: Final = "post-failure"
_NAMES: Final = ("targetRunId", "target_run_id")
_MAX: Final = 500
"""How many autopsies, the newest, are asked for their target."""


def autopsies_of(source: Source, run: RunRow) -> list[Autopsy]:
    """List the autopsies of a run's last failure, newest first.

    Args:
        source: Where the run lives; all stores of its place, so that an autopsy in another of them is found.
        run: The run; of one that did not end there are none.
    """
    return newest_autopsies(source, [run]).get(run.run_id, [])


def newest_autopsies(source: Source, runs: Collection[RunRow]) -> dict[str, list[Autopsy]]:
    """Find the autopsies of many runs at once: run id to its autopsies, newest first."""
    since = {run.run_id: run.finished_at or run.started_at or 0 for run in runs if run.status in {"failed", "cancelled"}}
    if not since:
        return {}
    known = source.rows(RunRow, only={"workflow": [WORKFLOW]})
    recent = sorted((run for run in known if _began(run) >= min(since.values())), key=_began, reverse=True)
    found: dict[str, list[Autopsy]] = {}
    for run in recent[:_MAX]:
        target = target_of(source, run.run_id)
        if target in since and _began(run) >= since[target]:
            kind = store_of(source, run.run_id).kind
            one = Autopsy(run_id=run.run_id, target_run_id=target, source=kind, status=run.status, started_at=run.started_at)
            found.setdefault(target, []).append(one)
    return found


def target_of(source: Source, autopsy_run_id: str) -> str:
    """Name the run that an autopsy looks into, as its input does; empty when that says nothing."""
    row = next((output.row for output in source.rows(OutputRow, autopsy_run_id) if output.node_id == "input"), None)
    given = as_object(row)
    given = {**as_object(given.get("payload")), **given}
    return next((str(given[name]) for name in _NAMES if given.get(name)), "")


def _began(run: RunRow) -> int:
    return run.created_at or run.started_at or 0
