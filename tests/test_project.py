"""Projects and runs: what people hold in their hands."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smithers_nb import autopsy, connect
from smithers_nb.errors import AmbiguousRunId, NodeNotFound, RunNotFailed, RunNotFound, SourceNotFound
from smithers_nb.model import rows as table
from smithers_nb.resources import resource
from smithers_nb.run import Node, Run

if TYPE_CHECKING:
    from smithers_nb.project import Project

FAILED = "order-sync-013"
WAITING = "release-gate-035"
FINISHED = "order-sync-004"


@pytest.fixture(scope="module")
def location(tmp_path_factory) -> Path:
    """The bundled example store, unpacked once."""
    target = tmp_path_factory.mktemp("example") / "smithers.db"
    target.write_bytes(gzip.decompress(resource("templates/example/smithers.db.gz").read_bytes()))
    return target


@pytest.fixture
def project(location):
    with connect(location) as opened:
        yield opened


def test_connecting_reads_nothing(tmp_path: Path) -> None:
    """A place without a store is only noticed when something is asked for."""
    project = connect(tmp_path)
    assert str(tmp_path) in repr(project)
    with pytest.raises(SourceNotFound):
        project.runs()


def test_a_folder_is_searched_upwards(location: Path) -> None:
    """A folder below the store's is as good as the store."""
    below = location.parent / "a" / "b"
    below.mkdir(parents=True)
    with connect(below) as project:
        assert FAILED in project


def test_runs_are_a_frame_newest_first(project: Project) -> None:
    """`runs` has the columns of the contract, newest run first."""
    runs = project.runs()
    assert list(runs.columns) == list(table.RunRow._fields)
    assert runs["started_at"].is_monotonic_decreasing
    assert len(runs) == 60


def test_runs_can_be_filtered(project: Project) -> None:
    """Status, state, workflow, time and number narrow the runs down."""
    everything = project.run_rows()
    assert {row.status for row in project.run_rows(status="failed")} == {"failed"}
    assert {row.state for row in project.run_rows(status=["failed", "succeeded"])} == {"failed", "succeeded"}
    assert {row.workflow for row in project.run_rows(workflow="backfill")} == {"backfill"}
    assert project.run_rows(limit=3) == everything[:3]
    middle = everything[30].started_at
    assert {row.run_id for row in project.run_rows(since_ms=middle)} == {row.run_id for row in everything if row.started_at >= middle}


def test_reasons_name_the_task_and_its_error(project: Project) -> None:
    """Where a run only says which task failed, the reason is that task's own error; a run without an error has none."""
    reasons = project.reasons(project.run_rows())
    assert reasons[FAILED].startswith("normalize: null is not an object")
    assert FINISHED not in reasons
    assert set(reasons) == {row.run_id for row in project.run_rows() if row.error_message}


def test_states_are_derived_at_the_given_time(location: Path) -> None:
    """A run whose engine was killed is running a second later and not much later any more."""
    heartbeat = next(row for row in connect(location).run_rows() if row.status == "running").heartbeat_at
    run_id = next(row.run_id for row in connect(location).run_rows() if row.status == "running")
    assert connect(location, now=heartbeat + 1_000).run(run_id).row.state == "running"
    assert connect(location, now=heartbeat + 3_600_000).run(run_id).row.state in {"stale", "orphaned"}


def test_a_run_is_found_by_a_beginning_of_its_id(project: Project) -> None:
    """A beginning that no other run shares is enough, and so is indexing."""
    assert project.run("order-sync-013").id == project["order-sync-013"].id == FAILED
    assert project["order-sync-01"[:-1] + "13"].id == FAILED


def test_an_ambiguous_beginning_is_refused(project: Project) -> None:
    """Several runs with this beginning are named instead of one being taken."""
    with pytest.raises(AmbiguousRunId) as caught:
        project.run("order-sync-00")
    assert "order-sync-001" in caught.value.candidates


