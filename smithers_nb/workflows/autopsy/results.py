"""What the stages of the autopsy give each other: plain rows that show themselves.

A row holds everything the next stage and a reader need and nothing that is open, so it can be stored and read back. In a notebook it
is a card, in a terminal text; how it looks is in `views`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, Final

from smithers_nb.model.bug_report import BugOutcome
from smithers_nb.model.explanation import Explanation
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, QuestionRow
from smithers_nb.model.verdict import (
    Advice,
    Authors,
    Change,
    Classification,
    Defect,
    Evidence,
    Failure,
    LastGoodRun,
    Observation,
    PastRun,
    Recurrence,
    TaskStanding,
    Verdict,
)
from smithers_nb.present.html.markup import REPORT_MARK, Unsaid
from smithers_nb.sources.base import Source

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card

NOTHING_TO_REPORT: Final = "There is nothing to report."

VERDICT_MIMETYPE: Final = "application/vnd.smithers-nb.verdict+json"
"""A cell that displays a verdict carries the row itself under this type, for whoever reads the executed notebook."""


class Shown(Finding):
    """A finding that displays itself: HTML in notebooks and reports, text in terminals."""

    def card(self) -> Card:
        """Lay it out for a person."""
        from smithers_nb.workflows.autopsy.views import view_of

        return view_of(self)

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()

    @property
    def says_nothing(self) -> bool:
        """Whether a report can do without it."""
        return False

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        del include, exclude  # IPython filters by itself
        return {"text/html": self._repr_html_(), "text/plain": self.card().text}, {REPORT_MARK: "omit"} if self.says_nothing else {}


class EventLine(Finding):
    """One line of the run's log."""

    seq: int = described("position in the run")
    at: int | None = described("epoch milliseconds", default=None)
    type: str
    node_id: str | None = None
    text: str = described("what it says besides, cut and redacted", default="")


class Gathered(Shown):
    """What the store says about the run, before anybody judges it."""

    target_run_id: str
    source: str = described("where it was read: path or URL")
    workflow: str | None = None
    workflow_path: str | None = described("file that the run was started from, or that the caller named", default=None)
    recorded_path: str | None = described("file that the run was started from, as the store has it", default=None)
    status: str
    state: str = described("derived state at `now`")
    started_at: int | None = described("epoch milliseconds", default=None)
    finished_at: int | None = described("epoch milliseconds", default=None)
    run_error: str = described("message of the run-level error, often only a wrapper", default="")
    last_events: tuple[EventLine, ...] = described("the end of the log, without heartbeats, at most eighty", default=())
    workflow_source: str = described("text of the workflow's file, redacted, at most 20,000 characters", default="")
    smithers_version: str = described("newest migration of the store", default="")
    now: int = described("time to judge at, epoch milliseconds")
    problems: tuple[str, ...] = described("what could not be read", default=())

    _opened: ClassVar[Source | None] = None

    @property
    def summary(self) -> str:
        """One line."""
        return f"{self.workflow or 'workflow'} {self.target_run_id}: {self.state}"

    def read_from(self, source: Source) -> Gathered:
        """Remember the open source, so that the next stage need not open it again."""
        object.__setattr__(self, "_opened", source)  # what is open is no field: it is neither written down nor compared
        return self

    def open(self) -> Source:
        """Return the source that this was read from; it is opened again when this row comes out of a file.

        Raises:
            SourceError: It cannot be read any more.
        """
        from smithers_nb.sources.locate import open_source

        return self._opened or open_source(self.source)

    def __repr__(self) -> str:
        return f"Gathered({self.summary!r}, {len(self.last_events)} events)"


