"""How a run ends without a delivery report: one final report row, with a page that says what each stage has come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smithers_nb.artifacts import write_whole
from smithers_nb.workflows.monitor.report import page_of
from smithers_nb.workflows.smithering.results.delivery import FinalReport, Status

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.work import Work


def write_cancelled(work: Work, node_id: str, summary: str, status: Status) -> FinalReport:
    """End a run before its delivery.

    Args:
        work: The request.
        node_id: Where it ends, such as `cancelled:prd`.
        summary: Why.
        status: `cancelled` when somebody decided so, `incomplete` when it could not go on.
    """
    row = FinalReport(status=status, summary=summary, artifact_path=str(work.folder / "report.html"))
    return write_page(work, row, node_id)


def write_page(work: Work, row: FinalReport, node_id: str) -> FinalReport:
    """Write the page of a run that ended at a stage, and return its final report."""
    stages = [(name, each.card()) for name, each in work.rows.items()]
    page = page_of(stages, title=f"Smithering: {row.status}", subtitle=f"run {work.run_id}, ended at {node_id}", lead=row.card())
    write_whole(Path(row.artifact_path), page.encode("utf-8", "replace"))
    return row
