"""What a monitor may do by itself: three kinds of repair, written as exactly one command each, and given up when they do nothing."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pytest

from smithers_nb.diagnosis.advice.suggest import input_of
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.signals import waiting_properties
from smithers_nb.errors import ControlRefused
from smithers_nb.model.rows import OutputRow
from smithers_nb.resources import example_store
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor.repairs import action_of, arguments, repair_of, tried_in_vain
from smithers_nb.workflows.monitor.results import FixRow, Repair
from smithers_nb.workflows.monitor.stages import approve_fix, fix, look

KILLED, KILLED_AT = "etl-2026-11-20", 1795179999000
RESUME = Repair(kind="resume", node_id="transform", reason="", command="")
RETRY = Repair(kind="retry-task", node_id="review", iteration=2, reason="", command="")


@pytest.fixture
def case(corpus_store, corpus):
    """Return a run of the corpus as a case, at the moment of its label, after SQL on a private copy."""

    def look(name, *statements, run_id=None):
        label = json.loads((corpus / "smithers" / name / "label.json").read_text())
        store = corpus_store(name)
        connection = sqlite3.connect(store)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return Case(Snapshot(open_source(store), run_id or label["run_id"]), label["as_of_ms"])

    return look


def of(case):
    """Ask for the repair of a case."""
    return repair_of(case, explain(case.snapshot, now=case.now))


def test_a_run_whose_process_is_gone_is_resumed(case):
    """A killed engine is a resume, named after the task that was interrupted."""
    repair = of(case("d45"))
    assert (repair.kind, repair.node_id) == ("resume", "transform")
    assert repair.command.endswith("--resume true")


def test_a_task_that_failed_by_chance_gets_a_new_attempt(case):
    """A 503 of a provider is a retry of that one task."""
    repair = of(case("d29"))
    assert repair.kind == "retry-task"
    assert repair.node_id in repair.command


@pytest.mark.parametrize(
    "name",
    ["d01", "d15", "d37", "d40", "d46", "d48", "d50", "d52", "d53", "d57", "d59", "d67", "d74", "d44"],
    ids=lambda name: name,
)
def test_whatever_a_person_has_to_decide_is_left_alone(case, name):
    """Bugs, environments, gates, questions, signals, pauses, rewinds, cancels and healthy runs have no repair."""
    assert of(case(name)) is None


def test_a_cancel_that_was_asked_for_is_not_undone(case):
    """A run that somebody wanted to stop is not resumed, although its process is gone."""
    assert of(case("d45", "update _smithers_runs set cancel_requested_at_ms = 1795179000000")) is None


@pytest.mark.parametrize(("repair", "words"), [(RESUME, ["--resume", "true"]), (RETRY, ["--node-id", "review", "--iteration", "2"])])
def test_a_repair_is_exactly_one_command(repair, words):
    """The arguments are the verb, the file, the run and what belongs to the kind."""
    found = arguments(repair, run_id="r1", workflow_path="/p/w.tsx")
    assert found == [found[0], "/p/w.tsx", "--run-id", "r1", *words]
    assert found[0] == {"resume": "up", "retry-task": "retry-task"}[repair.kind]


@pytest.mark.parametrize("kind", ["approve", "deny", "cancel", "signal", "rewind", "human", "fork", "up --force", "retry-task --force", ""])
def test_no_other_verb_gets_through(kind):
    """Whatever is called a repair, only the two kinds become a command."""
    with pytest.raises(ControlRefused) as refused:
        arguments(replace(RESUME, kind=kind), run_id="r1", workflow_path="w.tsx")
    assert refused.value.code == "NOT_ALLOWED"


@pytest.mark.parametrize(
    ("repair", "run_id", "path"),
    [
        (RESUME, "--force", "w.tsx"),
        (RESUME, "r1", "--accept-workflow-change"),
        (RESUME, "", "w.tsx"),
        (RESUME, "r1\n--force", "w.tsx"),
        (replace(RETRY, node_id="--force"), "r1", "w.tsx"),
        (replace(RETRY, node_id=None), "r1", "w.tsx"),
        (replace(RETRY, node_id="a\x00b"), "r1", "w.tsx"),
    ],
)
def test_an_id_never_becomes_an_option(repair, run_id, path):
    """Hostile ids and paths are refused, not quoted."""
    with pytest.raises(ControlRefused):
        arguments(repair, run_id=run_id, workflow_path=path)


def test_the_command_has_no_template_of_an_id_filled_in():
    """Braces in an id are text."""
    assert arguments(RESUME, run_id="{path}", workflow_path="w.tsx")[3] == "{path}"


def test_a_repair_that_did_nothing_twice_is_given_up(case):
    """Two earlier fixes without effect open the breaker for this action; another one, or a helpful one between, does not."""
    seen = case("d45")
    repair = of(seen)
    vain = FixRow(applied=True, summary="", action=action_of(repair), health_after="stuck")
    helped = replace(vain, resumed=True, health_after="healthy")
    other = replace(vain, action="retry-task load#0")
    assert "2 times" in tried_in_vain(seen, repair, [vain, vain])
    assert [tried_in_vain(seen, repair, rows) for rows in ([vain], [vain, helped, vain], [other, other])] == ["", "", ""]


def test_the_log_of_the_run_counts_as_well(case):
    """Two restarts after which nothing was finished are enough, whoever made them; a finished task starts the count anew."""
    restart = (
        "insert into _smithers_events (run_id, seq, timestamp_ms, type, payload_json) "
        f"select '{KILLED}', max(seq) + 1, {KILLED_AT}, '%s', '{{}}' from _smithers_events"
    )
    again = restart % "RunStarted"
    seen = case("d45", again, again)
    assert tried_in_vain(seen, of(seen))
    seen = case("d45", again, again, restart % "NodeFinished")
    assert not tried_in_vain(seen, of(seen))


@pytest.fixture
def synced(tmp_path):
    """Return the case of a run of the example store that failed on an input which its last good run did not have, after SQL on a copy."""

    def look(*statements):
        store = tmp_path / "smithers.db"
        store.write_bytes(example_store().read_bytes())
        connection = sqlite3.connect(store)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        source = open_source(store)
        wrong = [row.run_id for row in source.rows(OutputRow, only={"node_id": ["input"]}) if '"legacy"' in (row.row or "")]
        return Case(Snapshot(source, wrong[0]), 1795181301665)

    return look


def test_a_wrong_input_is_corrected_from_the_last_good_run(synced):
    """The fresh run gets the failed run's input with the one field as the last good run had it; nobody starts it without asking."""
    seen = synced()
    repair = of(seen)
    assert (repair.kind, repair.before, repair.after) == ("fresh-run", {"source": "legacy"}, {"source": "api"})
    assert repair.always_asks
    assert repair.input == {**input_of(seen.snapshot), "source": "api"}
    assert repair.basis.startswith("the last good run, order-sync-")
    found = arguments(repair, run_id=seen.run.run_id, workflow_path="/p/w.tsx")
    assert found[:6] == ["up", "/p/w.tsx", "--run-id", repair.new_run_id, "--parent-run-id", seen.run.run_id]
    assert json.loads(found[7]) == repair.input


