"""Tickets make a graph that can be worked through, or are refused with what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.errors import TicketsRefused
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph, Verification


def ticket(name, *needs, **more):
    return Ticket(id=name, title=name, depends_on=needs, **more)


@pytest.mark.parametrize(
    ("tickets", "said"),
    [
        ([ticket("a"), ticket("a")], "two tickets have the id a"),
        ([ticket("a", "b"), ticket("b", "c"), ticket("c", "a")], "wait for each other"),
        ([ticket("a", "a")], "a → a"),
        ([ticket("a", "gone"), ticket("b", "lost")], "a needs gone, b needs lost"),
        ([ticket("../a")], "not an id"),
        ([ticket("A b")], "not an id"),
        ([ticket("-a")], "not an id"),
        ([ticket("x" * 61)], "not an id"),
        ([ticket("integration")], "not an id"),
        ([ticket("")], "not an id"),
    ],
)
def test_what_is_no_graph_of_work_is_refused(tickets, said):
    """Repeated and malformed ids, cycles and dangling dependencies are named."""
    with pytest.raises(TicketsRefused, match=said) as refused:
        TicketGraph(tickets)
    assert refused.value.hint


def test_a_cycle_is_named_in_its_order():
    """The message walks once around the cycle, and leaves tickets out that are not on it."""
    with pytest.raises(TicketsRefused) as refused:
        TicketGraph([ticket("a", "c"), ticket("b", "a"), ticket("c", "b"), ticket("d", "a")])
    around = str(refused.value).rpartition(": ")[2].split(" → ")
    assert around[0] == around[-1]
    assert sorted(around[1:]) == ["a", "b", "c"]


def test_the_order_is_that_of_the_list_where_dependencies_leave_it_open():
    """Layers of what can be done at once follow each other, and a ticket knows who names it."""
    graph = TicketGraph([ticket("c", "a", "b"), ticket("a"), ticket("b"), ticket("d", "c")])
    assert [one.id for one in graph] == ["a", "b", "c", "d"]
    assert (graph.direct_dependents("a"), graph.direct_dependents("d")) == (["c"], [])


@given(st.lists(st.integers(0, 1_000_000), max_size=30))
def test_every_order_has_dependencies_first(seeds):
    """In a random graph each ticket stands after all that it depends on, and none is missing."""
    tickets = [ticket(f"t-{n}", *{f"t-{seed % n}"} if n and seed % 3 else ()) for n, seed in enumerate(seeds)]
    graph = TicketGraph(reversed(tickets))
    place = {one.id: at for at, one in enumerate(graph)}
    assert len(place) == len(tickets)
    assert all(place[other] < place[one.id] for one in tickets for other in one.depends_on)


def test_commands_have_a_criterion_each():
    """A command without a criterion of its own gets the ticket's, numbered; what a reviewer looks at is no command."""
    checks = (Verification(kind="command", details="true"), Verification(kind="agent-review", details="look"))
    checks += (Verification(kind="e2e", details="make e2e", criterion_id="REQ-1.2"),)
    assert list(ticket("a", verification=checks).commands()) == [("a-1", "true"), ("REQ-1.2", "make e2e")]


def test_a_ticket_is_read_as_it_is_written():
    """Tickets go through JSON with camelCase names."""
    one = ticket("a", "b", safety=True, verification=(Verification(kind="command", details="true"),))
    assert one.as_json()["dependsOn"] == ["b"]
    assert Ticket.read(one.as_json()) == one
