"""A triage recommends one thing by the first rule that fits, quotes rows, and never raises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smithers_nb.model.explanation import Explanation
from smithers_nb.model.verdict import Advice, Blocker, Evidence
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.monitor.results import TriageRow
from smithers_nb.workflows.monitor.triage import Facts, recommend, triage

NOW = 1795181301665
LOOK = "smithers-nb why r1"
WHY = Explanation(run_id="r1", workflow="w", status="failed", state="failed", summary="it failed")
PLAIN = Facts(WHY, "failed", "unclear", 0, None, (), LOOK)


def advised(suggestion, *, nature="unclear", **about):
    """Facts of a run for which a suggestion was worked out."""
    advice = Advice(suggestion=suggestion, detail="why so", commands=("smithers do it",))
    return PLAIN._replace(why=replace(WHY, advice=advice, **about), nature=nature)


FRAME = (Evidence(ref="event:9", quote="TimeTravelJumped to frame 3"),)
WAITS = (Blocker(kind="waiting-approval", reason="ship it?", choices=("smithers approve r1", "smithers deny r1")),)


@pytest.mark.parametrize(
    ("facts", "confidence", "action", "command"),
    [
        (advised("retry", nature="transient", blockers=WAITS)._replace(gates=1), "high", "escalate", "smithers approve r1"),
        (advised("escalate", nature="persistent"), "high", "escalate", "smithers do it"),
        (advised("fix-environment", nature="persistent"), "high", "fix", "smithers do it"),
        (advised("retry", nature="transient"), "medium", "retry", "smithers do it"),
        (advised("retry", nature="transient")._replace(effects=("send",)), "high", "escalate", LOOK),
        (advised("rewind", evidence=FRAME), "high", "rewind", "smithers do it"),
        (advised("rewind"), "high", "escalate", LOOK),
        (advised("retry", nature="transient"), "low", "escalate", LOOK),
        (PLAIN._replace(bucket="overBudget", nature="transient"), "high", "escalate", LOOK),
    ],
)
def test_the_first_rule_that_fits_decides(facts, confidence, action, command):
    """A person's decision goes before a fix, a fix before a retry, a retry before a rewind; what is not sure is only looked at."""
    assert recommend(facts, confidence)[:2] == (action, command)


@pytest.mark.parametrize(
    ("run", "action"), [("mail-002", "fix"), ("mail-004", "escalate"), ("close-006", "escalate"), ("mail-005", "escalate")]
)
def test_the_runs_of_the_example_get_what_fits(store, run, action):
    """A dead service is fixed, a gate and a denial are a person's, a healthy run is only looked at."""
    row = triage(run, store("fleet"), now=NOW)
    assert (row.recommended_action, row.target_run_id) == (action, run)
    assert row.command
    assert TriageRow.read(row.as_json()) == row


def test_every_quote_is_in_the_row_it_names(store):
    """Evidence of an attempt occurs in that attempt, for every failed run of a real store."""
    from smithers_nb.sources.snapshot import Snapshot

    fleet = store("fleet")
    source, quoted = open_source(fleet), 0
    try:
        for run_id in ("mail-002", "rep-003", "rep-004"):
            attempts = {f"attempt:{a.node_id}/{a.iteration}/{a.attempt}": a.error_message for a in Snapshot(source, run_id).attempts}
            for item in triage(run_id, fleet, now=NOW).evidence:
                if item.ref in attempts:
                    quoted += 1
                    assert item.quote in attempts[item.ref]
    finally:
        source.close()
    assert quoted


@pytest.mark.parametrize("place", ["smithers.db", "gone.db"])
def test_what_cannot_be_read_is_escalated_with_low_confidence(tmp_path, place):
    """A damaged or missing store gives a row, never an error."""
    (tmp_path / "smithers.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)
    row = triage("r1", tmp_path / place, now=NOW)
    assert (row.state, row.confidence, row.recommended_action) == ("unknown", "low", "escalate")
