"""What a generated implementation workflow calls: the build of its tickets, or a rehearsal of it.

A rehearsal tries everything that needs no command of a ticket: the repository, the graph, a worktree, the tools that the commands name,
and who works. Commands that a model proposed run only after `gate:launch` has shown them.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from smithers_nb.artifacts import safe_name
from smithers_nb.engine import stages
from smithers_nb.errors import ParameterError, SmitheringError
from smithers_nb.model.finding import camel
from smithers_nb.workflows.notebook import api
from smithers_nb.workflows.smithering.building.build import build
from smithers_nb.workflows.smithering.landing.git import preflight
from smithers_nb.workflows.smithering.landing.queue import Policy
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.parameters import SmitheringParameters, workforce_of
from smithers_nb.workflows.smithering.results.launch import BuildSummary, Verify
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph

if TYPE_CHECKING:
    from smithers_nb.ledger import Ledger
    from smithers_nb.workflows.smithering.workforce.base import Workforce

BUILD, REHEARSAL = "build", "rehearsal"
"""Node ids of the child's stages."""

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ImplementationParameters(BaseModel):
    """What a generated implementation workflow takes; other names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)

    build_run_id: Annotated[str, Field(min_length=1)]
    repo: Annotated[str, Field(min_length=1)]
    base_branch: str = "main"
    artifacts: Annotated[str, Field(min_length=1)]
    provider: str = "codex_exec"
    book: str | None = None
    parallel: Annotated[int, Field(ge=1)] = 2
    attempts: Annotated[int, Field(ge=1)] = 4
    agent_timeout_minutes: _Positive = 30
    max_agent_calls: Annotated[int, Field(ge=1)] = 500
    command_timeout_minutes: _Positive = 30
    rehearse: bool = False

    @property
    def workforce(self) -> Workforce:
        """Who works."""
        given = SmitheringParameters(
            provider=self.provider, book=self.book, agent_timeout_minutes=self.agent_timeout_minutes, max_agent_calls=self.max_agent_calls
        )
        return workforce_of(given, Path(self.artifacts) / "smithering" / safe_name(self.build_run_id))


def implement(rows: list[dict[str, Any]], given: dict[str, Any]) -> BuildSummary | Verify:
    """Build tickets, or rehearse it.

    Args:
        rows: The tickets as JSON.
        given: The notebook's parameters.

    Raises:
        TicketsRefused: They are no graph of work.
        SmitheringError: The rehearsal failed, or the build could not go on.
    """
    parameters = ImplementationParameters(**given)
    tickets = [Ticket.read(row) for row in rows]
    if parameters.rehearse:
        found: Verify = api.stage(REHEARSAL, lambda: rehearsed(parameters, tickets), schema=Verify)
        if not found.passed:
            raise SmitheringError("; ".join(found.errors), hint="put the tickets or this machine right")
        return found
    summary: BuildSummary = api.stage(BUILD, lambda: _built(parameters, tickets), schema=BuildSummary)
    return summary


def rehearsed(parameters: ImplementationParameters, tickets: list[Ticket]) -> Verify:
    """Try everything about a build that needs no command of a ticket."""
    graph = TicketGraph(tickets)
    repo = Path(parameters.repo)
    errors = [f"{each.message}: {each.hint}" for each in preflight(repo, parameters.base_branch)]
    try:
        assert parameters.workforce.families
    except ParameterError as error:
        errors.append(str(error))
    if not errors:
        trees = Worktrees(repo, f"{parameters.build_run_id}-smoke", parameters.base_branch)
        trees.prepare()
        checkout = trees.checkout("rehearsal")
        missing = {tool for ticket in graph for _, command in ticket.commands() if (tool := _missing(command, checkout))}
        trees.discard()
        errors += [f"there is no program {name!r}, which a verification starts" for name in sorted(missing)]
    return Verify(passed=not errors, command="rehearsal without commands of tickets", errors=tuple(errors), notes=f"{len(graph)} tickets")


def _built(parameters: ImplementationParameters, tickets: list[Ticket]) -> BuildSummary:
    policy = Policy(attempts=parameters.attempts, timeout_s=parameters.command_timeout_minutes * 60)
    result = build(
        Path(parameters.repo),
        tickets,
        run_id=parameters.build_run_id,
        base_branch=parameters.base_branch,
        workforce=parameters.workforce,
        artifacts=Path(parameters.artifacts),
        policy=policy,
        ledger=_ledger(),
        parallel=parameters.parallel,
    )
    return BuildSummary(
        branch=result.branch, tip=result.tip, base=result.base, landed=result.landed, failed=result.failed, seconds=result.seconds
    )


def _ledger() -> Ledger | None:
    """Open the ledger of the project that the run belongs to."""
    from smithers_nb.ledger import Ledger

    run = stages.current()
    return None if run is None else Ledger.open(run.journal.location)


def _missing(command: str, checkout: Path) -> str:
    """Return the program that a command line starts with, if it is neither installed nor a file of the checkout."""
    try:
        words = [word for word in shlex.split(command) if "=" not in word.partition("/")[0]]
    except ValueError:
        return ""
    known = {"cd", "test", "[", "!", "(", "{", "true", "false", "export", "set", "if", "for", "while", "exec", "source", "."}
    if not words or words[0] in known or words[0].startswith(("(", "$", "`")):
        return ""
    return "" if shutil.which(words[0]) or (checkout / words[0]).exists() else words[0]
