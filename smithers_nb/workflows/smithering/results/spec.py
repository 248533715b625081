"""Rows from the request to its approved spec."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import described
from smithers_nb.workflows.smithering.results.shown import Shown

Tier = Literal["trivial", "complex", "full-build"]


class Setup(Shown):
    """The request with every default filled in; later stages read it only from here."""

    prompt: str
    repo: str = described("folder of the repository the work is done in")
    route: Literal["auto", "trivial", "complex", "full-build"] = "auto"
    review: bool = described("gates wait for a person", default=True)
    poc: bool = described("build a proof of concept first", default=False)
    smoke_test: bool = described("rehearse the generated workflow before its launch", default=True)
    base_branch: str = "main"
    max_monitor_hours: float = 24
    started_by: str = described("person who made the request", default="")
    on_behalf_of: str = described("person that an operating agent acts for", default="")


class Route(Shown):
    """How much process the request gets, and why."""

    tier: Tier
    reasoning: tuple[str, ...] = described("reasons for the tier", default=())
    summary: str = ""


class DirectResult(Shown):
    """Result of work without a pipeline."""

    summary: str
    files_changed: tuple[str, ...] = ()
    verification_evidence: tuple[str, ...] = described("commands we ran and the commit they ran on", default=())
    artifact_path: str = ""
    passed: bool = described("every command was green", default=False)
    branch: str = ""
    commit: str = ""


class Preflight(Shown):
    """Whether the repository is fit for the work."""

    ok: bool
    problems: tuple[str, ...] = described("problems with what to do about them, one sentence each", default=())
    base_commit: str = ""
    artifacts: str = described("folder of the artifacts", default="")


class Intake(Shown):
    """The request stated as a problem."""

    summary: str
    classification: Literal["greenfield", "existing-codebase"] = "existing-codebase"
    product_type: str = ""
    target_repo: str = ""
    constraints: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()


class Question(Shown):
    """A product question with the answer the planner recommends."""

    id: str
    question: str
    recommended_answer: str = ""
    why_it_matters: str = ""


class Brainstorm(Shown):
    """Possible approaches, before one is chosen."""

    summary: str
    options: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    open_questions: tuple[Question, ...] = ()


class Research(Shown):
    """Findings on one topic."""

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
    """The answers, and whether a person gave them."""

    answers: tuple[Answer, ...] = ()
    additional_context: str = ""
    auto_answered: bool = False


class Requirement(Shown):
    """A requirement and its acceptance criteria."""

    id: str = described("REQ-n")
    title: str
    acceptance_criteria: tuple[str, ...] = ()

    @property
    def criteria(self) -> tuple[tuple[str, str], ...]:
        """Ids and texts of the acceptance criteria; `REQ-1.1` is the first one of `REQ-1`."""
        return tuple((f"{self.id}.{number}", text) for number, text in enumerate(self.acceptance_criteria, 1))


class Prd(Shown):
    """The product spec."""

    summary: str
    requirements: tuple[Requirement, ...]
    non_goals: tuple[str, ...] = ()
    interface_artifacts: tuple[str, ...] = ()
    document: str = described("the spec as Markdown", default="")
    artifact_path: str = ""
