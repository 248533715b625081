"""Three small stores, written and counted by hand: what each line loses is named beside it."""

import json

import pytest

from smithers_nb.diagnosis.beads.audit import COUNTS, audit
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.files import gather


def audited(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    problems = Problems()
    return audit(gather(path.parent, problems), problems)


def counted(found, **expected):
    """Compare every count: those that are not named are 0 where the store can show them, and None where it cannot."""
    assert {name: found.counts[name] or 0 for name in COUNTS} == dict.fromkeys(COUNTS, 0) | expected


def event(minute, bead, what, old=None, new=None, **more):
    texts = {name: value if value is None or isinstance(value, str) else json.dumps(value) for name, value in (("old", old), ("new", new))}
    row = {"id": minute, "issue_id": bead, "event_type": what, "actor": "w", "old_value": texts["old"], "new_value": texts["new"]}
    return row | {"comment": None, "created_at": f"2026-10-01T10:{minute:02}:00Z"} | more


CLAIM = {"status": "in_progress", "assignee": "w"}
HELD = {"status": "in_progress", "assignee": "w"}
OPEN = {"status": "open"}


def test_a_log_of_bd(tmp_path):
    """Give-backs by three routes, one of them explained; a second reason; a reopen whose reason is gone; and a line that is cut."""
    found = audited(
        tmp_path / "events.jsonl",
        event(1, "a", "created"),
        event(2, "a", "status_changed", OPEN, CLAIM),
        event(3, "a", "status_changed", HELD, OPEN),  # given back, no reason
        event(4, "a", "status_changed", OPEN, CLAIM),
        event(5, "a", "unclaimed", "w", "", comment="the branch is taken"),  # given back, explained
        event(8, "a", "status_changed", OPEN, CLAIM),
        event(9, "a", "lease_reclaimed", "w", ""),  # given back by a sweep, no reason: the third
        event(12, "b", "created"),
        event(13, "b", "closed", "", "Fixed the import path of the parser"),
        event(14, "b", "closed", "", "Fixed in 3f2a9c1 after all"),  # the row keeps the first
        event(16, "b", "reopened", {"status": "closed", "close_reason": "Fixed the import path of the parser"}, {"status": "open"}),
        event(18, "b", "closed", "", "Closed"),  # the default, one word, terse
        event(20, "c", "created"),
        event(21, "c", "closed", "", ""),  # no reason at all
        '{"id": 22, "issue_id": "c", "event_type": "clo',
    )
    lost = {"give_backs": 3, "give_backs_no_reason": 2, "bounced_3": 1, "lease_reclaims_no_reason": 1}
    lost |= {"closes": 4, "closes_no_reason": 1, "closes_default": 1, "closes_one_word": 1, "closes_terse": 1}
    counted(found, **lost, second_reason_dropped=1, reopens=1, reopens_no_reason=1, reopen_reason_gone=1)
    assert [problem.where for problem in found.problems] == ["events.jsonl:15"]
    assert {row.ref for row in found.evidence if row.finding == "give_backs_no_reason"} == {"events.jsonl:3", "events.jsonl:7"}


def test_an_export_of_rows(tmp_path):
    """Rows show how things were closed and which leases lapsed; what needs a log is not known, and is not 0."""
    row = {"_type": "issue", "title": "t", "updated_at": "2026-10-01T12:00:00Z"}
    leased = {"status": "in_progress", "assignee": "w", "started_at": "2026-10-01T10:00:00Z", "heartbeat_at": "2026-10-01T10:00:00Z"}
    found = audited(
        tmp_path / "issues.jsonl",
        {"_schema": "beads-jsonl/1"},
        row | {"id": "a", "status": "closed", "close_reason": "Closed"},
        row | {"id": "b", "status": "closed", "close_reason": "done, see notes"},  # terse, three words
        row | {"id": "c", "status": "closed", "close_reason": "  "},
        row | {"id": "d", "status": "closed", "close_reason": "Retry of the upload is limited to five attempts"},
        row | leased | {"id": "e", "lease_expires_at": "2026-10-01T10:05:00Z"},  # lapsed, and never renewed
        row | {"id": "f", "status": "blocked"},
        {"_type": "memory", "id": "m", "text": "closed"},
    )
    counted(found, closes=4, closes_no_reason=1, closes_default=1, closes_one_word=1, closes_terse=2)
    assert found.counts["give_backs"] is None
    assert {name: found.more[name] for name in ("wip_lease_expired", "wip_lease_never_renewed", "blocked_without_reason")} == {
        "wip_lease_expired": 1,
        "wip_lease_never_renewed": 1,
        "blocked_without_reason": 1,
    }


@pytest.mark.parametrize("nested", [True, False])
def test_a_log_of_gascity(tmp_path, nested):
    """Flat and nested payloads count the same: a bead that a dead agent held, a close without a commit, and a number that came twice."""

    def line(seq, what, **bead):
        payload = {"id": "g-1", "title": "t", **bead}
        return {"seq": seq, "type": what, "ts": f"2026-10-01T10:0{seq}:00Z", "actor": "w", "subject": "g-1"} | {
            "payload": {"bead": payload} if nested else payload
        }

    gone = {"seq": 3, "type": "bead.dead_assignee_reopened", "ts": "2026-10-01T10:03:00Z", "actor": "controller", "subject": "g-1"}
    found = audited(
        tmp_path / "events.jsonl",
        line(1, "bead.created", status="open"),
        line(2, "bead.updated", status="in_progress", assignee="w"),
        gone | {"payload": {"bead_id": "g-1", "dead_assignee": "w"}},
        line(4, "bead.updated", status="in_progress", assignee="v"),
        line(4, "bead.closed", status="closed", close_reason="Shipped as described", metadata={"gc.work_outcome": "shipped"}),
    )
    counted(found, closes=1, give_backs=1, give_backs_no_reason=1, lease_reclaims_no_reason=1)
    assert (found.more["shipped_without_commit"], found.more["give_backs_by"]["sweep"]) == (1, 1)
    assert any("seq" in note for note in found.coverage[0]["notes"])