@pytest.mark.parametrize("wrong", ["nope", "", "../order-sync-013", "'; DROP TABLE runs; --", "%", "order_sync-013", "\x1b[31m", "*"])
def test_a_wrong_id_is_refused(project: Project, wrong: str) -> None:
    """What is no beginning of an id is not found, however it is written."""
    with pytest.raises(RunNotFound):
        project.run(wrong)


def test_iterating_gives_runs(project: Project) -> None:
    """A project is iterated over as runs, newest first."""
    assert [run.id for run in project] == [row.run_id for row in project.run_rows()]


def test_tab_completes_run_ids(project: Project) -> None:
    """`project["<TAB>` offers ids."""
    assert FAILED in project._ipython_key_completions_()


def test_frames_are_read_once(project: Project) -> None:
    """A run's frame is kept; `refresh` gives a run that reads anew."""
    run = project.run(FAILED)
    assert run.events is run.events
    assert run.refresh().events is not run.events


@pytest.mark.parametrize("name", [name for name in table.TABLES if name != "runs"])
def test_each_grain_is_a_frame_of_its_contract(project: Project, name: str) -> None:
    """Frames of a run and of the store have exactly the columns of their contract, and a run's hold that run only."""
    columns = list(table.TABLES[name]._fields)
    mine, all_ = getattr(project.run(FAILED), name), getattr(project, name)
    assert list(mine.columns) == list(all_.columns) == columns
    assert set(mine["run_id"]) <= {FAILED}
    assert len(all_) >= len(mine)


def test_one_run_needs_no_pandas(location: Path) -> None:
    """Explaining, inspecting and reading events of a run loads neither pandas nor Arrow."""
    code = f"""
import sys
from smithers_nb import connect
run = connect({str(location)!r}).run({FAILED!r})
run.why(); run.inspect(); run.event_rows(); run.node("normalize").inspect()
print([name for name in ("pandas", "pyarrow", "numpy", "plotly") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_failed_run_is_explained(project: Project) -> None:
    """`why` names the node, the class, one suggestion with commands, and what a retry-task would reset."""
    why = project.run(FAILED).why()
    assert why.failure.node_id == "normalize"
    assert why.classification.failure_class == "workflow-bug"
    assert why.advice.suggestion == "edit-workflow-and-reset"
    assert any("retry-task" in command for blocker in why.blockers for command in blocker.commands)
    assert why.advice.commands
    assert why.reset_preview.node_id == "normalize"
    assert "normalize" in why.summary
    assert why.failed_nodes == ("normalize",)


def test_a_waiting_run_is_explained(project: Project) -> None:
    """`why` names the gate and how to decide it, and blames nobody."""
    why = project.run(WAITING).why()
    assert why.failure is None
    assert why.advice is None
    assert [blocker.node_id for blocker in why.blockers if blocker.kind == "waiting-approval"] == ["approve-release"]
    assert any(" approve " in command for blocker in why.blockers for command in blocker.commands)


def test_a_finished_run_is_explained(project: Project) -> None:
    """`why` says that it finished and has nothing to suggest."""
    why = project.run(FINISHED).why()
    assert (why.state, why.failure, why.advice, why.blockers) == ("succeeded", None, None, ())
    assert "finished" in why.summary


def test_tolerated_failures_of_a_finished_run_are_named(project: Project) -> None:
    """A run that finished although a task failed says which."""
    why = project.run("nightly-report-052").why()
    assert why.state == "succeeded"
    assert why.failed_nodes == ("collect-metrics-extra",)


def test_a_node_gathers_what_is_known_about_it(project: Project) -> None:
    """A node has its attempts and outputs, and no other node's."""
    node = project.run(FINISHED).node("normalize")
    assert isinstance(node, Node)
    assert {row.node_id for row in (*node.attempts, *node.outputs, *node.states)} == {"normalize"}
    assert json.loads(node.outputs[0].row)


