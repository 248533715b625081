"""One run as typed rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smithers_nb.errors import AmbiguousRunId, RunNotFound
from smithers_nb.model.rows import RunRow
from smithers_nb.model.vocabulary import NOISE_EVENTS
from smithers_nb.resources import example_store
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot, snapshots

TABLES = (
    "run nodes attempts events agent_events approvals questions tasks tool_calls tokens "
    "signals time_travel branches loops outputs scores diffs children"
)
ADD_RUN = "INSERT INTO _smithers_runs (run_id, parent_run_id, workflow_name, config_json, status, created_at_ms)"


def snapshot_of(path, prefix: str | None = None) -> Snapshot:
    source = open_source(path)
    return Snapshot(source, prefix or source.run_ids()[0])


def test_prefix(store, change):
    """A unique prefix finds the run; one that fits several names them; one that fits none says so."""
    path = store("ad-copy")
    assert snapshot_of(path, "79bc").run_id.startswith("79bcdf0c-")
    with pytest.raises(RunNotFound):
        snapshot_of(path, "zzz")
    with pytest.raises(RunNotFound):
        Snapshot(open_source(path), "")
    change(path, f"{ADD_RUN} VALUES ('79bz', NULL, 'w', NULL, 'failed', 1)")
    with pytest.raises(AmbiguousRunId) as caught:
        snapshot_of(path, "79b")
    assert [found[:4] for found in caught.value.candidates] == ["79bc", "79bz"]


def test_prefix_of_a_run_with_children(store):
    """The ids of children begin with their parent's, and do not make its prefix ambiguous."""
    path = store("order-intake")
    assert snapshot_of(path, "e8635").run.workflow == "order-intake"
    assert snapshot_of(path, "e8635e59-2f5f-4882-b5fe-189ee09b9408:child:run").run.workflow == "address-check"


def test_prefix_is_text(store):
    """Characters that SQL or patterns read otherwise are only text in a prefix."""
    for prefix in ("%", "_", "*", "'", "[", "\x00", "\udcff"):
        assert open_source(store("invoice-rollup")).run_ids(prefix) == []


def test_events_leave_noise_out(store):
    """The log of a snapshot has every type but those that tell nothing; asking for noise brings them back."""
    snapshot = snapshot_of(store("test-writer"))
    everything = snapshot.last_events(10_000, noise=True)
    assert [event.seq for event in everything] == list(range(len(everything)))
    assert snapshot.events == [event for event in everything if event.type not in NOISE_EVENTS]
    assert 0 < len(snapshot.events) < len(everything)
    assert snapshot.last_events(2) == snapshot.events[-2:]
    assert snapshot.last_events(0) == []


def test_agent_events(store):
    """What an agent CLI said is at hand by itself."""
    snapshot = snapshot_of(store("test-writer"))
    assert snapshot.agent_events
    assert {event.type for event in snapshot.agent_events} == {"AgentEvent"}
    assert {event.node_id for event in snapshot.agent_events} == {"write-tests"}


def test_children_are_what_nodes_launched(store):
    """A subflow's run is a child; forks and replays of a run are not."""
    parent = snapshot_of(store("order-intake"), "e8635e59-2f5f-4882-b5fe-189ee09b9408")
    assert [child.run_id for child in parent.children] == [f"{parent.run_id}:child:run-address-check:0"]
    assert parent.children[0].children == []
    source = open_source(store("ad-copy"))
    assert all(Snapshot(source, run_id).children == [] for run_id in source.run_ids())
    assert sum(len(Snapshot(source, run_id).branches) for run_id in source.run_ids()) == 2


@pytest.mark.parametrize(
    ("child", "is_child"),
    [
        (("next", "w", '{"continuation": {"previousRunId": "PARENT"}}'), False),
        (("watcher", "w", '{"annotations": {"smithersMonitorFor": "PARENT"}}'), False),
        (("watcher", "w", '{"smithersMonitorFor": "PARENT"}'), False),
        (("post-failure-abc", "post-failure", '{"subflowWorkspaceParentRunId": "PARENT"}'), False),
        (("PARENT:child:autopsy:0", "post-failure", "{}"), False),
        (("mine", "w", '{"subflowWorkspaceParentRunId": "PARENT"}'), True),
        (("PARENT:child:step:0", "w", "{"), True),
        (("other", "w", "[]"), False),
    ],
)
def test_other_runs_with_this_parent(store, change, child, is_child):
    """Continuations, monitors and autopsies name a run as their parent without being launched by it."""
    path = store("invoice-rollup")
    parent = open_source(path).run_ids()[0]
    fill = [text.replace("PARENT", parent) for text in child]
    change(
        path,
        f"{ADD_RUN} VALUES (?, ?, ?, ?, 'failed', 1)",
        (fill[0], parent, fill[1], fill[2]),
    )
    assert [child.run_id for child in snapshot_of(path, parent).children] == ([fill[0]] if is_child else [])


def test_child_with_an_id_of_its_own(store, change):
    """A child whose id the author chose is known from the event that started its node."""
    path = store("invoice-rollup")
    parent = open_source(path).run_ids()[0]
    change(
        path,
        f"{ADD_RUN} VALUES ('own', ?, 'w', NULL, 'failed', 1)",
        (parent,),
    )
    change(path, 'INSERT INTO _smithers_events VALUES (?, 999, 1, \'NodeStarted\', \'{"nodeId": "n", "childRunId": "own"}\')', (parent,))
    assert [child.run_id for child in snapshot_of(path, parent).children] == ["own"]


def test_one_run_needs_no_pandas(store):
    """Looking at one run, in every table, imports neither pandas nor Arrow."""
    script = (
        "import sys; from smithers_nb.sources.locate import open_source; from smithers_nb.sources.snapshot import Snapshot\n"
        "source = open_source(sys.argv[1]); run = Snapshot(source, source.run_ids()[0])\n"
        f"for name in {TABLES.split()!r}: getattr(run, name)\n"
        "print([name for name in ('pandas', 'pyarrow', 'numpy', 'adbc_driver_sqlite', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store("test-writer"))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_at_once_are_the_same_as_one_by_one():
    """Snapshots that were read in one pass hold the same rows as each read for itself, and need fewer queries than there are runs."""
    source = open_source(example_store())
    runs = source.rows(RunRow)
    asked: list[str] = []
    fetch = source.file.fetch
    source.file.fetch = lambda sql, params=(): asked.append(sql) or fetch(sql, params)
    taken = snapshots(source, runs)
    assert len(taken) == len(runs) > len(asked)
    for run_id, seen in taken.items():
        alone = Snapshot(source, run_id)
        assert all(getattr(seen, name) == getattr(alone, name) for name in ["run", "nodes", "attempts", "approvals", "questions", "tasks"])
