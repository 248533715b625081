"""Every table of real Smithers stores, as rows and as frames."""

from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest

from smithers_nb.frames import contract
from smithers_nb.model.rows import (
    TABLES,
    ApprovalRow,
    AttemptRow,
    BranchRow,
    EventRow,
    FailureRow,
    NodeRow,
    OutputRow,
    QuestionRow,
    RunRow,
    ScoreRow,
    TokenRow,
)
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.smithers import derived
from smithers_nb.sources.smithers import source as module

READ = [row for row in TABLES.values() if row is not FailureRow]


def test_run(store):
    """A run's row has its times, the run-level error taken apart, and where it was launched."""
    (run,) = open_source(store("invoice-rollup")).rows(RunRow)
    assert (run.workflow, run.status, run.state, run.root) == ("invoice-rollup", "failed", "failed", "/srv/ws/invoice-rollup")
    assert run.error_code == "SESSION_ERROR"
    assert run.error_message.startswith("Task failed: rollup")
    assert json.loads(run.error)["cause"]["name"] == "TypeError"
    assert run.duration_s == pytest.approx((run.finished_at - run.started_at) / 1000)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("finished", "succeeded"),
        ("continued", "succeeded"),
        ("failed", "failed"),
        ("waiting-quota", "waiting-quota"),
        ("dreaming", "dreaming"),
    ],
)
def test_state_follows_status(store, change, status, state):
    """The state of a run is derived without a clock, and a status nobody knows is kept."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_runs SET status = ?", (status,))
    (run,) = open_source(path).rows(RunRow)
    assert (run.status, run.state) == (status, state)


def test_attempts(store):
    """An attempt has its error taken apart, what was allowed, and whether the engine itself rules out another one."""
    attempts = open_source(store("invoice-rollup")).rows(AttemptRow)
    assert [(a.node_id, a.attempt, a.state) for a in attempts] == [("fetch", 1, "finished"), *[("rollup", n, "failed") for n in (1, 2, 3)]]
    last = attempts[-1]
    assert (last.error_name, last.error_code, last.kind, last.retries, last.cached, last.reset) == (
        "TypeError",
        None,
        "compute",
        2,
        False,
        False,
    )
    assert last.error_message == "undefined is not an object (evaluating 'batch.lines.length')"
    assert "invoice-rollup.tsx:15:23" in last.error_stack
    assert (attempts[0].retryable, last.retryable) == (None, True)


@pytest.mark.parametrize(
    ("error", "meta", "retryable"),
    [
        ('{"code": "AGENT_CONFIG_INVALID"}', '{"kind": "agent"}', False),
        ('{"code": "INVALID_OUTPUT"}', '{"kind": "agent"}', True),
        ('{"code": "INVALID_OUTPUT"}', '{"kind": "compute"}', False),
        ('{"code": "ECONNRESET"}', '{"failureRetryable": false}', False),
        ("garbage", "garbage", True),
    ],
)
def test_retryable(store, change, error, meta, retryable):
    """What the engine refuses to try again is told apart from what it would."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_attempts SET error_json = ?, meta_json = ? WHERE state = 'failed'", (error, meta))
    assert {a.retryable for a in open_source(path).rows(AttemptRow, only={"state": ["failed"]})} == {retryable}


def test_reset_attempts(store):
    """An attempt that a retry-task set aside is marked, in a store where the real engine did so."""
    attempts = open_source(store("retry-task")).rows(AttemptRow)
    assert {a.reset for a in attempts} == {True, False}
    assert all(a.state == "cancelled" and a.error_message for a in attempts if a.reset)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("plain words", "plain words"),
        ('"words"', "words"),
        ('{"message": "m"}', "m"),
        ("null", None),
        (None, None),
        ("[1]", "[1]"),
        ("{}", None),
    ],
)
def test_error_of_any_shape(store, change, error, message):
    """An error may be an object, a string, no JSON at all, or nothing."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_runs SET error_json = ?", (error,))
    assert open_source(path).rows(RunRow)[0].error_message == message


def test_approval_waits(store):
    """A gate that waits is actionable while its run is not over and its node still waits."""
    (gate,) = open_source(store("db-migration")).rows(ApprovalRow)
    assert (gate.status, gate.mode, gate.actionable, gate.for_question, gate.auto_approved) == ("requested", "decision", True, False, False)
    assert gate.title
    assert gate.requested_at


@pytest.mark.parametrize("sql", ["UPDATE _smithers_runs SET status = 'cancelled'", "UPDATE _smithers_nodes SET state = 'finished'"])
def test_stale_approval(store, change, sql):
    """A request that nobody waits for any more is not actionable."""
    path = store("db-migration")
    change(path, sql)
    (gate,) = open_source(path).rows(ApprovalRow)
    assert gate.actionable is False


def test_decided_approval_keeps_its_request_time(store):
    """Deciding erases the request time from the row; it comes back from the event that asked."""
    path = store("prod-rollout")
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT requested_at_ms FROM _smithers_approvals").fetchall() == [(None,)]
    raw.close()
    (gate,) = open_source(path).rows(ApprovalRow)
    assert (gate.status, gate.actionable) == ("approved", False)
    assert gate.requested_at < gate.decided_at


def test_question_and_its_twin(store):
    """A human task has a question, and a gate that is marked as belonging to it."""
    source = open_source(store("legal-signoff"))
    (question,), (gate,) = source.rows(QuestionRow), source.rows(ApprovalRow)
    assert (question.status, question.kind, gate.for_question) == ("pending", "json", True)
    assert question.request_id == f"human:{question.run_id}:{question.node_id}:{question.iteration}"
    assert json.loads(question.schema)


def test_outputs(store):
    """Outputs of every table are there as JSON with their own types, and the input as a node of its own."""
    outputs = {row.node_id: row for row in open_source(store("invoice-rollup")).rows(OutputRow)}
    assert set(outputs) == {"input", "fetch"}
    assert json.loads(outputs["fetch"].row)["rows"][0] == {"id": "INV-1000", "cents": 1250}


def test_whole_numbers_of_an_input(store, change):
    """An input's whole number has no fraction, though the engine stores every number as REAL and declares no kinds for inputs."""
    path = store("invoice-rollup")
    change(path, "ALTER TABLE input ADD COLUMN row_limit REAL")
    change(path, "UPDATE input SET row_limit = 12.0")
    (row,) = (row for row in open_source(path).rows(OutputRow) if row.node_id == "input")
    assert '"row_limit":12}' in row.row