def test_an_unknown_node_is_refused_with_those_that_exist(project: Project) -> None:
    """The hint lists the nodes of the run."""
    with pytest.raises(NodeNotFound) as caught:
        project.run(FAILED).node("nope")
    assert "normalize" in caught.value.hint


def test_the_input_is_a_node(project: Project) -> None:
    """The run's input is found under `input`."""
    assert project.run(FINISHED).node("input").outputs


def test_objects_display_themselves(project: Project) -> None:
    """Projects, runs and nodes have HTML without scripts, and a text form that names them."""
    for thing in (project, project.run(FAILED), project.run(WAITING), project.run(FAILED).node("normalize")):
        page = thing._repr_html_()
        assert "<table" in page or "<section" in page or "<div" in page
        assert "<script" not in page
    assert repr(project.run(FAILED)).startswith("<Run order-sync-013 of <Project ")


def test_hostile_names_are_only_text(location: Path, tmp_path: Path) -> None:
    """Markup in ids and errors is shown, not obeyed."""
    import sqlite3

    copy = shutil.copyfile(location, tmp_path / "smithers.db")
    with sqlite3.connect(copy) as store:
        store.execute("UPDATE _smithers_runs SET workflow_name = '<script>alert(1)</script>' WHERE run_id = ?", (FAILED,))
    store.close()
    for page in (connect(copy)._repr_html_(), connect(copy).run(FAILED)._repr_html_()):
        assert "<script>alert" not in page
    assert "&lt;script&gt;" in connect(copy).run(FAILED)._repr_html_()


def test_the_timeline_is_a_figure(project: Project) -> None:
    """`timeline` draws every attempt as a bar."""
    chart = project.run(FAILED).timeline()
    bars = [bar for trace in chart.figure().data if trace.type == "bar" for bar in trace.y]
    assert len(bars) == len(project.run(FAILED).snapshot.attempts)


def test_the_banner_says_what_failed(project: Project) -> None:
    """The banner names state and reason."""
    banner = project.run(FAILED).banner()
    assert "failed" in banner.text
    assert "normalize" in banner.text


def test_autopsy_takes_a_run_or_an_id(project: Project, location: Path) -> None:
    """Both ways give the same verdict."""
    now = 1_800_000_000_000
    assert autopsy(project.run(FAILED), now=now) == autopsy(FAILED, location, now=now)
    assert autopsy(FAILED, location).failure_class == "workflow-bug"


@pytest.mark.parametrize("run_id", [FAILED, "order-sync-010", "pr-review-033", "release-gate-043"])
def test_why_and_autopsy_agree(project: Project, run_id: str) -> None:
    """The quick answer has the class, the suggestion and the commands of the long one."""
    why, verdict = project.run(run_id).why(), project.run(run_id).autopsy()
    assert (why.classification.failure_class, why.classification.confidence) == (verdict.failure_class, verdict.confidence)
    assert (why.advice.suggestion, why.advice.commands) == (verdict.suggestion, verdict.commands)


def test_autopsy_of_a_run_that_did_not_fail_is_refused(location: Path) -> None:
    """A finished run has nothing to autopsy, and the error says so."""
    with pytest.raises(RunNotFailed, match="did not fail"):
        autopsy(FINISHED, location)


def test_problems_are_listed(project: Project) -> None:
    """An intact store has nothing unreadable."""
    assert project.problems == []
    assert isinstance(project.run(FAILED), Run)


def test_the_whole_store_is_looked_over(location: Path) -> None:
    """Kinds of failure, repair loops and gate results of all runs come from one object."""
    with connect(location) as project:
        kinds = project.signatures()
        assert kinds["runs"].iloc[0] == kinds["runs"].max() >= 3
        assert {"first_at", "last_at", "streak"} <= set(kinds.columns)
        assert {loop.family for loop in project.repair_loops()} >= {"order-sync", "pr-review"}
        assert all(len(one.results) == len(rounds.gates) for rounds in project.gate_rounds() for one in rounds.rounds)
