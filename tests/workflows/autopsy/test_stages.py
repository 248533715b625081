"""An autopsy in four stages, on a store that Smithers wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from smithers_nb.errors import ParameterError, RunNotFailed, RunNotFound, SourceVanished
from smithers_nb.model.verdict import Recurrence, Verdict
from smithers_nb.present.html.markup import REPORT_MARK
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy.results import VERDICT_MIMETYPE, GateCard, Gathered, Investigation
from smithers_nb.workflows.autopsy.stages import bug_gate, gather, investigate, run_autopsy, verdict

NOW = 1795181301665
REFUSED = "order-sync-010"
"""A run of the example store that failed because nothing listened where it connected to."""


def test_the_row_says_everything(fleet):
    """Class, cause, one suggestion with its command, last good run, changes and recurrence of a real failure."""
    row = run_autopsy(fleet, REFUSED, now=NOW)
    assert (row.failure_class, row.suggestion) == ("environment", "fix-environment")
    assert "fetch-orders" in row.root_cause
    assert "ECONNREFUSED 127.0.0.1:5440" in row.root_cause
    assert row.commands[0].startswith("bunx smithers-orchestrator retry-task ")
    assert row.last_good_run is not None
    assert ("input.source", "api", "db") in {(c.what, c.before, c.after) for c in row.changed_since}
    assert (row.recurrence.runs, row.recurrence.count) == (3, 6)
    assert {item.ref for item in row.evidence} >= {"attempt:fetch-orders/0/2", f"run:{REFUSED}"}


def test_the_json_has_the_names_of_the_seed(fleet):
    """In JSON the row is camelCase with exactly the agreed names, and can be read back."""
    row = run_autopsy(fleet, REFUSED, now=NOW)
    text = json.dumps(row.as_json())
    promised = "targetRunId failureClass confidence rootCause suggestion suggestionDetail commands bugFiled bugUrl summary"
    assert {*promised.split(), "evidence", "signature", "recurrence", "lastGoodRun", "changedSince"} <= json.loads(text).keys()
    assert Verdict.read(json.loads(text)).root_cause == row.root_cause


def test_a_beginning_of_the_id_is_enough(fleet):
    """A unique prefix names the run, and the row has its whole id."""
    with pytest.raises(RunNotFailed, match="run backfill-060 did not fail"):
        gather("backfill-06", fleet, None, NOW)


def test_an_open_source_may_be_given(fleet):
    """A source that is open already is used and stays open."""
    source = open_source(fleet)
    assert run_autopsy(source, REFUSED, now=NOW).target_run_id == REFUSED
    assert source.run_ids("order-sync-00")


@pytest.mark.parametrize(
    ("run", "state"),
    [("order-sync-001", "finished"), ("release-gate-035", "waiting-approval"), ("backfill-057", "cancelled"), ("backfill-058", "paused")],
)
def test_a_run_that_did_not_fail_is_refused(fleet, run, state):
    """What did not fail has no autopsy: the error names the state and points to `why`."""
    with pytest.raises(RunNotFailed, match=f"run {run} did not fail: it is {state}") as caught:
        run_autopsy(fleet, run, now=NOW)
    assert f"smithers-nb why {run}" in caught.value.hint
    assert caught.value.exit_code == 4


def test_a_failure_filed_as_cancelled_is_examined(corpus_store):
    """A failure that the engine recorded as a cancellation can be autopsied, and the cause says that it was masked."""
    store = corpus_store("d73")
    run_id = open_source(store).run_ids()[0]
    row = run_autopsy(store, run_id)
    assert "recorded as cancelled" in row.root_cause
    assert [defect.kind for defect in row.defects] == ["failure-recorded-as-cancellation"]


def test_a_real_cancellation_is_refused(corpus_store):
    """Ctrl-C and a cancel on request are no failures."""
    for case in ("d56", "d74"):
        store = corpus_store(case)
        with pytest.raises(RunNotFailed, match="cancelled"):
            run_autopsy(store, open_source(store).run_ids()[0])


@pytest.mark.parametrize(
    ("options", "error"),
    [({"provider": "oracle"}, ParameterError), ({"now": "soon"}, ParameterError), ({"workflow_path": "/nowhere/wf.tsx"}, ParameterError)],
)
def test_wrong_parameters_are_refused(fleet, options, error):
    """A wrong parameter is named before anything is read."""
    with pytest.raises(error):
        run_autopsy(fleet, REFUSED, **options)


def test_a_wrong_id_is_refused(fleet):
    """An unknown id and an empty one are told apart from a run without failure."""
    with pytest.raises(RunNotFound):
        run_autopsy(fleet, "no-such-run")
    with pytest.raises(ParameterError):
        run_autopsy(fleet, " ")


def test_a_store_that_vanishes_between_stages_is_named(changed):
    """When the store goes away after gathering, the next stage says so."""
    store = changed("SELECT 1")
    gathered = gather(REFUSED, store, None, NOW)
    store.unlink()
    with pytest.raises(SourceVanished, match="is gone"):
        investigate(gathered)


def test_a_stage_can_go_on_from_a_stored_row(fleet):
    """A stage's row survives JSON, and the next stage works from what came back."""
    gathered = gather(REFUSED, fleet, None, NOW)
    again = Gathered.read(json.loads(json.dumps(gathered.as_json())))
    found = investigate(again)
    back = Investigation.read(json.loads(json.dumps(found.as_json())))
    assert verdict(back, bug_gate(back)) == verdict(found, bug_gate(found))


