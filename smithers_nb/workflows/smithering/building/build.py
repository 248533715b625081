"""Builds tickets: work in worktrees, landing one after another, a row for every change; from nothing, or from wherever a process died.

What has been done is read from git alone: a ticket has landed when its land commit is on the integration branch, and its work is what its
branch holds. How often it was tried is read from what each attempt left. So there is no state that a kill could leave behind half written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import SmitheringError
from smithers_nb.model.finding import Finding, described
from smithers_nb.redact import redact, redact_value
from smithers_nb.workflows.smithering.building.leftovers import only_builder
from smithers_nb.workflows.smithering.building.scheduler import TERMINAL, Scheduler, TicketState
from smithers_nb.workflows.smithering.building.ticket_autopsy import ticket_autopsy
from smithers_nb.workflows.smithering.building.ticket_ledger import TicketLedger
from smithers_nb.workflows.smithering.building.ticket_work import Made, TicketWork
from smithers_nb.workflows.smithering.landing.evidence import AUTOPSY, Evidence, build_folder
from smithers_nb.workflows.smithering.landing.queue import Lander, Outcome, Policy
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph

if TYPE_CHECKING:
    from smithers_nb.ledger import Ledger
    from smithers_nb.workflows.smithering.work import Work
    from smithers_nb.workflows.smithering.workforce.base import Workforce

INDEX: Final = "index"
_EVERY_S: Final = 0.5
_CELL: Final = 200


class BuildResult(Finding):
    """How a build ended."""

    run_id: str = described("the run")
    branch: str = described("integration branch that has what landed")
    base: str = described("commit that it started from")
    tip: str = described("commit that it is at")
    tickets: tuple[TicketState, ...] = described("how each ticket ended, in the order of their dependencies")
    seconds: float = described("how long it took")

    @property
    def landed(self) -> dict[str, str]:
        """Ticket to land commit."""
        return {state.ticket_id: state.commit for state in self.tickets if state.state == "landed"}

    @property
    def failed(self) -> dict[str, str]:
        """Ticket to why it did not land."""
        return {state.ticket_id: state.detail for state in self.tickets if state.state != "landed"}


def build(  # noqa: PLR0913  # all but two are options by name
    repo: Path,
    tickets: Iterable[Ticket],
    *,
    run_id: str,
    base_branch: str,
    workforce: Workforce,
    artifacts: Path,
    policy: Policy | None = None,
    ledger: Ledger | None = None,
    parallel: int = 2,
    on_change: Callable[[TicketState], None] | None = None,
) -> BuildResult:
    """Build tickets onto an integration branch; nothing else of the repository changes.

    Args:
        repo: Main checkout of the repository; see `git.preflight` for what keeps it from being built in.
        tickets: What is to be built.
        run_id: Run that it is done for. Called again with the same, what has landed is skipped and the rest goes on.
        base_branch: Branch that the integration branch starts from.
        workforce: Who does the work.
        artifacts: Folder of artifacts; the evidence goes to `smithering/build/<run>`.
        policy: How tickets land.
        ledger: Where tickets are kept as beads; nowhere without one.
        parallel: How many tickets are worked on at once.
        on_change: Told of each change of a ticket, in the caller's thread.

    Raises:
        TicketsRefused: The tickets are no graph of work.
        SmitheringError: There is no base branch, another process builds this run, or somebody else moved the integration branch.
    """
    began = time.monotonic()
    policy = policy or Policy()
    graph = TicketGraph(tickets)
    trees = Worktrees(repo, run_id, base_branch)
    with only_builder(trees):
        trees.prepare()
        beads = TicketLedger(ledger, run_id, trees.integration) if ledger else None
        site = _Site(graph, trees, build_folder(artifacts, run_id), beads, on_change)
        lander = Lander(trees, run_id, policy, site.evidence, graph.tickets)
        worker = TicketWork(lander, workforce, run_id=run_id, policy=policy, evidence_of=site.evidence, parallel=parallel)
        try:
            states = _scheduled(graph, site, lander, worker, parallel)
            tip = lander.check_tip()
        finally:
            trees.close_checkouts()
            site.write_index()
    return BuildResult(
        run_id=run_id,
        branch=trees.integration,
        base=trees.base,
        tip=tip,
        tickets=tuple(states.values()),
        seconds=round(time.monotonic() - began, 3),
    )


def build_here(work: Work, tickets: Iterable[Ticket], *, attempts: int) -> BuildResult:
    """Build tickets of a request in its own process, as beads of its project's ledger; see `build`."""
    from smithers_nb.ledger import Ledger

    given = work.parameters
    with Ledger.open(work.location) as ledger:
        return build(
            work.repo,
            tickets,
            run_id=work.run_id,
            base_branch=given.base_branch,
            workforce=work.workforce,
            artifacts=work.artifacts,
            policy=Policy(attempts=attempts, timeout_s=given.command_timeout_minutes * 60),
            ledger=ledger,
        )


