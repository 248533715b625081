"""Tickets and the graph of their dependencies.

`TicketGraph` takes tickets as a planner wrote them and refuses those that cannot be worked through, with the reason. An id becomes a
branch, a folder and a commit trailer, so it must be a kebab-case word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Final, Literal

from smithers_nb.errors import TicketsRefused
from smithers_nb.model.finding import Finding, described

KEBAB_CASE: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_ID: Final = 60
_RESERVED: Final = {"integration"}
"""The integration branch is in the same namespace as the branches of the tickets."""
_HINT: Final = "ids are kebab-case words such as add-login; dependsOn names ids of other tickets in the same list"


class Verification(Finding):
    """One check that a ticket is done."""

    kind: Literal["command", "e2e", "agent-review"] = described("a command, an end-to-end command, or something a reviewer looks at")
    details: str = described("the command line, run by a shell in a checkout; for a review, what to look at")
    criterion_id: str = described("criterion it decides; empty for one of the ticket itself", default="")


class Ticket(Finding):
    """A unit of work that lands as one commit."""

    id: str = described("kebab-case word; names branch, folder and land commit")
    title: str = described("one line")
    instructions: str = described("what to do, for the worker", default="")
    requirement_ids: tuple[str, ...] = described("requirements of the PRD it serves", default=())
    verification: tuple[Verification, ...] = described("how we know that it is done", default=())
    depends_on: tuple[str, ...] = described("ids of tickets that must have landed before this one starts", default=())
    complexity: Literal["trivial", "small", "medium", "large"] = described("size of the ticket", default="small")
    safety: bool = described("lands only after passing an adversarial challenge", default=False)
    files: tuple[str, ...] = described("files it is expected to touch", default=())

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each criterion id with the command that decides it; commands without a criterion are numbered."""
        for number, check in enumerate(self.verification, 1):
            if check.kind != "agent-review":
                yield check.criterion_id or f"{self.id}-{number}", check.details


class TicketGraph:
    """Tickets in dependency order.

    Attributes:
        tickets: Tickets by id, each after its dependencies; ties keep the order of the original list.

    Raises:
        TicketsRefused: An id is malformed or used twice, a dependency is not among the tickets, or there is a cycle.
    """

    def __init__(self, tickets: Iterable[Ticket]) -> None:
        by_id: dict[str, Ticket] = {}
        for ticket in tickets:
            _check_id(ticket.id, by_id)
            by_id[ticket.id] = ticket
        dangling = [f"{ticket.id} needs {other}" for ticket in by_id.values() for other in ticket.depends_on if other not in by_id]
        if dangling:
            raise TicketsRefused(f"unknown dependencies: {', '.join(dangling)}", hint=_HINT)
        self.tickets = {name: by_id[name] for name in _ordered(by_id)}
        self._dependents: dict[str, list[str]] = {name: [] for name in self.tickets}
        for name, ticket in self.tickets.items():
            for other in dict.fromkeys(ticket.depends_on):
                self._dependents[other].append(name)

    def __len__(self) -> int:
        return len(self.tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.tickets.values())

    def __getitem__(self, ticket_id: str) -> Ticket:
        return self.tickets[ticket_id]

    def direct_dependents(self, ticket_id: str) -> list[str]:
        """Return the ids of the tickets that name this one as a dependency."""
        return self._dependents[ticket_id]


def _check_id(name: str, used: Collection[str]) -> None:
    if not KEBAB_CASE.fullmatch(name) or len(name) > _MAX_ID or name in _RESERVED:
        raise TicketsRefused(f"{name[:80]!r} is not an id for a ticket", hint=_HINT)
    if name in used:
        raise TicketsRefused(f"two tickets have the id {name}", hint=_HINT)


def _ordered(tickets: dict[str, Ticket]) -> list[str]:
    """Return ids in layers that can be worked on in parallel, each layer in the original order."""
    rank = {name: number for number, name in enumerate(tickets)}
    sorter = TopologicalSorter({name: ticket.depends_on for name, ticket in tickets.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise TicketsRefused(f"tickets that wait for each other: {' → '.join(error.args[1])}", hint=_HINT) from None
    order: list[str] = []
    while sorter.is_active():
        layer = sorted(sorter.get_ready(), key=rank.__getitem__)
        order += layer
        sorter.done(*layer)
    return order