def test_gathering_leaves_out_heartbeats(fleet):
    """The end of the log is at most eighty lines, none of them noise."""
    gathered = gather("order-sync-013", fleet, None, NOW)
    assert 0 < len(gathered.last_events) <= 80
    assert not {"TaskHeartbeat", "FrameCommitted"} & {event.type for event in gathered.last_events}
    assert gathered.last_events[-1].type == "RunFailed"
    assert gathered.smithers_version.startswith("00")


def test_the_line_that_threw_is_evidence(fleet):
    """With the workflow's source at hand, the line that threw is quoted."""
    row = run_autopsy(fleet, "order-sync-013", now=NOW, workflow_path=fleet.parent / "workflows" / "order-sync.tsx")
    quote = next(item for item in row.evidence if item.ref == "source:order-sync.tsx:16")
    assert "lines.filter" in quote.quote


def test_a_recorded_path_is_not_trusted(changed, tmp_path):
    """A store cannot make us read a file that is no workflow, a pipe, or something relative to where we stand."""
    secret = tmp_path / "id_rsa"
    secret.write_text("private")
    pipe = tmp_path / "pipe.tsx"
    os.mkfifo(pipe)
    for path in (str(secret), str(pipe), "README.md", "../wf.tsx", "\x00.tsx", str(tmp_path)):
        store = changed("UPDATE _smithers_runs SET workflow_path = ? WHERE run_id = ?", path, REFUSED)
        assert gather(REFUSED, store, None, NOW).workflow_source == ""


def test_secrets_do_not_reach_any_row(changed):
    """A key in an error message or a source is in none of the rows that the stages give."""
    key = "sk-proj-" + "a1B2c3D4" * 4
    changed("UPDATE _smithers_runs SET error_json = replace(error_json, 'Task failed', ?)", f"Task failed with {key}")
    changed("UPDATE _smithers_events SET payload_json = replace(payload_json, 'ECONNREFUSED', ?)", f"ECONNREFUSED {key}")
    store = changed("UPDATE _smithers_attempts SET error_json = replace(error_json, 'ECONNREFUSED', ?)", f"{key} ECONNREFUSED")
    assert key.encode() in store.read_bytes()
    workflow = store.parent / "wf.tsx"
    workflow.write_text(f'const apiKey = "{key}";')
    gathered = gather(REFUSED, store, workflow, NOW)
    found = investigate(gathered)
    row = verdict(found, bug_gate(found))
    rows = [json.dumps(stage.as_json()) for stage in (gathered, row)]
    pages = [str(stage._repr_mimebundle_()) for stage in (gathered, found, bug_gate(found), row)]
    for shown in (*rows, *pages, str(found.timeline()._repr_mimebundle_()), found.proof().html):
        assert key not in shown
    assert "ECONNREFUSED" in row.root_cause


