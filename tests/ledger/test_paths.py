"""Every way to fail writes its own reason, and a path that would drop it is caught."""

import importlib

import orjson
import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_events, beads
from smithers_nb.ledger import queries
from smithers_nb.model import failure_codes
from smithers_nb.model.failure_codes import PATHS, fits_code
from tests.ledger.paths import BEFORE, GIVEN_BACK, NOTED, TRIGGERS

MESSAGES = {
    "dispatch_exhausted": "Agent failed to start 5 times. Last error: container timeout after 30s",
    "orphaned_work": "Agent was idle with a hooked bead for over 30 minutes with no dispatch activity",
    "timeout": "Bead exceeded its timeout of 60 minutes (in_progress for 72 minutes)",
    "agent_crashed": "Agent process exited with status: failed. Reason: out of memory",
    "missing_rig_id": "Merge request bead has no rig_id — cannot determine which rig to review",
    "missing_rig_config": "Rig configuration not found in storage for rig xyz",
    "refinery_start_failed": "Failed to start refinery container: timeout waiting for server after 30s",
    "admin_force_fail": "Manually failed by admin",
}
MODULES = ["admin", "agents", "breaker", "convoys", "dispatch", "patrol", "pr_poll", "review", "transition", "triage"]
PLACES = [f"smithers_nb.ledger.{name}" for name in (*MODULES, "transfer.foreign", "transfer.values")]
PLACES += ["smithers_nb.workflows.smithering.building.ticket_ledger"]


def failed(fleet, bead_id):
    with fleet.ledger.reading() as connection:
        return queries.failure_of(connection, bead_id)


@pytest.mark.parametrize("path", TRIGGERS)
def test_each_path_has_its_code_source_and_details(in_file, path):
    """The bead that fails has the path's code, source and details, in its event and in its row."""
    check_path(in_file, path)


@pytest.mark.slow
def test_the_paths_are_the_same_in_postgres(in_postgres):
    """One after another, all paths of a fleet in Postgres have the same reasons."""
    for path in TRIGGERS:
        check_path(in_postgres, path)


def check_path(fleet, path):
    happen, code, source = TRIGGERS[path]
    bead_id = happen(fleet)
    why = failed(fleet, bead_id)
    assert (why.code, why.source) == (code, source)
    assert set(PATHS[path].needed) <= set(why.details)
    assert fits_code(why)
    with fleet.ledger.reading() as connection:
        row = connection.execute(sa.select(beads).where(beads.c.bead_id == bead_id)).one()
    assert row.status == "failed"
    assert orjson.loads(row.reason_json) == why.model_dump()


def test_all_sixteen_paths_of_the_table_are_made_to_happen():
    """The numbers 1 to 16 of the reference are among the triggers."""
    assert sorted(PATHS[path].number for path in TRIGGERS if PATHS[path].number) == list(range(1, 17))


@pytest.mark.parametrize("path", MESSAGES)
def test_the_eight_example_messages_word_for_word(in_file, path):
    """Given the numbers of the examples, the messages are those of the examples."""
    assert failed(in_file, TRIGGERS[path][0](in_file)).message == MESSAGES[path]


@pytest.fixture
def rewrite(monkeypatch):
    """Put another function in the place of `reason`, wherever the ledger calls it."""
    write = failure_codes.reason

    def put(other):
        for module in map(importlib.import_module, PLACES):
            for name, value in vars(module).copy().items():
                if value is write:
                    monkeypatch.setattr(module, name, lambda path, **details: other(write, path, details))

    return put


@pytest.mark.parametrize("path", TRIGGERS)
def test_a_dropped_reason_is_refused(in_file, rewrite, path):
    """With the reason of a path taken away, that path is refused and nothing has failed."""
    rewrite(lambda write, asked, details: None if asked == path else write(asked, **details))
    with pytest.raises((ValueError, AttributeError)):
        TRIGGERS[path][0](in_file)
    with in_file.ledger.reading() as connection:
        codes = {row.reason_code for row in queries.failure_rows(connection)}
    assert codes <= ({BEFORE[path]} if path in BEFORE else set())


@pytest.mark.parametrize("path", TRIGGERS)
def test_no_path_uses_the_reason_of_another(in_file, rewrite, path):
    """Taking away one path's reason touches no other path: each asks for its own and for reasons to give work back, and nothing else."""
    asked = []
    rewrite(lambda write, name, details: asked.append(name) or write(name, **details))
    TRIGGERS[path][0](in_file)
    assert {name for name in asked if not PATHS[name].gives_back} == {path, *([BEFORE[path]] if path in BEFORE else [])}


def told(fleet, bead_id, code):
    """Return the newest line of a bead's log with a code, and the bead as it stands; either may be None."""
    with fleet.ledger.reading() as connection:
        lines = [row for row in queries.event_rows(connection, bead_id=bead_id) if row.reason_code == code]
        rows = queries.bead_rows(connection, bead_id=bead_id)
    return (lines[0] if lines else None), (rows[0] if rows else None)


