"""Stores of work items that no public repository shows, made by their published contracts, and stores that are damaged."""

import gzip
import json
import sqlite3

import pytest

from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.project import connect


def write(path, *records):
    path.write_text("".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records))
    return path


def audit(path):
    with connect(f"beads:{path}") as project:
        return project.audit()


def event(bead, what, at, **fields):
    return {"id": at, "issue_id": bead, "event_type": what, "actor": "a", "created_at": f"2026-10-01T09:{at:02}:00Z"} | {
        "old_value": "",
        "new_value": "",
        "comment": None,
        **fields,
    }


def status(value):
    return json.dumps({"status": value})


def test_reclaims_and_unclaims_are_give_backs(tmp_path):
    """`lease_reclaimed` and `unclaimed` count as give-backs and for bouncing; a reclaim has no field for a reason."""
    rows = [event("b", "created", 0)]
    for turn in (1, 3, 5):
        rows += [
            event("b", "claimed", turn, new_value=status("in_progress")),
            event("b", "lease_reclaimed", turn + 1, old_value="worker-1"),
        ]
    rows += [event("b", "claimed", 7, new_value=status("in_progress")), event("b", "unclaimed", 8, comment="needs the schema owner")]
    found = audit(write(tmp_path / "events.jsonl", *rows))
    assert found.counts["give_backs"] == 4
    assert found.counts["give_backs_no_reason"] == found.counts["lease_reclaims_no_reason"] == 3
    assert found.counts["bounced_3"] == 1
    assert found.more["give_backs_by"] == {"holder": 1, "another": 0, "sweep": 3, "unknown": 0}
    assert {row.holder for row in found.evidence if row.finding == "lease_reclaims_no_reason"} == {"worker-1"}


def test_gascity_reopens_of_dead_assignees_and_failures(tmp_path):
    """A dead assignee's work is given back by a sweep; crashes and failed orders are failures with a code."""
    bead = {"id": "b", "title": "t", "status": "in_progress", "assignee": "pole"}
    path = write(
        tmp_path / "events.jsonl",
        {"seq": 1, "type": "bead.created", "ts": "2026-10-01T09:00:00Z", "actor": "x", "subject": "b", "payload": {"bead": bead}},
        {
            "seq": 2,
            "type": "bead.dead_assignee_reopened",
            "ts": "2026-10-01T09:10:00Z",
            "actor": "controller",
            "subject": "b",
            "payload": {"dead_assignee": "pole"},
        },
        {"seq": 3, "type": "order.failed", "ts": "2026-10-01T09:11:00Z", "actor": "o", "payload": {"error": "exit 2"}},
        {"seq": 4, "type": "never.heard.of", "ts": "2026-10-01T09:12:00Z", "actor": "o"},
    )
    found = audit(path)
    assert found.counts["give_backs_no_reason"] == found.counts["lease_reclaims_no_reason"] == 1
    with connect(f"beads:{path}") as project:
        failures = project.failures
        assert list(project.bead_events["type"])[-1] == "never.heard.of"
    assert list(failures["reason_code"]) == ["dead_assignee_reopened", "order_failed"]
    assert list(failures["message"])[1] == "exit 2"


def test_gt_unhooks_have_no_reason(tmp_path):
    """Gt's log shows give-backs and cannot show closes, which are then not known rather than none."""
    base = {"ts": "2026-10-01T09:00:00Z", "source": "gt", "actor": "pole", "visibility": "audit"}
    found = audit(
        write(
            tmp_path / ".events.jsonl",
            base | {"type": "sling", "payload": {"bead": "b", "target": "pole"}},
            base | {"type": "unhook", "payload": {"bead": "b"}},
        )
    )
    assert found.counts["give_backs"] == found.counts["give_backs_no_reason"] == 1
    assert found.counts["closes"] is None
    assert found.more["give_backs_by"]["holder"] == 1