def test_hostile_ids_and_names_stay_text(changed):
    """Markup and shell characters in ids, nodes and messages are escaped on the page and quoted in commands."""
    hostile = "x'; touch /tmp/owned; <script>alert(1)</script>"
    for table in ("_smithers_runs", "_smithers_attempts", "_smithers_nodes", "_smithers_events", "_smithers_frames"):
        changed(f"UPDATE {table} SET run_id = ? WHERE run_id = ?", hostile, REFUSED)
    store = changed("UPDATE _smithers_attempts SET node_id = ? WHERE run_id = ?", hostile, hostile)
    changed("UPDATE _smithers_nodes SET node_id = ? WHERE run_id = ? AND node_id = 'fetch-orders'", hostile, hostile)
    gathered = gather(hostile, store, None, NOW)
    found = investigate(gathered)
    row = verdict(found, bug_gate(found))
    for shown in (gathered, found, row):
        assert "<script>" not in shown._repr_html_()
    printed = subprocess.run(["sh", "-c", f"printf '%s|' {row.commands[0]}"], capture_output=True, text=True, check=True)
    assert hostile in printed.stdout


def test_nothing_is_asked_unless_the_engine_is_suspected(fleet):
    """For every other class the gate says that there is nothing to ask."""
    gate = bug_gate(investigate(gather(REFUSED, fleet, None, NOW)))
    assert not gate.needed
    assert "Nothing to ask" in gate.card().text


def test_the_gate_shows_what_would_be_sent(corpus_store):
    """For a suspected bug of the engine the text of the report is shown, and nothing is sent."""
    store = corpus_store("d37")
    found = investigate(gather(open_source(store).run_ids()[0], store))
    gate = bug_gate(found)
    assert gate.needed
    assert "JSON Parse error" in gate.title
    assert "Not caused by the user" in gate.body
    row = verdict(found, gate)
    assert (row.bug_filed, row.bug_url) == (False, None)


def test_results_show_themselves(fleet):
    """Every result is a card in a notebook and text in a terminal; the verdict also carries its row."""
    gathered = gather(REFUSED, fleet, None, NOW)
    found = investigate(gathered)
    row = verdict(found, bug_gate(found))
    for result in (gathered, found, bug_gate(found), row):
        bundle, metadata = result._repr_mimebundle_()
        assert "<section" in bundle["text/html"] or "<p" in bundle["text/html"]
        assert "\n" not in repr(result)
        assert (metadata == {REPORT_MARK: "omit"}) == isinstance(result, GateCard)  # nobody needs this gate
    alone = replace(found, recurrence=Recurrence(), recent_runs=())
    assert alone.occurrences()._repr_mimebundle_()[1] == {REPORT_MARK: "omit"}
    assert row._repr_mimebundle_()[0][VERDICT_MIMETYPE]["targetRunId"] == REFUSED
    assert "application/vnd.plotly.v1+json" in found.timeline()._repr_mimebundle_()
    assert [run.run_id for run in found.recent_runs if run.same] == ["order-sync-009", "order-sync-008", "order-sync-010"]
    for card in (found.changes(), found.occurrences(), found.proof()):
        assert card.text


def test_a_damaged_store_still_gives_a_row(corpus_store):
    """A store with an unreadable table gives a verdict and says what could not be read."""
    store = corpus_store("d39")
    row = run_autopsy(store, open_source(store).run_ids()[0])
    assert row.problems
    assert "malformed" in row.root_cause


def test_the_store_is_left_as_it_was(fleet, tmp_path):
    """An autopsy writes nothing to the store and leaves nothing beside it."""
    folder = tmp_path / "alone"
    folder.mkdir()
    store = folder / "smithers.db"
    store.write_bytes(fleet.read_bytes())
    before = store.stat().st_mtime_ns
    run_autopsy(store, REFUSED, now=NOW)
    assert [path.name for path in folder.iterdir()] == ["smithers.db"]
    assert (store.stat().st_mtime_ns, store.read_bytes()) == (before, fleet.read_bytes())


def test_no_notebook_is_imported_for_the_row(fleet):
    """The row alone needs neither papermill nor nbconvert nor plotly nor IPython."""
    code = (
        f"import sys; from smithers_nb.workflows.autopsy.stages import run_autopsy; run_autopsy({str(fleet)!r}, {REFUSED!r});"
        "print([name for name in ('papermill', 'nbconvert', 'plotly', 'IPython', 'jupyter_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
