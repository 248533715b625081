"""The interface of a workforce: questions, orders, and how far an answer is believed.

A stage asks a question and gets a structured answer; a ticket orders work in a folder. An answer is a JSON object of the type that the
stage declares; one that does not fit is sent back once with the problem, and then refused. What a worker says about its own work is
recorded as a claim and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from smithers_nb.errors import SmitheringError, TicketsRefused
from smithers_nb.model.finding import Finding, described
from smithers_nb.redact import redact, redact_value

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.tickets import Ticket

T = TypeVar("T", bound=Finding)

_MAX_PROBLEMS: Final = 8
_HINT: Final = "check what it answered, then run `smithers-nb resume` to ask again"


@dataclass(frozen=True, kw_only=True)
class WorkRequest:
    """A question of a stage to the workforce.

    Attributes:
        stage: Node id of the stage that asks, such as `prd` or `review:login`.
        instructions: What to answer, in plain words.
        context: What is known so far, as JSON without secrets.
        schema: JSON schema of the answer.
        folder: Checkout the workforce may read; None when there is nothing to read.
        round: Loop iteration, starting at 0.
        family: Model family to ask; empty leaves the choice to the workforce.
        problem: What was wrong with the previous answer; empty the first time.
    """

    stage: str
    instructions: str
    context: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    round: int = 0
    family: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """An order to work on one ticket in its own worktree.

    Attributes:
        ticket: The ticket to work on.
        folder: The worktree; nothing outside it may be changed.
        run_id: ID of the run the work is for.
        attempt: Number of the attempt, starting at 1.
        feedback: Why the previous attempt did not land; empty the first time.
        context: What is known so far, as JSON without secrets.
        trace: File to which git logs what the worker's processes do with it; None when nothing reads it.
    """

    ticket: Ticket
    folder: Path
    run_id: str
    attempt: int = 1
    feedback: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    trace: Path | None = None


class WorkDone(Finding):
    """A worker's account of its work. These are claims; commands decide."""

    summary: str = described("what was done, in a sentence")
    claims: tuple[str, ...] = described("what it says is true now", default=())
    known_issues: tuple[str, ...] = described("what it says does not work", default=())
    decisions: tuple[str, ...] = described("what it decided and why", default=())
    plan: str = described("the approach it took", default="")
    missing_credentials: tuple[str, ...] = described("names of credentials it cannot continue without; never their values", default=())
    needs_person: str = described("what a person has to decide or do before it can continue", default="")


class Workforce(Protocol):
    """Answers questions and works on tickets.

    Attributes:
        name: Name of the provider: `scripted` or `codex_exec`.
        families: Model families that can give independent opinions, at least one.
    """

    name: str
    families: tuple[str, ...]

    def answer(self, request: WorkRequest) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            SmitheringError: There is no answer.
        """
        ...

    def implement(self, order: WorkOrder) -> WorkDone:
        """Work on a ticket in its folder and return the worker's account; changes may be left uncommitted.

        Raises:
            SmitheringError: The work could not be started or did not end properly.
        """
        ...


def answer_as(workforce: Workforce, kind: type[T], request: WorkRequest, check: Callable[[T], None] = lambda _: None) -> T:
    """Ask a question and return the answer as a finding; one that does not fit is sent back once with the problem.

    Args:
        workforce: The workforce to ask.
        kind: Type of the answer.
        request: The question; its schema is filled in and its context redacted here.
        check: Raises ValueError when a well-formed answer is not usable.

    Raises:
        SmitheringError: There is no answer, or neither of the two fits.
    """
    question = replace(request, schema=schema_of(kind), context=redact_value(request.context))
    for _ in range(2):
        reply = workforce.answer(question)
        try:
            answer = kind.read(redact_value(reply))
            check(answer)
        except (ValueError, TicketsRefused) as error:
            question = replace(question, problem=_explain(error))
        else:
            return answer
    raise SmitheringError(f"{request.stage}: {workforce.name} gave no usable answer, twice: {redact(question.problem)}", hint=_HINT)


def schema_of(kind: type[Finding]) -> dict[str, Any]:
    """Return the JSON schema of a finding."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).json_schema()


def _explain(error: Exception) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)[:500]
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_PROBLEMS]
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}" for each in problems)
