"""Which task waits for which: how each stands beside the failure that mattered."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.state.task_graph import task_graph
from smithers_nb.model.verdict import TaskStanding
from smithers_nb.resources import example_store
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot


@pytest.fixture
def graph(store):
    """The graph of a run of a recorded store."""

    def draw(name, run_id, producer=""):
        snapshot = Snapshot(open_source(store(name)), run_id)
        return task_graph(snapshot, find_failure(snapshot), producer)

    return draw


def test_what_never_began_is_held_up_by_the_failure():
    """The task that failed, the one it reads, and the one that waits for it."""
    snapshot = Snapshot(open_source(example_store()), "order-sync-013")
    assert task_graph(snapshot, find_failure(snapshot), "fetch-orders") == (
        TaskStanding(node_id="fetch-orders", state="finished"),
        TaskStanding(node_id="normalize", state="failed", after=("fetch-orders",), decides=True, producer="fetch-orders"),
        TaskStanding(node_id="store-orders", state="held-up", after=("normalize",)),
    )


def test_a_run_of_one_task_has_no_graph(graph):
    """There is nothing to draw."""
    assert graph("test-writer", "461d2259") == ()
