"""The monitor's report: the headline that can be read in a minute, then one section per topic, as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.workflows.monitor.results import ReportRow
from smithers_nb.workflows.monitor.views import headline_of

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card
    from smithers_nb.workflows.monitor.results import Diagnosis, FixRow, MonitorSnapshot


def compose(gathered: MonitorSnapshot, found: Diagnosis, fix: FixRow | None = None, title: str | None = None) -> ReportRow:
    """Write the page.

    Args:
        gathered: What was gathered.
        found: What was found.
        fix: What was done about it, if anything was.
        title: Its title; `Monitor: run ID` by default.
    """
    heading = title or (f"Monitor: run {found.target_run_id}" if found.target_run_id else "Monitor")
    topics = found.topics(fix)
    subtitle = f"{found.workflow or 'workflow'}, {found.state}, read from {gathered.source}"
    page = page_of(topics, title=heading, subtitle=subtitle, lead=headline_of(found, fix, gathered), as_of=gathered.now)
    return ReportRow(title=heading, html=page, health=found.health, section_count=len(topics))


def page_of(topics: list[tuple[str, Card]], *, title: str, subtitle: str, lead: Card, as_of: int | None = None) -> str:
    """Write cards, each under its heading, as one page that needs nothing else; its footer says the time that it tells about."""
    from smithers_nb.present.report.exporter import ReportExporter
    from smithers_nb.present.report.report import redact_notebook

    return ReportExporter().page(redact_notebook(_notebook(topics)), title=title, subtitle=subtitle, lead=lead.html, as_of=as_of)


def _notebook(topics: list[tuple[str, Card]]) -> Any:
    """Put cards into cells, each under its heading, as the exporter takes them."""
    import nbformat

    cells = []
    for heading, card in topics:
        cells.append(nbformat.v4.new_markdown_cell(f"## {heading}"))
        shown = nbformat.v4.new_output("display_data", data={"text/html": str(card.html), "text/plain": card.text})
        cells.append(nbformat.v4.new_code_cell("", outputs=[shown]))
    return nbformat.v4.new_notebook(cells=cells)
