"""The durable autopsy: steps that can be kept, and a person between a suspicion and a report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import Node, read_output
from smithers_nb.engine.journal.schema import approvals, runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages.codec import Shape
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy import durable
from smithers_nb.workflows.autopsy.results import GateCard, Gathered, Investigation, ReportRow
from smithers_nb.workflows.pack.install import install
from smithers_nb.workflows.triggers import launch
from smithers_nb.workflows.triggers.watch import Watcher

SUSPECTED = "prod-rollout"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Let nothing be opted out of, and wait for what a test has launched."""
    monkeypatch.delenv("SMITHERS_POST_FAILURE", raising=False)
    yield
    for child in launch._started:
        with suppress(ProcessLookupError):
            child.kill()
        child.wait()


@pytest.mark.parametrize("name", [SUSPECTED, "agent-login", "retry-task", "order-intake", "masked-abort", "vendor-sync"])
def test_steps_can_be_kept(store, name):
    """What each step gives is the same after it was kept as JSON, so a later execution goes on with what an earlier one found."""
    location = store(name)
    gathered = durable.gather(open_source(location).run_ids()[0], str(location))
    found = durable.investigate(gathered, "internal")
    card = durable.bug_gate(found, gathered)
    for schema, step in ((Gathered, gathered), (Investigation, found), (GateCard, card)):
        shape = Shape(schema)
        row, again = shape.keep(step)
        assert again == shape.unpack(row) == step
    row = durable._with_report(durable.verdict(found, card, durable.report_bug(card, gathered)))
    shape = Shape(durable.PostFailureRow)
    kept, again = shape.keep(row)
    assert again == shape.unpack(kept) == row


def test_where_nobody_is_asked_nothing_is_sent(store, endpoint, tmp_path, monkeypatch):
    """Outside a run of the journal the steps just look: no journal is made, nothing is sent, and the card says how to send it by hand."""
    monkeypatch.chdir(tmp_path)
    location = store(SUSPECTED)
    gathered = durable.gather(open_source(location).run_ids()[0], str(location))
    found = durable.investigate(gathered, "internal")
    card = durable.bug_gate(found, gathered)
    report = durable.report_bug(card, gathered)
    row = durable.verdict(found, card, report)
    assert (card.needed, report.filed, row.bug_filed, endpoint.requests) == (True, False, False, [])
    assert report.command.startswith(f"smithers-nb bug --run {gathered.target_run_id} --source ")
    assert report.command in report.card().text
    assert not any(path.name == ".smithers_nb" for path in tmp_path.rglob("*"))


def test_nothing_suspected_nothing_asked(store):
    """An ordinary failure has no report, and the row says so."""
    location = store("invoice-rollup")
    gathered = durable.gather(open_source(location).run_ids()[0], str(location))
    card = durable.bug_gate(durable.investigate(gathered, "internal"), gathered)
    assert durable.report_bug(card, gathered) == ReportRow(filed=False, detail="There is nothing to report.")


class Autopsy:
    """A real autopsy of a suspected bug, launched by a watcher."""

    def __init__(self, folder):
        self.location = Location.of(folder)
        install(self.location)
        (seen,) = Watcher(self.location, folder, since_ms=0).look()
        self.target, self.run_id = seen.run_id, seen.autopsy_run_id
        self.report = folder / "artifacts" / "autopsy" / f"{self.target}.html"

    def status(self):
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return connection.execute(sa.select(runs.c.status).where(runs.c.run_id == self.run_id)).scalar()

    def output(self, node_id):
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return read_output(connection, Node(self.run_id, node_id))

    def asked(self):
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return connection.execute(sa.select(approvals.c.request_json)).scalar()

    def page(self):
        """Read the report of the verdict; it is there only when there is one."""
        return self.report.read_text() if self.report.exists() else ""

    def wait(self, condition):
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, self.status()
            time.sleep(0.1)


@pytest.fixture
def autopsy(store, endpoint):  # noqa: ARG001  # the address is in the environment of what is launched
    """Launch one, and wait until it asks."""
    found = Autopsy(store(SUSPECTED).parent)
    assert launch._started[-1].wait(60) == 3
    return found


def decide(autopsy, word, *options):
    """Decide on the command line, as a person does."""
    command = [sys.executable, "-m", "smithers_nb", word, autopsy.run_id, *options]
    done = subprocess.run(command, cwd=autopsy.location.root, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_approved_it_is_filed(autopsy, endpoint):
    """After an approval a worker sends exactly what was shown, once; verdict row and report have the id and the address of the bug."""
    proposed = autopsy.output("propose-bug-report")["payload"]
    decide(autopsy, "approve", "--note", "please do")
    autopsy.wait(lambda: autopsy.status() == "finished")
    assert [request.json for request in endpoint.requests] == [proposed]
    assert autopsy.output("report-bug")["filed"] is True
    row = autopsy.output("output")
    assert (row["bugFiled"], row["bugId"], row["bugUrl"]) == (True, "bug-7", "https://bug.example/7")
    autopsy.wait(lambda: "https://bug.example/7" in autopsy.page())
    assert os.fspath(autopsy.report) == row["report"]


@pytest.mark.slow
def test_denied_nothing_is_sent(autopsy, endpoint):
    """The run parks at the gate with its report so far; denied, the verdict is kept and nothing has left the machine."""
    assert (autopsy.status(), autopsy.output("output"), endpoint.requests) == ("waiting-approval", None, [])
    assert endpoint.url in autopsy.asked()
    assert not autopsy.report.exists()  # that is for a report with a verdict
    page = autopsy.report.with_name(f"{autopsy.run_id}.html").read_text()
    assert "The engine itself is suspected" in page
    assert f"smithers-nb approve {autopsy.run_id}" in page
    decide(autopsy, "deny", "--by", "ann", "--note", "not <ours>")
    autopsy.wait(lambda: autopsy.status() == "finished")
    row = autopsy.output("output")
    assert (row["failureClass"], row["bugFiled"], row["bugId"], endpoint.requests) == ("smithers-bug", False, None, [])
    assert autopsy.output("report-bug") is None
    autopsy.wait(lambda: "ann decided to send nothing: not &lt;ours&gt;" in autopsy.page())


@pytest.mark.slow
def test_killed_while_it_sends(autopsy, endpoint):
    """A process that dies while the report is on its way: the next execution does not send it again, and says that it is not known."""
    endpoint.manner = "hang"
    decide(autopsy, "approve", "--no-continue")
    going_on = [sys.executable, "-m", "smithers_nb", "resume", autopsy.run_id]
    with subprocess.Popen(going_on, cwd=autopsy.location.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sending:
        autopsy.wait(lambda: endpoint.requests)
        sending.kill()
    endpoint.manner = "answer"
    again = subprocess.run(going_on, cwd=autopsy.location.root, capture_output=True, timeout=90, check=False)
    assert again.returncode == 0, again.stderr
    report, row = autopsy.output("report-bug"), autopsy.output("output")
    assert (len(endpoint.requests), report["filed"], row["bugFiled"]) == (1, False, False)
    assert "not known" in report["detail"]
    assert report["command"].startswith("smithers-nb bug --run ")
