"""The autopsy of one of our own runs is the ordinary autopsy: real notebooks, really failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smithers_nb._version import __version__
from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal, records, schema, status
from smithers_nb.engine.location import Location
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy import stages
from smithers_nb.workflows.autopsy.stages import run_autopsy
from smithers_nb.workflows.autopsy.why import explain
from tests.support.durable import Project

EDIT, FIX, RETRY = "edit-workflow-and-reset", "fix-environment", "retry"
HELPERS = """
def total(order):
    # the sum of its lines
    return sum(line["price"] for line in order["lines"])
"""
STAGE = "from smithers_nb.engine.stages import ask, gate, stage\nimport sys; sys.path.insert(0, '.')\nimport helpers\n"
CELLS = [
    ("x = 1\n\nz = x + yy", "workflow-bug", EDIT, "NameError: name 'yy' is not defined", "cell 2 line 3", "z = x + yy"),
    ("import nothing_of_this_name", "environment", FIX, "No module named 'nothing_of_this_name'", "cell 2 line 1", "import nothing_of"),
    ("open('data/orders.csv')", "environment", FIX, "data/orders.csv", "cell 2 line 1", "open('data/orders.csv')"),
    ("import os\nos.environ['SHOP_TOKEN']", "environment", FIX, "environment variable that the code reads", "cell 2 line 2", "os.environ["),
    (
        "import urllib.request as u\nu.urlopen('http://127.0.0.1:9/x')",
        "environment",
        FIX,
        "Connection refused",
        "cell 2 line 2",
        "u.urlopen(",
    ),
    ("raise TimeoutError('timed out')", "environment", RETRY, "gave no answer in time", "cell 2 line 1", "raise TimeoutError"),
    ("import json\njson.loads('{')", "workflow-bug", EDIT, "not valid JSON", "cell 2 line 2", "json.loads('{')"),
    ("raise OSError(28, 'No space left on device', '/d')", "environment", FIX, "out of disk space", "cell 2 line 1", "raise OSError(28"),
    ("bytearray(10 ** 18)", "environment", FIX, "ran out of memory", "cell 2 line 1", "bytearray("),
    ("import sys\nsys.exit(2)", "workflow-bug", EDIT, "ends itself", "", ""),
    ("import os\nos.kill(os.getpid(), 9)", "environment", FIX, "killed by signal 9 (SIGKILL)", "", ""),
    (
        f"{STAGE}stage('sum', lambda: helpers.total({{}}))",
        "workflow-bug",
        EDIT,
        "Stage sum failed: KeyError: 'lines'",
        "helpers.py:4",
        "return sum(",
    ),
    (f"{STAGE}stage('sum', lambda: 'many', schema=int)", "workflow-bug", EDIT, "INVALID_OUTPUT", "", ""),
    (
        "try:\n    {}['user']\nexcept KeyError as e:\n    raise RuntimeError('no report') from e",
        "workflow-bug",
        EDIT,
        "caused by KeyError",
        "cell 2",
        "",
    ),
]


@pytest.fixture
def project(tmp_path):
    """Make a project with a module of its own."""
    (tmp_path / "helpers.py").write_text(HELPERS)
    return Project(Location.of(tmp_path))


def failed(project, cell, **options):
    """Run a notebook whose second cell fails, and give its run id."""
    run_id = project.submit(cell, **options)
    assert project.execute(run_id).status == "failed"
    return run_id


@pytest.mark.parametrize("case", CELLS, ids=[cell[3] for cell in CELLS])
def test_a_failed_notebook(project, case):
    """Class, suggestion and cause are right, the line that threw is quoted, and the one command is ours."""
    cell, whose, suggestion, said, where, line = case
    run_id = failed(project, cell)
    verdict = run_autopsy(project.root, run_id)
    assert (verdict.failure_class, verdict.suggestion) == (whose, suggestion)
    assert verdict.confidence in {"high", "medium"}
    assert said in verdict.root_cause or said in verdict.root_cause.replace("The", "the")
    accept = " --accept-workflow-change" if suggestion == EDIT else ""
    assert verdict.commands == (f"smithers-nb resume {run_id}{accept}",)
    assert f"Run the commands in {project.root}." in verdict.suggestion_detail
    assert verdict.defects == verdict.problems == ()
    assert "also failed" not in verdict.root_cause
    assert "failed as well" not in verdict.root_cause
    sources = {evidence.ref: evidence.quote for evidence in verdict.evidence if evidence.ref.startswith("source:")}
    assert bool(sources) is bool(where)
    for ref, quote in sources.items():
        assert ref.startswith("source:job.ipynb ") or ref == f"source:{where}"
        assert where in ref
        assert line in quote


def test_a_cell_that_takes_too_long(project):
    """A time limit is the author's, and the advice is to edit."""
    verdict = run_autopsy(project.root, failed(project, "import time\ntime.sleep(60)", cell_timeout_s=1.0))
    assert (verdict.failure_class, verdict.suggestion) == ("workflow-bug", EDIT)
    assert "time limit" in verdict.root_cause