@pytest.mark.parametrize("path", GIVEN_BACK)
def test_work_that_goes_back_says_why(in_file, path):
    """The bead is open, nobody holds it, and its log has the path's code, source and sentence."""
    happen, source = GIVEN_BACK[path]
    line, row = told(in_file, happen(in_file), path)
    assert (line.reason_source, line.new_status, row.status, row.assignee) == (source, "open", "open", None)
    assert line.reason


@pytest.mark.parametrize("path", NOTED)
def test_what_does_not_fail_a_bead_is_in_its_log_or_row_too(in_file, path):
    """A paused action, a second reason and what another system lost have their codes, beside what was written."""
    happen, source = NOTED[path]
    line, row = told(in_file, happen(in_file), path)
    found = line or row
    assert (found.reason_code, found.reason_source) == (path, source)
    assert found.reason


@pytest.mark.parametrize("path", [*GIVEN_BACK, *(path for path in NOTED if PATHS[path].source != "import" and path != "order_failed")])
def test_a_dropped_reason_of_these_is_refused_too(in_file, rewrite, path):
    """Without its reason, work is not given back and no line is written."""
    happen = (GIVEN_BACK | NOTED)[path][0]
    rewrite(lambda write, asked, details: None if asked == path else write(asked, **details))
    with pytest.raises((ValueError, AttributeError, AssertionError)):
        happen(in_file)
    with in_file.ledger.reading() as connection:
        assert path not in {row.reason_code for row in queries.event_rows(connection)}


def test_every_path_of_the_table_is_made_to_happen():
    """No code is there that nothing writes."""
    assert {*TRIGGERS, *GIVEN_BACK, *NOTED} == set(PATHS)


def test_dispatch_exhaustion_carries_the_last_error_and_all_others(in_file):
    """The last error is that of the newest attempt, and the details say that the errors differed."""
    bead_id = TRIGGERS["dispatch_exhausted"][0](in_file)
    why = failed(in_file, bead_id)
    assert why.details["last_error"] == "container timeout after 30s"
    assert why.details["distinct_errors"] == 5
    assert [error["error"] for error in why.details["errors"]][:2] == ["error 0", "error 1"]


@pytest.mark.parametrize("role", ["polecat", "refinery"])
def test_a_crash_reason_survives_word_for_word(in_file, role):
    """What the container said stands verbatim in the details, for workers and refinery alike; a long text is kept whole by reference."""
    from smithers_nb.ledger import agents

    said = "Error: Cannot find module '@/lib/auth'\n  at Object.<anonymous> (/workspace/x)\n" + "x" * 20_000
    bead_id, agent_id = in_file.started() if role == "polecat" else in_file.reviewed()[1:]
    with in_file.ledger.writing() as connection:
        agents.agent_completed(in_file.ledger, connection, agent_id, status="failed", reason=said, log="the end of the log")
    why = failed(in_file, bead_id)
    assert said.startswith(why.details["reason"])
    with in_file.ledger.reading() as connection:
        assert agents.text_of(connection, why.details["reason_ref"]) == said
        assert agents.text_of(connection, why.details["log_tail_ref"]) == "the end of the log"
    assert why.details["role"] == role
    assert len(why.message) <= 300


@pytest.mark.parametrize(
    ("path", "event"),
    [("review_failed", "review_completed"), ("invalid_pr_url", "pr_creation_failed"), ("triage_closed", "triage_resolved")],
)
def test_the_good_paths_keep_their_own_events(in_file, path, event):
    """Beside the reason stands the event that these paths have always written, notes included."""
    TRIGGERS[path][0](in_file)
    with in_file.ledger.reading() as connection:
        texts = connection.execute(sa.select(bead_events.c.metadata_json).where(bead_events.c.event_type == event)).scalars().all()
    assert texts
    assert event != "triage_resolved" or orjson.loads(texts[0])["resolution_notes"] == "the feature was dropped"


def test_a_failed_review_is_reachable_from_its_source_and_convoy(fleet):
    """The reason sits on the merge request, and the source and its convoy lead to it."""
    from smithers_nb.ledger import items, review

    source, mr_id, _ = fleet.reviewed()
    convoy = fleet.bead(type="convoy")
    with fleet.ledger.writing() as connection:
        items.track(fleet.ledger, connection, source, convoy)
        review.complete(fleet.ledger, connection, mr_id, "failed", "lint")
    with fleet.ledger.reading() as connection:
        for bead_id in (source, convoy):
            assert [(other, why.code) for other, why in queries.causes_of(connection, bead_id)] == [(mr_id, "review_failed")]
        row = connection.execute(sa.select(beads).where(beads.c.bead_id == source)).one()
    assert row.status == "open"


def test_details_of_another_code_are_refused():
    """A reason is not written with a field missing, unknown, or of another type."""
    for details in ({}, {"rig_id": 3}, {"rig_id": "x", "more": 1}):
        with pytest.raises(ValueError, match="missing_rig_config"):
            failure_codes.reason("missing_rig_config", **details)
