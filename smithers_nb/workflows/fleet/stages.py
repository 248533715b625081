"""The stages of the fleet's monitor as the notebook calls them; in a run of the journal each executes once and its row is stored."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.artifacts.store import put
from smithers_nb.engine.stages.context import ROOT
from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import now_ms
from smithers_nb.workflows.autopsy.durable import artifacts_location, kept
from smithers_nb.workflows.fleet import sweep as sweeping
from smithers_nb.workflows.fleet.results import FilesRow, FleetRow, PageRow, Sweep
from smithers_nb.workflows.fleet.views import headline_of, summary_of, topics_of, verdict_of
from smithers_nb.workflows.monitor.report import page_of

if TYPE_CHECKING:
    from smithers_nb.model.finding import Finding

KIND: Final = "monitor-smithers"
POLL, REPORT = "poll", "report"
_FRAMES: Final = ("runs", "actions", "waiting", "quotas", "recurring", "flaky", "lost")


def sweep(projects: list[str] | None = None, stale_minutes: float = 15, now: int | None = None) -> Sweep:
    """Judge every run of several projects; see `sweep.sweep`."""
    moment = now_ms() if now is None else now
    return kept(POLL, Sweep, "Every run", lambda: sweeping.sweep(projects, moment, stale_minutes))


def report(found: Sweep) -> PageRow:
    """Render the report as one HTML page."""
    return kept(REPORT, PageRow, "The report", lambda: _page(found))


def artifact(found: Sweep, page: PageRow) -> FilesRow:
    """Store the report and the frames as artifacts.

    Raises:
        ArtifactsNotWritten: They could not be written.
    """
    return kept("artifact", FilesRow, "Where the files are", lambda: _written(found, page))


def output(found: Sweep, files: FilesRow | None = None) -> FleetRow:
    """Return the stable output row."""
    return kept("output", FleetRow, "In one row", lambda: row_of(found, files))


def row_of(found: Sweep, files: FilesRow | None = None) -> FleetRow:
    """Build the output row."""
    return FleetRow(
        verdict=verdict_of(found),
        projects_seen=len(found.projects),
        runs_seen=len(found.runs),
        stale_threshold_minutes=found.stale_minutes,
        healthy_runs=len(found.buckets.get("healthy", ())),
        unhealthy_runs=len(found.troubled),
        escalations=sum(action.needs_human for action in found.actions),
        summary=summary_of(found),
        buckets=found.buckets,
        actions=found.actions,
        recurring=found.recurring,
        flaky=found.flaky,
        lost=found.lost,
        waiting=found.waiting,
        quotas=found.quotas,
        report_path=files.report if files else None,
        frames=files.frames if files else (),
        problems=found.problems,
    )


def _page(found: Sweep) -> PageRow:
    title = "The fleet"
    subtitle = f"{plural(len(found.runs), 'run')} of {plural(len(found.projects), 'project')}"
    return PageRow(title=title, html=page_of(topics_of(found), title=title, subtitle=subtitle, lead=headline_of(found), as_of=found.now))


def _written(found: Sweep, page: PageRow) -> FilesRow:
    folder = artifacts_location() or str(Path(os.environ.get(ROOT) or ".").absolute() / "artifacts")
    report = put(folder, KIND, "fleet", ".html", page.html.encode("utf-8", "replace"))
    frames = tuple(put(folder, KIND, name, ".csv", _csv(getattr(found, name))) for name in _FRAMES)
    return FilesRow(report=report, frames=frames)


def _csv(findings: Sequence[Finding]) -> bytes:
    """Render findings as CSV; a cell that a spreadsheet would read as a formula is quoted."""
    rows = [finding.as_json() for finding in findings]
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@"} else value
