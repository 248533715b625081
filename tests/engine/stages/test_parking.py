"""Once an execution has parked nothing more begins in it, and a decision counts for what was asked."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress

import pytest
import sqlalchemy as sa

from smithers_nb.engine import control
from smithers_nb.engine.journal.schema import approvals, events, nodes, requests
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages import Parked, ask, context, gate, stage
from smithers_nb.errors import ControlRefused, ParameterError
from tests.engine.stages.test_stages import RUN, Run
from tests.support.durable import Project, effect


@pytest.fixture(params=["sqlite", "postgres"])
def run(request, tmp_path, monkeypatch):
    """A run in its first execution, once in a file and once in Postgres."""
    database = request.getfixturevalue("postgres") if request.param == "postgres" else None
    begun = Run(Location.of(tmp_path, database=database), monkeypatch)
    yield begun
    begun.journal.close()


def caught_bare():
    try:  # noqa: SIM105  # what a notebook may do
        gate("ship", "Ship?")
    except:  # noqa: E722
        pass


def caught_by_suppress():
    with suppress(BaseException):
        gate("ship", "Ship?")


def in_a_thread():
    thread = threading.Thread(target=caught_bare)
    thread.start()
    thread.join()


def in_a_task():
    async def ship():
        gate("ship", "Ship?")

    async def both():
        return await asyncio.gather(ship(), return_exceptions=True)

    (result,) = asyncio.run(both())
    assert isinstance(result, Parked)


@pytest.mark.parametrize("way", [caught_bare, caught_by_suppress, in_a_thread, in_a_task])
def test_nothing_begins_behind_an_undecided_gate(run, way):
    """However the exception of a gate was caught, each later call of the execution raises it again, in any thread, and leaves no row."""
    way()
    done = []
    calls = (lambda: stage("pay", done.append, 1), lambda: gate("other", "Other?"), lambda: ask("who", "Who?"))
    for call in calls:
        with pytest.raises(Parked) as raised:
            call()
        assert raised.value.node_id == "ship"
    seen = []

    def pays():
        with pytest.raises(Parked) as raised:
            stage("pay", done.append, 1)
        seen.append(raised.value)

    thread = threading.Thread(target=pays)
    thread.start()
    thread.join()
    assert (len(seen), done, [row.node_id for row in run.rows(nodes)]) == (1, [], ["ship"])
    run.decide("ship")
    with pytest.raises(Parked):  # this execution has parked, whatever was decided since
        stage("pay", done.append, 1)
    run.again()
    assert gate("ship", "Ship?").approved
    stage("pay", done.append, 1)
    assert done == [1]


def test_by_hand_nothing_begins_behind_a_gate_until_it_is_decided(tmp_path, monkeypatch):
    """In a person's kernel what is kept can be read, nothing new begins, and their decision lets it go on."""
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(context, "_by_hand", {})
    stage("load", lambda: 1)
    caught_bare()
    with pytest.raises(Parked):
        stage("pay", lambda: 2)
    assert stage("load", lambda: 3) == 1
    lab = context.lab_run()
    control.decide(Location.of(tmp_path), lab.run_id, "ship", approved=True, by="ann")
    assert stage("pay", lambda: 2) == 2
    lab.over.set()
    lab.journal.close()


def pay(amount, **options):
    return gate("pay", f"Pay {amount} EUR?", "To the supplier.", {"amount": amount, "at": object()}, **options)


def test_an_approval_counts_for_what_was_approved(run):
    """Another amount under the same id is asked again with both versions, the first decision stays on record, and the log says why."""
    with pytest.raises(Parked):
        pay(10)
    run.decide("pay", note="fine")
    run.again()
    with pytest.raises(Parked):
        pay(1_000_000)
    (asked,) = control.pending(run.location)
    assert (asked.prompt, asked.details["amount"]) == ("Pay 1000000 EUR?", 1_000_000)
    assert (asked.earlier.said, asked.earlier.by, asked.earlier.note) == ("approved", "ann@here", "fine")
    assert [tuple(change) for change in asked.changes] == [
        ("title", "Pay 10 EUR?", "Pay 1000000 EUR?"),
        ("details.amount", 10, 1_000_000),
    ]
    told = [json.loads(row.payload_json) for row in run.rows(events) if row.type == "ApprovalRequested"]
    assert told[-1]["reason"].startswith('it asks something else now: title: "Pay 10 EUR?" → "Pay 1000000 EUR?"')
    assert told[-1]["withdrawn"]["by"] == "ann@here"
    assert run.state("pay") == "waiting-approval"
    run.decide("pay", approved=False)
    run.again()
    assert not pay(1_000_000).approved
    run.again()
    with pytest.raises(Parked):  # the old approval does not come back
        pay(10)


def test_an_open_request_shows_its_newest_text(run):
    """What nobody has decided yet is shown as it is asked now, and who saw the older text cannot decide it."""
    with pytest.raises(Parked):
        pay(10)
    (old,) = control.pending(run.location)
    run.again()
    with pytest.raises(Parked):
        pay(20)
    (new,) = control.pending(run.location)
    assert (new.prompt, new.earlier) == ("Pay 20 EUR?", None)
    with pytest.raises(ControlRefused) as refused:
        control.decide(run.location, RUN, "pay", approved=True, by="ann", seen=old.digest)
    assert refused.value.code == "REQUEST_CHANGED"
    control.decide(run.location, RUN, "pay", approved=True, by="ann", seen=new.digest)
    run.again()
    assert pay(20).approved


