"""The result rows of the incident workflow: exact JSON for programs, sentences for the person on call."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import Finding
from smithers_nb.workflows.incident.signatures.failure_text import ReportLine


class Evidence(Finding):
    """A quote and its location.

    Attributes:
        ref: `command:3/stderr:1` (third command, first line), `stdin:12`, `file:PATH`, `details`.
        quote: The line, without secrets.
    """

    ref: str
    quote: str


class Fault(Finding):
    """One command that failed.

    Attributes:
        command: Its number among the recorded commands, from 1.
        verb: Which command of the orchestrator it is; empty when unknown.
        exit: Its exit code; None when it was ended.
        signature: Letter of the runbook; None when it matches none.
        rule: Id of the rule that matched, else `unclassified`.
        group: Name of the failures that escalation counts together.
        subcause: See `Classification`.
    """

    command: int
    verb: str
    exit: int | None
    signature: str | None
    rule: str
    group: str = ""
    subcause: str | None = None


class ProviderUse(Finding):
    """Which model provider was configured and which one answered.

    Attributes:
        configured: The provider set in the environment, or the orchestrator's default.
        effective: The provider named in the run's own record; None without such a record.
        note: Explains the difference between the two; empty when there is none.
    """

    configured: str
    effective: str | None = None
    note: str = ""


class Escalated(Finding):
    """An escalation condition that is met, and why."""

    id: str
    title: str
    because: str


class Classification(Finding):
    """Which failure of the runbook this is.

    Attributes:
        summary: What happened and what to do, in one or two sentences.
        signature: Letter of the runbook; None when the failure matches none of them, and when nothing failed.
        rule: Id of the rule that matched; `unclassified` when none did, `none` when nothing failed.
        subcause: Why it failed, if the profile distinguishes causes of this signature; `unknown` when the evidence supports none.
        resolved: The failure is over: the same command passed later, or the run reached its stage again.
        failing: Arguments of the command that failed; empty without one.
        exit: Its exit code.
        evidence: The lines that decided.
        errors: The validator's error lines.
        faults: Every command that failed, in order.
        escalate: Whether an escalation condition is met; `escalation` says which.
        problems: What could not be read, and what in the run may mislead.
    """

    summary: str
    profile: str
    run_id: str
    signature: str | None
    title: str
    rule: str
    confidence: Literal["high", "medium", "low"]
    subcause: str | None = None
    cause: str = ""
    advice: str = ""
    resolved: bool = False
    failing: tuple[str, ...] = ()
    exit: int | None = None
    evidence: tuple[Evidence, ...] = ()
    errors: tuple[ReportLine, ...] = ()
    faults: tuple[Fault, ...] = ()
    provider: ProviderUse | None = None
    stage: str = ""
    escalate: bool = False
    escalation: tuple[Escalated, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> Literal["finished", "resolved", "unclear", "failed"]:
        """The state in one word; `unclear` when only files are known and they show no failure."""
        if self.rule == "none":
            return "unclear" if self.confidence == "low" else "finished"
        return "resolved" if self.resolved else "failed"
