"""What holds after any walk through the ledger, and what the database refuses whoever asks."""

import ast
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import smithers_nb
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.work_items import bead_events, beads, convoys
from smithers_nb.engine.location import Location
from smithers_nb.errors import ControlRefused
from smithers_nb.ledger import Ledger, admin, items, queries
from smithers_nb.ledger import convoys as progress
from smithers_nb.ledger.transition import MOVES, transition
from smithers_nb.model.failure_codes import fits_code, reason
from smithers_nb.model.failure_reason import FailureReason

STATUSES = ("open", "in_progress", "in_review", "closed", "failed")
STEP = st.tuples(
    st.integers(0, 3), st.sampled_from((*STATUSES, "reopen", "edit", "back")), st.sampled_from(("", "why", "<b>\x1b[1m\u0000"))
)


class Walk:
    """A ledger in memory of four beads, three of them in a convoy and one of its merge requests."""

    def __init__(self, folder) -> None:
        self.at = 1_000_000
        self.journal = Journal.open(Location.of(f"sqlite:///{folder / 'walk.db'}"))
        self.ledger = Ledger(self.journal, lambda: self.at)
        self.names: list[str] = []
        self.convoy = ""

    def begin(self, number: int) -> None:
        with self.ledger.writing() as connection:
            self.names = [items.create(self.ledger, connection, f"w{n}", bead_id=f"{number}-{n}") for n in range(4)]
            self.convoy = items.create(self.ledger, connection, "convoy", type="convoy", bead_id=f"{number}-convoy")
            for name in self.names[:3]:
                items.track(self.ledger, connection, name, self.convoy)

    def step(self, index: int, what: str, note: str) -> None:
        self.at += -5 if what == "back" else 7
        bead_id = self.names[index]
        with self.ledger.writing() as connection:
            try:
                if what == "reopen":
                    admin.reopen(self.ledger, connection, bead_id, actor="me", note=note)
                elif what in STATUSES:
                    admin.set_status(self.ledger, connection, bead_id, what, actor="me", note=note)
                else:
                    connection.execute(beads.update().where(beads.c.bead_id == bead_id).values(title=note))
            except (ControlRefused, ValueError):
                pass


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    made = Walk(tmp_path_factory.mktemp("walk"))
    made.runs = 0
    yield made
    made.journal.close()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=14))
def test_invariants_hold_after_any_walk(walk, steps):
    """Reasons are whole, one per failure, counts equal a recount, times do not go back, and the newest failure is the one that is shown."""
    walk.runs += 1
    walk.begin(walk.runs)
    ended = {}
    for step in steps:
        walk.step(*step)
        with walk.ledger.reading() as connection:
            for row in connection.execute(sa.select(beads.c.bead_id, beads.c.status).where(beads.c.bead_id.in_(walk.names))):
                assert (
                    ended.get(row.bead_id, "closed") != "closed" or row.bead_id not in ended or row.status == "closed"
                )  # closed stays closed
                ended[row.bead_id] = row.status
    with walk.ledger.reading() as connection:
        mine = [*walk.names, walk.convoy]
        log = connection.execute(sa.select(bead_events).where(bead_events.c.bead_id.in_(mine)).order_by(bead_events.c.seq)).all()
        rows = {row.bead_id: row for row in connection.execute(sa.select(beads).where(beads.c.bead_id.in_(mine)))}
        assert all(event.reason for event in log if event.move in ("give_back", "reopen"))
        for row in rows.values():
            check_log(connection, row, [event for event in log if event.bead_id == row.bead_id])
        convoy = connection.execute(sa.select(convoys).where(convoys.c.bead_id == walk.convoy)).one()
        counts = progress.counts(connection, walk.convoy)
        assert {name: getattr(convoy, name) for name in counts} == counts
        assert convoy.status == progress.status_of(counts)
        assert (convoy.status == "landed") == (rows[walk.convoy].status == "closed")
        assert not (counts["failed"] and convoy.status == "landed")
        if rows[walk.convoy].status == "failed":
            failed = {name for name in walk.names[:3] if rows[name].status == "failed"}
            assert failed <= {other for other, _ in queries.causes_of(connection, walk.convoy)}


def check_log(connection, row, own):
    assert [event.created_at_ms for event in own] == sorted(event.created_at_ms for event in own)
    changes = [event for event in own if event.event_type in ("status_changed", "reopened")]
    statuses = ["open", *(event.new_value for event in changes)]
    assert [event.old_value for event in changes] == statuses[:-1]  # each begins where the one before ended, so what is closed stays closed
    assert statuses[-1] == row.status
    assert "closed" not in statuses[:-1]
    fails = [event for event in changes if event.new_value == "failed"]
    assert all(fits_code(FailureReason(**orjson.loads(event.metadata_json)["failure_reason"])) for event in fails)
    if row.status == "failed":
        assert queries.failure_of(connection, row.bead_id).model_dump() == orjson.loads(fails[-1].metadata_json)["failure_reason"]


