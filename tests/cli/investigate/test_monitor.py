"""`monitor` on the command line: a durable run of its own that leaves its target as it was."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from smithers_nb.cli.run.own_notebooks import output_of
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from tests.support.durable import Project


def rows_of(journal: Path, run_id: str):
    """Read every row that a journal has about a run."""
    connection = sqlite3.connect(journal)
    names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
    tables = [name for name in names if any(row[1] == "run_id" for row in connection.execute(f"pragma table_info({name})"))]
    return {name: connection.execute(f"select * from {name} where run_id = ? order by 1, 2, 3", (run_id,)).fetchall() for name in tables}


@pytest.mark.slow
def test_a_run_of_ours_is_only_read(tmp_path, journal_runs, cli, monkeypatch):
    """The monitor is a run of the same journal, finishes with a report, and no row of its target has changed."""
    monkeypatch.chdir(tmp_path)
    location = Location.of(tmp_path)
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "n1")
    before = rows_of(location.file, "n1")
    answer = cli("monitor", "--input", json.dumps({"targetRunId": "n1", "staleMinutes": 5, "title": "Nightly"}), "--format", "json")
    assert answer.code == 0, answer.err
    row = answer.json
    assert (row["targetRunId"], row["health"], row["fix"]) == ("n1", "failed", None)
    assert [gate["decidedBy"] for gate in row["approvals"]] == ["ann"]
    assert row["reportPath"] == str(tmp_path / "artifacts" / "monitor" / "n1.html")
    assert "<h1>Nightly</h1>" in Path(row["reportPath"]).read_text()
    assert rows_of(location.file, "n1") == before
    nodes = [node["nodeId"] for node in cli("inspect", row["monitorRunId"], "--format", "json").json["nodes"]]
    assert {"gather", "diagnose", "report", "artifact", "output"} <= set(nodes)


@pytest.mark.slow
def test_autofix_waits_for_a_person(tmp_path, corpus_store, corpus, cli, monkeypatch):
    """With autofix and something to repair the monitor parks with exit code 3; the foreign store stays as it was, byte for byte."""
    project = tmp_path / "here"
    project.mkdir()
    monkeypatch.chdir(project)
    label = json.loads((corpus / "smithers" / "d45" / "label.json").read_text())
    store = corpus_store("d45")
    before = store.read_bytes()
    answer = cli("monitor", label["run_id"], "--source", store, "--now", label["as_of_ms"], "--autofix", "--format", "json")
    assert answer.code == 3
    (asked,) = answer.json["waitingFor"]
    assert (asked["nodeId"], asked["prompt"]) == ("approve-fix", f"Auto-fix run {label['run_id']}?")
    assert store.read_bytes() == before
    assert [path.name for path in store.parent.iterdir()] == ["smithers.db"]


@pytest.mark.slow
def test_autofix_resumes_a_killed_run_of_ours(tmp_path, cli, monkeypatch):
    """A run whose process was killed in the middle of a stage is resumed by a worker to its end; finished stages are not done again."""
    monkeypatch.chdir(tmp_path)
    project = Project(Location.of(tmp_path))
    work = "import os, time\nfrom smithers_nb.workflows.notebook.api import stage\n"
    first = "stage('extract', lambda: open('extracted', 'a').write('x'))"
    slow = "stage('transform', lambda: os.path.exists('go') or time.sleep(120))"
    run_id = project.submit(f"{work}{first}\n{slow}")
    process = project.process(run_id)
    until = time.monotonic() + 60
    while not _is_in("transform", project.location.file, run_id) and time.monotonic() < until:
        time.sleep(0.2)
    process.kill()
    process.wait()
    process.stdout.close()
    (tmp_path / "go").touch()
    connection = sqlite3.connect(project.location.file)  # as if a minute had passed
    with connection:
        for column in ("heartbeat_at_ms", "started_at_ms"):
            connection.execute(f"update _smithers_runs set {column} = {column} - 90000")
        connection.execute("update _smithers_nb_workers set heartbeat_at_ms = heartbeat_at_ms - 90000")
    connection.close()
    answer = cli("monitor", run_id, "--autofix", "--no-require-approval", "--format", "json")
    assert answer.code == 0, answer.err
    row = answer.json
    assert (row["state"], row["health"], row["fix"]["resumed"]) == ("succeeded", "healthy", True)
    assert row["fix"]["action"] == "resume transform#0"
    assert (tmp_path / "extracted").read_text() == "x"


@pytest.mark.slow
def test_autofix_starts_a_fresh_run_with_the_input_of_the_last_good_one(tmp_path, cli, monkeypatch):
    """The monitor shows the input before and after and waits, also without approvals; once approved a linked run begins, and asks first."""
    monkeypatch.chdir(tmp_path)
    project = Project(Location.of(tmp_path))
    check = "from pathlib import Path\nfrom smithers_nb.workflows.notebook.api import gate, stage\n"
    check += "Path('careful').exists() and gate('go', 'Go?')\nstage('load', lambda: {'api': 1}[name])"
    assert project.execute(project.submit(check, parameters={"name": "api"})).status == "finished"
    failed = project.submit(check, parameters={"name": "legacy"}, post_failure=False)
    assert project.execute(failed).status == "failed"
    (tmp_path / "careful").touch()
    answer = cli("monitor", failed, "--autofix", "--no-require-approval", "--format", "json")
    assert answer.code == 3, answer.err
    (asked,) = answer.json["waitingFor"]
    assert (asked["details"]["input before"], asked["details"]["input after"]) == ('name = "legacy"', 'name = "api"')
    monitor_id = answer.json["runId"]
    assert cli("approve", monitor_id, "--node", "approve-fix").code == 0
    until = time.monotonic() + 90
    while project.run(monitor_id).status != "finished" and time.monotonic() < until:
        time.sleep(0.3)
    row = output_of(project.location, monitor_id, "output")
    assert (row["fix"]["resumed"], row["fix"]["stateAfter"]) == (True, "waiting-approval")
    assert "it started and is waiting-approval" in row["fix"]["summary"]
    assert (row["state"], row["health"]) == ("failed", "failed")
    assert not [action for action in row["recommendedActions"] if action["selfFixable"]]
    assert row["recommendedActionCount"] == len(row["recommendedActions"])
    again = cli("monitor", "--resume", "--run-id", monitor_id, "--format", "json")
    assert (again.code, again.json["fix"], again.json["monitorRunId"]) == (0, row["fix"], monitor_id)
    fresh = cli("inspect", row["fix"]["newRunId"], "--format", "json").json["run"]
    assert (fresh["parentRunId"], fresh["status"]) == (failed, "waiting-approval")


@pytest.mark.slow
def test_a_monitor_is_resumed_after_its_gate(tmp_path, cli, monkeypatch):
    """`monitor --resume` goes on with a parked monitor and prints its row; without the run it says what is missing."""
    monkeypatch.chdir(tmp_path)
    project = Project(Location.of(tmp_path))
    check = "from smithers_nb.workflows.notebook.api import stage\nstage('load', lambda: {'api': 1}[name])"
    project.execute(project.submit(check, parameters={"name": "api"}))
    failed = project.submit(check, parameters={"name": "legacy"}, post_failure=False)
    project.execute(failed)
    assert cli("monitor", failed, "--autofix", "--run-id", "m", "--format", "json").code == 3
    assert "--resume needs the run" in cli("monitor", "--resume").err
    still = cli("monitor", "--resume", "--run-id", "m", "--format", "json")
    assert (still.code, still.json["status"]) == (3, "waiting-approval")
    assert cli("deny", "m", "--node", "approve-fix", "--note", "not today", "--no-continue").code == 0
    row = cli("monitor", "--resume", "--run-id", "m", "--format", "json")
    assert row.code == 0, row.err
    assert (row.json["monitorRunId"], row.json["fix"]["applied"]) == ("m", False)
    assert "not today" in row.json["fix"]["summary"]
    assert [action for action in row.json["recommendedActions"] if action["selfFixable"]]


def _is_in(node_id, journal, run_id):
    """Whether a node of a run is being worked on."""
    connection = sqlite3.connect(journal)
    found = connection.execute("select state from _smithers_nodes where run_id = ? and node_id = ?", (run_id, node_id)).fetchone()
    connection.close()
    return found == ("in-progress",)


def test_the_row_alone(corpus_store, corpus, cli, monkeypatch, tmp_path):
    """Without a notebook nothing is written anywhere, and the page says what to do."""
    project = tmp_path / "here"
    project.mkdir()
    monkeypatch.chdir(project)
    label = json.loads((corpus / "smithers" / "d46" / "label.json").read_text())
    answer = cli("monitor", label["run_id"], "--source", corpus_store("d46"), "--now", label["as_of_ms"], "--no-notebook")
    assert answer.code == 0
    assert "blocked" in answer.out
    assert "bunx smithers-orchestrator approve" in answer.out
    assert list(project.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stale-minutes", "0"], "stale-minutes"),
        (["--stale-minutes", "nan"], "stale"),
        (["--input", '{"targetRunIdd": 1}'], "targetRunIdd"),
        (["--provider", "nobody"], "nobody"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_written(cli, tmp_path, monkeypatch, words, said):
    """A wrong value is an error of the user, and leaves no project behind."""
    monkeypatch.chdir(tmp_path)
    answer = cli("monitor", "r1", *words)
    assert answer.code == 4
    assert said in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("run", "words"), [("release-gate-035", "waits for a person"), ("order-sync-004", "order-sync-004")])
def test_every_state_has_a_report(cli, example, tmp_path, run, words):
    """`report` of a run that did not fail is the page of how it stands, without a notebook."""
    answer = cli("report", run, "-s", example, "--artifacts", tmp_path, "-f", "json").json
    assert answer == {"targetRunId": run, "report": str(tmp_path / "monitor" / f"{run}.html"), "notebook": None}
    assert words in Path(answer["report"]).read_text()
