"""The rows that the stages of smithering give each other, with the field names of Smithers' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from smithers_nb.model.finding import camel, described
from smithers_nb.workflows.autopsy import results
from smithers_nb.workflows.smithering.tickets import Ticket  # noqa: TC001  # rows are checked against it when they are read back

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card

Tier = Literal["trivial", "complex", "full-build"]
Severity = Literal["critical", "major", "minor", "nit"]
Status = Literal["delivered", "cancelled", "incomplete"]
GateType = Literal["blocking", "warning", "informational"]
Method = Literal["schema", "unit_test", "integration_test", "e2e_test", "eval", "agent_review", "approval", "manual_check"]


class Shown(results.Shown):
    """A row that displays itself. What an answer has beside its fields is not kept."""

    __pydantic_config__ = {"extra": "ignore", "alias_generator": camel, "populate_by_name": True}  # noqa: RUF012  # as of the base

    def card(self) -> Card:
        """Lay it out for a person."""
        from smithers_nb.workflows.smithering.views import view_of

        return view_of(self)


class Setup(Shown):
    """What was asked for, with every default filled in: the only place where later stages look it up."""

    prompt: str
    repo: str = described("folder of the repository that is built in")
    route: Literal["auto", "trivial", "complex", "full-build"] = "auto"
    review: bool = described("gates wait for a person", default=True)
    poc: bool = described("build a proof of concept first", default=False)
    smoke_test: bool = described("try the generated workflow before its launch", default=True)
    base_branch: str = "main"
    max_monitor_hours: float = 24
    started_by: str = described("person who asked for it", default="")
    on_behalf_of: str = described("person that an operating agent acts for", default="")


class Route(Shown):
    """How much process the request deserves, and why."""

    tier: Tier
    reasoning: tuple[str, ...] = described("what decided, one reason each", default=())
    summary: str = ""


class DirectResult(Shown):
    """What was done without a pipeline."""

    summary: str
    files_changed: tuple[str, ...] = ()
    verification_evidence: tuple[str, ...] = described("commands that we ran and how they ended", default=())
    artifact_path: str = ""
    passed: bool = described("every command was green", default=False)
    branch: str = ""
    commit: str = ""


class Preflight(Shown):
    """Whether the repository can be built in."""

    ok: bool
    problems: tuple[str, ...] = described("what is wrong and what to do, a sentence each", default=())
    base_commit: str = ""
    artifacts: str = described("folder of the artifacts", default="")


class Intake(Shown):
    """The request as a problem."""

    summary: str
    classification: Literal["greenfield", "existing-codebase"] = "existing-codebase"
    product_type: str = ""
    target_repo: str = ""
    constraints: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()


class Question(Shown):
    """A product question with the answer that the planner recommends."""

    id: str
    question: str
    recommended_answer: str = ""
    why_it_matters: str = ""


class Brainstorm(Shown):
    """Ways to go about it, before one is chosen."""

    summary: str
    options: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    open_questions: tuple[Question, ...] = ()


class Research(Shown):
    """What one look at a subject found."""

    topic: str = ""
    summary: str
    findings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    artifact_path: str = ""


class Questions(Shown):
    """The questions that block the product."""

    questions: tuple[Question, ...] = ()
    notes: str = ""


class Answer(Shown):
    """The answer to one question."""

    id: str
    answer: str


class HumanAnswers(Shown):
    """What was answered, and whether anybody did."""

    answers: tuple[Answer, ...] = ()
    additional_context: str = ""
    auto_answered: bool = False


class Requirement(Shown):
    """A requirement and how its fulfilment is told."""

    id: str = described("REQ-n")
    title: str
    acceptance_criteria: tuple[str, ...] = ()

    @property
    def criteria(self) -> tuple[tuple[str, str], ...]:
        """Its criteria, each with its id: `REQ-1.1` is the first one of `REQ-1`."""
        return tuple((f"{self.id}.{number}", text) for number, text in enumerate(self.acceptance_criteria, 1))


class Prd(Shown):
    """The product spec."""

    summary: str
    requirements: tuple[Requirement, ...]
    non_goals: tuple[str, ...] = ()
    interface_artifacts: tuple[str, ...] = ()
    document: str = described("the spec as Markdown", default="")
    artifact_path: str = ""


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
