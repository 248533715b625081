"""Rows from the spec to tickets: reviews, engineering plan, verifications, probes."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.shown import Shown
from smithers_nb.workflows.smithering.tickets import Ticket  # noqa: TC001  # rows are checked against it when they are read back

Severity = Literal["critical", "major", "minor", "nit"]
GateType = Literal["blocking", "warning", "informational"]
Method = Literal["schema", "unit_test", "integration_test", "e2e_test", "eval", "agent_review", "approval", "manual_check"]


class Issue(Shown):
    """Something that a review found."""

    severity: Severity
    title: str
    description: str = ""
    file: str = ""


class Document(Shown):
    """A document as Markdown."""

    summary: str
    document: str
    artifact_path: str = ""


class DocReview(Shown):
    """What a review says about a document."""

    approved: bool
    feedback: str = ""
    issues: tuple[Issue, ...] = ()


class Dependency(Shown):
    """Something that somebody else made and that the plan relies on."""

    name: str
    purpose: str = ""
    risk: str = ""


class Assumption(Shown):
    """Something that the plan takes for granted about what others made, and the command that tries it."""

    id: str = described("kebab-case word")
    assumption: str
    probe: str = described("command line that succeeds if it holds")
    blocking: bool = True


class Traced(Shown):
    """Where the plan serves a requirement."""

    requirement_id: str
    where: str


class EngDoc(Shown):
    """The engineering plan."""

    summary: str = ""
    architecture: str
    dependencies: tuple[Dependency, ...] = ()
    assumptions_to_probe: tuple[Assumption, ...] = ()
    requirements_traceability: tuple[Traced, ...] = ()
    document: str = described("the plan as Markdown", default="")
    artifact_path: str = ""


class BackpressureGate(Shown):
    """How one criterion is verified."""

    criterion_id: str = described("REQ-n.m")
    criterion: str
    verification_method: Method = "unit_test"
    gate_type: GateType = "blocking"
    checked_by: str = described("the command line, or who looks", default="")
    failure_action: str = ""
    evidence_required: tuple[str, ...] = ()


class Backpressure(Shown):
    """Every criterion with its verification."""

    gates: tuple[BackpressureGate, ...]
    artifact_path: str = ""


class Probe(Shown):
    """What became of one assumption when it was tried."""

    assumption_id: str
    passed: bool
    summary: str
    evidence: tuple[str, ...] = ()
    artifact_path: str = ""
    plan_impact: str = ""
    blocking: bool = True


class ProbeSynthesis(Shown):
    """What the probes mean for the plan."""

    all_passed: bool
    blocking_failure: bool
    failed_ids: tuple[str, ...] = ()
    plan_changes: tuple[str, ...] = ()
    summary: str = ""


class Tickets(Shown):
    """The work in pieces."""

    tickets: tuple[Ticket, ...]
    artifact_path: str = ""
    notes: str = ""
