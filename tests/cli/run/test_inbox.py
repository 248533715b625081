"""What waits for a person, of every engine that a project has, is listed in one place with the commands that decide it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from smithers_nb.engine.journal import Journal, decisions, records
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.location import Location
from tests.cli.conftest import WAITING


@pytest.fixture
def both(own_example: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A project of Smithers with gates that wait, and a notebook run in it that asks for a region and a decision."""
    (own_example.parent / ".smithers_nb").mkdir()
    monkeypatch.chdir(own_example.parent)
    location = Location.of(own_example.parent)
    with Journal.open(location) as journal, journal.writing() as connection:
        records.create_run(connection, records.NewRun("r1", "nightly", "/p/nightly.ipynb", "hash", {}, {}))
        set_status(connection, "r1", "running")
        decisions.request_approval(connection, Node("r1", "pay", 0), title="Pay 10 EUR?", on_deny="fail")
        decisions.request_answer(connection, Node("r1", "region", 0), prompt="Where?", kind="select", schema=None, options=["eu", "us"])
        set_status(connection, "r1", "waiting-approval")
    return location


@pytest.mark.usefixtures("both")
def test_gates_and_questions_of_every_source(cli) -> None:
    """Smithers' own gates stand beside those of notebooks, with age, consequences, and the engine's own commands."""
    found = {(item["runId"], item["nodeId"]): item for item in cli("human", "inbox", "--format", "json").json}
    theirs = found[WAITING, "approve-release"]
    assert theirs["source"] == "smithers"
    assert theirs["waitedMs"] > 0
    assert theirs["consequences"] == ["Approve: the run continues", "Deny: the run fails"]
    assert shlex.split(theirs["commands"][0]) == ["bunx", "smithers-orchestrator", "approve", WAITING, "--node", "approve-release"]
    assert "--resume true" in theirs["then"][0]
    ours = found["r1", "pay"]
    assert (ours["source"], ours["consequences"][1], ours["then"]) == ("journal", "Deny: the run fails", [])
    assert ours["commands"] == ["smithers-nb approve r1 --node pay", "smithers-nb deny r1 --node pay"]
    assert found["r1", "region"]["commands"] == [f"smithers-nb human answer human:r1:region:0 --value {where}" for where in ("eu", "us")]
    page = cli("human", "inbox").out
    assert "ago" in page
    assert "Deny: the run fails" in page
    assert f"bunx smithers-orchestrator deny {WAITING} --node approve-release" in page
    only = cli("human", "inbox", WAITING, "--format", "json").json
    assert [item["runId"] for item in only] == [WAITING]


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    "line", [f"approve {WAITING}", f"deny {WAITING} --node approve-release", f"human answer {WAITING} --value eu", "approve nope"]
)
def test_another_engine_decides_by_its_own_commands(cli, line: str) -> None:
    """A decision about a run of Smithers is refused here, and the command that makes it is printed."""
    answer = cli(*line.split())
    assert answer.code == 4
    assert (f"bunx smithers-orchestrator approve {WAITING}" in answer.err) == (WAITING in line)


def test_a_question_is_answered_by_its_run_in_plain_words(cli, both: Location) -> None:
    """One question waits, so its run names it, and a choice needs no quotes of JSON."""
    assert "not one of the choices" in cli("human", "answer", "r1", "--value", "mars", "--no-continue").err
    assert cli("human", "answer", "r1", "--value", "eu", "--no-continue").code == 0
    with Journal.open(both) as journal, journal.reading() as connection:
        answer = decisions.answer_of(connection, "human:r1:region:0")
    assert answer is not None
    assert answer.value == "eu"
    assert "asks no question" in cli("human", "answer", "r1", "--value", "eu", "--no-continue").err
    assert "answered" in cli("human", "answer", "human:r1:region:0", "--value", "us", "--no-continue").err


def test_several_questions_have_to_be_named(cli, both: Location) -> None:
    """Where two questions wait, the run alone does not say which is meant; text may look like a number."""
    with Journal.open(both) as journal, journal.writing("r1") as connection:
        decisions.request_answer(connection, Node("r1", "name", 0), prompt="Who?", kind="ask", schema={"type": "string"})
    several = cli("human", "answer", "r1", "--value", "eu", "--no-continue")
    assert "asks several questions" in several.err
    assert "human:r1:name:0" in several.err
    assert cli("human", "answer", "human:r1:name:0", "--value", "…", "--no-continue").code == 4
    assert cli("human", "answer", "human:r1:name:0", "--value", "42", "--no-continue").code == 0
    with Journal.open(both) as journal, journal.reading() as connection:
        answer = decisions.answer_of(connection, "human:r1:name:0")
    assert answer is not None
    assert answer.value == "42"


def test_a_store_without_notebooks_has_an_inbox(cli, own_example: Path) -> None:
    """Without any notebook run Smithers' gates are listed all the same, and looking makes no folder."""
    found = cli("human", "inbox", "--source", own_example, "--format", "jsonl").lines
    assert WAITING in {item["runId"] for item in found}
    assert list(own_example.parent.iterdir()) == [own_example]
    shutil.rmtree(own_example.parent)
    assert cli("human", "inbox", "--source", own_example).code == 4


def test_a_decision_by_digest_counts_for_nothing_else(both: Location, cli) -> None:
    """`approve --digest` is refused when the gate asks something else than that, and decides what it names."""
    found = {item["nodeId"]: item for item in cli("human", "inbox", "--format", "json").json}
    refused = cli("approve", "r1", "--node", "pay", "--no-continue", "--digest", "0" * 64)
    assert (refused.code, "REQUEST_CHANGED" in refused.err) == (4, True)
    assert cli("approve", "r1", "--node", "pay", "--no-continue", "--digest", found["pay"]["digest"]).code == 0
    with Journal.open(both) as journal, journal.reading() as connection:
        assert decisions.decision_of(connection, Node("r1", "pay", 0)) is not None
