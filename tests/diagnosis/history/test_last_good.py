"""The last good run and what changed since, on literal rows and on a real store."""

from __future__ import annotations

import json

import pytest

from smithers_nb.diagnosis.history.last_good import changed_since, changes_between, last_good
from smithers_nb.diagnosis.history.run_profile import run_profile
from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import OutputRow, RunRow
from smithers_nb.model.verdict import LastGoodRun
from smithers_nb.sources.smithers.source import SmithersSource


@pytest.fixture
def runs_of(run):
    """Make runs from (id, status, start) with one workflow."""
    return lambda *rows: [run(run_id=i, status=s, started_at=at, finished_at=at + 1, workflow="w") for i, s, at in rows]


@pytest.fixture
def compared(run, attempt, node, any_row):
    """Compare a good run `g` with a bad run `b`, each given as attempts, outputs and values of its run row."""

    def compare(good, bad, **rows):
        runs = [run(run_id=i, workflow="w", **values) for i, values in (("g", good), ("b", bad))]
        attempts = [attempt(n, run_id=i, **values) for i, n, values in rows.get("attempts", ())]
        nodes = [node(a.node_id, run_id=a.run_id, state=a.state) for a in attempts] + [node(n, run_id=i) for i, n in rows.get("nodes", ())]
        outputs = [any_row(OutputRow, run_id=i, node_id=n, table="t", row=json.dumps(row)) for i, n, row in rows.get("outputs", ())]
        tables = (nodes, attempts, outputs)
        profiles = [run_profile(one, *([row for row in rows if row.run_id == one.run_id] for rows in tables)) for one in runs]
        return {change.what: (change.before, change.after) for change in changed_since(*profiles)}

    return compare


def test_the_newest_finished_run_before_is_the_last_good_one(runs_of):
    """Of two good runs the later counts; one that finished afterwards does not."""
    runs = runs_of(("a", "finished", 1), ("b", "finished", 2), ("c", "failed", 3), ("bad", "failed", 4), ("later", "finished", 5))
    assert last_good(runs, "bad") == LastGoodRun(run_id="b", finished_at=3)


def test_a_workflow_that_never_finished_has_no_last_good_run(runs_of):
    """No good run is None, not an error."""
    assert last_good(runs_of(("bad", "failed", 4), ("later", "finished", 5)), "bad") is None


def test_runs_of_another_workflow_do_not_count(run):
    """A good run of something else says nothing."""
    runs = [run(run_id="x", workflow="v", status="finished", started_at=1), run(run_id="bad", workflow="w", started_at=2)]
    assert last_good(runs, "bad") is None


def test_a_run_that_never_rendered_is_known_by_its_file(run):
    """The engine names a workflow `workflow` until the first render; then its path tells which it is."""
    good = run(run_id="g", workflow="w", workflow_path="/p/w.tsx", status="finished", started_at=1)
    bad = run(run_id="bad", workflow="workflow", workflow_path="/p/w.tsx", started_at=2)
    assert last_good([good, bad], "bad").run_id == "g"


def test_an_unknown_run_is_refused(runs_of):
    """Asking about a run that is not among them is a mistake of the caller."""
    with pytest.raises(RunNotFound):
        last_good(runs_of(("a", "finished", 1)), "nope")


def test_an_edited_workflow_and_new_input_are_changes(compared):
    """Hash, path and each input field that differs are named with both values."""
    found = compared(
        {"workflow_hash": "a" * 64, "workflow_path": "/p/w.tsx"},
        {"workflow_hash": "b" * 64, "workflow_path": "/p/w.tsx"},
        outputs=[("g", "input", {"market": "de", "unused": None, "n": 1}), ("b", "input", {"market": "fr", "unused": None, "n": 1})],
    )
    assert found == {"workflow hash": ("a" * 12, "b" * 12), "input.market": ("de", "fr")}


def test_another_commit_is_a_change(compared):
    """The repository's revision is told where both runs recorded one."""
    assert compared({"revision": "a" * 40}, {"revision": "b" * 40}) == {"repository revision": ("a" * 12, "b" * 12)}
    assert compared({"revision": None}, {"revision": "b" * 40}) == {}


def test_an_input_without_schema_is_compared_field_by_field(compared):
    """The store keeps it whole in one column; the reader wants the field."""
    payloads = [(i, "input", {"payload": json.dumps({"a": {"b": value}, "same": 1})}) for i, value in (("g", 1), ("b", 2))]
    assert compared({}, {}, outputs=payloads) == {"input.a.b": ("1", "2")}


