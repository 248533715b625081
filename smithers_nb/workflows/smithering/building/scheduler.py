"""Who works on what and when, without knowing what work is: tickets, a function that works, a function that lands.

Work runs in threads, landing one batch at a time. A ticket begins in the moment in which the last ticket that it depends on has landed and
a thread is free; a ticket that fails takes only its own dependents with it. There are no waves.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final, Literal, NamedTuple

from smithers_nb.model.finding import Finding, described
from smithers_nb.workflows.smithering.landing.queue import Outcome
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph

StateName = Literal["waiting-deps", "blocked-by-dep", "needs-credential", "waiting-human", "working", "ready-to-land", "landed", "blocked"]
TERMINAL: Final = frozenset({"landed", "blocked", "needs-credential", "waiting-human", "blocked-by-dep"})
_LAND_RETRIES: Final = 1
_PASS_S: Final = 1.0
_RECENT: Final = 20


class TicketState(Finding):
    """How a ticket stands."""

    ticket_id: str = described("the ticket")
    state: StateName = described("where it is")
    detail: str = described("why, in words", default="")
    code: str = described("path of its failure in model/failure_codes.py; empty when it has not failed", default="")
    attempt: int = described("attempt that it is in, starting at 1; 0 before the first", default=0)
    land_retry: int = described("how often landing was repeated for a reason outside of the code", default=0)
    on: tuple[str, ...] = described("tickets that it waits for", default=())
    commit: str = described("its land commit", default="")


class Order(NamedTuple):
    """What a worker is to do.

    Attributes:
        ticket: The ticket.
        attempt: Which attempt this is, starting at 1.
        feedback: Why the one before did not land; empty in the first.
        again: What the same attempt had come to, when only its challenge is to be repeated.
    """

    ticket: Ticket
    attempt: int
    feedback: str = ""
    again: Any = None


class Worked(NamedTuple):
    """What a worker came to.

    Attributes:
        kind: `done`; `failed`, which costs an attempt; `infra`, which does not; a state that ends the ticket.
        detail: In words.
        value: What is to land.
        code: Path of the failure, should this have been the last attempt.
    """

    kind: Literal["done", "failed", "infra", "needs-credential", "waiting-human"]
    detail: str = ""
    value: Any = None
    code: str = "verification_failed"


Work = Callable[[Order], Worked]
Land = Callable[[list[tuple[Ticket, Any]]], dict[str, Outcome]]
_CODES: Final = {"conflict": "merge_conflict", "refused": "shipped_without_commit"}
"""Outcome to the path of the failure, should it have been the last attempt."""


class Scheduler:
    """One build from its first ticket to its last.

    Attributes:
        states: How each ticket stands, in the order of the graph.
    """

    def __init__(  # noqa: PLR0913  # all but three are options by name
        self,
        graph: TicketGraph,
        work: Work,
        land: Land,
        *,
        landed: Mapping[str, str],
        used: Mapping[str, tuple[int, str]],
        parallel: int = 2,
        attempts: int = 4,
        batch: int = 1,
        on_change: Callable[[TicketState], None] = lambda _: None,
        on_pass: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a build.

        Args:
            graph: The tickets.
            work: Works on one ticket; called in threads.
            land: Lands tickets; called in one thread.
            landed: Tickets that have landed before, with their commits.
            used: Tickets that were tried before in this run: how often, and the last feedback.
            parallel: How many are worked on at once.
            attempts: How often one may be tried.
            batch: How many may be verified together when verification is slower than tickets arrive; 1 is off.
            on_change: Told of every change, in the caller's thread.
            on_pass: Called in the caller's thread after every few changes, and every second while nothing changes.
        """
        self._graph, self._work, self._land = graph, work, land
        self._parallel, self._attempts, self._on_change = parallel, attempts, on_change
        self._on_pass = on_pass
        self._rank = {name: number for number, name in enumerate(graph.tickets)}
        self._missing = {ticket.id: {name for name in ticket.depends_on if name not in landed} for ticket in graph}
        self._used = dict(used)
        self._ready: list[tuple[int, str]] = []
        self._again: dict[str, Any] = {}
        self._queue: deque[tuple[str, Any]] = deque()
        self._parked: list[tuple[str, Any]] = []
        self._pace = _Pace(batch)
        self._running: dict[Future[Worked], tuple[str, Order]] = {}
        self._taken: dict[str, Any] = {}
        self._landing: Future[dict[str, Outcome]] | None = None
        self.states: dict[str, TicketState] = {}
        for ticket in graph:
            if ticket.id in landed:
                self._set(ticket.id, "landed", "had landed already", commit=landed[ticket.id])
            else:
                self._set(ticket.id, "waiting-deps", on=tuple(sorted(self._missing[ticket.id])))

    def run(self) -> dict[str, TicketState]:
        """Work until every ticket has ended, and return how each did; what `work` or `land` raises ends the build."""
        for ticket in self._graph:
            if self.states[ticket.id].state == "waiting-deps" and not self._missing[ticket.id]:
                self._offer(ticket.id)
        with ThreadPoolExecutor(self._parallel, "work") as workers, ThreadPoolExecutor(1, "land") as lander:
            try:
                while self._start(workers, lander):
                    running: list[Future[Any]] = [*self._running, *([self._landing] if self._landing else [])]
                    self._on_pass()
                    ended, _ = wait(running, timeout=_PASS_S, return_when=FIRST_COMPLETED)
                    for future in ended:
                        if future is self._landing:
                            self._take_landed(future)
                        else:
                            name, order = self._running.pop(future)
                            self._take_worked(name, order, future.result())
            except BaseException:
                workers.shutdown(wait=False, cancel_futures=True)
                raise
        return self.states

    def _start(self, workers: ThreadPoolExecutor, lander: ThreadPoolExecutor) -> bool:
        """Start what can be started; return whether anything runs."""
        while self._ready and len(self._running) < self._parallel:
            name = heapq.heappop(self._ready)[1]
            if self.states[name].state in TERMINAL:
                continue
            used, feedback = self._used.get(name, (0, ""))
            order = Order(self._graph[name], used + 1, feedback, self._again.pop(name, None))
            self._set(name, "working", feedback, attempt=used + 1, land_retry=self.states[name].land_retry)
            self._running[workers.submit(self._work, order)] = (name, order)
        if self._queue and self._landing is None:
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._pace.size()))]
            self._pace.begin()
            self._taken = dict(taken)
            self._landing = lander.submit(self._land, [(self._graph[name], value) for name, value in taken])
        if self._running or self._landing:
            return True
        for name, _ in self._parked:  # nothing is left that could mend the tip
            self._block(name, "tip_red", self.states[name].detail)
        self._parked.clear()
        return False

    def _take_worked(self, name: str, order: Order, worked: Worked) -> None:
        if worked.kind == "done":
            self._pace.arrived()
            self._queue.append((name, worked.value))
            self._set(name, "ready-to-land", attempt=order.attempt, land_retry=self.states[name].land_retry)
        elif worked.kind == "failed":
            self._bounce(name, worked.detail, worked.code)
        elif worked.kind == "infra":
            self._retry(name, worked.detail, None)
        else:
            self._end(name, worked.kind, worked.detail, worked.code)

    def _take_landed(self, future: Future[dict[str, Outcome]]) -> None:
        self._landing = None
        self._pace.end()
        for name, outcome in future.result().items():
            state = self.states[name]
            if outcome.kind == "landed":
                self._landed(name, outcome)
            elif outcome.kind == "infra":
                self._retry(name, outcome.detail, self._taken[name])
            elif outcome.kind == "inherited":
                self._parked.append((name, self._taken[name]))
                self._set(name, "ready-to-land", outcome.detail, attempt=state.attempt, land_retry=state.land_retry)
            elif outcome.kind == "challenge":
                self._again[name] = self._taken[name]
                self._offer(name)
            else:
                self._bounce(name, outcome.detail, _CODES.get(outcome.kind, "verification_failed"))

    def _landed(self, name: str, outcome: Outcome) -> None:
        self._set(name, "landed", outcome.detail, attempt=self.states[name].attempt, commit=outcome.commit)
        self._queue.extend(self._parked)  # the tip is another one now
        self._parked.clear()
        for other in self._graph.direct_dependents(name):
            self._missing[other].discard(name)
            if self.states[other].state == "waiting-deps":
                self._set(other, "waiting-deps", on=tuple(sorted(self._missing[other])))
                if not self._missing[other]:
                    self._offer(other)

    def _offer(self, name: str) -> None:
        if self._used.get(name, (0, ""))[0] >= self._attempts:  # tried often enough before the process died
            self._block(name, "verification_failed", self._used[name][1])
        else:
            heapq.heappush(self._ready, (self._rank[name], name))

    def _bounce(self, name: str, feedback: str, code: str) -> None:
        """Give a ticket back to its worker, as long as it may be tried."""
        used = self._used.get(name, (0, ""))[0] + 1
        self._used[name] = (used, feedback)
        if used >= self._attempts:
            self._block(name, code, feedback)
        else:
            self._set(name, "working", feedback, attempt=used + 1)
            self._offer(name)

    def _retry(self, name: str, detail: str, value: Any) -> None:
        """Repeat what failed for a reason outside of the code; no attempt is lost, and the second time ends it."""
        state = self.states[name]
        if state.land_retry >= _LAND_RETRIES:
            self._block(name, "verification_infrastructure", detail)
            return
        self._set(name, "ready-to-land" if value is not None else "working", detail, attempt=state.attempt, land_retry=state.land_retry + 1)
        if value is None:
            self._offer(name)
        else:
            self._queue.append((name, value))

    def _block(self, name: str, code: str, detail: str) -> None:
        self._end(name, "blocked", detail, code)

    def _end(self, name: str, state: StateName, detail: str, code: str) -> None:
        self._set(name, state, detail, code=code, attempt=self.states[name].attempt)
        waiting = list(self._graph.direct_dependents(name))
        while waiting:
            other = waiting.pop()
            if self.states[other].state not in TERMINAL:  # else what depends on it was told before
                self._set(other, "blocked-by-dep", f"depends on {name}, which has not landed", code="dependency_failed", on=(name,))
                waiting += self._graph.direct_dependents(other)

    def _set(self, ticket_id: str, state: StateName, detail: str = "", **more: Any) -> None:
        self.states[ticket_id] = TicketState(ticket_id=ticket_id, state=state, detail=detail, **more)
        self._on_change(self.states[ticket_id])


class _Pace:
    """How many tickets are verified together: one, unless verification is slower than tickets arrive."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._arrivals: deque[float] = deque(maxlen=_RECENT)
        self._durations: deque[float] = deque(maxlen=_RECENT)
        self._began = 0.0

    def arrived(self) -> None:
        self._arrivals.append(time.monotonic())

    def begin(self) -> None:
        self._began = time.monotonic()

    def end(self) -> None:
        self._durations.append(time.monotonic() - self._began)

    def size(self) -> int:
        if self._limit == 1 or len(self._arrivals) < 2 or not self._durations:  # noqa: PLR2004
            return 1
        between = (self._arrivals[-1] - self._arrivals[0]) / (len(self._arrivals) - 1)
        verification = sum(self._durations) / len(self._durations)
        return min(self._limit, max(1, math.ceil(verification / max(between, 1e-6))))
