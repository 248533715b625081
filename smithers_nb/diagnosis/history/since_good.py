"""One run beside the last good run of its workflow, read as rows.

The quick answer needs to know what changed since the workflow last worked, and may not take long: of the whole store only the runs of
one workflow are listed, and only two runs are read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.history.last_good import UNNAMED, differences
from smithers_nb.diagnosis.history.run_profile import RunProfile, run_profile
from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, RunRow

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Change
    from smithers_nb.sources.base import Source

_MAX_AGE_MS: Final = 90 * 86_400_000
_OUTSIDE: Final = ("duration of ", "configuration.", "iterations of ", "project folder")
"""What may differ between two runs without anything that a run is made of having changed."""

_PASSING: Final = re.compile(
    r"\d{4}-\d\d-\d\d\S*|\d{2}:\d{2}\S*|1[5-9]\d{8}(?:\d{3})?|[0-9a-f]{8}-[0-9a-f]{4}-\S+|[0-9a-f]{12,}|[A-Za-z]\S*-\d+", re.IGNORECASE
)
"""Values that are another in each run anyway: days, times, ids."""


class Comparison(NamedTuple):
    """A run and the last good run of its workflow.

    Attributes:
        good: Id of the good run.
        before: What the good run looked like.
        after: What the run looked like that is asked about.
        changes: Everything that differs.
    """

    good: str
    before: RunProfile
    after: RunProfile
    changes: tuple[Change, ...]

    @property
    def input_changes(self) -> tuple[Change, ...]:
        """Input fields that differ; those that are another in each run anyway only where there are no others."""
        changed = tuple(change for change in self.changes if change.what.startswith("input."))
        lasting = tuple(change for change in changed if not _PASSING.fullmatch(change.after or change.before or ""))
        return lasting or changed

    @property
    def is_same_code(self) -> bool:
        """The workflow file, its imports and the revision of the repository are the same, as far as they were recorded."""
        return not any(change.what in {"workflow hash", "repository revision", "workflow path"} for change in self.changes)

    @property
    def is_unchanged(self) -> bool:
        """Nothing of workflow, input, revision, agents, nodes and upstream outputs differs, and the workflow is known to be the same."""
        known = bool(self.before.run.workflow_hash and self.after.run.workflow_hash)
        return known and not any(not change.what.startswith(_OUTSIDE) for change in self.changes)


def compare_with_last_good(source: Source, run: RunRow) -> Comparison | None:
    """Compare a run with the newest run of the same workflow that started before it and finished.

    Raises:
        SourceVanished: The store is gone.
    """
    good = _last_good(source, run)
    if good is None:
        return None
    before, after = profile_of(source, good), profile_of(source, run)
    return Comparison(good.run_id, before, after, tuple(differences(before, after)))


def profile_of(source: Source, run: RunRow) -> RunProfile:
    """Read what a run looked like, without the attempts of tasks that have no agent."""
    tries = source.rows(AttemptRow, run.run_id, only={"kind": ["agent"]})
    return run_profile(run, source.rows(NodeRow, run.run_id), tries, source.rows(OutputRow, run.run_id))


def _last_good(source: Source, run: RunRow) -> RunRow | None:
    began = run.started_at or run.created_at
    if began is None or not run.workflow:
        return None
    same = {"workflow_path": [run.workflow_path]} if run.workflow == UNNAMED and run.workflow_path else {"workflow": [run.workflow]}
    finished = source.rows(RunRow, only={**same, "status": ["finished"]}, since_ms=began - _MAX_AGE_MS)
    earlier = [row for row in finished if row.run_id != run.run_id and (row.started_at or row.created_at or began) < began]
    return max(earlier, key=lambda row: (row.started_at or row.created_at or 0, row.run_id), default=None)