def test_an_upstream_output_of_another_shape_is_a_change(compared):
    """A list that became null explains a TypeError downstream; other values of the same shape explain nothing."""
    found = compared({}, {}, outputs=[("g", "fetch", {"n": 1, "lines": [{"id": 1}]}), ("b", "fetch", {"n": 2, "lines": None})])
    assert found == {"output of fetch: lines": ("list", "null")}


def test_a_much_slower_node_is_a_change_and_says_by_how_much(compared):
    """Four times as long is told; a tenth longer is not."""
    times = [("g", "slow", 2.0), ("b", "slow", 8.0), ("g", "same", 5.0), ("b", "same", 5.5)]
    found = compared({}, {}, attempts=[(i, n, {"state": "finished", "duration_s": s}) for i, n, s in times])
    assert found == {"duration of slow": ("2.0 s", "8.0 s, 4.0 times as long")}


def test_another_model_is_a_change(compared):
    """The model of a node is compared where both runs know it."""
    models = [("g", "write", "m-1"), ("b", "write", "m-2"), ("g", "check", "m-1"), ("b", "check", None)]
    assert compared({}, {}, attempts=[(i, n, {"model": m}) for i, n, m in models]) == {"model of write": ("m-1", "m-2")}


def test_a_node_the_run_never_reached_is_not_missing(compared):
    """What comes after the failure was not got to; what should have come before it is missing."""
    order = [
        ("g", "first", 1),
        ("g", "gone", 2),
        ("g", "breaks", 3),
        ("g", "after", 4),
        ("b", "first", 1),
        ("b", "breaks", 3),
        ("b", "new", 2),
    ]
    found = compared({}, {}, attempts=[(i, n, {"started_at": at, "state": "finished"}) for i, n, at in order])
    assert found == {"node gone missing": ("finished", None), "node new added": (None, "finished")}


def test_more_rounds_of_a_loop_are_a_change(compared):
    """A loop that used to end after one round and now takes three is told."""
    rounds = [("g", "fix", {"iteration": 0}), *(("b", "fix", {"iteration": i}) for i in range(3))]
    assert compared({}, {}, attempts=rounds) == {"iterations of fix": ("1", "3")}


def test_configuration_is_compared_without_bookkeeping(compared):
    """A lower limit is told; the engine's own hash of the file is not told twice."""
    config = [json.dumps({"maxConcurrency": n, "__smithersDurability": {"entryWorkflowHash": str(n)}}) for n in (4, 1)]
    assert compared({"config": config[0]}, {"config": config[1]}) == {"configuration.maxConcurrency": ("4", "1")}


def test_values_are_cut_and_secrets_removed_first(compared):
    """A long value shows its length; a secret in it is gone, also one that the cut would have hidden from the filter."""
    secret = "sk-" + "A1b2" * 8
    rows = [
        ("g", "input", {"note": "x", "apiKey": "old"}),
        ("b", "input", {"note": "y" * 70 + " " + secret + " " + "z" * 70, "apiKey": "hunter2hunter2"}),
    ]
    found = compared({}, {}, outputs=rows)
    assert "sk-A1" not in found["input.note"][1]
    assert "characters)" in found["input.note"][1]
    assert "hunter2" not in str(found["input.apiKey"])


def test_a_run_compared_with_itself_has_not_changed(store):
    """No difference gives no change, on every run of a real store."""
    source = SmithersSource(store("pricing"))
    assert [changes_between(source, row.run_id, row.run_id) for row in source.rows(RunRow)] == [()] * 6
    source.close()


def test_a_real_store_shows_what_changed(store):
    """The rates were there in the last good run and empty in the failed one."""
    source = SmithersSource(store("pricing"))
    good = last_good(source.rows(RunRow), "price-2").run_id
    found = {change.what: (change.before, change.after) for change in changes_between(source, good, "price-2")}
    assert good == "price-0"
    assert found == {"output of load-rates: rows": ("list", "empty list")}
    source.close()


def test_an_edit_is_what_changed(store):
    """The workflow's hash is all that differs between the last good close and the first bad one."""
    source = SmithersSource(store("fleet"))
    good = last_good(source.rows(RunRow), "close-004").run_id
    assert good == "close-003"
    assert [change.what for change in changes_between(source, good, "close-004")] == ["workflow hash"]
    source.close()