def test_a_volatile_detail_is_shown_and_not_bound(run):
    """A time that differs in each execution asks nobody twice once it is declared so."""
    for at in (1, 2):
        with pytest.raises(Parked):
            gate("ship", "Ship?", details={"at": at, "rows": 3}, volatile=["at"])
        run.again()
    (asked,) = control.pending(run.location)
    assert asked.details == {"at": 2, "rows": 3}
    run.decide("ship")
    run.again()
    assert gate("ship", "Ship?", details={"at": 3, "rows": 3}, volatile=["at"]).approved
    run.again()
    with pytest.raises(Parked):
        gate("ship", "Ship?", details={"at": 3, "rows": 4}, volatile=["at"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Really delete everything in staging?",), ("Really delete everything in production?",)),
        (("Where?", None, ["eu", "us"]), ("Where?", None, ["eu", "moon"])),
        (("How many?", int), ("How many?", str)),
    ],
)
def test_an_answer_counts_for_its_question(run, first, second):
    """Another prompt, other options or another type are asked again, with the old answer beside them."""
    answer = "eu" if len(first) == 3 else 3 if first[1:] == (int,) else "yes"
    with pytest.raises(Parked) as parked:
        ask("q", *first)
    request_id = parked.value.request["request_id"]
    control.answer(run.location, request_id, answer, by="ann")
    run.again()
    assert ask("q", *first) == answer
    run.again()
    with pytest.raises(Parked):
        ask("q", *second)
    (asked,) = control.pending(run.location)
    assert (asked.prompt, asked.earlier.said) == (second[0], answer)
    assert {change.name for change in asked.changes} == {"options" if len(first) == 3 else "schema" if first[1:] == (int,) else "prompt"}


def test_what_an_older_version_asked_is_compared_by_its_text(run):
    """A decision from before requests were kept counts for the same text, and for no other."""
    with pytest.raises(Parked):
        gate("ship", "Ship?", "Now.", {"rows": 3})
    run.decide("ship")
    with run.journal.writing() as connection:
        connection.execute(requests.delete())
    run.again()
    assert gate("ship", "Ship?", "Now.", {"rows": 3}).approved
    run.again()
    with pytest.raises(Parked):
        gate("ship", "Ship?", "Now.", {"rows": 4})
    with run.journal.reading() as connection:
        assert connection.execute(sa.select(approvals.c.status)).scalar_one() == "requested"


@pytest.mark.usefixtures("run")
def test_a_stage_that_is_tried_again_may_use_its_ids_again():
    """A retry of a stage begins anew, with the stages within it; the same id in two places is still an error."""
    tries = []

    def outer():
        stage("inner", tries.append, 1)
        if len(tries) < 2 and not tries.append(2):
            raise OSError
        return len(tries)

    assert stage("outer", outer, retries=1, wait_s=0) == 2
    with pytest.raises(ParameterError, match="used twice"):
        stage("inner", tries.append, 1)


_CATCH = "from smithers_nb import gate, stage\nimport threading, os, sys\n"
_CELLS = {
    "bare": "try:\n    gate('ship', 'Ship?')\nexcept:\n    pass",
    "thread": "thread = threading.Thread(target=gate, args=('ship', 'Ship?'))\nthread.start(); thread.join()",
    "another error": "try:\n    gate('ship', 'Ship?')\nexcept BaseException:\n    {}['missing']",
    "exit": "try:\n    gate('ship', 'Ship?')\nexcept BaseException:\n    sys.exit(0)",
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", _CELLS.values(), ids=_CELLS)
def test_no_cell_begins_behind_an_undecided_gate(tmp_path, cell):
    """A notebook that catches its gate waits there all the same, and its next cell has not begun."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(_CATCH + cell, effect("never"))
    outcome = project.execute(run_id)
    assert (outcome.status, outcome.reason, project.lines()) == ("waiting-approval", None, [])
    assert project.states(run_id) == {"parameters": "finished", "step-1": "waiting-approval", "ship": "waiting-approval"}
    assert "KeyError" not in outcome.notebook.read_text()
    control.decide(project.location, run_id, approved=True, by="ann")
    assert project.execute(run_id).status == "finished"
    assert project.lines() == ["never"]


@pytest.mark.slow
def test_a_kernel_that_dies_after_its_gate_leaves_no_gate_waiting(tmp_path):
    """The run has failed, so nobody is asked any more; when it is executed again the gate waits again."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(f"{_CATCH}try:\n    gate('ship', 'Ship?')\nexcept BaseException:\n    os.path.exists('alive') or os._exit(0)")
    assert project.execute(run_id).status == "failed"
    assert project.states(run_id)["ship"] == "cancelled"
    assert control.pending(project.location) == []
    (project.root / "alive").touch()
    assert project.execute(run_id).status == "waiting-approval"
    assert project.states(run_id)["ship"] == "waiting-approval"


_ELSEWHERE = {
    "a fork": "if os.fork() == 0:\n    try:\n        gate('ship', 'Ship?')\n    finally:\n        os._exit(0)\nos.wait()",
    "a program": "import subprocess\nsubprocess.run([sys.executable, '-c', 'import smithers_nb; smithers_nb.gate(\"ship\", \"Ship?\")'])",
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", _ELSEWHERE.values(), ids=_ELSEWHERE)
def test_a_gate_refused_in_another_process_fails_the_cell(tmp_path, cell):
    """The kernel does not see what another process raises; its cell fails all the same, and the next one has not begun."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(_CATCH + cell, effect("never"))
    outcome = project.execute(run_id)
    assert (outcome.status, project.lines()) == ("failed", [])
    assert "cannot be called in" in outcome.reason.message
    assert project.states(run_id)["step-1"] == "failed"