def test_a_denied_gate_that_ends_the_run(project):
    """A person's no is a decision, not a fault of the cell that passed it on."""
    run_id = project.submit(f"{STAGE}gate('publish', 'Publish?', on_deny='fail')")
    assert project.execute(run_id).status == "waiting-approval"
    control.decide(project.location, run_id, "publish", approved=False, by="ann", note="not today")
    assert project.execute(run_id).status == "failed"
    verdict = run_autopsy(project.root, run_id)
    assert (verdict.failure_class, verdict.suggestion) == ("unknown", "escalate")
    assert "denied by ann with the note: not today" in verdict.root_cause
    assert verdict.commands == (f"smithers-nb inspect {run_id}",)


@pytest.mark.parametrize(
    ("call", "lines", "instead"),
    [
        ("gate('publish', 'Publish?')", ["approve {} --node publish"], ["deny {} --node publish"]),
        ("ask('region', 'Where?', options=['eu', 'us'])", ["human answer human:{}:region:0 --value '…'"], []),
    ],
)
def test_what_a_parked_run_waits_for(project, call, lines, instead):
    """A gate or a question is one blocker, the cell around it none, and nobody has to resume the run afterwards."""
    run_id = project.submit(STAGE + call)
    assert project.execute(run_id).status.startswith("waiting-")
    with Journal.open(project.location) as journal, journal.reading() as connection:
        now = connection.execute(schema.runs.select()).one().heartbeat_at_ms
    (blocker,) = explain(Snapshot(open_source(project.root), run_id), now=now).blockers
    assert list(blocker.commands) == [f"smithers-nb {line.format(run_id)}" for line in lines]
    assert list(blocker.alternatives) == [f"smithers-nb {line.format(run_id)}" for line in instead]


def test_a_run_that_waits_for_a_worker(project):
    """A run that nobody has begun is neither lost nor stuck: it waits, and the command starts a worker."""
    run_id = project.submit("1")
    seen = Snapshot(open_source(project.root), run_id)
    why = explain(seen, now=seen.run.created_at or 0)
    assert why.summary == "waits for a worker"
    assert [blocker.commands for blocker in why.blockers] == [("smithers-nb worker --until-idle",)]


def test_a_run_that_may_not_go_on_with_an_edited_notebook(project):
    """The pause says what was edited, and the command goes through."""
    run_id = project.submit("1")
    reason = FailureReason(
        code="RESUME_METADATA_MISMATCH", message="the workflow was edited since the run began: cell step-1", source="engine"
    )
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        status.set_status(connection, run_id, "paused", reason)
    seen = Snapshot(open_source(project.root), run_id)
    why = explain(seen, now=seen.run.created_at or 0)
    assert why.summary == reason.message
    (blocker,) = why.blockers
    assert "cell step-1" in blocker.reason
    assert blocker.commands == (f"smithers-nb resume {run_id} --accept-workflow-change",)


@pytest.mark.slow
def test_a_failed_retry_is_not_suggested_again(project):
    """Where a resume is how a retry is carried out, one that did not help is a retry that did not."""
    run_id = failed(project, "raise ConnectionResetError(104, 'Connection reset by peer')")
    assert run_autopsy(project.root, run_id).suggestion == RETRY
    with Journal.open(project.location) as journal:
        again(journal, run_id)
    assert run_autopsy(project.root, run_id).suggestion == "escalate"


def again(journal, run_id):
    """Write that the run was resumed and failed in the same way."""
    node = records.Node(run_id, "step-1")
    reason = FailureReason(code="ConnectionResetError", message="[Errno 104] Connection reset by peer", source="node:step-1")
    with journal.writing(run_id) as connection:
        status.set_status(connection, run_id, "running")
        records.fail_attempt(connection, node, records.start_attempt(connection, node, kind="cell"), reason)
        status.set_status(connection, run_id, "failed", reason)


def test_an_engine_that_is_silent_between_stages_is_no_zombie(project):
    """Code of a notebook may work for any time without a record; no detector made for Smithers cries wolf."""
    run_id = project.submit("1")
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        status.set_status(connection, run_id, "running")
        later = records.now_ms() + 600_000
        connection.execute(schema.runs.update().values(heartbeat_at_ms=later, runtime_owner_id="pid:1:a"))
    why = explain(Snapshot(open_source(project.root), run_id), now=later)
    assert why.blockers == ()
    assert why.defects == ()


def test_the_verdict_has_the_versions(tmp_path, journal_runs):
    """What a run of ours was started with is in its verdict; nobody would be asked to report it to the makers of Smithers."""
    location = Location.of(tmp_path)
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "new", versions={"engine": "smithers-nb 0.0.1", "python": "3.12.1"})
        journal_runs.write_run(journal, "old")
    gathered = stages.gather("new", str(tmp_path))
    found = stages.investigate(gathered)
    row = stages.verdict(found, stages.bug_gate(found, gathered)).as_json()
    assert row["versions"] == {
        "engine": "smithers-nb 0.0.1",
        "python": "3.12.1",
        "autopsy": f"smithers-nb {__version__}",
    }
    assert stages.investigate(stages.gather("old", str(tmp_path))).versions["engine"] == "smithers-nb"
    suspected = replace(found, classification=replace(found.classification, failure_class="smithers-bug"))
    card = stages.bug_gate(suspected, gathered)
    assert not card.needed
    assert "run of smithers-nb 0.0.1" in card.reason