def _scheduled(graph: TicketGraph, site: _Site, lander: Lander, worker: TicketWork, parallel: int) -> dict[str, TicketState]:
    """Work on what has not landed yet, until every ticket has ended."""
    landed = {name: commit for name, commit in lander.trees.landed().items() if name in graph.tickets}
    for name in landed:
        lander.trees.close(name, landed)  # whoever landed it may have died before it cleaned up
    scheduler = Scheduler(
        graph,
        worker,
        lambda entries: site.land(lander, entries),
        landed=landed,
        used=site.used(),
        parallel=parallel,
        attempts=lander.policy.attempts,
        batch=lander.policy.batch,
        on_change=site.changed,
        on_pass=site.refresh_index,
    )
    return scheduler.run()


class _Site:
    """Where a build writes: evidence of tickets, the index of all, beads."""

    def __init__(
        self,
        graph: TicketGraph,
        trees: Worktrees,
        folder: Path,
        ledger: TicketLedger | None,
        on_change: Callable[[TicketState], None] | None,
    ) -> None:
        self._graph, self._trees, self._folder, self._ledger, self._on_change = graph, trees, folder, ledger, on_change
        self._states: dict[str, TicketState] = {}
        self._written = 0.0
        self._is_stale = False
        if ledger is not None:
            ledger.create(graph)

    def evidence(self, ticket_id: str) -> Evidence:
        """Return the folder of a ticket's evidence."""
        return Evidence(self._folder, ticket_id)

    def used(self) -> dict[str, tuple[int, str]]:
        """Return how often each ticket was tried in vain before, with the last feedback."""
        found: dict[str, tuple[int, str]] = {}
        for ticket in self._graph:
            in_vain = [capture for capture in self.evidence(ticket.id).captures() if capture.get("pass") is False]
            if in_vain:
                found[ticket.id] = (len(in_vain), str(in_vain[-1].get("feedback") or ""))
        return found

    def land(self, lander: Lander, entries: list[tuple[Ticket, Made]]) -> dict[str, Outcome]:
        """Land tickets, keep how their attempts ended, and clean up behind those that landed."""
        made = {ticket.id: value for ticket, value in entries}
        outcomes = lander.land_many([(ticket, value.source, value.verdict) for ticket, value in entries])
        for name, outcome in outcomes.items():
            if outcome.kind == "landed":
                self._trees.close(name, {name: outcome.commit})
            if outcome.kind in {"landed", "red", "conflict", "refused"}:
                ended = {"pass": outcome.kind == "landed", "feedback": outcome.detail, "kind": outcome.kind, "commit": outcome.commit}
                self.evidence(name).capture(made[name].attempt, ended)
        return outcomes

    def changed(self, state: TicketState) -> None:
        """Write down that a ticket stands otherwise."""
        self._states[state.ticket_id] = state
        evidence = self.evidence(state.ticket_id)
        if self._ledger is not None:
            self._ledger.changed(state, str(evidence.folder))
        if state.state in TERMINAL and state.code and state.state != "blocked-by-dep":
            evidence.write(AUTOPSY, ticket_autopsy(self._graph[state.ticket_id], state, evidence))
            self._trees.close(state.ticket_id, {})
        self._is_stale = True
        if self._on_change is not None:
            self._on_change(state)

    def refresh_index(self) -> None:
        """Write the index when something changed, but not all the time."""
        if self._is_stale and time.monotonic() - self._written > _EVERY_S:
            self.write_index()

    def write_index(self) -> None:
        """Write how all tickets stand, for people and for programs."""
        rows = [f"| {state.ticket_id} | {state.state} | {_cell(state)} |" for state in self._states.values()]
        text = "\n".join(["| ticket | status | detail |", "| --- | --- | --- |", *rows, ""])
        write_whole(self._folder / f"{INDEX}.md", redact(text).encode("utf-8", "replace"), lasting=False)
        value = {"branch": self._trees.integration, "tickets": [state.as_json() for state in self._states.values()]}
        write_whole(self._folder / f"{INDEX}.json", json.dumps(redact_value(value), indent=2).encode("utf-8", "replace"), lasting=False)
        self._written, self._is_stale = time.monotonic(), False


def read_index(artifacts: Path, run_id: str) -> list[TicketState]:
    """Return how the tickets of a build stood when its index was last written; empty when there is none.

    Raises:
        SmitheringError: The index is damaged.
    """
    path = build_folder(artifacts, run_id) / f"{INDEX}.json"
    if not path.exists():
        return []
    try:
        value: Any = json.loads(path.read_text("utf-8"))
        return [TicketState.read(row) for row in value["tickets"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SmitheringError(f"{path} is not an index of tickets: {error}", hint="resume the run: it writes the index anew") from None


def _cell(state: TicketState) -> str:
    words = redact(" ".join(state.detail.split())).replace("|", "\\|")
    attempt = f"attempt {state.attempt}: " if state.attempt > 1 and words else ""
    return attempt + (words if len(words) <= _CELL else f"{words[: _CELL - 1]}…")
