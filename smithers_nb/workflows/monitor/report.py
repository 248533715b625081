"""The monitor's report as one HTML file: a headline that takes a minute to read, then one section per topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.workflows.monitor.results import ReportRow
from smithers_nb.workflows.monitor.views import headline_of

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card
    from smithers_nb.workflows.monitor.results import Diagnosis, FixRow, MonitorSnapshot


def compose(gathered: MonitorSnapshot, found: Diagnosis, fix: FixRow | None = None, title: str | None = None) -> ReportRow:
    """Render the report of a run.

    Args:
        gathered: What the store records about the run.
        found: The diagnosis.
        fix: What the monitor did about it, if anything.
        title: Title of the report; defaults to `Monitor: run ID`.
    """
    heading = title or (f"Monitor: run {found.target_run_id}" if found.target_run_id else "Monitor")
    topics = found.topics(fix)
    subtitle = f"{found.workflow or 'workflow'}, {found.state}, read from {gathered.source}"
    page = page_of(topics, title=heading, subtitle=subtitle, lead=headline_of(found, fix, gathered), as_of=gathered.now)
    return ReportRow(title=heading, html=page, health=found.health, section_count=len(topics))


def page_of(topics: list[tuple[str, Card]], *, title: str, subtitle: str, lead: Card, as_of: int | None = None) -> str:
    """Render cards, each under its heading, as one self-contained page; the footer shows the time that it describes."""
    from smithers_nb.present.report.exporter import ReportExporter
    from smithers_nb.present.report.report import redact_notebook

    return ReportExporter().page(redact_notebook(_notebook(topics)), title=title, subtitle=subtitle, lead=lead.html, as_of=as_of)


def _notebook(topics: list[tuple[str, Card]]) -> Any:
    """Return a notebook with each card in a cell under its heading, which is what the exporter reads."""
    import nbformat

    cells = []
    for heading, card in topics:
        cells.append(nbformat.v4.new_markdown_cell(f"## {heading}"))
        shown = nbformat.v4.new_output("display_data", data={"text/html": str(card.html), "text/plain": card.text})
        cells.append(nbformat.v4.new_code_cell("", outputs=[shown]))
    return nbformat.v4.new_notebook(cells=cells)
