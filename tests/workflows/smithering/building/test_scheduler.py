"""Who works when: thousands of tickets in random graphs, without git, with failures of every kind."""

import random
import threading
import time

import pytest

from smithers_nb.workflows.smithering.building.scheduler import TERMINAL, Scheduler, Worked
from smithers_nb.workflows.smithering.landing.queue import Outcome
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph


def random_graph(count, seed, needs=3):
    chosen = random.Random(seed)
    names = [f"t-{number}" for number in range(count)]
    before = [chosen.sample(names[max(0, at - 50) : at], min(at, chosen.randint(0, needs))) for at in range(count)]
    tickets = [Ticket(id=name, title=name, depends_on=tuple(others)) for name, others in zip(names, before, strict=True)]
    chosen.shuffle(tickets)
    return TicketGraph(tickets)


def done(order):
    return Worked("done", value=order.attempt)


def land_all(entries):
    return {ticket.id: Outcome("landed", "", f"commit of {ticket.id}") for ticket, _ in entries}


def scheduled(graph, work=done, land=land_all, **options):
    options = {"landed": {}, "used": {}, "parallel": 4, **options}
    return Scheduler(graph, work, land, **options).run()


class Fate:
    """Lets work and landing fail by lot, the same for the same seed whatever the order of threads is."""

    def __init__(self, seed):
        self.seed = seed
        self.calls = {}
        self.lock = threading.Lock()
        self.landing = 0

    def lot(self, what, name):
        with self.lock:
            number = self.calls[what, name] = self.calls.get((what, name), 0) + 1
        return random.Random(f"{self.seed}/{what}/{name}/{number}").random()

    def work(self, order):
        lot = self.lot("work", order.ticket.id)
        if lot < 0.005:
            return Worked("needs-credential", "no key", code="agent_crashed")
        kind = "failed" if lot < 0.1 else "infra" if lot < 0.15 else "done"
        return Worked(kind, "by lot")

    def land(self, entries):
        self.landing += 1
        assert self.landing == 1, "two landings at once"
        outcomes = {}
        for ticket, _ in entries:
            lot = self.lot("land", ticket.id)
            kinds = ((0.1, "red"), (0.15, "conflict"), (0.2, "infra"), (0.25, "inherited"), (0.3, "challenge"), (0.32, "refused"))
            kind = next((kind for limit, kind in kinds if lot < limit), "landed")
            outcomes[ticket.id] = Outcome(kind, f"{kind} by lot", "c" if kind == "landed" else "")
        self.landing -= 1
        return outcomes


@pytest.mark.parametrize("seed", [1, 2])
def test_five_thousand_tickets_with_failures_all_end(seed):
    """Nobody is lost: each of 5,000 tickets has landed, or has a reason, or depends on one that has."""
    graph = random_graph(5_000, seed)
    fate = Fate(seed)
    states = scheduled(graph, fate.work, fate.land, batch=8)
    assert len(states) == 5_000
    for name, state in states.items():
        assert state.state in TERMINAL
        waits = [other for other in graph[name].depends_on if states[other].state != "landed"]
        if state.state == "landed":
            assert state.commit
            assert not waits
        elif state.state == "blocked-by-dep":
            assert waits
            assert state.code == "dependency_failed"
        else:
            assert state.detail
            assert state.code
            assert not waits
    counts = {kind: sum(state.state == kind for state in states.values()) for kind in ("landed", "blocked", "blocked-by-dep")}
    assert min(counts.values()) > 10


def test_nobody_waits_whose_dependencies_have_landed():
    """With threads to spare, a ticket begins before anything else lands once its last dependency has."""
    graph = random_graph(400, 3)
    events = []
    states = scheduled(graph, parallel=400, on_change=lambda state: events.append((state.ticket_id, state.state)))
    assert all(state.state == "landed" for state in states.values())
    landed, begun = set(), set()
    for name, state in events:
        if state == "working":
            begun.add(name)
        if state == "landed":
            late = [one.id for one in graph if one.id not in begun and set(one.depends_on) <= landed]
            assert not late
            landed.add(name)


def test_there_are_no_waves():
    """A fast chain goes on to its end while a slow sibling of its first ticket is still worked on."""
    chain = [Ticket(id=f"c-{at}", title="c", depends_on=(f"c-{at - 1}",) if at else ()) for at in range(5)]
    gate = threading.Event()

    def work(order):
        if order.ticket.id == "slow":
            assert gate.wait(60)
        return done(order)

    def watch(state):
        if state.ticket_id == "c-4" and state.state == "landed":
            gate.set()

    states = scheduled(TicketGraph([Ticket(id="slow", title="s"), *chain]), work, parallel=2, on_change=watch)
    assert {state.state for state in states.values()} == {"landed"}


def test_attempts_of_an_earlier_life_count():
    """A ticket that was tried as often as allowed before is not tried again, and one with attempts left gets its feedback."""
    orders = []
    graph = TicketGraph([Ticket(id="a", title="a"), Ticket(id="b", title="b")])
    states = scheduled(graph, lambda order: orders.append(order) or done(order), used={"a": (4, "red"), "b": (3, "nearly")})
    assert states["a"].state == "blocked"
    assert [(order.ticket.id, order.attempt, order.feedback) for order in orders] == [("b", 4, "nearly")]


@pytest.mark.parametrize("where", ["work", "land"])
def test_what_never_recovers_is_given_up(where):
    """A reason outside of the code is repeated once and then ends the ticket, without an attempt lost."""
    calls = []

    def work(order):
        calls.append(order.attempt)
        return Worked("infra", "no disk") if where == "work" else done(order)

    def land(entries):
        return {ticket.id: Outcome("infra", "no disk") for ticket, _ in entries}

    states = scheduled(TicketGraph([Ticket(id="a", title="a")]), work, land)
    assert (states["a"].state, states["a"].code, states["a"].attempt) == ("blocked", "verification_infrastructure", 1)
    assert calls == ([1, 1] if where == "work" else [1])


def test_an_error_of_the_engine_ends_the_build():
    """What landing raises is not swallowed."""

    def land(_):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        scheduled(random_graph(5, 1), land=land)


def test_tickets_are_verified_together_only_when_verification_is_slow():
    """Quick landings take one ticket each; slow ones take up to the limit at once, and never by default."""
    sizes = []

    def slow(entries):
        sizes.append(len(entries))
        time.sleep(0.02)
        return land_all(entries)

    def quick(entries):
        sizes.append(len(entries))
        return land_all(entries)

    def work(order):
        time.sleep(0.02)
        return done(order)

    def largest(*how, **options):
        sizes.clear()
        scheduled(TicketGraph([Ticket(id=f"t-{at}", title="t") for at in range(30)]), *how, **options)
        return max(sizes)

    assert largest(done, slow) == 1
    assert largest(done, slow, batch=5) == 5
    assert largest(work, quick, batch=5, parallel=1) == 1