def test_output_types(store, change):
    """Flags come back as true and false, whole numbers without a fraction, broken JSON as its text, bytes as text."""
    path = store("invoice-rollup")
    run_id = open_source(path).run_ids()[0]
    change(path, "INSERT INTO posted VALUES (?, 'post', 0, 1)", (run_id,))
    change(path, "INSERT INTO rollup VALUES (?, 'sum', 0, 12.0, 1.5)", (run_id,))
    change(path, "INSERT INTO fetched VALUES (?, 'odd', 1, x'61ff', '{broken')", (run_id,))
    rows = {row.node_id: json.loads(row.row) for row in open_source(path).rows(OutputRow)}
    assert rows["post"] == {"ok": True}
    assert rows["sum"] == {"total": 12, "count": 1.5}
    assert rows["odd"] == {"month": "a\ufffd", "rows": "{broken"}


def test_tokens_are_maxima(store):
    """Reports of one attempt are cumulative: their maximum counts."""
    path = store("ticket-summarizer")
    source = open_source(path)
    tokens = source.rows(TokenRow)
    reports = [json.loads(e.payload) for e in source.rows(EventRow, only={"type": ["TokenUsageReported"]})]
    assert {(t.node_id, t.attempt): t.input_tokens for t in tokens} == {
        (r["nodeId"], r["attempt"]): max(x["inputTokens"] for x in reports if (x["nodeId"], x["attempt"]) == (r["nodeId"], r["attempt"]))
        for r in reports
    }
    assert len(tokens) < len(reports) + 1


def test_scores_and_branches(store):
    """Results of scorers and forks are rows of their own."""
    (score, *_) = open_source(store("ticket-summarizer")).rows(ScoreRow)
    assert score.scorer_name
    source = open_source(store("ad-copy"))
    branches = source.rows(BranchRow)
    assert len(branches) == 2
    assert {b.parent_run_id for b in branches} | {b.run_id for b in branches} <= set(source.run_ids())


