"""References and quotes are held against rows that exist."""

from __future__ import annotations

import pytest

from smithers_nb.agents.verification.evidence_index import Record
from smithers_nb.model.verdict import Evidence
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot

ERROR = "null is not an object (evaluating 'd[\"fetch-orders\"].lines.filter')"


@pytest.mark.parametrize(
    ("ref", "quote"),
    [
        ("attempt:normalize/0/1", ERROR),
        ("attempt:normalize/0/1", "null  is not\n an object"),
        ("attempt:normalize/0/1", 'evaluating \'d[\\"fetch-orders\\"]'),
        ("attempt:normalize/0/1", "order-sync.tsx:16:138"),
        ("run:order-sync-013", "Task failed: normalize"),
        ("event:5", "NodeStarted"),
        ("event:5", '"nodeId":"fetch-orders","iteration":0'),
        ("event:3", '"type":"'),
        ("node:normalize/0", "state: failed"),
        ("source:order-sync.tsx:16", "lines.filter"),
    ],
)
def test_a_quote_that_occurs_holds(record, ref, quote):
    """A quote may be spaced and escaped in another way than its row."""
    assert record.refusal(ref, quote) == ""


@pytest.mark.parametrize(
    ("ref", "quote", "why"),
    [
        ("attempt:normalize/0/1", "the disk was full", "does not occur"),
        ("attempt:normalize/0/2", ERROR, "no such row"),
        ("attempt:normalize/0/1", "null", "too short"),
        ("attempt:normalize/0/1", "   ", "too short"),
        ("run:order-sync-001", "order-sync-001", "no such row"),
        ("event:99999", "NodeStarted", "no such row"),
        ("event:x", "NodeStarted", "no such row"),
        ("source:order-sync.tsx:99999", "lines.filter", "no such row"),
        ("source:order-sync.tsx:-1", "lines.filter", "no such row"),
        ("source:other.tsx:16", "lines.filter", "no such row"),
        ("source:order-sync.tsx:1", "lines.filter", "does not occur"),
        ("file:/etc/passwd", "root:x:0:0", "no such row"),
        ("", "anything at all", "no such row"),
        (":", "anything at all", "no such row"),
        ("order-sync-013/attempt", "anything at all", "no such row"),
    ],
)
def test_what_does_not_hold_is_refused(record, ref, quote, why):
    """A row that is not there and words that are not in it are told apart."""
    assert why in record.refusal(ref, quote)


def test_a_child_runs_row_has_its_run_in_front(store):
    """Rows of child runs are reached through their run's id, and only those of the family."""
    source = open_source(store("grandchild"))
    top = next(run_id for run_id in source.run_ids() if ":child:" not in run_id)
    record = Record(Snapshot(source, top))
    assert len(record.runs) == 3
    deepest = max(record.runs, key=len)
    ref = next(
        record.own(deepest, f"attempt:{a.node_id}/{a.iteration}/{a.attempt}") for a in record.runs[deepest].attempts if a.state == "failed"
    )
    assert ref.startswith(f"{deepest}/attempt:")
    message = next(a.error_message for a in record.runs[deepest].attempts if a.state == "failed")
    assert record.refusal(ref, message) == ""
    assert "no such row" in record.refusal(ref.replace(deepest, f"{deepest}x"), message)
    source.close()


def test_secrets_are_gone_from_every_row(changed):
    """A row is redacted as a whole, and a quote with the secret in it is compared after the same redaction."""
    secret = "sk-proj-" + "a1B2c3D4" * 4
    store = changed("UPDATE _smithers_attempts SET error_json = replace(error_json, 'null is not', ?)", f"{secret} null is not")
    source = open_source(store)
    record = Record(Snapshot(source, "order-sync-013"))
    text = record.text("attempt:normalize/0/1")
    assert secret not in text
    assert record.refusal("attempt:normalize/0/1", f"{secret} null is not an object") == ""
    source.close()


def test_what_the_rules_quoted_holds(fleet):
    """A quote of the deterministic investigation may be repeated, also when its row keeps the words in another form."""
    source = open_source(fleet)
    cited = [Evidence(ref="event:3", quote="put together from two fields")]
    record = Record(Snapshot(source, "order-sync-013"), cited=cited)
    assert record.refusal("event:3", "put together from two") == ""
    assert record.refusal("event:2", "put together from two") != ""
    assert record.refusal("event:3", "put") != ""
    source.close()


def test_an_empty_line_proves_nothing(fleet):
    """A quote of a line of the workflow on which nothing stands, nor after it, is refused like any other that does not occur."""
    source = open_source(fleet)
    record = Record(Snapshot(source, "order-sync-013"), source_path="flow.tsx", source="export {}\n\n\n")
    assert "does not occur" in record.refusal("source:flow.tsx:2", "export default")
    assert record.refusal("source:flow.tsx:2", " ") != ""
    source.close()
