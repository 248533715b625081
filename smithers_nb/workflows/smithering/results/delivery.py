"""Rows from the built branch to its delivery."""

from __future__ import annotations

from typing import Any, Literal

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.plan import Issue  # noqa: TC001  # rows are checked against it when they are read back
from smithers_nb.workflows.smithering.results.shown import Shown
from smithers_nb.workflows.smithering.results.spec import Tier  # noqa: TC001  # rows are checked against it when they are read back

Status = Literal["delivered", "cancelled", "incomplete"]


class ReviewFinding(Shown):
    """What one reviewer says about the result."""

    reviewer: str = ""
    approved: bool
    summary: str = ""
    issues: tuple[Issue, ...] = ()


class ReviewSynthesis(Shown):
    """What the reviews say together."""

    approved: bool
    summary: str = ""
    must_fix: tuple[Issue, ...] = ()
    nice_to_have: tuple[Issue, ...] = ()
    reviewers: tuple[str, ...] = described("who answered", default=())


class Polish(Shown):
    """What was put right after the reviews."""

    passed: bool
    summary: str
    rounds: int = 0
    commits: tuple[str, ...] = ()


class FinalReport(Shown):
    """How it ended, and where that is written down: exactly one per run."""

    status: Status
    artifact_path: str = ""
    summary: str
    bundle_path: str = ""


class Delivery(Shown):
    """What was handed over."""

    summary: str
    branch: str = ""
    commit: str = ""
    pr_url: str | None = None
    merged_to_main: bool = False
    as_asked: bool = described("pushed and offered as a pull request, as far as that was asked for", default=True)


class SmitheringRow(Shown):
    """The stable output row."""

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
    details: dict[str, Any] = described("what else is worth keeping", default_factory=dict)
