"""One look at whole stores: every run in one bucket, what recurs, and what is proposed by the watchdog's rules."""

from __future__ import annotations

import orjson
import pytest

from smithers_nb.resources import resource
from smithers_nb.workflows.fleet.results import Sweep
from smithers_nb.workflows.fleet.stages import row_of
from smithers_nb.workflows.fleet.sweep import sweep
from tests.conftest import unpack
from tests.workflows.conftest import NOW


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The example store: sixty runs of five workflows."""
    store = tmp_path_factory.mktemp("fleet") / "smithers.db"
    return sweep([str(unpack(resource("templates/example/smithers.db.gz"), store))], NOW)


def test_buckets_are_a_partition(found):
    """Every run of the store is in exactly one bucket and none is invented, and each has the health that `monitor` gives it."""
    from smithers_nb.diagnosis.state.health import health
    from smithers_nb.sources.locate import open_source
    from smithers_nb.sources.snapshot import Snapshot

    listed = [run_id for ids in found.buckets.values() for run_id in ids]
    source = open_source(found.projects[0])
    assert sorted(listed) == sorted(source.run_ids(limit=1_000))
    assert {run.run_id: run.bucket for run in found.runs} == {
        run_id: health(Snapshot(source, run_id), NOW)[0] for run_id in source.run_ids(limit=1_000)
    }


def test_every_live_run_in_trouble_has_one_proposal(found):
    """Nothing is proposed for a healthy run; runs with the same cause are one proposal, and no run has two."""
    troubled = {run.run_id for run in found.runs if run.live and run.bucket != "healthy"}
    covered = [run_id for action in found.actions for run_id in (action.run_id, *action.also)]
    assert sorted(covered) == sorted(troubled)
    assert len(found.actions) < len(troubled)
    assert all(action.command for action in found.actions)


def test_what_recurs(found):
    """Kinds of failure, the tasks that recover by themselves, and what failures cost are of the whole store."""
    refused = next(row for row in found.recurring if "ECONNREFUSED" in row.message)
    assert (refused.runs, refused.failure_class) == (3, "environment")
    assert [row.runs for row in found.recurring] == sorted((row.runs for row in found.recurring), reverse=True)
    assert any(row.by == "agent" for row in found.lost)
    assert all(0 < row.recovered_runs <= row.runs for row in found.flaky)


def test_it_can_be_kept_and_counted(found):
    """A sweep survives being stored, and its row counts what its buckets hold."""
    assert Sweep.read(orjson.loads(orjson.dumps(found.as_json()))) == found
    row = row_of(found)
    assert (row.verdict, row.runs_seen, row.healthy_runs) == ("problems detected", 60, len(found.buckets["healthy"]))
    assert row.fixes_applied == 0


def test_a_fleet_that_nobody_could_read_is_not_healthy(found, tmp_path):
    """A project that cannot be read is a problem, alone and beside others; nothing is said to have gone well there."""
    alone = row_of(sweep([str(tmp_path / "gone")], NOW))
    assert (alone.verdict, alone.summary, len(alone.problems)) == ("problems detected", "1 project could not be read.", 1)
    ended = sweep(list(found.projects), 0)
    assert (ended.runs, row_of(ended).verdict) == ((), "healthy")
    mixed = sweep([*found.projects, str(tmp_path / "gone")], 0)
    assert row_of(mixed).verdict == "problems detected"
    assert row_of(mixed).summary.startswith("1 project could not be read. None of 0 runs")


def test_the_folders_above_a_named_project_are_not_searched(tmp_path):
    """A named folder without a store is a problem; the runs of the project around it are not taken for its own."""
    unpack(resource("templates/example/smithers.db.gz"), tmp_path / "smithers.db")
    (tmp_path / "docs").mkdir()
    assert len(sweep([str(tmp_path)], NOW).runs) == 60
    inside = sweep([str(tmp_path / "docs")], NOW)
    assert (inside.runs, inside.problems) == ((), (f"{tmp_path / 'docs'}: no runs in {tmp_path / 'docs'}",))


def test_gates_are_only_listed(found):
    """What a person decides is proposed as their decision, with the command of the engine."""
    gates = [action for action in found.actions if action.run_id.startswith("release-gate-03")]
    assert gates
    assert all(action.needs_human and "bunx smithers-orchestrator approve" in action.command for action in gates)


def test_what_has_been_idle_for_a_day_is_cancelled(found):
    """A dead engine is resumed within a day and cancelled after it; leftovers of smoke tests are cancelled at once."""
    dead = next(action for action in found.actions if action.run_id == "backfill-055")
    assert (dead.needs_human, dead.command.split()[2]) == (False, "up")
    later = sweep(list(found.projects), NOW + 2 * 86_400_000)
    dead = next(action for action in later.actions if action.run_id == "backfill-055")
    assert (dead.needs_human, dead.command) == (True, "bunx smithers-orchestrator cancel backfill-055")


def test_a_leftover_of_a_smoke_test_is_cancelled(changed):
    """A stuck run of a workflow called smoke… is not worth a resume."""
    store = changed("update _smithers_runs set workflow_name = 'smoke-check' where run_id = 'backfill-055'")
    action = next(action for action in sweep([str(store)], NOW).actions if action.run_id == "backfill-055")
    assert action.command == "bunx smithers-orchestrator cancel backfill-055"


def test_failures_of_long_ago_are_counted_and_left_alone(found):
    """A failure counts as live for an hour; after that it is in its bucket, and nothing is proposed for it."""
    later = sweep(list(found.projects), NOW + 3 * 3_600_000)
    assert later.buckets["failed"]
    assert not [run for run in later.runs if run.live and run.status == "failed"]
    assert {action.run_id for action in later.actions}.isdisjoint(later.buckets["failed"])


def test_several_projects(found, changed, tmp_path):
    """The same id in two stores is told apart, the same store named twice is read once, and a missing one is a problem."""
    other = changed("delete from _smithers_runs where run_id != 'backfill-055'")
    both = sweep([*found.projects, *found.projects, str(other), str(tmp_path / "gone")], NOW)
    assert len(both.runs) == 61
    assert sum(run_id.endswith(":backfill-055") for ids in both.buckets.values() for run_id in ids) == 2
    assert len(both.problems) == 1


def test_what_waits_and_what_costs(found):
    """Each open gate and question is listed once, the longest waiting first, with the command; costs are told apart."""
    from smithers_nb.diagnosis.state.inbox import requests
    from smithers_nb.sources.locate import open_source

    asked = requests(open_source(found.projects[0]), NOW)
    assert asked
    assert [(row.run_id, row.node_id) for row in found.waiting] == [(item.run_id, item.node_id) for item in asked]
    assert all(row.command and row.waited_minutes is not None for row in found.waiting)
    assert {row.by for row in found.lost} >= {"workflow", "agent"}
    assert row_of(found).waiting == found.waiting


def test_a_quota_window_is_listed_with_its_end(corpus_store):
    """A run that waits for a provider's limit is listed with the time of its reset, and one that is over is not."""
    store = corpus_store("d36")
    (window,) = sweep([str(store)], NOW).quotas
    assert window.resets_at
    assert window.minutes_left == pytest.approx((window.resets_at - NOW) / 60_000, abs=0.01)
