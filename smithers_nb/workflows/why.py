"""Why a run is in the state it is in: the quick answer, without a notebook and without pandas.

Gets the snapshot of one run and gives an `Explanation`. A failure is looked for whenever something failed, also in a run that is
still going or says it has finished; blockers are looked for while the run is not over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.diagnosis.classify import classify
from smithers_nb.diagnosis.defects import find_defects
from smithers_nb.diagnosis.evidence import find_failure
from smithers_nb.diagnosis.health import health, run_state
from smithers_nb.diagnosis.narrative import root_cause
from smithers_nb.diagnosis.reset import reset_preview
from smithers_nb.diagnosis.suggest import advise, owner_in
from smithers_nb.model.explanation import Explanation
from smithers_nb.model.vocabulary import is_terminal

if TYPE_CHECKING:
    from smithers_nb.model.rows import NodeRow
    from smithers_nb.sources.snapshot import Snapshot


def explain(snapshot: Snapshot, *, now: int, workflow_path: str | None = None) -> Explanation:
    """Explain what a run failed on or waits for, and what to do.

    Args:
        snapshot: The run.
        now: Judge as of this epoch millisecond.
        workflow_path: The workflow's file, when the caller knows better than the store.
    """
    run = snapshot.run
    return Explanation(run_id=run.run_id, workflow=run.workflow, status=run.status, state=run_state(run, now), summary="")