def test_cloud_event_rows_have_reasons_in_metadata(tmp_path):
    """A failure of cloud Gastown has its reason in `failure_reason`, or in loose keys of the metadata, or nowhere."""
    base = {"bead_event_id": "e", "agent_id": "a", "event_type": "status_changed", "old_value": "in_progress", "new_value": "failed"}
    reason = {"code": "agent_failed", "message": "Agent exited", "source": "container"}
    path = write(
        tmp_path / "bead_events.jsonl",
        base | {"bead_id": "b1", "metadata": {"failure_reason": reason}, "created_at": "2026-03-01T09:00:00Z"},
        base | {"bead_id": "b2", "metadata": json.dumps({"failureMessage": "HTTP 500"}), "created_at": "2026-03-01T09:00:01Z"},
        base | {"bead_id": "b3", "metadata": "{}", "created_at": "2026-03-01T09:00:02Z"},
    )
    found = audit(path)
    assert (found.more["failures"], found.more["failures_no_reason"]) == (3, 1)
    with connect(f"beads:{path}") as project:
        assert list(project.failures["message"]) == ["Agent exited", "HTTP 500", "no reason recorded"]
        assert list(project.failures["reason_code"]) == ["agent_failed", "unknown", "unknown"]


def test_corrupt_lines_are_named_and_the_rest_is_counted(tmp_path):
    """Broken lines, half characters and a cut end cost their own line only, and each is named by its line."""
    rows = [event(f"b{n}", "closed", n, new_value="Closed") for n in range(3)]
    path = write(tmp_path / "events.jsonl", rows[0], "{not json\n", '"a text"\n', "\n", rows[1], json.dumps(rows[2])[:40])
    found = audit(path)
    assert found.counts["closes_default"] == 2
    assert [problem.where for problem in found.problems] == ["events.jsonl:2", "events.jsonl:3", "events.jsonl:6"]
    assert "middle" in found.problems[-1].what


def test_archives_and_databases_are_read_like_files(tmp_path):
    """A gzipped log and an SQLite database count like the same lines in a file."""
    row = event("b", "closed", 1, new_value="done: merged")
    with gzip.open(tmp_path / "events.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    assert audit(tmp_path).counts["closes"] == 1
    base = sqlite3.connect(tmp_path / "beads.db")
    base.execute("CREATE TABLE events (id, issue_id, event_type, actor, old_value, new_value, comment, created_at, colour)")
    base.execute("INSERT INTO events VALUES (1, 'c', 'closed', 'a', NULL, NULL, 'Fixed: dependency', '2026-10-01 09:00:00', 'red')")
    base.commit()
    base.close()
    found = audit(tmp_path / "beads.db")
    assert (found.counts["closes"], found.counts["closes_no_reason"]) == (1, 0)


def test_a_copy_of_a_log_is_counted_once(tmp_path):
    """The same entries in a database and in its backup are one log."""
    row = event("b", "closed", 1, new_value="Closed")
    (tmp_path / "backup").mkdir()
    write(tmp_path / "events.jsonl", row)
    write(tmp_path / "backup" / "events.jsonl", row, event("b", "reopened", 2, new_value="not fixed"))
    found = audit(tmp_path)
    assert (found.counts["closes"], found.counts["reopens"], found.counts["reopens_no_reason"]) == (1, 1, 0)


def test_zero_findings_of_an_export_do_not_look_clean(tmp_path):
    """A lone export says that it cannot show give-backs, and its counts are null."""
    path = write(tmp_path / "issues.jsonl", {"_type": "issue", "id": "a", "title": "t", "status": "open"})
    found = audit(path)
    assert found.counts["give_backs"] is None
    assert any("cannot show give-backs" in line for line in found.coverage[0]["cannot_show"])
    from smithers_nb.present.html.bead_cards import audit_card

    assert "cannot be told from this store" in audit_card(found).text


def test_hostile_text_stays_text(tmp_path):
    """Markup and terminal sequences in a reason reach neither the page nor the terminal."""
    path = write(tmp_path / "events.jsonl", event("<script>alert(1)</script>", "closed", 1, new_value="\x1b[31mred"))
    from smithers_nb.present.html.bead_cards import audit_card

    card = audit_card(audit(path))
    assert "<script>" not in card.html
    assert "\x1b" not in card.text


def test_nothing_there_and_dolt_are_said(tmp_path):
    """An empty folder is not found, and a Dolt store says how to export it."""
    with pytest.raises(SourceNotFound, match="no beads in"):
        audit(tmp_path)
    (tmp_path / ".beads" / "embeddeddolt").mkdir(parents=True)
    with pytest.raises(SourceUnreadable, match="Dolt"):
        audit(tmp_path)
