"""What needs a person now: every open question and gate once, failures by cause, and nothing that somebody has dealt with."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.state.inbox import requests
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.attention import Mark, add_mark, marks_of
from smithers_nb.engine.location import Location
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.monitor.attention import needs

NOW = 1795181301665


@pytest.fixture
def found(fleet):
    """The list of the example store."""
    return needs(open_source(fleet), NOW)


def test_a_fleet(found):
    """Gates come before failures, runs that failed for the same cause are one line, and no run is in two."""
    kinds = [need.kind for need in found]
    assert kinds == sorted(kinds, key=["ASK", "APPROVE", "FAILED"].index)
    assert {need.run_id for need in found if need.kind == "APPROVE"} == {f"release-gate-03{n}" for n in (5, 6, 7, 8)}
    runs = [run_id for need in found for run_id in need.run_ids]
    assert len(runs) == len(set(runs))
    refused = next(need for need in found if need.run_id == "order-sync-010")
    assert (refused.runs, refused.run_ids) == (3, ("order-sync-010", "order-sync-008", "order-sync-009"))
    assert all(need.commands for need in found)


def test_a_denial_needs_nobody(found):
    """What a person denied is a decision; it is kept out of the list and says why."""
    assert next(need for need in found if need.run_id == "release-gate-044").put_aside == "a person denied it"


def test_a_failure_steps_back_when_the_same_work_succeeded_later(changed):
    """A later finished run of the same workflow with the same input settles a failure; one with another input does not."""
    same = "update input set source = 'x', day = 'y' where run_id in ('order-sync-010', 'order-sync-009')"
    changed(same)
    during = "(select started_at_ms from _smithers_runs where run_id = 'order-sync-009')"
    changed(f"update _smithers_runs set parent_run_id = 'order-sync-009', started_at_ms = {during} where run_id = 'order-sync-008'")
    store = changed("update _smithers_runs set status = 'finished', started_at_ms = started_at_ms + 600000 where run_id = 'order-sync-010'")
    after = {need.run_id: need for need in needs(open_source(store), NOW + 900_000)}
    assert "succeeded" in after["order-sync-009"].put_aside
    assert not after["order-sync-014"].put_aside


def test_a_fresh_run_is_no_part_of_the_run_that_it_was_started_for(changed):
    """One that fails for another cause is a line of its own; one that succeeds settles the failure, whatever its input."""
    before, fresh = "order-sync-009", "order-sync-014"
    store = changed(f"update _smithers_runs set parent_run_id = '{before}' where run_id = '{fresh}'")
    lines = {run_id: need for need in needs(open_source(store), NOW) for run_id in need.run_ids}
    assert fresh in lines
    assert fresh not in lines[before].run_ids
    store = changed(f"update _smithers_runs set status = 'finished' where run_id = '{fresh}'")
    after = {run_id: need for need in needs(open_source(store), NOW) for run_id in need.run_ids}
    assert (after[before].put_aside, after[before].run_ids) == ("a fresh run of it succeeded since", (before,))
    assert (after["order-sync-010"].put_aside, after["order-sync-010"].runs) == ("", 2)


def test_marks_put_aside_what_they_are_about(fleet):
    """A snooze hides until its end, an addressed failure until it comes back; neither touches another line or another store."""
    source = open_source(fleet)
    snooze = Mark(source.location, "release-gate-035", NOW - 1, "snoozed", "ann", until_ms=NOW + 1)
    mine = Mark(source.location, "order-sync-008", NOW, "addressed", "ann", note="port opened")
    elsewhere = mine._replace(store="/other/smithers.db", run_id="order-sync-014")
    aside = {need.run_id: need.put_aside for need in needs(source, NOW, marks=[snooze, mine, elsewhere]) if need.put_aside}
    assert aside == {
        "release-gate-035": "snoozed by ann",
        "order-sync-010": "addressed by ann: port opened",
        "release-gate-044": "a person denied it",
    }
    early = [snooze._replace(until_ms=NOW), mine._replace(marked_at_ms=NOW - 86_400_000)]
    assert {need.run_id for need in needs(source, NOW, marks=early) if need.put_aside} == {"release-gate-044"}


def test_a_question_is_asked_and_not_approved(corpus_store):
    """A pending human task is one ASK with the command that answers it."""
    (need,) = needs(open_source(corpus_store("d50")), NOW)
    assert (need.kind, need.node_id) == ("ASK", "legal-review")
    assert "human answer" in need.commands[0]


def test_signals_and_timers_need_nobody(corpus_store):
    """What other systems or time end is not in a person's list; an engine that died is."""
    assert needs(open_source(corpus_store("d52")), NOW - 1_000_000) == []
    assert [need.kind for need in needs(open_source(corpus_store("d45")), NOW)] == ["FAILED"]


def test_marks_are_kept_in_our_journal(tmp_path):
    """Marks come back as they were written, oldest first, those of the stores asked for."""
    marks = [Mark("/a.db", "r1", 2, "addressed", "ann", note="n"), Mark("/a.db", "r1", 1, "snoozed", "bob", 9)]
    with Journal.open(Location.of(tmp_path)) as journal:
        with journal.writing() as connection:
            for mark in [*marks, marks[0]._replace(note="again"), marks[0]._replace(store="/b.db")]:
                add_mark(connection, mark)
        with journal.reading() as connection:
            assert marks_of(connection, ["/a.db"]) == marks[::-1]


def test_asks_and_approvals_are_those_of_the_human_inbox(fleet):
    """What `human inbox` lists is the ASK and APPROVE part of the attention list, with the same commands."""
    source = open_source(fleet)
    asked = {(item.run_id, item.node_id): set(item.commands) for item in requests(source, NOW)}
    found = {(need.run_id, need.node_id): need for need in needs(source, NOW) if need.kind != "FAILED"}
    assert asked.keys() == found.keys()
    assert all(set(need.commands) | set(need.alternatives) >= asked[key] for key, need in found.items())


def test_a_gate_of_a_monitor_needs_a_person_too(changed):
    """A monitor that waits for a decision is in the list; that it failed or is stuck is nobody's business."""
    store = changed("update _smithers_runs set workflow_name = 'monitor' where run_id in ('release-gate-035', 'release-gate-044')")
    found = needs(open_source(store), NOW)
    assert {need.kind for need in found if need.run_id in {"release-gate-035", "release-gate-044"}} == {"APPROVE"}