def test_filters(store):
    """Rows can be limited to a run, to values, to all but some values, and to a time."""
    source = open_source(store("ad-copy"))
    everything = source.rows(EventRow)
    run_id = everything[0].run_id
    assert source.rows(EventRow, run_id) == [e for e in everything if e.run_id == run_id]
    assert source.rows(EventRow, only={"type": ["NodeStarted"], "attempt": [1]}) == [
        e for e in everything if e.type == "NodeStarted" and e.attempt == 1
    ]
    assert source.rows(EventRow, only={"type": AllBut({"NodeStarted"})}) == [e for e in everything if e.type != "NodeStarted"]
    assert source.rows(EventRow, only={"category": ["node"]}) == [e for e in everything if e.category == "node"]
    assert source.rows(EventRow, only={"seq": list(range(5000))}) == everything
    assert source.rows(EventRow, only={"type": []}) == []
    middle = sorted(e.at for e in everything)[len(everything) // 2]
    assert source.rows(EventRow, since_ms=middle) == [e for e in everything if e.at >= middle]
    assert source.rows(RunRow, only={"source": [source.location]}) == source.rows(RunRow)
    assert source.rows(ApprovalRow, "no such run") == []


def test_values_that_sqlite_cannot_bind(store):
    """Half a character from a shell and a number beyond 64 bits match nothing, in rows and in frames."""
    source = open_source(store("invoice-rollup"))
    for wanted in ({"run_id": "\udcff"}, {"only": {"attempt": [10**30]}}, {"since_ms": 10**30}):
        assert source.rows(AttemptRow, **wanted) == []
        assert len(source.frame(AttemptRow, **wanted)) == 0


@pytest.mark.parametrize("name", ["invoice-rollup", "test-writer", "legal-signoff", "ad-copy", "ticket-summarizer", "vendor-sync"])
def test_frames_and_rows_agree(store, check_grains, name):
    """Every table is the same through the standard library and through Arrow, with the dtypes of its contract."""
    source = open_source(store(name))
    check_grains(source)
    for row in READ:
        rows, frame = source.rows(row), source.frame(row)
        shown = pd.DataFrame(
            {c: frame[c].astype("int64") if str(frame[c].dtype).startswith("datetime") else frame[c] for c in frame}
        ).astype(object)
        for spec in contract(row):
            want = [cells[row._fields.index(spec.name)] for cells in rows]
            got = [None if missing else value for value, missing in zip(shown[spec.name], frame[spec.name].isna(), strict=True)]
            assert got == want, (row, spec.name)


def test_one_run_uses_the_index(store):
    """Reading one run searches an index in every table that can be large."""
    source = open_source(store("invoice-rollup"))
    for row in (RunRow, NodeRow, AttemptRow, EventRow, TokenRow, ScoreRow):
        query = source._query(row, module.Wanted("r", None, 0))
        plan = " ".join(str(cells[3]) for cells in source.fetch("plan", f"EXPLAIN QUERY PLAN {query.sql}", query.params))
        assert "SEARCH _smithers" in plan
        assert "SCAN _smithers" not in plan


def test_only_some_values_of_a_derived_grain(store):
    """Frames that are put together are narrowed down like those that are tables."""
    source = open_source(store("legal-signoff"))
    assert [gate.node_id for gate in source.rows(ApprovalRow, only={"status": ["requested"]})] == ["legal-review"]
    assert source.rows(ApprovalRow, only={"status": ["denied"]}) == []


def test_version_of_the_schema(store, change):
    """The newest migration tells the version; a store without a record of it has none."""
    path = store("legal-signoff")
    assert open_source(path).version.startswith("0034_")
    change(path, "DELETE FROM _smithers_schema_migrations")
    assert open_source(path).version == ""
    change(path, "DROP TABLE _smithers_schema_migrations")
    assert open_source(path).version == ""


def test_gate_whose_times_were_lost(store, change):
    """A gate without its own time has the one of its event; without that one too it has none."""
    path = store("legal-signoff")
    asked = open_source(path).rows(ApprovalRow)[0].requested_at
    change(path, "UPDATE _smithers_approvals SET requested_at_ms = NULL")
    assert open_source(path).rows(ApprovalRow)[0].requested_at == pytest.approx(asked, abs=100)
    change(path, "DROP TABLE _smithers_events")
    assert open_source(path).rows(ApprovalRow)[0].requested_at is None


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (1, "boolean", True),
        (0, "boolean", False),
        (7, "boolean", 7),
        (0, "number", 0),
        (2.0, "number", 2),
        (2.5, "number", 2.5),
        ("[1]", "json", [1]),
        ("[", "json", "["),
        ("[1]", "string", "[1]"),
        (b"a\xff", "string", "a\ufffd"),
    ],
)
def test_fields_of_an_output(value, kind, shown):
    """What the engine stored as 0, REAL or JSON text is a flag, a count, a list again; whatever does not fit stays as it is."""
    row = derived._output("t", {"run_id": "r", "node_id": "n", "iteration": 2, "x": value}, {("t", "x"): kind})
    assert (row.iteration, json.loads(row.row)) == (2, {"x": shown})
    assert type(json.loads(row.row)["x"]) is type(shown)


def test_bulk_reads_only_foreign_files(store, monkeypatch):
    """A file that this process writes never reaches the second SQLite library; any other one does."""
    path = store("invoice-rollup")
    calls = []
    real = module.read_arrow
    monkeypatch.setattr(module, "read_arrow", lambda *args: calls.append(real(*args)) or calls[-1])
    assert len(open_source(path).frame(AttemptRow)) == 4
    assert [table.num_rows for table in calls] == [4]
    monkeypatch.setattr("smithers_nb.sources.stores.sqlite_file._owned", {str(path.resolve())})
    assert len(open_source(path).frame(AttemptRow)) == 4
    assert len(calls) == 1


def test_frame_without_the_driver(store, monkeypatch):
    """When the bulk driver gives up, the frame is the same by the slower way."""
    source = open_source(store("invoice-rollup"))
    fast = source.frame(EventRow)
    monkeypatch.setattr(module, "read_arrow", lambda *_: None)
    pd.testing.assert_frame_equal(source.frame(EventRow), fast)
