"""Decisions and answers: one each, by whom, and what follows."""

from __future__ import annotations

import json
import threading

import pytest

from smithers_nb.engine.control import answer, decide, pending
from smithers_nb.errors import ControlRefused, ParameterError


def test_the_one_gate_that_waits_needs_no_name(runs, location) -> None:
    """A decision is kept with who, when and in what words, and the next execution is asked for with it."""
    runs.new()
    runs.gate("r1", "publish")
    said = decide(location, "r1", approved=True, by="Ann", note="fine")
    (row,) = runs.rows("_smithers_approvals")
    assert (row.status, row.decided_by, row.note, row.decided_at_ms) == ("approved", "Ann", "fine", said.said.decided_at)
    assert said.continues
    assert len(runs.rows("_smithers_nb_executions")) == 1


def test_a_decision_may_stand_alone(runs, location) -> None:
    """Without going on nothing is queued."""
    runs.new()
    runs.gate("r1", "publish")
    assert decide(location, "r1", approved=False, by="Ann", resume=False).continues is False
    assert runs.rows("_smithers_nb_executions") == []


def test_several_gates_need_a_name(runs, location, refused) -> None:
    """Of several gates one has to be named; the message lists them."""
    runs.new()
    runs.gate("r1", "a")
    runs.gate("r1", "b")
    assert "a, b" in str(refused("AMBIGUOUS", decide, location, "r1", approved=True, by="Ann"))
    assert decide(location, "r1", "b", approved=True, by="Ann").node.node_id == "b"


def test_the_first_decision_stands(runs, location, refused) -> None:
    """A second decision is told who was first; one at a place where nothing is asked is told so."""
    runs.new()
    runs.gate("r1", "publish")
    decide(location, "r1", approved=False, by="Ann")
    assert "Ann" in str(refused("ALREADY_DECIDED", decide, location, "r1", "publish", approved=True, by="Bob"))
    refused("NO_PENDING_APPROVALS", decide, location, "r1", approved=True, by="Bob")
    refused("NO_PENDING_APPROVALS", decide, location, "r1", "other", approved=True, by="Bob")


def test_two_people_at_once(runs, location) -> None:
    """Of two people who decide one gate at the same moment exactly one does, and one execution follows."""
    runs.new()
    runs.gate("r1", "publish")
    start, done = threading.Barrier(2), []

    def say(name: str, approved: bool) -> None:
        start.wait()
        try:
            done.append(decide(location, "r1", "publish", approved=approved, by=name).said.decided_by)
        except ControlRefused as error:
            done.append(error.code)

    threads = [threading.Thread(target=say, args=pair) for pair in (("Ann", True), ("Bob", False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "ALREADY_DECIDED" in done
    assert runs.rows("_smithers_approvals")[0].decided_by in done
    assert len(runs.rows("_smithers_nb_executions")) == 1


@pytest.mark.parametrize(
    ("schema", "options", "bad", "good"),
    [
        ({"type": "integer", "minimum": 1}, None, 0, 4),
        ({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, None, {}, {"n": 1}),
        (None, ["eu", "us"], "mars", "us"),
        ({"type": "string"}, None, None, "text"),
    ],
)
def test_an_answer_fits_its_question(runs, location, schema, options, bad, good) -> None:  # noqa: PLR0913, PLR0917  # a row of the table
    """An answer that does not fit is refused and nothing is written; one that does is kept."""
    runs.new()
    question = runs.question("r1", "region", schema, options)
    with pytest.raises(ParameterError) as raised:
        answer(location, question, bad, by="Ann")
    assert raised.value.hint
    assert runs.rows("_smithers_human_requests")[0].status == "pending"
    assert answer(location, question, good, by="Ann").continues
    (row,) = runs.rows("_smithers_human_requests")
    assert (row.status, json.loads(row.response_json), row.answered_by) == ("answered", good, "Ann")


def test_a_question_is_answered_once(runs, location, refused) -> None:
    """The second answer is told who was first, and a question that does not exist is none."""
    runs.new()
    question = runs.question("r1", "region")
    answer(location, question, "eu", by="Ann")
    assert "Ann" in str(refused("ALREADY_ANSWERED", answer, location, question, "us", by="Bob"))
    refused("NO_SUCH_QUESTION", answer, location, "human:x:y:0", "us", by="Bob")


def test_a_question_is_no_gate(runs, location, refused) -> None:
    """Who approves a run that asks a question is told how to answer it."""
    runs.new()
    question = runs.question("r1", "region")
    assert f"human answer {question}" in refused("NO_PENDING_APPROVALS", decide, location, "r1", approved=True, by="Ann").hint


def test_what_waits_is_listed_oldest_first(runs, location) -> None:
    """Gates and questions of every run that is not over are listed with what can be chosen."""
    runs.new("r1")
    runs.new("r2")
    runs.gate("r1", "publish")
    runs.question("r2", "region", None, ["eu", "us"])
    found = pending(location)
    assert [(item.run_id, item.kind, item.prompt, item.options) for item in found] == [
        ("r1", "gate", "publish?", ["approve", "deny"]),
        ("r2", "json", "region?", ["eu", "us"]),
    ]
    assert [item.run_id for item in pending(location, "r2")] == ["r2"]


def test_a_persons_own_kernel_sees_the_decision_itself(runs, location) -> None:
    """A run that lives in somebody's own kernel is not executed by a worker as well."""
    runs.new()
    with runs.journal.writing("r1") as connection:
        connection.exec_driver_sql("UPDATE _smithers_runs SET config_json = '{\"lab\": true}'")
    runs.execute_elsewhere("r1")
    with runs.journal.writing("r1") as connection:
        connection.exec_driver_sql("DELETE FROM _smithers_nb_executions")
        from smithers_nb.engine.journal import decisions
        from smithers_nb.engine.journal.records import Node

        decisions.request_approval(connection, Node("r1", "publish"), title="Publish?")
    assert decide(location, "r1", approved=True, by="Ann").continues is False
    assert runs.rows("_smithers_nb_executions") == []
