"""What a report says about a run: what matters, in bounded length, and nothing that is nobody's business."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.errors import BugReportEmpty, BugReportUnread
from smithers_nb.model.bug_report import BugOutcome
from smithers_nb.model.rows import EventRow
from smithers_nb.model.vocabulary import NOISE_EVENTS, event_category
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.results import GateCard
from smithers_nb.workflows.autopsy.stages import bug_gate, gather, investigate, run_autopsy, verdict
from smithers_nb.workflows.bugs.events import MAX_EVENTS, lifecycle, most_useful
from smithers_nb.workflows.bugs.report import MAX_BYTES, compose, written
from smithers_nb.workflows.bugs.scrub import scrub_payload, scrub_text

NOW = 1795181301665
REFUSED = "order-sync-010"
# Pieces are joined here, so that no scanner takes this file for a leak.
TOKENS = [
    "sk-" + "ant-api03-abcDEF123456",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11AAAA" * 6,
    "AKIA" + "IOSFODNN7EXAMPLE",
    "xoxb-" + "123456789012-abcdefghijkl",
    "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
    "ya29." + "a0AfH6SMBxyz-123_456",
    "hf_" + "abcdefghijKLMNOPqrstuv12",
    "glpat-" + "abcDEF123456ghiJKL78",
    "npm_" + "abcdefghij1234567890ABCDEFGHIJ123456",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEowIBAAKC\n-----END RSA PRIVATE KEY-----",
    "Ab1+" * 21 + "Zz==",
    "abc8Q~" + "d" * 34,
]
NAMED = [
    ("postgres://app:{}@db.example/prod", "hunter2!x"),
    ("Bearer {}", "abcd1234"),
    ("OPENAI_API_KEY={}", "plainvalue"),
    ("DB_PASSWORD={}", "correcthorse"),
    ("AWS_CREDENTIALS={}", "wrongcow"),
    ("password={}", "staplebattery"),
    ('{{"refreshToken": "{}"}}', "zebra-zebra"),
    ("{{'client_secret': '{}'}}", "quagga-quagga"),
]
PERSONAL = [("/home/{}/app/x.ts", "alicexyz"), ("/Users/{}/x", "bobxyz"), ("C:\\Users\\{}\\x", "carolxyz"), ("{}@example.org", "davexyz")]
SECRETS = [("{}", token) for token in TOKENS] + NAMED + PERSONAL
KEYS = [
    "apiKey",
    "api_key",
    "x-key",
    "accessToken",
    "clientSecret",
    "password",
    "credentials",
    "authorization",
    "DSN",
]
COUNTS = {"inputTokens": 120, "outputTokens": 7, "max_tokens": 4096, "cacheReadTokens": 3, "token": 9, "totalTokens": 1.5}


def said(frame: str, secret: str) -> str:
    return frame.replace("{{", "{").replace("}}", "}").replace("{}", secret, 1)


def report(store, run_id: str = REFUSED, **parts) -> dict:
    return compose(snapshot=Snapshot(open_source(store), run_id), now=NOW, **parts)


def test_the_payload_is_that_of_smithers(fleet):
    """Names, order and types are those of Smithers' own `bug` command."""
    payload = report(fleet, failure="connect ECONNREFUSED")
    assert list(payload) == ["title", "body", "smithersVersion", "platform", "createdAtMs", "run"]
    assert list(payload["platform"]) == ["os", "arch", "bunVersion"]
    assert all(isinstance(value, str) and value for value in payload["platform"].values())
    run = payload["run"]
    assert list(run) == ["runId", "workflowName", "workflowPath", "status", "error", "events"]
    assert (run["runId"], run["workflowName"], run["status"]) == (REFUSED, "order-sync", "failed")
    assert all(list(event) == ["seq", "timestampMs", "type", "payload"] for event in run["events"])
    assert payload["title"] == f"Run {REFUSED} failed: connect ECONNREFUSED"
    assert payload["createdAtMs"] == NOW


def test_titles(fleet):
    """A title is what was given, what the run failed on, its status, or the beginning of the words, on one short line."""
    assert compose(body="first line\nsecond " + "x" * 500, now=1)["title"].startswith("first line second xxx")
    assert len(compose(body="x" * 500, now=1)["title"]) == 120
    assert report(fleet, "order-sync-001")["title"] == "Run order-sync-001 (finished)"
    assert report(fleet)["title"].startswith(f"Run {REFUSED} failed: Task failed: fetch-orders")
    assert report(fleet, title=" my\ntitle ")["title"] == "my title"
    assert "run" not in compose(body="words alone", now=1)


def test_nothing_is_no_report():
    """Without words and without a run there is nothing to report."""
    with pytest.raises(BugReportEmpty) as caught:
        compose(title=" ", body="\n", now=1)
    assert (caught.value.code, caught.value.exit_code) == ("BUG_REPORT_EMPTY", 4)