@pytest.mark.parametrize(
    "statement",
    [
        "insert into _smithers_runs (run_id, workflow_name, status, created_at_ms) values ('{new}', 'order-sync', 'failed', 1)",
        "update _smithers_runs set parent_run_id = 'order-sync-001' where run_id = '{run}'",
        "update input set day = 'ghp_0123456789abcdefghijklmnopqrstuvwxyzAB' where run_id = '{run}'",
    ],
    ids=["started before", "launched by another run", "a secret in the input"],
)
def test_a_correction_is_not_started_twice_nor_with_a_secret(synced, statement):
    """A fresh run that is there already, a run of another run and an input with a secret have no correction."""
    first = synced()
    repair = of(first)
    again = synced(statement.format(new=repair.new_run_id, run=first.run.run_id))
    assert of(again) is None or of(again).kind != "fresh-run"


def test_nobody_agrees_to_a_corrected_input_in_advance(synced):
    """Outside of a durable run, where nobody can be asked, a correction is not made, also where repairs need no approval."""
    seen = synced()
    gathered, found = look(seen.run.run_id, seen.snapshot.source.location, now=seen.now)
    assert approve_fix(found, autofix=True, require_approval=False) is None
    row = fix(found, gathered, None, source=seen.snapshot.source.location, autofix=True, require_approval=False)
    assert not row.applied
    assert "needs a person's approval" in row.summary


