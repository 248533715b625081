"""Gates and questions: asked once, decided once, by a person with a name."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import decisions, schema, status
from smithers_nb.engine.journal import records as r
from smithers_nb.errors import ControlRefused

DECIDE = """
meet()
try:
    with journal.writing('r1') as c:
        made = decisions.decide(c, r.Node('r1', 'publish'), approved=WHAT, by='WHO', note='said WHO')
    print('decided')
except Exception as error:
    print(type(error).__name__, getattr(error, 'code', ''), 'by', str(error).rpartition(' ')[2])
"""


@pytest.fixture
def asked(journal, run):
    """Make a run that asks for a decision; gives the gate."""
    run(journal)
    gate = r.Node("r1", "publish")
    with journal.writing("r1") as connection:
        decisions.request_approval(connection, gate, title="Publish?", summary="3 rows", details={"rows": 3})
        status.set_status(connection, "r1", "waiting-approval")
    return gate


def types(journal):
    """List the types of the log."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.events.c.type).order_by(schema.events.c.seq)).scalars().all()


def decide(journal, gate, *, approved=True, by="ann", note=None):
    """Decide in a transaction of its own."""
    with journal.writing("r1") as connection:
        return decisions.decide(connection, gate, approved=approved, by=by, note=note)


def test_asking_again_changes_nothing(journal, asked):
    """A second execution that comes to an undecided gate asks nobody twice; nor does one that comes to a decided one."""
    for _ in range(2):
        before = types(journal)
        with journal.writing("r1") as connection:
            decisions.request_approval(connection, asked, title="Publish?", summary="3 rows", details={"rows": 3})
        assert types(journal) == before
        if "ApprovalGranted" not in before:
            decide(journal, asked)
    assert types(journal).count("ApprovalRequested") == 1


@pytest.mark.parametrize("approved", [True, False])
def test_a_decision_has_a_name_a_time_and_words(journal, asked, approved):
    """Who, when, what and why are in the row, in the node's output, and what happened is in the log."""
    made = decide(journal, asked, approved=approved, note="checked")
    with journal.reading() as connection:
        assert decisions.decision_of(connection, asked) == made
        row = connection.execute(sa.select(schema.approvals)).one()
        output = r.read_output(connection, asked)
    assert (made.approved, made.note, made.decided_by) == (approved, "checked", "ann")
    assert (row.status, row.decided_by, row.note) == ("approved" if approved else "denied", "ann", "checked")
    assert row.requested_at_ms <= row.decided_at_ms == made.decided_at
    assert output == {"approved": approved, "note": "checked", "decidedBy": "ann", "decidedAt": made.decided_at}
    assert types(journal)[-1] == ("ApprovalGranted" if approved else "ApprovalDenied")


def test_the_first_decision_stands(journal, asked):
    """A second one is told what the first was and by whom, and changes nothing."""
    decide(journal, asked, approved=False, by="ann")
    before = types(journal)
    with pytest.raises(ControlRefused, match="was denied already by ann") as caught:
        decide(journal, asked, approved=True, by="bob")
    assert (caught.value.code, caught.value.hint) == ("ALREADY_DECIDED", "the first decision stands")
    assert types(journal) == before


def test_two_people_decide_at_once(journal, asked, elsewhere, at_once):
    """Of two processes that decide one gate at the same moment one does, and the other is told who was first."""
    codes = [DECIDE.replace("WHAT", what).replace("WHO", who) for what, who in (("True", "ann"), ("False", "bob"))]
    answers = at_once(*(elsewhere(journal, code) for code in codes))
    with journal.reading() as connection:
        made = decisions.decision_of(connection, asked)
    assert made is not None
    first, second = ("ann", "bob") if answers[0] == "decided" else ("bob", "ann")
    assert dict(zip(("ann", "bob"), answers, strict=True)) == {
        first: "decided",
        second: f"ControlRefused ALREADY_DECIDED by {first}",
    }
    assert (made.decided_by, made.approved, made.note) == (first, first == "ann", f"said {first}")
    assert sum(kind in ("ApprovalGranted", "ApprovalDenied") for kind in types(journal)) == 1


def test_what_is_not_asked_cannot_be_decided(journal, asked):
    """A gate that is not there, and one of a run that is over, are refused with Smithers' own code."""
    with pytest.raises(ControlRefused) as caught:
        decide(journal, r.Node("r1", "other"))
    assert caught.value.code == "NO_PENDING_APPROVALS"
    with journal.writing("r1") as connection:
        status.set_status(connection, "r1", "cancelled")
    with pytest.raises(ControlRefused, match="is over") as caught:
        decide(journal, asked)
    assert caught.value.code == "NO_PENDING_APPROVALS"


def test_a_question_is_answered_once(journal, run):
    """The answer is kept as JSON with who and when; a second one is refused."""
    run(journal)
    node = r.Node("r1", "region", 2)
    with journal.writing("r1") as connection:
        asked = decisions.request_answer(connection, node, prompt="Where?", kind="select", schema={"type": "string"}, options=["eu", "us"])
        again = decisions.request_answer(connection, node, prompt="Where?", kind="select", schema=None, options=["eu", "us"])
        assert again == asked == "human:r1:region:2"
        assert decisions.answer_of(connection, asked) is None
        made = decisions.answer(connection, asked, "eu", by="ann")
        assert decisions.answer_of(connection, asked) == made
    assert (made.value, made.answered_by) == ("eu", "ann")
    with pytest.raises(ControlRefused, match="answered already by ann") as caught, journal.writing("r1") as connection:
        decisions.answer(connection, asked, "us", by="bob")
    assert caught.value.code == "ALREADY_ANSWERED"
    with pytest.raises(ControlRefused) as caught, journal.writing("r1") as connection:
        decisions.answer(connection, "human:r1:none:0", "us", by="bob")
    assert caught.value.code == "NO_SUCH_QUESTION"
