"""Who does the work: what is asked of them, and how far an answer is believed.

A stage asks for a structured answer, a ticket for work in a folder. An answer is a JSON object of the form the stage declares; one that
does not fit is sent back once with what is wrong with it, and then refused. What somebody says about their own work is kept as a claim
and proves nothing.
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

_PROBLEMS: Final = 8
_HINT: Final = "look at what it answered, then run `smithers-nb resume` to ask again"


@dataclass(frozen=True, kw_only=True)
class WorkRequest:
    """A question to one member of the workforce.

    Attributes:
        stage: Node id of the stage that asks, such as `prd` or `review:login`.
        instructions: What is to be answered, in plain words.
        context: What is known already, as JSON; without secrets.
        schema: JSON schema of the answer.
        folder: Checkout that it may read; None when there is nothing to read.
        round: Round of a loop, from 0.
        family: Which model family is asked; empty for the workforce's own choice.
        problem: What was wrong with the answer before; empty the first time.
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
    """Work on one ticket, in a worktree that belongs to it.

    Attributes:
        ticket: What is to be done.
        folder: The worktree; nothing outside of it may be changed.
        run_id: Run that it is done for.
        attempt: Which attempt this is, from 1.
        feedback: Why the attempt before did not land; empty the first time.
        context: What is known already, as JSON; without secrets.
        trace: File in which git writes down what the worker's process has it do; None when nobody reads it.
    """

    ticket: Ticket
    folder: Path
    run_id: str
    attempt: int = 1
    feedback: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    trace: Path | None = None


class WorkDone(Finding):
    """What a worker says about its work. These are claims: commands decide."""

    summary: str = described("what was done, in a sentence")
    claims: tuple[str, ...] = described("what it says holds now", default=())
    known_issues: tuple[str, ...] = described("what it says does not work", default=())
    decisions: tuple[str, ...] = described("what it decided, and why", default=())
    plan: str = described("how it went about it", default="")
    missing_credentials: tuple[str, ...] = described("names of credentials that it cannot go on without; never a credential", default=())
    needs_person: str = described("what a person has to decide or do before it can go on", default="")


class Workforce(Protocol):
    """Somebody who answers and builds.

    Attributes:
        name: `internal`, `scripted`, `codex_exec`.
        families: Model families that can be asked for independent opinions, at least one.
    """

    name: str
    families: tuple[str, ...]

    def answer(self, request: WorkRequest) -> dict[str, Any]:
        """Answer a question.

        Raises:
            SmitheringError: There is no answer.
        """
        ...

    def implement(self, order: WorkOrder) -> WorkDone:
        """Work on a ticket in its folder; commit there or leave the changes uncommitted.

        Raises:
            SmitheringError: The work could not be begun or ended.
        """
        ...


def answer_as(workforce: Workforce, kind: type[T], request: WorkRequest, check: Callable[[T], None] = lambda _: None) -> T:
    """Ask, and read the answer as a finding; one that does not fit is sent back once with what is wrong with it.

    Args:
        workforce: Who is asked.
        kind: What the answer must be.
        request: The question; its schema is filled in here, and its context redacted.
        check: Raises ValueError when an answer of the right form is still not usable.

    Raises:
        SmitheringError: There is no answer, or neither of the two fits.
    """
    asked = replace(request, schema=schema_of(kind), context=redact_value(request.context))
    for _ in range(2):
        given = workforce.answer(asked)
        try:
            found = kind.read(redact_value(given))
            check(found)
        except (ValueError, TicketsRefused) as error:
            asked = replace(asked, problem=_in_words(error))
        else:
            return found
    raise SmitheringError(f"{request.stage}: {workforce.name} gave no usable answer, twice: {redact(asked.problem)}", hint=_HINT)


def schema_of(kind: type[Finding]) -> dict[str, Any]:
    """Return the JSON schema of a finding."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).json_schema()


def _in_words(error: Exception) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)[:500]
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:_PROBLEMS]
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in problems)
