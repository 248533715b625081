"""The rows of the fleet's monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.history.repair_loops import RepairLoop  # noqa: TC001  # needed at run time to validate rows that are read back
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.vocabulary import Health
from smithers_nb.workflows.autopsy import results

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card

WORST_FIRST: Final[tuple[Health, ...]] = ("failed", "blocked", "overBudget", "stuck", "healthy")


class Shown(results.Shown):
    """A row of the fleet that displays itself."""

    def card(self) -> Card:
        """Return the card that displays the row."""
        from smithers_nb.workflows.fleet.views import view_of

        return view_of(self)


class FleetRun(Finding):
    """One run of the fleet."""

    project: str
    run_id: str
    workflow: str | None = None
    status: str
    bucket: Health
    reason: str
    live: bool = described("not ended, or failed within the last hour: a person may have to act on it now")
    age_minutes: float | None = described("minutes since the start", default=None)
    finished_age_minutes: float | None = described("minutes since the end", default=None)


class Action(Finding):
    """What to do about a run; proposed, never executed."""

    project: str
    run_id: str
    problem: str
    recommended_action: str
    command: str = ""
    needs_human: bool = True
    also: tuple[str, ...] = described("other live runs of the same workflow with the same cause", default=())


class Recurring(Finding):
    """One kind of failure in a project."""

    project: str
    signature: str
    failure_class: str
    message: str
    count: int
    runs: int
    workflows: int
    first_at: int | None = None
    last_at: int | None = None
    wall_s: float | None = None
    tokens: int | None = None


class Flaky(Finding):
    """A task that failed and then succeeded in the same run."""

    project: str
    workflow: str | None
    node_id: str
    recovered_runs: int = described("runs in which it failed first and then succeeded")
    runs: int = described("runs that tried it")


class Lost(Finding):
    """What failed attempts cost, by workflow, by agent, or by model."""

    project: str
    by: str = described("workflow, agent or model")
    name: str
    failed_attempts: int
    wall_s: float
    tokens: int


class Waiting(Finding):
    """A gate or question that waits for a person."""

    project: str
    run_id: str
    workflow: str | None
    node_id: str
    prompt: str
    since: int | None = described("epoch milliseconds", default=None)
    waited_minutes: float | None = None
    command: str = described("command that decides it; `inbox` lists the alternatives", default="")


class QuotaWindow(Finding):
    """A run that waits until a provider's limit is reset."""

    project: str
    run_id: str
    workflow: str | None
    resets_at: int | None = described("epoch milliseconds; None if the provider does not say", default=None)
    minutes_left: float | None = described("negative if the limit was reset and the run still waits", default=None)


class Sweep(Shown):
    """The state of the whole fleet at one moment."""

    now: int = described("time to judge at, epoch milliseconds")
    stale_minutes: float
    projects: tuple[str, ...] = described("stores that were read", default=())
    runs: tuple[FleetRun, ...] = ()
    buckets: dict[str, tuple[str, ...]] = described("run ids by bucket; every run is in exactly one", default_factory=dict)
    actions: tuple[Action, ...] = described("for live runs that are not healthy, the most urgent first", default=())
    recurring: tuple[Recurring, ...] = described("kinds of failure, most runs first", default=())
    loops: tuple[RepairLoop, ...] = described("work that is restarted again and again without progress", default=())
    flaky: tuple[Flaky, ...] = ()
    lost: tuple[Lost, ...] = ()
    waiting: tuple[Waiting, ...] = described("gates and questions, the longest waiting first", default=())
    quotas: tuple[QuotaWindow, ...] = described("runs that wait for a provider's limit, earliest reset first", default=())
    problems: tuple[str, ...] = described("what could not be read", default=())
    unread: int = described("number of projects that could not be read at all", default=0)

    def topic(self, key: str) -> Card:
        """Return the card of one topic: actions, waiting, quotas, recurring, loops, flaky, lost or runs."""
        from smithers_nb.workflows.fleet.views import TOPICS

        return TOPICS[key][1](self)

    @property
    def troubled(self) -> tuple[FleetRun, ...]:
        """The live runs that are not healthy."""
        return tuple(run for run in self.runs if run.live and run.bucket != "healthy")


class PageRow(Shown):
    """The report as one HTML page."""

    title: str
    html: str


class FilesRow(Shown):
    """The files that were written."""

    report: str
    frames: tuple[str, ...] = described("CSV files: runs, actions, waiting, quotas, recurring, flaky, lost", default=())


class FleetRow(Shown):
    """The stable output row of the fleet's monitor."""

    verdict: str = described("`healthy` or `problems detected`, also when a project or every project could not be read")
    projects_seen: int
    runs_seen: int
    stale_threshold_minutes: float
    healthy_runs: int
    unhealthy_runs: int = described("number of live runs that are not healthy")
    escalations: int = described("number of actions that need a person")
    fixes_applied: int = 0
    summary: str
    buckets: dict[str, tuple[str, ...]] = described("run ids by bucket; every run is in exactly one", default_factory=dict)
    actions: tuple[Action, ...] = ()
    recurring: tuple[Recurring, ...] = ()
    flaky: tuple[Flaky, ...] = ()
    lost: tuple[Lost, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    quotas: tuple[QuotaWindow, ...] = ()
    report_path: str | None = None
    frames: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