NOTE = (
    "insert into _smithers_approvals (run_id, node_id, iteration, status, requested_at_ms, decided_at_ms, note, decided_by) "
    "values ('{run}', '{node}', 0, 'approved', 1, 2, '{words}', 'rev')"
)
ANSWER = (
    "insert into _smithers_human_requests (request_id, run_id, node_id, kind, status, prompt, response_json, requested_at_ms, answered_by) "
    "values ('q', '{run}', '{node}', 'ask', 'answered', 'Which?', '{words}', 1, 'rev')"
)
SIGNAL = (
    "insert into _smithers_signals (run_id, seq, signal_name, payload_json, received_at_ms, received_by) "
    "values ('{run}', 900, '{node}', '{words}', 1, 'rev')"
)


@pytest.mark.parametrize(
    ("statement", "words", "whose"),
    [
        (NOTE, "source should be `mirror`, the other one is gone", "the note of rev at `ask-ops`"),
        (NOTE, "The source must be mirror-2.", "the note of rev at `ask-ops`"),
        (ANSWER, '"source should have been ""mirror"""', "the answer of rev to `ask-ops`"),
        (ANSWER, '{"input": {"source": "mirror"}}', "the answer of rev to `ask-ops`"),
        (SIGNAL, '{"input": {"source": "mirror"}}', "the signal ask-ops of rev"),
    ],
)
def test_a_persons_own_words_correct_an_input(synced, statement, words, whose):
    """What somebody answered, noted or sent goes before the last good run, with whose words they are; it always asks."""
    run_id = synced().run.run_id
    seen = synced(statement.format(run=run_id, node="ask-ops", words=words.replace('""', '\\"')))
    repair = of(seen)
    assert (repair.kind, repair.before) == ("fresh-run", {"source": "legacy"})
    assert repair.after["source"].startswith("mirror")
    assert not repair.after["source"].endswith(".")
    assert repair.basis.startswith(f"{whose}: “")
    assert repair.always_asks
    assert "a person said" in repair.reason


@pytest.mark.parametrize(
    "words",
    [
        "should source be mirror-2?",
        "source should be mirror-2?",
        "source should be fixed first",
        "source should not be legacy-2",
        "the resource should be mirror-2",
        "sources should be mirror-2",
        "rounds should be many-2",
        '{"source": "mirror"}',
        '{"input": {"source": 3}}',
        '{"input": {"source": "mirror", "nobody": 1}}',
        "source should be legacy-2 and source should be mirror-2",
    ],
)
def test_words_that_name_no_value_correct_nothing(synced, words):
    """A question, a wish, another field, another kind of value, and two values at once are left to a person."""
    run_id = synced().run.run_id
    repair = of(synced(NOTE.format(run=run_id, node="ask-ops", words=words)))
    assert repair.after == {"source": "api"}
    assert repair.basis.startswith("the last good run")


CAME = (
    "insert into _smithers_signals (run_id, seq, signal_name, correlation_id, payload_json, received_at_ms, received_by) "
    "select run_id, 0, '{name}', '{about}', '{{}}', updated_at_ms + {after}, 'ann' from _smithers_nodes where state = 'waiting-event'"
)
WAITING_FOR = "payment-settled"


def test_a_run_whose_signal_has_come_is_resumed(case):
    """Smithers' node still says that it waits, and its `why` asks for the signal again; the resume takes it up."""
    waiting = case("d52")
    (asked,) = blockers(waiting.snapshot, waiting.now)
    about = delivered_about(waiting)
    seen = case("d52", CAME.format(name=WAITING_FOR, about=about, after=1))
    assert health(seen.snapshot, seen.now)[0] == "stuck"
    (blocker,) = blockers(seen.snapshot, seen.now)
    assert (asked.kind, blocker.kind) == ("waiting-event", "resume-required")
    assert f"the signal {WAITING_FOR} has come from ann" in blocker.reason
    assert of(seen).kind == "resume"
    for other in (CAME.format(name="another", about=about, after=1), CAME.format(name=WAITING_FOR, about=about, after=-1)):
        still = case("d52", other)
        assert health(still.snapshot, still.now)[0] == "blocked"
        assert of(still) is None


def delivered_about(waiting):
    """Return what the one waiting signal of a case is about, empty for nothing."""
    (node,) = (node for node in waiting.snapshot.nodes if node.state == "waiting-event")
    return waiting_properties(waiting.snapshot, node).get("correlationId") or ""
