"""Rows from the generated workflow to the end of its build."""

from __future__ import annotations

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.shown import Shown


class OrchDesign(Shown):
    """How the tickets are to be built."""

    summary: str
    parallel: int = described("tickets worked on at a time", default=2)
    attempts: int = described("attempts per ticket", default=4)
    mechanical_gates: tuple[str, ...] = described("gates of the child run that triage may pass", default=())
    artifact_path: str = ""


class Scaffold(Shown):
    """The generated implementation workflow."""

    path: str = described("the notebook")
    digest: str = described("SHA-256 of its file")
    ticket_count: int = 0


class Verify(Shown):
    """Whether something stands up to a check."""

    passed: bool
    command: str = ""
    errors: tuple[str, ...] = ()
    notes: str = ""


class BlockingIssue(Shown):
    """Something that must be put right."""

    title: str
    detail: str = ""


class WfReview(Shown):
    """What a review says about the generated workflow."""

    approved: bool
    blocking_issues: tuple[BlockingIssue, ...] = ()
    advisories: tuple[str, ...] = ()


class Smoke(Shown):
    """How the trial run of the generated workflow ended."""

    passed: bool
    child_run_id: str
    summary: str
    errors: tuple[str, ...] = ()


class Launch(Shown):
    """The child run that builds."""

    launched: bool
    child_run_id: str
    detail: str = ""


class MonitorPoll(Shown):
    """How the child run stands."""

    status: str
    terminal: bool
    needs_attention: bool = False
    resumed: bool = described("it had no process and was resumed", default=False)
    detail: str = ""


class MonitorReport(Shown):
    """Where the progress was written."""

    artifact_path: str
    summary: str = ""


class MonitorTriage(Shown):
    """What was done about a child run in trouble."""

    summary: str
    actions_taken: tuple[str, ...] = ()
    escalate: bool = False
    reason: str = ""


class BuildSummary(Shown):
    """What the implementation workflow made, as its own last stage says."""

    branch: str
    tip: str
    base: str = ""
    landed: dict[str, str] = described("ticket to land commit", default_factory=dict)
    failed: dict[str, str] = described("ticket to why it did not land", default_factory=dict)
    seconds: float = 0

    @property
    def complete(self) -> bool:
        """Whether every ticket has landed."""
        return not self.failed
