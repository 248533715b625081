"""Rows from the spec to the tickets: reviews, engineering plan, verifications, probes."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.shown import Shown
from smithers_nb.workflows.smithering.tickets import Ticket  # noqa: TC001  # validation resolves the annotation at run time

Severity = Literal["critical", "major", "minor", "nit"]
GateType = Literal["blocking", "warning", "informational"]
Method = Literal["schema", "unit_test", "integration_test", "e2e_test", "eval", "agent_review", "approval", "manual_check"]


class Issue(Shown):
    """A finding of a review."""

    severity: Severity
    title: str
    description: str = ""
    file: str = ""


class Document(Shown):
    """A document in Markdown."""

    summary: str
    document: str
    artifact_path: str = ""


class DocReview(Shown):
    """Review of a document."""

    approved: bool
    feedback: str = ""
    issues: tuple[Issue, ...] = ()


class Dependency(Shown):
    """A third-party component that the plan relies on."""

    name: str
    purpose: str = ""
    risk: str = ""


class Assumption(Shown):
    """Something the plan takes for granted about third-party components, and the command that tests it."""

    id: str = described("kebab-case word")
    assumption: str
    probe: str = described("command line that succeeds only if the assumption holds")
    blocking: bool = True


class Traced(Shown):
    """The part of the plan that serves a requirement."""

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
    checked_by: str = described("the command line, or who checks it", default="")
    failure_action: str = ""
    evidence_required: tuple[str, ...] = ()


class Backpressure(Shown):
    """The verification of every criterion."""

    gates: tuple[BackpressureGate, ...]
    artifact_path: str = ""


class Probe(Shown):
    """Result of probing one assumption."""

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
    """The tickets of the work."""

    tickets: tuple[Ticket, ...]
    artifact_path: str = ""
    notes: str = ""
