"""What the engine itself got wrong in a run, as far as a reader of the store can see it.

Gets the rows of one run and `now`, asks each detector of one table, and gives back defects that point at rows. A clean run has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.defects import recording, scheduling
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.text.quotes import in_run

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Defect
    from smithers_nb.sources.snapshot import Snapshot

_MAX_DEPTH: Final = 8
DETECTORS: Final[tuple[Callable[[Case], Iterator[Defect]], ...]] = (
    recording.failures_as_cancellations,
    scheduling.work_before_approval,
    scheduling.zombies,
    scheduling.retry_storms,
    scheduling.repeating_loops,
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
"""Every detector, the worst first. They know how Smithers fails, so the runs of another engine are not searched."""


def find_defects(snapshot: Snapshot, now: int) -> tuple[Defect, ...]:
    """Find what the engine recorded wrongly or failed to prevent in a run and its child runs.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.

    Returns:
        The defects, the worst kind first; those of child runs after the run's own, with the child's id in each reference.
    """
    return tuple(_find(Case(snapshot, now), _MAX_DEPTH))


def _find(case: Case, depth: int, child: str = "") -> Iterator[Defect]:
    for defect in (defect for detect in DETECTORS for defect in detect(case)) if case.engine.is_watched else ():
        yield replace(defect, evidence=in_run(defect.evidence, child)) if child else defect
    for inner in case.snapshot.children if depth else ():
        yield from _find(Case(inner, case.now), depth - 1, inner.run.run_id)
