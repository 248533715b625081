"""What an execution writes as it goes."""

from __future__ import annotations

import itertools

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.engine.journal import decisions, leases, schema, status
from smithers_nb.engine.journal import records as r
from smithers_nb.errors import RunNotFound
from smithers_nb.model.failure_reason import FailureReason

WHY = FailureReason(code="KeyError", message="'total'", source="node:sum")
HOSTILE = "a\0b\ud800c\u202e\x1b[31m'; DROP TABLE _smithers_runs; --"
MEGABYTE = "x" * 1_000_000


def attempts(journal):
    """Read the attempts, oldest first."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.attempts).order_by(schema.attempts.c.attempt)).all()


def events(journal):
    """Read the log."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.events).order_by(schema.events.c.seq)).all()


def test_a_run_and_its_input(journal, run):
    """A run is written with its input as the output of the node `input`, and its first event."""
    run(journal)
    with journal.reading() as connection:
        assert r.read_output(connection, r.Node("r1", r.INPUT)) == {"day": 3}
        assert r.read_output(connection, r.Node("r1", "none")) is None
    assert [(event.seq, event.type) for event in events(journal)] == [(0, "RunCreated")]


def test_an_id_is_given_once(journal, run):
    """A second run of the same id is refused, and the first stays as it was."""
    run(journal)
    with pytest.raises(sa.exc.IntegrityError):
        run(journal)
    assert len(events(journal)) == 1


def test_nothing_is_written_about_no_run(journal):
    """Who writes about a run that is not there is told so."""
    with pytest.raises(RunNotFound), journal.writing("nobody"):
        pytest.fail("a transaction was begun")


def test_a_node_from_try_to_try(journal, run):
    """Each try is an attempt of its own; node, attempt and log agree after each step."""
    node = run(journal)
    with journal.writing("r1") as connection:
        first = r.start_attempt(connection, node, kind="stage", label="Sum up", meta={"retries": 1})
        r.fail_attempt(connection, node, first, WHY)
        second = r.start_attempt(connection, node, kind="stage")
        r.write_output(connection, node, "Total", {"total": 3})
        r.finish_attempt(connection, node, second)
    assert [(a.attempt, a.state, a.error_json is not None) for a in attempts(journal)] == [(1, "failed", True), (2, "finished", False)]
    assert orjson.loads(attempts(journal)[0].meta_json) == {"kind": "stage", "retries": 1}
    with journal.reading() as connection:
        row = connection.execute(sa.select(schema.nodes)).one()
        assert (row.state, row.last_attempt, row.label) == ("finished", 2, "Sum up")
        assert r.read_output(connection, node) == {"total": 3}
    assert [event.type for event in events(journal)][1:] == ["NodeStarted", "NodeFailed", "NodeStarted", "NodeFinished"]


def test_a_try_that_a_dead_process_left_open_is_closed(journal, run):
    """The next try closes it as cancelled, which is no failure and needs no reason."""
    node = run(journal)
    with journal.writing("r1") as connection:
        r.start_attempt(connection, node, kind="stage")
        r.start_attempt(connection, node, kind="stage")
    assert [(a.state, a.finished_at_ms is not None) for a in attempts(journal)] == [("cancelled", True), ("in-progress", False)]


def test_an_output_replaces_the_one_before(journal, run):
    """A node has one output: what it produced last."""
    node = run(journal)
    with journal.writing("r1") as connection:
        r.write_output(connection, node, "A", {"v": 1})
        r.write_output(connection, node, "B", {"v": 2})
    with journal.reading() as connection:
        assert r.read_output(connection, node) == {"v": 2}


def test_a_clock_that_goes_backwards(journal, run, monkeypatch):
    """No try and no run ends before it began, however it ends, and the log keeps its order."""
    times = itertools.count(2_000_000_000_000, -1_000)
    for module in (r, status, decisions, leases):
        monkeypatch.setattr(module, "now_ms", lambda: next(times))
    node = run(journal)
    with journal.writing("r1") as connection:
        status.set_status(connection, "r1", "running")
        r.fail_attempt(connection, node, r.start_attempt(connection, node, kind="stage"), WHY)
        r.park_attempt(connection, node, r.start_attempt(connection, node, kind="cell"), "waiting-approval")
        r.cancel_attempt(connection, node, r.start_attempt(connection, node, kind="stage"), "stopped")
        r.start_attempt(connection, node, kind="stage")  # left open
        r.finish_attempt(connection, node, r.start_attempt(connection, node, kind="stage"))
        status.set_status(connection, "r1", "finished")
        begun, over = connection.execute(sa.select(schema.runs.c.started_at_ms, schema.runs.c.finished_at_ms)).one()
    assert begun <= over
    assert [a.finished_at_ms >= a.started_at_ms for a in attempts(journal)] == [True] * 5
    assert [event.seq for event in events(journal)] == list(range(len(events(journal))))


@pytest.mark.parametrize("text", [HOSTILE, MEGABYTE], ids=["hostile", "1 MB"])
@pytest.mark.slow
def test_hostile_payloads(journal, run, text):
    """NUL, half characters and a megabyte in messages, outputs, notes and labels are kept as far as a database can, and break nothing."""
    node = run(journal)
    with journal.writing("r1") as connection:
        attempt = r.start_attempt(connection, node, kind="stage", label=text)
        r.write_output(connection, node, text, {"text": text, text[:50]: [text]})
        r.fail_attempt(connection, node, attempt, WHY.model_copy(update={"message": text, "details": {"stack": text}}))
        decisions.request_approval(connection, r.Node("r1", "gate"), title=text, summary=text)
        decisions.decide(connection, r.Node("r1", "gate"), approved=False, by=text, note=text)
        asked = decisions.request_answer(connection, r.Node("r1", "who"), prompt=text, kind="ask", schema=None)
        decisions.answer(connection, asked, text, by="ann")
        status.set_status(connection, "r1", "failed", WHY.model_copy(update={"message": text}))
    with journal.reading() as connection:
        assert len((r.read_output(connection, node) or {})["text"]) == len(text)
        assert decisions.answer_of(connection, asked) is not None
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.runs)).scalar() == 1


def test_hostile_ids(journal, run):
    """An id that no database keeps as it is leads to the same rows each time it is used."""
    node = run(journal, run_id=HOSTILE, node_id=HOSTILE)
    with journal.writing(HOSTILE) as connection:
        r.finish_attempt(connection, node, r.start_attempt(connection, node, kind="stage"))
        r.write_output(connection, node, "A", {"v": 1})
    with journal.reading() as connection:
        assert r.read_output(connection, node) == {"v": 1}
    assert [a.state for a in attempts(journal)] == ["finished"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_json_can_be_read_by_everybody(value):
    """Whatever is written as JSON is JSON to the strictest reader, without a NUL or half a character."""
    text = r.as_json({"value": value})
    orjson.loads(text)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()