class Investigation(Shown):
    """What failed, why, and what history says about it."""

    target_run_id: str
    workflow: str | None = None
    root_cause: str
    failure: Failure
    classification: Classification
    advice: Advice
    defects: tuple[Defect, ...] = ()
    last_good_run: LastGoodRun | None = None
    changed_since: tuple[Change, ...] = ()
    recurrence: Recurrence = Recurrence()
    recent_runs: tuple[PastRun, ...] = described("newest runs of this workflow, oldest first", default=())
    seen_here: tuple[Observation, ...] = described("what a look at this machine showed", default=())
    attempts: tuple[AttemptRow, ...] = described("every attempt of the run, and of the child run that failed", default=())
    nodes: tuple[NodeRow, ...] = described("nodes that have a title", default=())
    approvals: tuple[ApprovalRow, ...] = described("gates of the run", default=())
    questions: tuple[QuestionRow, ...] = described("questions to people", default=())
    milestones: tuple[EventRow, ...] = described("starts, restarts, resets and rewinds, without their payload", default=())
    smithers_version: str = ""
    versions: dict[str, str] = described("see the verdict", default_factory=dict)
    problems: tuple[str, ...] = ()
    tasks: tuple[TaskStanding, ...] = described("which task waits for which, and how each stands; none for a run of one task", default=())
    error_summary: str = described("a long or ever changing error in plain words, to stand beside it", default="")
    source: tuple[str, ...] = described("lines around the one that threw, which is marked", default=())
    authors: Authors = Authors()
    provider_notes: tuple[str, ...] = described("what a provider said that was not taken, and why", default=())

    @property
    def signature(self) -> str:
        """Fingerprint of the failure; empty when no error is recorded."""
        return self.failure.signatures[-1] if self.failure.signatures else ""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Every quote, each row once."""
        quotes = (*self.failure.evidence, *(e for defect in self.defects for e in defect.evidence))
        return tuple({(quote.ref, quote.quote): quote for quote in quotes}.values())

    def timeline(self) -> Any:
        """Draw every attempt as a bar of its own; a plotly figure with a twin that needs no script."""
        from smithers_nb.workflows.autopsy.views import timeline_of

        return timeline_of(self)

    def graph(self) -> Card | None:
        """Draw which task waits for which, and how each stands; None for a run of one task, or without a graph."""
        from smithers_nb.present.html.task_graph import task_graph_card

        return task_graph_card(self.tasks) if self.tasks else None

    def changes(self) -> Card:
        """Show what differs from the last good run."""
        from smithers_nb.present.html.cards import changes_table

        return changes_table(self.changed_since, self.last_good_run)

    def occurrences(self) -> Card:
        """Show the newest runs of the workflow, and how often this failure occurred in the whole store."""
        from smithers_nb.present.html.cards import note, recurrence_table, run_strip, stack

        seen = self.recurrence
        is_known = seen.runs > 1 or bool(seen.repair_loop)
        card = stack(
            run_strip(self.recent_runs, self.target_run_id, self.workflow) if len(self.recent_runs) > 1 else None,
            recurrence_table(seen) if is_known else note("No other run of this store met this failure."),
        )
        return card if is_known or len(self.recent_runs) > 1 else Unsaid(card.html, card.text)

    def proof(self) -> Card:
        """List the quotes that all this rests on, each with its row."""
        from smithers_nb.present.html.cards import evidence_list

        return evidence_list(self.evidence)

    def __repr__(self) -> str:
        found = self.classification
        return f"Investigation({self.target_run_id!r}, {found.failure_class!r}, confidence {found.confidence!r})"


class GateCard(Shown):
    """What a person is asked before a bug of the engine is reported; making the card sends nothing."""

    target_run_id: str
    needed: bool = described("the engine itself is suspected")
    payload: dict[str, Any] | None = described("exactly what would be sent; none when there is nothing to ask", default=None)
    endpoint: str = described("where it would be sent", default="")
    title: str = described("title that a report would have", default="")
    body: str = described("text that a report would have, redacted", default="")
    reason: str = described("why this would be asked, or why there is nothing to ask")

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing to ask."""
        return not self.needed

    def __repr__(self) -> str:
        return f"GateCard({self.target_run_id!r}, needed={self.needed})"


class ReportRow(Shown, BugOutcome):
    """What became of the report, or how to file it by hand where nobody is asked."""

    command: str = described("what files it by hand; empty when it is settled", default="")

    @property
    def says_nothing(self) -> bool:
        """Whether there was nothing to report."""
        return self.detail == NOTHING_TO_REPORT

    def __repr__(self) -> str:
        return f"ReportRow(filed={self.filed}, {self.detail!r})"


class WhyRow(Shown, Explanation):
    """Why a run is in the state it is in; shows itself."""

    def __repr__(self) -> str:
        return f"Explanation({self.run_id!r}, {self.state!r}, {self.summary!r})"


class VerdictRow(Shown, Verdict):
    """The verdict, with its row beside what a person sees."""

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        data, metadata = super()._repr_mimebundle_(include, exclude)
        return {**data, VERDICT_MIMETYPE: self.as_json()}, metadata

    def __repr__(self) -> str:
        return f"Verdict({self.target_run_id!r}, {self.failure_class!r}, {self.confidence!r}, {self.suggestion!r})"
