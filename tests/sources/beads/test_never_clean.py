"""Stores that show little or cannot be read as a whole: no finding in them may look like a clean fleet."""

import json

import pytest

from smithers_nb.cli.app import main
from smithers_nb.present.html.bead_cards import headline
from smithers_nb.project import connect

ISSUE = {"id": "a-1", "title": "t", "status": "closed", "close_reason": "Closed", "updated_at": "2026-01-02T00:00:00Z"}
LOG = {"issue_id": "a-1", "actor": "u", "old_value": "", "comment": None, "created_at": "2026-01-02T00:00:00Z"}


def audit_of(folder, **files):
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" if isinstance(line, dict) else line for line in lines))
    with connect(f"beads:{folder}") as project:
        return project.audit()


def test_an_empty_export_is_not_clean(tmp_path):
    """Of a file without a line every count is unknown, and coverage says so."""
    found = audit_of(tmp_path, issues=[])
    assert set(found.counts.values()) == {None}
    assert "nothing can be told" in found.coverage[0]["cannot_show"][0]
    assert "Nothing to judge" in headline(found).text


def test_a_log_without_moves_is_not_clean(tmp_path):
    """A log in which no status changes is no proof that reasons are kept."""
    found = audit_of(tmp_path, events=[LOG | {"event_type": "label_added", "new_value": "x"}])
    assert "Nothing to judge" in headline(found).text
    assert any("changes a status" in note for note in found.coverage[0]["notes"])


def test_reasons_that_were_dropped_are_in_the_headline(tmp_path):
    """A fleet whose closes all have text is not clean when a second text was dropped."""
    closes = [LOG | {"event_type": "closed", "new_value": why} for why in ("Merged in #12 after review", "No: reverted in #13, see there")]
    found = audit_of(tmp_path, events=closes)
    assert found.counts["second_reason_dropped"] == 1
    assert "lost later" in headline(found).text


def test_damaged_lines_are_shown_beside_the_counts(tmp_path, capsys):
    """The table names a line that is not JSON and one without an id, and says that part of it could not be read."""
    audit_of(tmp_path, issues=[ISSUE, "{not json\n", ISSUE | {"id": 7}])
    assert main(["beads", "audit", "--source", f"beads:{tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "Part of it could not be read." in shown
    assert "issues.jsonl:2" in shown
    assert "issues.jsonl (other, 1 records)" in shown


def test_a_limit_that_cannot_be_checked_is_told(tmp_path, capsys):
    """A limit for give-backs says nothing about an export that cannot show them."""
    audit_of(tmp_path, issues=[ISSUE])
    assert main(["beads", "audit", "--source", f"beads:{tmp_path}", "--fail-over", "give_backs_no_reason=0"]) == 0
    assert "not checked, because this store cannot show it: give_backs_no_reason" in capsys.readouterr().err


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_document_of_many_lines_is_read(tmp_path, wrapped):
    """What `bd list --json` prints, laid out over lines and with or without its envelope, is read as its issues."""
    listed = [ISSUE, ISSUE | {"id": "a-2"}]
    document = {"schema_version": 1, "data": listed} if wrapped else listed
    found = audit_of(tmp_path, list=[json.dumps(document, indent=2)])
    assert (found.counts["closes"], found.problems) == (2, ())


def test_a_dolt_database_beside_is_told(tmp_path):
    """Files of a backup beside a database that cannot be read may be old."""
    (tmp_path / ".beads/embeddeddolt").mkdir(parents=True)
    assert any("Dolt" in note for note in audit_of(tmp_path, issues=[ISSUE]).coverage[0]["notes"])


def test_custom_statuses_that_close_are_told(tmp_path):
    """A status that the store's configuration takes for closed is named, because its reasons are not judged."""
    config = {"key": "status.custom", "value": "shipped:done,routed:wip"}
    notes = audit_of(tmp_path, issues=[ISSUE], config=[config]).coverage[0]["notes"]
    assert any("takes shipped for closed" in note for note in notes)
