"""Rows from the built branch to its delivery."""

from __future__ import annotations

from typing import Any, Literal

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.plan import Issue  # noqa: TC001  # validation resolves the annotation at run time
from smithers_nb.workflows.smithering.results.shown import Shown
from smithers_nb.workflows.smithering.results.spec import Tier  # noqa: TC001  # validation resolves the annotation at run time

Status = Literal["delivered", "cancelled", "incomplete"]


class ReviewFinding(Shown):
    """The opinion of one reviewer on the result."""

    reviewer: str = ""
    approved: bool
    summary: str = ""
    issues: tuple[Issue, ...] = ()


class ReviewSynthesis(Shown):
    """The reviews taken together."""

    approved: bool
    summary: str = ""
    must_fix: tuple[Issue, ...] = ()
    nice_to_have: tuple[Issue, ...] = ()
    reviewers: tuple[str, ...] = described("reviewers that answered", default=())


class Polish(Shown):
    """What was fixed after the reviews."""

    passed: bool
    summary: str
    rounds: int = 0
    commits: tuple[str, ...] = ()


class FinalReport(Shown):
    """How the run ended and where its report is: exactly one per run."""

    status: Status
    artifact_path: str = ""
    summary: str
    bundle_path: str = ""


class Delivery(Shown):
    """What was delivered."""

    summary: str
    branch: str = ""
    commit: str = ""
    pr_url: str | None = None
    merged_to_main: bool = False
    as_asked: bool = described("the push and the pull request that were asked for were made", default=True)


class SmitheringRow(Shown):
    """The stable output row of a run."""

    route: Tier | None = None
    status: Status
    summary: str
    report_path: str | None = None
    branch: str | None = None
    pr_url: str | None = None
    files_changed: tuple[str, ...] = ()
    ticket_count: int = 0
    must_fix_count: int = 0
    impl_run_id: str | None = None
    details: dict[str, Any] = described("further facts worth keeping", default_factory=dict)
