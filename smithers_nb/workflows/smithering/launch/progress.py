"""What is written each time a launched build is looked at: a page of that moment, and one dashboard that is replaced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from smithers_nb.artifacts import write_whole
from smithers_nb.model.timestamps import now_ms
from smithers_nb.workflows.monitor.report import page_of
from smithers_nb.workflows.smithering.board import tickets_card
from smithers_nb.workflows.smithering.building.build import read_index
from smithers_nb.workflows.smithering.results.launch import MonitorReport

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.results.launch import MonitorPoll
    from smithers_nb.workflows.smithering.work import Work


def write_progress(work: Work, poll: MonitorPoll, number: int) -> MonitorReport:
    """Write the page of one cycle and the dashboard."""
    now = now_ms()
    states = read_index(work.artifacts, work.run_id)
    landed = sum(state.state == "landed" for state in states)
    summary = f"{landed} of {len(states)} tickets landed; {poll.detail}"
    head = poll.card()
    subtitle = f"run {work.run_id}, cycle {number + 1}"
    page = page_of([("Tickets", tickets_card(states))], title="Progress of the build", subtitle=subtitle, lead=head, as_of=now).encode(
        "utf-8", "replace"
    )
    path = work.folder / "reports" / f"progress-{datetime.fromtimestamp(now / 1000, UTC):%Y%m%dT%H%M%S}Z-{number + 1}.html"
    write_whole(path, page)
    write_whole(work.folder / "reports" / "dashboard.html", page)
    return MonitorReport(artifact_path=str(path), summary=summary)
