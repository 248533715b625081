"""What comes in goes out again: nothing of another system's store is lost, and a ledger survives its own export."""

import io
import json

import pytest
import sqlalchemy as sa

from smithers_nb.diagnosis.beads.audit import audit
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.ledger import Ledger, dispatch, queries, transfer
from smithers_nb.ledger.dispatch import Started
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.files import gather
from tests.ledger.paths import TRIGGERS
from tests.support.data import CORPUS


def exported(ledger):
    out = io.StringIO()
    transfer.export(ledger, out)
    return out.getvalue()


@pytest.fixture
def other(tmp_path):
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'other.db'}")) as journal:
        yield Ledger(journal)


def round_trip(ledger, other, tmp_path):
    path = tmp_path / "export.jsonl"
    path.write_text(exported(ledger))
    transfer.import_store(other, path)
    assert exported(other) == path.read_text()


def test_a_ledger_survives_its_own_export(fleet, other, tmp_path):
    """Export, import and export again are the same bytes, failures, convoys and attempts included; a second import changes nothing."""
    for path in ("merge_conflict", "dispatch_exhausted", "triage_closed"):
        TRIGGERS[path][0](fleet)
    assert dispatch.dispatch(fleet.ledger, fleet.bead(), fleet.agent(), lambda *_: Started(ok=True), lease_ms=300_000)
    round_trip(fleet.ledger, other, tmp_path)
    again = transfer.import_store(other, tmp_path / "export.jsonl")
    assert (again.beads, again.events) == (0, 0)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
@pytest.mark.parametrize(
    "name",
    [
        "2026/beadsel-2026-03",
        "2026/lenny-2026-06/issues.jsonl",
        "2026/lenny-2026-06/interactions.jsonl",
        "2026/senologie-2026-05/gc-events.jsonl",
        "2026/codeprobe-2026-04/gc-events.jsonl",
        "gastown_slice_bounced_events.jsonl",
        "bd-run",
        "2026/made-journal-1.3",
    ],
)
def test_a_real_store_loses_nothing(in_file, other, tmp_path, name):
    """Every line of a real store is in the ledger with all its fields, and the audit of the ledger is that of the store."""
    where = CORPUS / "beads" / name
    found = transfer.import_store(in_file.ledger, where)
    direct = audit(gather(where, Problems()))
    with in_file.ledger.reading() as connection:
        ours = queries.audit(connection, "here")
        kept = [
            json.loads(text)
            for text in connection.execute(
                sa.text("SELECT source_json FROM _smithers_nb_bead_events UNION ALL SELECT source_json FROM _smithers_nb_beads")
            ).scalars()
        ]
    if direct.counts["give_backs"] is not None:
        known = {key: value for key, value in direct.counts.items() if value is not None}
        assert {key: ours.counts[key] for key in known} == known
    if where.is_file() or name == "2026/beadsel-2026-03":
        files = [where] if where.is_file() else sorted(where.glob("*.jsonl"))
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        assert found.beads + found.events + found.lines == len(lines)
        assert all(line in kept for line in lines if "event_type" in line)
    round_trip(in_file.ledger, other, tmp_path)
    again = transfer.import_store(in_file.ledger, where)
    assert (again.beads, again.events, again.lines) == (0, 0, 0)


def test_a_failure_without_a_reason_is_unknown_and_never_invented(in_file, tmp_path):
    """An imported failure that nobody explained is `unknown`, is counted, and keeps its line; broken lines are kept too."""
    row = {"bead_event_id": "e", "bead_id": "b", "agent_id": "a", "event_type": "status_changed", "old_value": "in_progress"}
    row |= {"new_value": "failed", "metadata": {"colour": "red"}, "created_at": "2026-03-01T09:00:00Z"}
    path = tmp_path / "bead_events.jsonl"
    path.write_text(json.dumps(row) + "\n{broken\n")
    found = transfer.import_store(in_file.ledger, path)
    assert (found.events, found.lines, found.without_reason) == (1, 1, 1)
    with in_file.ledger.reading() as connection:
        why = queries.failure_of(connection, "b")
        assert (why.code, why.source, why.message) == ("unknown", "import", "No reason recorded")
        event = queries.event_rows(connection, bead_id="b")[0]
        assert json.loads(event.payload) == row
        assert connection.execute(sa.text("SELECT line FROM _smithers_nb_bead_lines")).scalar() == "{broken\n"
        assert queries.audit(connection, "here").more["failures_no_reason"] == 1


def test_an_export_with_events_of_beads_without_a_row_is_imported_once(tmp_path):
    """Beads that only a log knows have no row in a ledger, and their events are not doubled by a second import."""
    log = tmp_path / "events.jsonl"
    log.write_text('{"issue_id": "a", "event_type": "closed", "actor": "u", "new_value": "done", "created_at": "2026-01-01T00:00:00Z"}\n')
    with Ledger.open(f"sqlite:///{tmp_path / 'journal.db'}") as ledger:
        transfer.import_store(ledger, log)
        with (tmp_path / "out.jsonl").open("w", encoding="utf-8") as out:
            transfer.export(ledger, out)
        assert transfer.import_store(ledger, tmp_path / "out.jsonl").events == 0
