"""Killed in the middle, two at once, twenty at once: the ledger stays whole."""

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_events, beads, convoys
from smithers_nb.ledger import Ledger, admin, items, patrol, queries


def fail_and_be_killed(url, bead_id, left):
    """In a child process: fail a bead, and be killed before statement number `left`, or at the commit when there is none left."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ledger = Ledger.open(url)
    rest = [left]

    def kill():
        if rest[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @sa.event.listens_for(ledger.journal.engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            kill()
            rest[0] -= 1

    sa.event.listen(ledger.journal.engine, "commit", lambda _: kill())
    with ledger.writing() as connection:
        admin.force_fail(ledger, connection, bead_id, note="killed")
    os._exit(0)


@pytest.mark.slow
def test_killed_between_any_two_statements(in_file):
    """A process that is killed at any statement of a transition, or at its commit, leaves all of it or nothing."""
    url = in_file.ledger.journal.location.url
    for left in range(30):
        bead_id, _ = in_file.started()
        with in_file.ledger.writing() as connection:
            convoy = items.create(in_file.ledger, connection, "c", type="convoy")
            items.track(in_file.ledger, connection, bead_id, convoy)
        in_file.ledger.journal.engine.dispose()  # a connection must not be carried over a fork
        whole = fail_and_be_killed(url, bead_id, left) == 0
        with in_file.ledger.reading() as connection:
            status = connection.execute(sa.select(beads.c.status).where(beads.c.bead_id == bead_id)).scalar()
            fails = connection.execute(
                sa.select(sa.func.count()).where(bead_events.c.bead_id == bead_id, bead_events.c.move == "fail")
            ).scalar()
            counted = connection.execute(sa.select(convoys.c.failed).where(convoys.c.bead_id == convoy)).scalar()
        assert (status, fails, counted) == (("failed", 1, 1) if whole else ("in_progress", 0, 0)), left
        if whole:
            assert left > 8
            return
    pytest.fail("the transition never came to its end")


def test_two_patrols_at_once_fail_a_bead_once(fleet):
    """Each stuck bead is ended by one of two patrols, with one reason."""
    stuck = [fleet.started(metadata={"timeout_ms": 60_000})[0] for _ in range(6)]
    fleet.clock.forward(5)
    found: list[list[patrol.Finding]] = [[], []]
    start = threading.Barrier(2)

    def walk(number):
        start.wait()
        found[number] = patrol.patrol(fleet.ledger)

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one.bead_id for side in found for one in side) == sorted(stuck)
    with fleet.ledger.reading() as connection:
        assert len(queries.failure_rows(connection)) == len(stuck)
        assert not connection.execute(sa.select(bead_events.c.seq).where(bead_events.c.event_type == "failure_suppressed")).all()


def test_twenty_writers_count_a_convoy_right(fleet):
    """Twenty beads of one convoy that end at the same time are counted as twenty, and the convoy fails once."""
    convoy = fleet.bead(type="convoy")
    members = [fleet.bead() for _ in range(20)]
    with fleet.ledger.writing() as connection:
        for member in members:
            items.track(fleet.ledger, connection, member, convoy)
    problems = []

    def end(number, member):
        try:
            with fleet.ledger.writing() as connection:
                if number % 2:
                    admin.close(fleet.ledger, connection, member, actor="w", note="done: merged")
                else:
                    admin.force_fail(fleet.ledger, connection, member, note="x")
        except Exception as error:  # noqa: BLE001  # shown below
            problems.append(error)

    threads = [threading.Thread(target=end, args=one) for one in enumerate(members)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    with fleet.ledger.reading() as connection:
        row = connection.execute(sa.select(convoys).where(convoys.c.bead_id == convoy)).one()
        assert (row.total, row.closed, row.failed, row.status) == (20, 10, 10, "landed_with_failures")
        assert queries.failure_of(connection, convoy).details["failed"] == 10
        assert len(queries.causes_of(connection, convoy)) == 10


def test_a_breaker_pauses_a_repeated_action(in_file):
    """What fails again and again is paused per action, with a reason, and works again after the pause."""
    from smithers_nb.ledger import breaker

    with in_file.ledger.writing() as connection:
        for _ in range(3):
            breaker.failed(in_file.ledger, connection, "triage:crash_loop:a", "no container", limit=3)
        why = breaker.refusal(in_file.ledger, connection, "triage:crash_loop:a")
        assert (why.code, why.details["last_error"]) == ("breaker_open", "no container")
        assert breaker.refusal(in_file.ledger, connection, "triage:crash_loop:b") is None
        in_file.clock.forward(31)
        assert breaker.refusal(in_file.ledger, connection, "triage:crash_loop:a") is None


def test_the_patrol_does_not_recreate_what_just_failed(in_file):
    """A triage request whose agent did not start three times is not made a fourth time until the pause is over."""
    from smithers_nb.ledger import triage
    from smithers_nb.ledger.dispatch import Started

    made = []
    for _ in range(4):
        with in_file.ledger.writing() as connection:
            made.append(triage.request(in_file.ledger, connection, "crash_loop", bead_id=None, agent_id="a", context="c"))
            if made[-1]:
                triage.agent_not_started(in_file.ledger, connection, made[-1], Started(ok=False, error="no container"))
    assert [bool(one) for one in made] == [True, True, True, False]


def test_a_crash_loop_is_asked_about_once_and_its_agent_rests(in_file):
    """Three crashes within half an hour become one question, the agent gets no work meanwhile, and a new question needs new crashes."""
    from smithers_nb.ledger import agents, dispatch, triage
    from smithers_nb.ledger.dispatch import Started

    agent_id = in_file.agent()

    def crash():
        bead_id = in_file.bead()
        ran = dispatch.dispatch(in_file.ledger, bead_id, agent_id, lambda *_: Started(ok=True))
        if ran:
            with in_file.ledger.writing() as connection:
                agents.agent_completed(in_file.ledger, connection, agent_id, status="failed", reason="core dumped")
        in_file.clock.forward(1)
        return ran

    assert [crash() for _ in range(4)] == [True, True, True, False]
    (found,) = patrol.patrol(in_file.ledger)
    assert found.path == "crash_loop"
    with in_file.ledger.writing() as connection:
        triage.agent_not_started(in_file.ledger, connection, found.bead_id, Started(ok=False, error="no container"))
    assert patrol.patrol(in_file.ledger) == []
    in_file.clock.forward(31)
    assert patrol.patrol(in_file.ledger) == []
    assert crash()


def test_a_lease_that_was_never_renewed_is_warned_of_once(in_file):
    """Nobody renewed the lease, so nothing is known of its holder: the work stays where it is, and the log says so once."""
    from smithers_nb.ledger import dispatch
    from smithers_nb.ledger.dispatch import Started

    bead_id = in_file.bead()
    assert dispatch.dispatch(in_file.ledger, bead_id, in_file.agent(), lambda *_: Started(ok=True), lease_ms=300_000)
    in_file.clock.forward(16)
    assert patrol.patrol(in_file.ledger) == [(bead_id, "lease_lapsed")]
    assert patrol.patrol(in_file.ledger) == []
    with in_file.ledger.reading() as connection:
        assert queries.bead_rows(connection, bead_id=bead_id)[0].status == "in_progress"
        assert queries.event_rows(connection, bead_id=bead_id)[0].type == "lease_lapsed"


def test_a_convoy_with_a_feature_branch_lands_with_its_merge(in_file):
    """All members closed is not landed yet: the merge of the branch is, and only then the convoy closes."""
    from smithers_nb.ledger import review

    convoy, member = in_file.bead(type="convoy", metadata={"feature_branch": "feature"}), in_file.bead()
    with in_file.ledger.writing() as connection:
        items.track(in_file.ledger, connection, member, convoy)
        admin.close(in_file.ledger, connection, member, actor="me", note="done and tested")
    with in_file.ledger.reading() as connection:
        assert queries.bead_rows(connection, bead_id=convoy)[0].status == "open"
    with in_file.ledger.writing() as connection:
        mr_id = review.submit_landing(in_file.ledger, connection, convoy, branch="feature", rig_id=None, actor="mayor")
        review.complete(in_file.ledger, connection, mr_id, "merged", "")
    with in_file.ledger.reading() as connection:
        assert queries.bead_rows(connection, bead_id=convoy)[0].status == "closed"


def test_time_is_measured_from_the_start_and_never_goes_back(in_file):
    """Editing a bead does not reset its timeout, and a clock that is set back gives no event before its predecessor."""
    bead_id, _ = in_file.started(metadata={"timeout_ms": 3_600_000})
    in_file.clock.forward(59)
    with in_file.ledger.writing() as connection:
        connection.execute(beads.update().where(beads.c.bead_id == bead_id).values(title="edited", updated_at_ms=in_file.clock.at))
    in_file.clock.forward(2)
    assert patrol.patrol(in_file.ledger) == [patrol.Finding(bead_id, "timeout")]
    in_file.clock.forward(-600)
    with in_file.ledger.writing() as connection:
        admin.reopen(in_file.ledger, connection, bead_id, actor="me", note="again")
    with in_file.ledger.reading() as connection:
        times = [row.at for row in reversed(queries.event_rows(connection, bead_id=bead_id))]
    assert times == sorted(times)


def test_a_ledger_is_one_of_the_stores_of_beads(in_file):
    """The journal's file is read as `beads:PATH`, and gives the same beads and failures as the ledger itself."""
    from smithers_nb.project import connect

    bead_id = in_file.bead()
    with in_file.ledger.writing() as connection:
        admin.force_fail(in_file.ledger, connection, bead_id, note="x")
    with connect(f"beads:{in_file.ledger.journal.location.file}") as project:
        assert list(project.beads["reason_code"]) == ["admin_force_fail"]
        assert list(project.failures["reason_source"]) == ["admin"]
        assert project.audit().more["failures_no_reason"] == 0