def test_a_run_that_is_gone_cannot_be_reported(changed):
    """A store that vanished before its run was read is an error with Smithers' own word for it."""
    store = changed("SELECT 1")
    snapshot = Snapshot(open_source(store), REFUSED)
    store.unlink()
    with pytest.raises(BugReportUnread) as caught:
        compose(snapshot=snapshot, now=1)
    assert (caught.value.code, caught.value.exit_code) == ("BUG_REPORT_RUN_UNREADABLE", 4)


def test_no_heartbeat_is_among_the_events(changed):
    """A log that ends with thousands of heartbeats still gives the events of its lifecycle, and says how many there are."""
    store = changed(
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO _smithers_events"
        " (run_id, seq, timestamp_ms, type, payload_json) SELECT ?, i, i, 'TaskHeartbeat', '{}' FROM n",
        REFUSED,
    )
    payload = report(store)
    types = [event["type"] for event in payload["run"]["events"]]
    assert {"RunStarted", "NodeFailed", "RunFailed"} <= set(types)
    assert not NOISE_EVENTS & set(types)
    assert f"Attached: {len(types)} of the {len(types)} events" in payload["body"]


def log(*types: str) -> list[EventRow]:
    return [EventRow("r", seq, seq, kind, event_category(kind), None, None, None, None) for seq, kind in enumerate(types)]


def test_of_a_long_log_the_telling_events_are_kept():
    """Beginning, end, failures, decisions and retries go before what went well."""
    middle = ["NodeStarted", "NodeFinished", "ToolCallStarted", "TokenUsageReported"] * 100
    rare = ["NodeFailed", "ApprovalDenied", "NodeRetrying", "ApprovalGranted", "TaskHeartbeatTimeout", "RunHijacked", "RetryTaskStarted"]
    chosen = most_useful(log("RunStarted", *middle, *rare, *middle, "RunFailed"))
    assert len(chosen) == MAX_EVENTS
    assert [event.seq for event in chosen] == sorted(event.seq for event in chosen)
    assert {*rare, "RunStarted", "RunFailed"} <= {event.type for event in chosen}


def test_of_many_alike_the_first_and_the_last_are_kept():
    """A retry storm of hundreds of failures is shown by how it began and how it ended."""
    chosen = most_useful(log("RunStarted", *["NodeFailed", "NodeRetrying"] * 400, "RunFailed"))
    places = [event.seq for event in chosen]
    assert (places[:6], places[-4:]) == ([0, 1, 2, 3, 5, 7], [797, 799, 800, 801])


@given(st.lists(st.sampled_from(["RunStarted", "NodeFailed", "NodeFinished", "Unheard", "ApprovalRequested", ""]), max_size=200))
def test_choosing_keeps_the_order_and_invents_nothing(types):
    """The chosen events are events of the log, each once, in its order, as many as fit."""
    events = log(*types)
    chosen = most_useful(events)
    assert len(chosen) == min(len(events), MAX_EVENTS)
    assert chosen == [event for event in events if event in chosen]


@pytest.mark.parametrize(("frame", "secret"), SECRETS, ids=range(len(SECRETS)))
def test_secrets_are_in_no_field(changed, frame, secret):
    """A secret in any recorded field, in payloads, names, paths, errors, types and ids, and in the words, does not leave."""
    text = said(frame, secret)
    event = {"type": "NodeFailed", "error": {"message": f"x {text}", "stack": f"\x1b[31m{text}\nat y"}, text: 1, "list": [[text]]}
    changed("UPDATE _smithers_runs SET workflow_name = ?, workflow_path = ?, status = ?", text, text, f"failed {text}")
    changed("UPDATE _smithers_runs SET error_json = ?", json.dumps({"message": text}))
    changed("UPDATE _smithers_events SET payload_json = ? WHERE type = 'NodeFailed'", json.dumps(event))
    changed("UPDATE _smithers_events SET type = ? WHERE type = 'NodePending'", text)
    store = changed("UPDATE _smithers_events SET payload_json = ? WHERE type = 'RunFailed'", text)
    sent = written(report(store, title=text, body=f"I saw {text}", failure=text)).decode()
    for piece in secret.splitlines():
        assert piece not in sent
    assert "[REDACTED" in sent
    assert "NodeFailed" in sent


@pytest.mark.parametrize("key", KEYS)
def test_what_lies_under_a_secret_name_goes_whole(key):
    """Whatever the value under such a key is, it is replaced, however deep and however long the key."""
    for value in ("hunter2", ["hunter2"], {"a": {"b": "hunter2"}}):
        assert "hunter2" not in json.dumps(scrub_payload(json.dumps({"deep": [{key: value}]}), 3_000))
    assert "hunter2" not in json.dumps(scrub_payload(json.dumps({"x" * 200 + f"_{key}": "hunter2"}), 3_000))


