"""Findings: immutable, written as JSON, checked when they are read back."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from smithers_nb.model.finding import with_texts
from smithers_nb.model.rows import LoopRow
from smithers_nb.model.verdict import Change, Defect, Evidence, Failure, LastGoodRun, Link
from smithers_nb.workflows.autopsy.results import EventLine, Gathered, ReportRow

FAILURE = Failure(
    run_id="r1",
    kind="attempt",
    chain=(Link(message="boom"),),
    details={"statusCode": 503, "inner_value": [1]},
    evidence=(Evidence(ref="run:r1", quote="boom"),),
)


def test_json_has_camel_case_names_and_keeps_the_keys_of_values():
    """Attributes are camelCase in JSON and in the order of their declaration; what an error says keeps its own names."""
    row = FAILURE.as_json()
    assert list(row)[:4] == ["runId", "nodeId", "iteration", "attempt"]
    assert row["details"] == {"statusCode": 503, "inner_value": [1]}
    assert row["evidence"] == [{"ref": "run:r1", "quote": "boom", "note": ""}]


@pytest.mark.parametrize("names", [Failure.as_json, vars], ids=["camelCase", "snake_case"])
def test_a_finding_can_be_read_back(names):
    """What was written is read back as an equal finding, under either kind of name."""
    assert Failure.read(names(FAILURE)) == FAILURE


@pytest.mark.parametrize("wrong", [{"ref": "run:r1"}, {"ref": "run:r1", "quote": 3}, {"ref": "a", "quote": "b", "more": 1}, "text", None])
def test_what_is_read_back_is_checked(wrong):
    """A missing field, a wrong type, an unknown field and anything that is no object are refused."""
    with pytest.raises(ValueError, match="validation error"):
        Evidence.read(wrong)


def test_a_finding_does_not_change():
    """Assigning to a field is an error, and a finding of plain values can be a key."""
    change = Change(what="input.rows", before="1", after="2")
    with pytest.raises(FrozenInstanceError):
        change.after = "3"
    assert {change: 1}[Change(what="input.rows", before="1", after="2")] == 1


def test_fields_are_given_by_name():
    """A position, an unknown name and a missing field are refused."""
    for wrong in (lambda: LastGoodRun("r1"), lambda: LastGoodRun(run_id="r1", nope=1), LastGoodRun):
        with pytest.raises(TypeError):
            wrong()


def test_inherited_fields_come_first():
    """A finding that extends another has its fields first, so that JSON grows at its end."""
    assert list(ReportRow(filed=False, command="x").as_json()) == ["filed", "bugId", "bugUrl", "detail", "command"]


def test_every_text_can_be_changed():
    """Texts in nested findings, tuples, rows and JSON values are changed; numbers and types stay."""
    defect = Defect(kind="zombie", summary="it", evidence=(Evidence(ref="a", quote="b"),))
    upper = with_texts(defect, lambda value: value.upper() if isinstance(value, str) else value)
    assert upper == Defect(kind="ZOMBIE", summary="IT", evidence=(Evidence(ref="A", quote="B"),))
    loop = LoopRow(run_id="r1", loop_id="review", iteration=2, done=None, updated_at=1)
    assert with_texts((loop,), lambda value: "x" if isinstance(value, str) else value) == (LoopRow("x", "x", 2, None, 1),)


def test_an_open_source_is_no_field():
    """What a row was read from is neither written down nor compared."""
    row = Gathered(
        target_run_id="r1", source="s", status="failed", state="failed", now=1, last_events=(EventLine(seq=0, type="RunStarted"),)
    )
    again = Gathered.read(row.as_json()).read_from(object())
    assert again == row
    assert "opened" not in again.as_json()
