"""The stages of the workflow `release-check`: recent failures, people's assessment, and a page that records the decision."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from smithers_nb.artifacts import artifact_path, write_whole
from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.model.rows import RunRow
from smithers_nb.model.timestamps import now_ms, when
from smithers_nb.present.html.text import one_line
from smithers_nb.sources.locate import open_source

if TYPE_CHECKING:
    from smithers_nb.engine.journal.decisions import Decision
    from smithers_nb.model.rows import FailureRow
    from smithers_nb.present.html.markup import Card

_KIND: Final = "release-check"
_HOUR_MS: Final = 3_600_000
_MAX_NAMED: Final = 5


class ReleaseCheckParameters(BaseModel):
    """Parameters of `release-check`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    release: str = Field(default="next", min_length=1, description="name of the release")
    source: str | None = Field(default=None, description="store, project folder or URL; defaults to the current project")
    since_hours: float = Field(default=24.0, gt=0, description="how many hours to look back for failed runs")
    artifacts: str = Field(default="artifacts", description="folder for the page")


class FailedRun(BaseModel):
    """One run that failed."""

    run_id: str
    workflow: str
    failed_at: int | None = Field(description="epoch milliseconds")
    node_id: str = Field(description="node that failed; empty when the run itself failed")
    failure_class: str
    message: str = Field(description="one line, redacted")


class RecentFailures(BaseModel):
    """The failed runs of a period, newest first."""

    store: str = Field(description="location of the store")
    since: int = Field(description="beginning of the period, epoch milliseconds")
    runs: tuple[FailedRun, ...]

    @property
    def count(self) -> int:
        """The number of failed runs."""
        return len(self.runs)

    @property
    def summary(self) -> str:
        """A sentence or two for the person who decides."""
        if not self.runs:
            return f"No run has failed since {when(self.since)}."
        named = ", ".join(f"{run.workflow} {run.run_id} ({run.failure_class})" for run in self.runs[:_MAX_NAMED])
        more = f" and {self.count - _MAX_NAMED} more" if self.count > _MAX_NAMED else ""
        return f"{_runs(self.count)} failed since {when(self.since)}: {named}{more}."

    @property
    def question(self) -> str:
        """The question for the person who assesses them."""
        return f"{_runs(self.count)} failed recently. What does that mean for the release?"

    def card(self) -> Card:
        """Render them as a table."""
        from smithers_nb.present.html.markup import Card, h, table, text_table

        columns = ("Run", "Workflow", "Node", "Class", "Error")
        cells = [(run.run_id, run.workflow, run.node_id, run.failure_class, run.message) for run in self.runs]
        if not cells:
            return Card(h("p", self.summary, class_="snb"), self.summary)
        return Card(h("div", table(self.summary, columns, cells), class_="snb"), f"{self.summary}\n{text_table(columns, cells)}")

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self.card()._repr_mimebundle_()


class ReleaseSummary(BaseModel):
    """The decision, and the page that records it."""

    release: str
    approved: bool
    decided_by: str
    note: str | None
    failed_runs: int
    page: str = Field(description="path of the page")


def recent_failures(source: str | None, since_hours: float, *, now: int | None = None) -> RecentFailures:
    """Return the runs of a store that failed recently.

    Args:
        source: The store; defaults to that of the current folder.
        since_hours: How many hours to look back.
        now: Look back from this epoch millisecond; defaults to the clock.

    Raises:
        SourceError: The store cannot be read.
    """
    since = round((now_ms() if now is None else now) - since_hours * _HOUR_MS)
    with closing(open_source(source)) as store:
        runs = [run for run in store.rows(RunRow, only={"status": ["failed"]}) if (run.finished_at or run.started_at or 0) >= since]
        reasons = {run.run_id: failure_rows(store, run.run_id) for run in runs}
        location = store.location
    runs.sort(key=lambda run: run.finished_at or run.started_at or 0, reverse=True)
    return RecentFailures(store=location, since=since, runs=tuple(_failed(run, reasons[run.run_id]) for run in runs))


def write_summary(release: str, found: RecentFailures, assessment: str, decision: Decision, artifacts: str) -> ReleaseSummary:
    """Record the decision as a Markdown page.

    Raises:
        OSError: The page could not be written.
    """
    page = artifact_path(Path(artifacts).absolute(), _KIND, release, ".md")
    word = "approved" if decision.approved else "denied"
    words = f": {one_line(decision.note)}" if decision.note else "."
    lines = [
        f"# Release {one_line(release)}: {word}",
        "",
        f"{one_line(decision.decided_by)} {word} it on {when(decision.decided_at)}{words}",
        "",
        f"Assessment: {one_line(assessment, 2_000)}",
        "",
        found.summary,
        "",
        *(
            f"- `{one_line(run.run_id)}` {run.workflow}, {run.node_id or 'the run'}: {run.failure_class}: {run.message}"
            for run in found.runs
        ),
    ]
    write_whole(page, "\n".join(lines).rstrip().encode("utf-8", "replace") + b"\n")
    return ReleaseSummary(
        release=release,
        approved=decision.approved,
        decided_by=decision.decided_by,
        note=decision.note,
        failed_runs=found.count,
        page=str(page),
    )


def _failed(run: RunRow, reasons: list[FailureRow]) -> FailedRun:
    first = reasons[0] if reasons else None
    return FailedRun(
        run_id=run.run_id,
        workflow=run.workflow or "workflow",
        failed_at=run.finished_at,
        node_id=(first.node_id or "") if first else "",
        failure_class=(first.failure_class or "unknown") if first else "unknown",
        message=one_line(first.message if first else run.error_message, 300),
    )


def _runs(count: int) -> str:
    return "1 run has" if count == 1 else f"{count} runs have"