_AROUND = st.sampled_from(["", " ", "\n", "\t", "é", ", ", "\x1b[1;31m", "\u200b", "(", '"', "\\n", "=", "a ", ": ", "/"])
_LEAF = st.builds(lambda before, pair, after: before + said(*pair) + " " + after, _AROUND, st.sampled_from(SECRETS), st.text(max_size=6))
_VALUE = st.recursive(
    _LEAF | st.integers() | st.none() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "message", *KEYS]) | _LEAF, inner, max_size=3),
    max_leaves=6,
)


@given(_VALUE, st.text(max_size=20))
def test_no_known_secret_survives(value, words):
    """Whatever surrounds a known secret, in values, keys, words and title, it is gone, and counts of tokens are all there."""
    stored = json.dumps({"usage": COUNTS, "value": value})
    kept = scrub_payload(stored, 30_000)
    assert kept["usage"] == COUNTS
    leaf = json.dumps(value, ensure_ascii=False)
    payload = compose(title=leaf[:300], body=words + leaf, now=1) | {"event": kept}
    sent = written(payload).decode()
    for _, secret in SECRETS:
        assert json.dumps(secret)[1:-1] not in sent


def test_counts_of_tokens_survive_in_a_report(changed):
    """How many tokens were used is in the events as numbers."""
    store = changed("UPDATE _smithers_events SET payload_json = ? WHERE type = 'NodeFailed'", json.dumps({"usage": COUNTS}))
    events = report(store)["run"]["events"]
    assert next(event["payload"] for event in events if event["type"] == "NodeFailed") == {"usage": COUNTS}


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "null",
        "no json",
        "[" * 5_000 + "]" * 5_000,
        json.dumps({"a": 10**400}),
        json.dumps({"a": "\x00\ud800\u202e"}),
        json.dumps({"deep": {"er": {"and": {"deeper": {str(i): {"x": ["y" * 99]} for i in range(99)}}}}}),
        json.dumps({f"key-{i}" * 20: "€" * 9_000 for i in range(900)}),
        json.dumps(["\\\"'" * 9_000] * 900),
        json.dumps({"message": "x" * 10_000_000}),
    ],
    ids=range(11),
)
def test_any_payload_fits(stored):
    """Whatever was recorded gives JSON within the room, in short time, and says what it leaves out."""
    start = time.process_time()
    kept = scrub_payload(stored, 3_000)
    assert time.process_time() - start < 4
    sent = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(sent) <= 3_000
    if len(stored or "") > 3_000:
        assert b"more" in sent or b"too " in sent


def test_a_secret_that_a_colour_would_hide_is_gone():
    """An escape sequence that takes the start of an escaped character along glues no letter to a secret."""
    assert "sk-ant" not in scrub_text('\x1b["\\nsk-ant-api03-abcDEF123456 "]', 2_000)


def test_a_secret_that_a_cut_would_bare_is_gone():
    """Where a text is shortened no half of a secret is left, nor one that only looks like it once it is cut."""
    for length in range(1_380, 1_500, 7):
        text = "x" * length + " ghp_" + "a1B2" * 40
        assert "ghp_a1" not in json.dumps(scrub_payload(json.dumps({"m": text}), 3_000))
    assert "hunter2" not in scrub_text('{"password": "' + "hunter2 " * 20_000 + '"}', 2_000)


@pytest.mark.slow
def test_a_report_is_never_too_long(changed):
    """Fifty events and every other field full of the widest characters stay below the limit; the title stays a line."""
    wide = '\\"😀\x1b' * 10_000
    changed("UPDATE _smithers_runs SET workflow_name = ?, workflow_path = ?, status = ?", wide, wide, "failed" + wide)
    changed("UPDATE _smithers_runs SET error_json = ?", json.dumps({"message": wide}))
    payload = json.dumps({str(i): {"a": wide[:1_000], "b": [wide[:300]] * 9} for i in range(12)})
    store = changed(
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1060) INSERT INTO _smithers_events"
        " (run_id, seq, timestamp_ms, type, payload_json) SELECT ?, i, i, 'NodeFailed' || ?, ? FROM n",
        REFUSED,
        wide[:500],
        payload,
    )
    found = report(store, title=wide, body=wide, failure=wide)
    assert len(found["run"]["events"]) == MAX_EVENTS
    assert 40_000 < len(written(found)) < MAX_BYTES
    assert len(found["title"]) <= 120


