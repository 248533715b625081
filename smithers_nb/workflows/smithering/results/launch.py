"""Rows from the generated workflow to the end of its build."""

from __future__ import annotations

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.shown import Shown


class OrchDesign(Shown):
    """How the tickets will be built."""

    summary: str
    attempts: int = described("attempts per ticket", default=4)
    mechanical_gates: tuple[str, ...] = described("gates of the child run that triage may approve", default=())
    artifact_path: str = ""


class Scaffold(Shown):
    """The generated implementation workflow."""

    path: str = described("path of the notebook")
    digest: str = described("SHA-256 of the notebook file")
    ticket_count: int = 0


class Verify(Shown):
    """Result of a check."""

    passed: bool
    command: str = ""
    errors: tuple[str, ...] = ()
    notes: str = ""


class BlockingIssue(Shown):
    """Something that must be fixed."""

    title: str
    detail: str = ""


class WfReview(Shown):
    """Review of the generated workflow."""

    approved: bool
    blocking_issues: tuple[BlockingIssue, ...] = ()
    advisories: tuple[str, ...] = ()


class Smoke(Shown):
    """How the rehearsal of the generated workflow ended."""

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
    """State of the child run at one poll."""

    status: str
    terminal: bool
    needs_attention: bool = False
    resumed: bool = described("the child had no process and was resumed", default=False)
    detail: str = ""


class MonitorReport(Shown):
    """The progress page of the child run."""

    artifact_path: str
    summary: str = ""


class MonitorTriage(Shown):
    """What was done about a child run that needs attention."""

    summary: str
    actions_taken: tuple[str, ...] = ()
    escalate: bool = False
    reason: str = ""


class BuildSummary(Shown):
    """What the implementation workflow built, as reported by its last stage."""

    branch: str
    tip: str
    base: str = ""
    landed: dict[str, str] = described("land commit of each landed ticket", default_factory=dict)
    failed: dict[str, str] = described("reason for each ticket that did not land", default_factory=dict)
    seconds: float = 0

    @property
    def complete(self) -> bool:
        """Whether every ticket has landed."""
        return not self.failed
