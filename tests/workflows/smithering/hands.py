"""A workforce written in the test: what it does for a ticket is a function of the order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from smithers_nb.errors import SmitheringError
from smithers_nb.workflows.smithering.building.build import BuildResult, build
from smithers_nb.workflows.smithering.landing.queue import Policy
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.workforce.base import WorkDone, WorkOrder, WorkRequest

Deed = Callable[[WorkOrder], WorkDone | None]


class Hands:
    """Does what the test says: a deed per ticket, an answer per stage; remembers what it was asked."""

    name = "hands"
    families = ("one", "two")

    def __init__(self, deeds: Mapping[str, Deed] | None = None, answers: Mapping[str, Any] | None = None) -> None:
        self.deeds, self.answers = dict(deeds or {}), dict(answers or {})
        self.orders: list[WorkOrder] = []
        self._lock = threading.Lock()

    def implement(self, order: WorkOrder) -> WorkDone:
        with self._lock:
            self.orders.append(order)
        done = self.deeds.get(order.ticket.id, write_own_file)(order)
        return done if done is not None else WorkDone(summary=f"did {order.ticket.id}")

    def answer(self, request: WorkRequest) -> dict[str, Any]:
        answer = self.answers.get(request.stage)
        if answer is None:
            raise SmitheringError(f"nobody answers {request.stage}")
        return answer(request) if callable(answer) else answer

    def attempts(self, ticket_id: str) -> list[int]:
        return [order.attempt for order in self.orders if order.ticket.id == ticket_id]


def write_own_file(order: WorkOrder) -> None:
    """Write the file that the ticket's command looks for."""
    (order.folder / f"{order.ticket.id}.txt").write_text(f"{order.ticket.id}\n")


def writes(name: str, *texts: str) -> Deed:
    """Write a file: the first text in the first attempt, and so on."""

    def deed(order: WorkOrder) -> None:
        (order.folder / name).write_text(texts[min(order.attempt, len(texts)) - 1])

    return deed


def ticket(name: str, *needs: str, command: str | None = None, **more: Any) -> Ticket:
    """Return a ticket that is done when its file is there, or when a command says so."""
    check = Verification(kind="command", details=command or f"test -f {name}.txt")
    return Ticket(id=name, title=f"Make {name}", instructions=f"write {name}.txt", depends_on=needs, verification=(check,), **more)


def built(repo: Path, tickets: list[Ticket], hands: Hands | None = None, **more: Any) -> BuildResult:
    """Build tickets with defaults that suit tests."""
    options = {"run_id": "run-1", "base_branch": "main", "artifacts": repo.parent / "artifacts", "workforce": hands or Hands(), **more}
    policy = options.pop("policy", Policy(timeout_s=60))
    return build(repo, tickets, policy=policy, **options)