def test_what_is_sent_is_plain(changed):
    """Control characters, halves of characters and marks that turn text around are written out, and ids with shell characters stay."""
    hostile = "x'; touch /tmp/owned; $(id) `id`"
    for table in ("_smithers_runs", "_smithers_events"):
        changed(f"UPDATE {table} SET run_id = ? WHERE run_id = ?", hostile, REFUSED)
    event = '{"text": "a\\u0000b\\ud800c\\u202ed\\u001b[2Je", "more": "' + "\x9b" + '"}'
    store = changed("UPDATE _smithers_events SET payload_json = ? WHERE run_id = ?", event, hostile)
    payload = report(store, hostile, body="nul \x00 half \ud800")
    text = written(payload).decode()
    assert not [char for char in text if ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char == "\u202e"]
    assert payload["run"]["runId"] == hostile
    assert r"nul \x00 half \ud800" in payload["body"]


def test_events_that_cannot_be_read_are_missed_not_fatal(corpus_store):
    """A damaged store still gives a report, which says what of it could not be read."""
    store = corpus_store("d39")
    source = open_source(store)
    snapshot = Snapshot(source, source.run_ids()[0])
    assert snapshot.attempts == []
    payload = compose(snapshot=snapshot, now=NOW)
    assert payload["run"]["events"]
    assert "Could not be read: " in payload["body"]


def test_the_lifecycle_is_the_log_without_chatter(fleet):
    """The lines to choose from are those of the log in its order, without heartbeats and what agents said."""
    events = lifecycle(Snapshot(open_source(fleet), REFUSED))
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert not (NOISE_EVENTS | {"AgentEvent"}) & {event.type for event in events}


SUSPECTED = "prod-rollout"


def test_the_gate_holds_what_would_be_sent(store, endpoint):
    """For a suspected bug of the engine the gate has the payload and the address, and its card shows every character of both."""
    location = store(SUSPECTED)
    gathered = gather(open_source(location).run_ids()[0], location, now=NOW)
    gate = bug_gate(investigate(gathered), gathered)
    assert gate.endpoint == endpoint.url
    assert (gate.payload["title"], gate.payload["createdAtMs"]) == (gate.title, NOW)
    assert "engine/src/engine.js" in gate.payload["body"]
    assert gate.payload["run"]["events"][-1]["type"] == "RunFailed"
    pretty = written(gate.payload, pretty=True).decode()
    assert all(line.strip() in gate.card().text for line in pretty.splitlines())
    assert "<details" in gate.card().html
    assert endpoint.url in gate.card().html
    assert GateCard.read(gate.as_json()) == gate
    assert endpoint.requests == []


def test_what_is_shown_is_escaped(changed):
    """Markup that a run recorded is text on the card of the gate, and text in the payload."""
    store = changed("UPDATE _smithers_events SET payload_json = ? WHERE type = 'NodeFailed'", '{"m": "</pre><script>alert(1)</script>"}')
    payload = report(store)
    gate = GateCard(target_run_id=REFUSED, needed=True, title="t", body="b", payload=payload, endpoint="http://<b>", reason="r")
    assert "<script>" in written(payload).decode()
    assert "<script>" not in gate.card().html
    assert "<b>" not in gate.card().html


def test_a_gate_without_its_store_has_no_events(store):
    """When the store went away after the investigation the report is still made, and says that the events are missing."""
    location = store(SUSPECTED)
    gathered = gather(open_source(location).run_ids()[0], location, now=NOW)
    found = investigate(gathered)
    location.unlink()
    payload = bug_gate(found, type(gathered).read(gathered.as_json())).payload
    assert "run" not in payload
    assert "Events are missing: " in payload["body"]
    assert "run" not in bug_gate(found).payload


def test_a_filed_bug_is_in_the_verdict(store):
    """The verdict carries whether a bug was filed, its id and its address; a denied one leaves the rest as it is."""
    location = store(SUSPECTED)
    gathered = gather(open_source(location).run_ids()[0], location, now=NOW)
    found = investigate(gathered)
    gate = bug_gate(found, gathered)
    filed = verdict(found, gate, BugOutcome(filed=True, bug_id="7", bug_url="https://bug.example/7"))
    row = filed.as_json()
    assert (row["bugFiled"], row["bugId"], row["bugUrl"]) == (True, "7", "https://bug.example/7")
    denied = verdict(found, gate, BugOutcome(filed=False))
    assert denied == verdict(found, gate) == replace(filed, bug_filed=False, bug_id=None, bug_url=None)


def test_an_autopsy_sends_nothing(store, endpoint):
    """A verdict of a suspected bug alone reports nothing to anybody."""
    location = store(SUSPECTED)
    row = run_autopsy(location, open_source(location).run_ids()[0])
    assert (row.failure_class, row.bug_filed, row.bug_id, row.bug_url) == ("smithers-bug", False, None, None)
    assert endpoint.requests == []
