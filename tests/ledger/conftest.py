"""Ledgers of both kinds with a clock that stands until it is moved, and a small fleet in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.ledger import Ledger, agents, dispatch, items, review
from smithers_nb.ledger.dispatch import Started

START = 1_790_000_000_000
MINUTE = 60_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> int:
        return self.at

    def forward(self, minutes: float) -> None:
        self.at += round(minutes * MINUTE)


class Fleet:
    """A ledger, its clock, and shortcuts that bring beads into the states that tests begin with."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self._numbers = itertools.count(1)

    def agent(self, role: str = "polecat") -> str:
        name = f"{role}-{next(self._numbers)}"
        with self.ledger.writing() as connection:
            items.add_agent(self.ledger, connection, name, role=role)
        return name

    def bead(self, **fields) -> str:
        with self.ledger.writing() as connection:
            return items.create(self.ledger, connection, "work", bead_id=f"b-{next(self._numbers)}", **fields)

    def started(self, bead_id: str | None = None, **fields) -> tuple[str, str]:
        """Dispatch a bead and give it with its agent."""
        bead_id, agent_id = bead_id or self.bead(**fields), self.agent()
        assert dispatch.dispatch(self.ledger, bead_id, agent_id, lambda *_: Started(ok=True))
        return bead_id, agent_id

    def submitted(self, **fields) -> tuple[str, str]:
        """Bring a bead into review and give it with its merge request."""
        bead_id, agent_id = self.started(**fields)
        with self.ledger.writing() as connection:
            agents.submit_work(self.ledger, connection, agent_id)
            return bead_id, review.submit(self.ledger, connection, bead_id, branch="feat", actor=agent_id)

    def reviewed(self) -> tuple[str, str, str]:
        """Start the refinery on a merge request and give source, merge request and refinery."""
        rig = f"rig-{next(self._numbers)}"
        with self.ledger.writing() as connection:
            items.add_rig(connection, rig, {})
        source, mr_id = self.submitted(rig_id=rig)
        refinery = self.agent("refinery")
        assert review.start_review(self.ledger, mr_id, refinery, lambda *_: Started(ok=True))
        return source, mr_id, refinery


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, tmp_path) -> Iterator[Fleet]:
    """Return an empty ledger, once in a file and once in Postgres."""
    where = f"sqlite:///{tmp_path / 'journal.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    clock = Clock()
    with Journal.open(Location.of(where)) as journal:
        yield Fleet(Ledger(journal, clock), clock)


@pytest.fixture
def in_file(tmp_path) -> Iterator[Fleet]:
    """Return an empty ledger in a file."""
    clock = Clock()
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as journal:
        yield Fleet(Ledger(journal, clock), clock)


@pytest.fixture
def in_postgres(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Return an empty ledger in Postgres."""
    clock = Clock()
    with Journal.open(Location.of(request.getfixturevalue("postgres"))) as journal:
        yield Fleet(Ledger(journal, clock), clock)
