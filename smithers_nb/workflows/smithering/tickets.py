"""Tickets, and the graph that their dependencies make.

Gets tickets as a planner wrote them; gives a graph that is known to be workable, or says which ticket is wrong. An id becomes a branch, a
folder and a trailer of a commit, so it is a kebab-case word and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Final, Literal

from smithers_nb.errors import TicketsRefused
from smithers_nb.model.finding import Finding, described

_ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_ID: Final = 60
_TAKEN: Final = {"integration"}
"""Beside the branches of the tickets there is one of this name."""
_HINT: Final = "ids are kebab-case words such as add-login; dependsOn names ids of other tickets in the same list"


class Verification(Finding):
    """One way to tell that a ticket is done."""

    kind: Literal["command", "e2e", "agent-review"] = described("a command, an end-to-end command, or what a reviewer looks at")
    details: str = described("the command line, run by a shell in a checkout; for a review, what is to be looked at")
    criterion_id: str = described("criterion that it decides; empty when it is the ticket's own", default="")


class Ticket(Finding):
    """A piece of work that lands as one commit."""

    id: str = described("kebab-case word; names branch, folder and land commit")
    title: str = described("one line")
    instructions: str = described("what is to be done, for whoever does it", default="")
    requirement_ids: tuple[str, ...] = described("requirements of the PRD that it serves", default=())
    verification: tuple[Verification, ...] = described("how its end is told", default=())
    depends_on: tuple[str, ...] = described("ids of the tickets that must have landed before it begins", default=())
    complexity: Literal["trivial", "small", "medium", "large"] = described("its size", default="small")
    safety: bool = described("lands only after an adversarial challenge was passed", default=False)
    files: tuple[str, ...] = described("files that it is expected to touch", default=())

    def commands(self) -> Iterator[tuple[str, str]]:
        """Return the commands that decide about it, each with the id of its criterion."""
        for number, check in enumerate(self.verification, 1):
            if check.kind != "agent-review":
                yield check.criterion_id or f"{self.id}-{number}", check.details


class TicketGraph:
    """Tickets in an order in which they can be done.

    Attributes:
        tickets: Tickets by id, every one after those that it depends on; ties are as in the list that was given.

    Raises:
        TicketsRefused: An id is malformed or given twice, a dependency is not among the tickets, or tickets wait for each other.
    """

    def __init__(self, tickets: Iterable[Ticket]) -> None:
        given: dict[str, Ticket] = {}
        for ticket in tickets:
            _check(ticket, given)
            given[ticket.id] = ticket
        dangling = [f"{ticket.id} needs {other}" for ticket in given.values() for other in ticket.depends_on if other not in given]
        if dangling:
            raise TicketsRefused(f"dependencies that no ticket has as its id: {', '.join(dangling)}", hint=_HINT)
        self.tickets = {name: given[name] for name in _ordered(given)}
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
        """Return the tickets that name a ticket as a dependency."""
        return self._dependents[ticket_id]


def _check(ticket: Ticket, given: Collection[str]) -> None:
    if not _ID.fullmatch(ticket.id) or len(ticket.id) > _MAX_ID or ticket.id in _TAKEN:
        raise TicketsRefused(f"{ticket.id[:80]!r} is not an id for a ticket", hint=_HINT)
    if ticket.id in given:
        raise TicketsRefused(f"two tickets have the id {ticket.id}", hint=_HINT)


def _ordered(given: dict[str, Ticket]) -> list[str]:
    """Return ids in layers of what can be done at once, each layer as it was given."""
    rank = {name: number for number, name in enumerate(given)}
    sorter = TopologicalSorter({name: ticket.depends_on for name, ticket in given.items()})
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
