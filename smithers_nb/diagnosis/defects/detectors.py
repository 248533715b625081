"""What the engine itself got wrong in a run, as far as a reader of the store can see it.

Gets the rows of one run and `now`, asks each detector of one table, and gives back defects that point at rows. A clean run has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.defects import recording, scheduling
from smithers_nb.diagnosis.engines.base import engine_of

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Defect
    from smithers_nb.sources.snapshot import Snapshot

_DEEPEST: Final = 8
DETECTORS: Final[tuple[Callable[[Snapshot, int], Iterator[Defect]], ...]] = (
    recording.failures_as_cancellations,
    scheduling.work_before_approval,
    scheduling.zombies,
    scheduling.retry_storms,
    scheduling.finished_with_failed_children,
    scheduling.finished_with_unfinished_tasks,
    recording.errors_only_in_agent_events,
    recording.broken_streams,
    recording.misleading_stacks,
    recording.replayed_errors,
    recording.timeouts_after_the_answer,
    recording.garbled_prompts,
    scheduling.supervisor_loops,
    scheduling.rewound_runs,
    scheduling.gates_of_ended_runs,
    scheduling.lost_request_times,
)
"""Every detector, the worst first. They know how Smithers fails; of the runs of another engine they would only tell tales."""


def find_defects(snapshot: Snapshot, now: int) -> tuple[Defect, ...]:
    """Find what the engine recorded wrongly or let happen in a run and its child runs.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.

    Returns:
        The defects, the worst kind first; those of child runs after the run's own, with the child's id in each reference.
    """
    return tuple(_find(snapshot, now, _DEEPEST))


def _find(snapshot: Snapshot, now: int, depth: int) -> list[Defect]:
    found = [defect for detect in DETECTORS for defect in detect(snapshot, now)] if engine_of(snapshot).is_watched else []
    for child in snapshot.children if depth else ():
        found += [_in_child(defect, child.run.run_id) for defect in _find(child, now, depth - 1)]
    return found


def _in_child(defect: Defect, run_id: str) -> Defect:
    """Say in each reference which run it belongs to, unless it does already."""
    evidence = tuple(
        e if e.ref.startswith("run:") or "/" in e.ref.partition(":")[0] else replace(e, ref=f"{run_id}/{e.ref}") for e in defect.evidence
    )
    return replace(defect, evidence=evidence)