def refuse(fleet, statement, match, **values):
    with pytest.raises(sa.exc.DatabaseError, match=match), fleet.ledger.journal.engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def test_the_database_refuses_any_other_way(fleet):
    """A bare UPDATE of a status, a foreign event, a reasonless failure, a silent give-back and a change of the log are refused."""
    bead_id, _ = fleet.started()
    refuse(fleet, "UPDATE _smithers_nb_beads SET status = 'failed'", "only with its event")
    refuse(fleet, "UPDATE _smithers_nb_beads SET status = 'failed', status_seq = 1", "only with its event")
    event = "INSERT INTO _smithers_nb_bead_events (bead_id, event_type, old_value, new_value, metadata_json) VALUES (:b, 'status_changed', "
    for metadata in (
        "{}",
        '{"failure_reason": {"code": "x", "message": "", "source": "s", "details": {}}}',
        '{"failure_reason": {"code": "x", "message": "m", "source": "s", "details": "no"}}',
    ):
        refuse(fleet, event + "'in_progress', 'failed', :m)", "needs code, message, source and details", b=bead_id, m=metadata)
    refuse(fleet, event + "'in_progress', 'open', '{}')", "giving work back needs a reason", b=bead_id)
    refuse(fleet, "UPDATE _smithers_nb_bead_events SET actor = 'x'", "never changed")
    refuse(fleet, "DELETE FROM _smithers_nb_bead_events", "never changed")
    refuse(fleet, "DELETE FROM _smithers_nb_beads", "never removed")
    refuse(
        fleet,
        "INSERT INTO _smithers_nb_beads (bead_id, type, status, created_at_ms, updated_at_ms) VALUES ('n', 'issue', 'failed', 1, 1)",
        "is open",
    )


def test_a_second_reason_is_kept_in_the_log(fleet):
    """What failed or was closed already stays so; the late reason is logged beside it."""
    bead_id, closed = fleet.bead(), fleet.bead()
    with fleet.ledger.writing() as connection:
        admin.force_fail(fleet.ledger, connection, bead_id, note="first")
        admin.close(fleet.ledger, connection, closed, actor="me", note="done: merged")
        admin.force_fail(fleet.ledger, connection, bead_id, actor="other", note="second")
        admin.close(fleet.ledger, connection, closed, actor="me", note="another story")
    with fleet.ledger.reading() as connection:
        assert queries.failure_of(connection, bead_id).details["note"] == "first"
        late = {row.event_type: orjson.loads(row.metadata_json) for row in connection.execute(sa.select(bead_events))}
    assert late["failure_suppressed"]["suppressed"]["details"]["note"] == "second"
    assert late["second_reason_dropped"]["suppressed"]["message"] == "another story"


def test_a_failure_demands_its_own_reason(in_file):
    """`failed` without a reason, with a sentence, or with another code's details is refused before anything is written."""
    bead_id = in_file.bead()
    wrong = FailureReason(code="timeout", message="m", source="patrol", details={"colour": "red"})
    for why in (
        None,
        "because",
        wrong,
        reason("lease_reclaimed", holder="a", expired_minutes=1, heartbeat_at=None, never_renewed=True).model_copy(update={"code": "x"}),
    ):
        with in_file.ledger.writing() as connection, pytest.raises(ValueError, match=r"fail|details"):
            transition(in_file.ledger, connection, bead_id, "failed", actor="me", reason=why)


def test_reopening_begins_anew_and_keeps_the_history(in_file):
    """Dispatch attempts start from nothing, and the old reason is still found in the log."""
    from tests.ledger.paths import TRIGGERS

    bead_id = TRIGGERS["dispatch_exhausted"][0](in_file)
    with in_file.ledger.writing() as connection:
        with pytest.raises(ControlRefused, match="without a reason"):
            admin.reopen(in_file.ledger, connection, bead_id, actor="me", note=" ")
        admin.reopen(in_file.ledger, connection, bead_id, actor="me", note="the quota was raised")
        row = connection.execute(sa.select(beads).where(beads.c.bead_id == bead_id)).one()
        assert (row.status, row.dispatch_attempts, row.reason_json) == ("open", 0, None)
        assert queries.failure_of(connection, bead_id).code == "dispatch_exhausted"
    in_file.started(bead_id)


def test_only_one_function_writes_a_status():
    """No module but `transition` writes the column `status` of a bead."""
    root = Path(smithers_nb.__file__).parent
    writers = set()
    for path in (root / "ledger").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and "beads.update()" in ast.unparse(node.func)
                and "status=" in ast.unparse(node).replace("poll_status=", "")
            ):
                writers.add(path.name)
    assert writers == set()
    text = (root / "ledger" / "transition.py").read_text()
    assert text.count('"status": to') == 1


def test_the_table_of_moves_is_the_whole_of_what_is_allowed(in_file):
    """Every pair of statuses is either in the table or refused with a code."""
    for old in STATUSES:
        for new in STATUSES:
            if old == new or (old, new) in MOVES or {old, new} <= {"closed", "failed"}:
                continue
            bead_id = in_file.bead()
            with in_file.ledger.writing() as connection:
                for status in {"in_progress": ["in_progress"], "in_review": ["in_progress", "in_review"]}.get(
                    old, [old] if old != "open" else []
                ):
                    admin.set_status(in_file.ledger, connection, bead_id, status, actor="me", note="w")
                with pytest.raises(ControlRefused) as caught:
                    transition(in_file.ledger, connection, bead_id, new, actor="me", reason="w")
            assert caught.value.code in ("BEAD_OVER", "BEAD_MOVE")
