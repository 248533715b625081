"""The cell of an executed notebook that was interrupted before it ended, also described as a failure.

An interrupt is not an error of the code, but a person who asks why the notebook has no result needs to know where it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.error_chain import parse_error
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.text.quotes import of_attempt
from smithers_nb.model.verdict import Failure, Link
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.sources.snapshot import Snapshot

INTERRUPTED: Final = "interrupted"
"""Kind of such a failure, and status of such a run."""


def stopped_cell(snapshot: Snapshot) -> AttemptRow | None:
    """Return the cell in which an executed notebook was interrupted; None when the run ended in another way."""
    if snapshot.run.status != INTERRUPTED:
        return None
    executed = as_object(snapshot.run.config).get("executed")
    cell = executed.get("cell") if isinstance(executed, dict) else None
    return next((attempt for attempt in snapshot.attempts if attempt.node_id == cell), None)


def stopped(snapshot: Snapshot, cell: AttemptRow) -> Failure:
    """Return the failure for an interrupted cell; no row shows whether a person or a time limit interrupted it."""
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=cell.node_id,
        iteration=cell.iteration,
        attempt=cell.attempt,
        at=cell.finished_at or cell.started_at,
        kind=INTERRUPTED,
        chain=parse_error(cell.error).chain or (Link(name=cell.error_name),),
        attempts=1,
        signatures=(signature("the cell was interrupted", cell.error_name or INTERRUPTED),),
        task_kind=cell.kind,
        label=next((node.label for node in snapshot.nodes if node.node_id == cell.node_id), None),
        evidence=(of_attempt(cell),),
    )
