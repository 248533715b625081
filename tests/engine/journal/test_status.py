"""Nothing becomes failed without a reason, on any path: the writers, and raw SQL against either database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import decisions, schema, status
from smithers_nb.engine.journal import records as r
from smithers_nb.model.failure_reason import FailureReason

WHY = FailureReason(code="KeyError", message="'total'", source="node:sum", details={"stack": "Traceback"})
REASONLESS = [None, "{}", '{"code":"X"}', '{"message":"m"}', '{"code":"","message":""}', '{"code":null,"message":null}']


def refused(connection, statement, *values):
    """Whether the database refuses a statement."""
    try:
        with connection.begin_nested():
            connection.execute(statement, *values)
    except sa.exc.DatabaseError:
        return True
    return False


def run_row(journal, run_id="r1"):
    """Read a run."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.runs).where(schema.runs.c.run_id == run_id)).one()


def last_event(journal):
    """Read the newest event."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.events).order_by(schema.events.c.seq.desc()).limit(1)).one()


def test_a_failed_run_has_its_reason(journal, run):
    """The reason is in the run's row and in its event, and the run is over and nobody's."""
    run(journal)
    with journal.writing("r1") as connection:
        status.set_status(connection, "r1", "failed", WHY)
    row = run_row(journal)
    assert (row.status, row.runtime_owner_id, row.error_json) == ("failed", None, r.as_json(WHY.as_error()))
    assert row.finished_at_ms >= row.created_at_ms
    assert last_event(journal).type == "RunFailed"
    assert '"code":"KeyError"' in last_event(journal).payload_json


@pytest.mark.parametrize(("word", "reason"), [("failed", None), ("finished", WHY), ("running", WHY), ("cancelled", WHY)])
def test_status_and_reason_belong_together(in_file, run, word, reason):
    """A failure without a reason, and a reason for what needs none, are mistakes of the caller; nothing is written."""
    run(in_file)
    with pytest.raises(ValueError, match="reason"), in_file.writing("r1") as connection:
        status.set_status(connection, "r1", word, reason)
    assert run_row(in_file).status == "waiting-worker"


@pytest.mark.parametrize("empty", ["code", "message", "source"])
def test_a_reason_says_something(empty):
    """A reason with an empty field is no reason."""
    with pytest.raises(ValueError, match="at least 1 character"):
        FailureReason(**{"code": "X", "message": "m", "source": "s"} | {empty: ""})


def test_every_change_of_status_is_an_event(journal, run):
    """Row and log change together, with Smithers' names."""
    run(journal)
    for word in ("running", "waiting-approval", "running", "finished"):
        with journal.writing("r1") as connection:
            status.set_status(connection, "r1", word)
    with journal.reading() as connection:
        types = connection.execute(sa.select(schema.events.c.type).order_by(schema.events.c.seq)).scalars().all()
    assert types == ["RunCreated", "RunStarted", "RunStatusChanged", "RunStarted", "RunFinished"]
    assert run_row(journal).started_at_ms <= run_row(journal).finished_at_ms


@pytest.mark.parametrize("error", REASONLESS)
def test_no_row_fails_without_a_reason(journal, run, error):
    """Whoever writes past us, by INSERT or by UPDATE, cannot make a run or an attempt failed without code and message."""
    node = run(journal)
    with journal.writing("r1") as connection:
        attempt = r.start_attempt(connection, node, kind="stage")
    with journal.writing("r1") as connection:
        values = {"run_id": "r2", "workflow_name": "w", "created_at_ms": 1, "status": "failed", "error_json": error}
        assert refused(connection, schema.runs.insert(), values)
        assert refused(connection, schema.runs.update().values(status="failed", error_json=error))
        key = {**node._asdict(), "attempt": attempt + 1, "started_at_ms": 1}
        assert refused(connection, schema.attempts.insert(), key | {"state": "failed", "error_json": error})
        assert refused(connection, schema.attempts.update().values(state="failed", error_json=error))
    assert run_row(journal).status == "waiting-worker"


@pytest.mark.parametrize("kind", ["RunFailed", "NodeFailed"])
def test_no_event_tells_of_a_failure_without_an_error(journal, run, kind):
    """The log cannot say that something failed and not why."""
    run(journal)
    with journal.writing("r1") as connection:
        for payload in ("{}", '{"error":null}', '{"error":""}'):
            row = {"run_id": "r1", "seq": 99, "timestamp_ms": 1, "type": kind, "payload_json": payload}
            assert refused(connection, schema.events.insert(), row)
        assert not refused(connection, schema.events.insert(), row | {"payload_json": '{"error":{"code":"X","message":"m"}}'})


def test_no_node_fails_without_a_failed_attempt_or_a_denied_gate(journal, run):
    """A node's failure has its reason behind it: an attempt that failed, or a person's no."""
    node, gate = run(journal), r.Node("r1", "publish")
    row = {**node._asdict(), "state": "failed", "updated_at_ms": 1, "output_table": ""}
    with journal.writing("r1") as connection:
        assert refused(connection, schema.nodes.insert(), row)
        attempt = r.start_attempt(connection, node, kind="stage")
        fails = schema.nodes.update().where(schema.nodes.c.node_id == "sum").values(state="failed")
        assert refused(connection, fails)
        decisions.request_approval(connection, gate, title="Publish?")
        closes = schema.nodes.update().where(schema.nodes.c.node_id == "publish").values(state="failed")
        assert refused(connection, closes)
        decisions.decide(connection, gate, approved=False, by="ann")
        assert not refused(connection, closes)
        r.fail_attempt(connection, node, attempt, WHY)
        assert not refused(connection, fails)


def test_the_log_is_never_changed(journal, run):
    """Events can be added, and neither changed nor removed, not even with their run."""
    run(journal)
    with journal.writing("r1") as connection:
        assert refused(connection, schema.events.update().values(type="Else"))
        assert refused(connection, schema.events.delete())
        assert refused(connection, schema.runs.delete())
        assert r.append_event(connection, "r1", "Note") == 1
