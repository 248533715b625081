"""Error records of a store become cause chains."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.failure.error_chain import clean_message, parse_error

DOCS = " See https://smithers.sh/reference/errors"


def record(**error: object) -> str:
    return json.dumps(error)


def test_wrapper_is_left_out() -> None:
    """`Task failed: X` says nothing, so the chain starts at its cause."""
    parsed = parse_error(record(code="SESSION_ERROR", message=f"Task failed: x{DOCS}", cause={"name": "TypeError", "message": "boom"}))
    assert [link.message for link in parsed.chain] == ["boom"]


def test_session_error_with_its_own_message_is_kept() -> None:
    """A deadlock also comes as SESSION_ERROR, but says what is wrong."""
    parsed = parse_error(record(code="SESSION_ERROR", message="Workflow deadlocked: no task can run"))
    assert parsed.chain[0].message.startswith("Workflow deadlocked")


def test_retry_error_leads_to_its_last_error() -> None:
    """An SDK's retry error carries the provider's answer in `lastError`, and its status is kept."""
    parsed = parse_error(record(name="AI_RetryError", message="Failed after 3", lastError={"message": "Overloaded", "statusCode": 529}))
    assert [link.message for link in parsed.chain] == ["Failed after 3", "Overloaded"]
    assert parsed.details["statusCode"] == 529


def test_aggregate_error_leads_to_its_last_error() -> None:
    """`errors` without a `lastError` is followed to its last entry."""
    parsed = parse_error(record(message="all failed", errors=[{"message": "first"}, {"message": "second"}]))
    assert parsed.chain[-1].message == "second"


def test_child_error_is_followed() -> None:
    """A subflow whose child never got a run row keeps the child's error, and the fields its schema rejected, in its details."""
    issues = [{"path": ["qty"], "message": "expected number"}]
    child = {"code": "INVALID_INPUT", "message": "Input does not match schema", "details": {"issues": issues}}
    wrapper = {"code": "WORKFLOW_EXECUTION_FAILED", "message": "Subflow x failed because child run y", "details": {"childError": child}}
    link = parse_error(json.dumps(wrapper)).chain[0]
    assert (link.code, link.message) == ("INVALID_INPUT", "Input does not match schema: qty: expected number")


def test_outer_detail_wins() -> None:
    """When two links say the same detail, the outer one is kept."""
    parsed = parse_error(record(message="a", status=1, cause={"message": "b", "status": 2}))
    assert parsed.details["status"] == 1


@pytest.mark.parametrize("stderr", [{"0": 104, "1": 105}, {"type": "Buffer", "data": [104, 105]}])
def test_child_output_is_decoded(stderr: object) -> None:
    """What a child process printed is text again, in both ways in which a Buffer is serialised."""
    assert parse_error(record(message="Command failed", stderr=stderr)).details["stderr"] == "hi"


def test_end_of_a_log_is_kept() -> None:
    """The end of the log that an error carries is a detail of it, without secrets."""
    tail = parse_error(record(message="exit 1", logTail="x" * 9_000 + " password=hunter2 at the end")).details["logTail"]
    assert tail.endswith("password=[REDACTED] at the end")
    assert len(tail) < 9_000


@pytest.mark.parametrize("stderr", [{"0": 104, "1": 256}, {"0": -1}, {"type": "Buffer", "data": "hi"}, {"type": "Buffer", "data": ["h"]}])
def test_what_is_no_buffer_is_no_output(stderr: object) -> None:
    """Numbers that are no bytes are not taken for what a process printed."""
    assert "stderr" not in parse_error(record(message="Command failed", stderr=stderr)).details


@pytest.mark.parametrize(
    "text", ["not json", "[1, 2]", "null", '"just a string"', "{}", '{"cause": {"cause": 3}}', '{"message": {"a": 1}}']
)
def test_garbage_is_not_an_error(text: str) -> None:
    """A damaged record gives what can be read and never raises."""
    assert isinstance(parse_error(text).chain, tuple)


def test_string_is_its_own_message() -> None:
    """`throw "text"` is stored as a bare JSON string."""
    assert parse_error('"quota gone"').chain[0].message == "quota gone"


def test_thrown_object_speaks_by_its_keys() -> None:
    """What was thrown without being an Error is quoted as it is."""
    assert parse_error(record(status=422, detail="on the opt-out list")).chain[0].message == '{"status":422,"detail":"on the opt-out list"}'


def test_endless_causes_are_cut() -> None:
    """A chain deeper than anybody reads is cut, not followed for ever."""
    error: dict[str, object] = {"message": "0"}
    for depth in range(50):
        error = {"message": str(depth), "cause": error}
    assert len(parse_error(json.dumps(error)).chain) <= 8


def test_docs_pointer_is_stripped() -> None:
    """The pointer to the error reference is not part of the message."""
    assert clean_message(f"Task aborted{DOCS}") == "Task aborted"


@given(
    st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
)
def test_any_json_is_readable(value: object) -> None:
    """Whatever JSON a store holds, parsing it gives a chain."""
    assert isinstance(parse_error(json.dumps(value)).details, dict)


@pytest.mark.parametrize(
    "record",
    [
        {"status": 503, "error": "Service Unavailable", "body": {"message": "CRM is in maintenance"}},
        {
            "message": "Request failed with status code 503",
            "response": {"status": 503, "data": {"error": {"message": "CRM is in maintenance"}}},
        },
        {"message": "push failed", "data": {"detail": "CRM is in maintenance"}},
        {"message": "push failed", "body": '{"reason": "CRM is in maintenance"}'},
    ],
)
def test_what_the_server_answered_is_part_of_the_message(record):
    """HTTP clients keep the server's own words within the error; they are told."""
    assert "CRM is in maintenance" in parse_error(json.dumps(record)).chain[0].message


def test_the_code_of_a_command_that_failed_is_its_exit_code() -> None:
    """Node's `exec` records the exit code as `code`; the codes of other errors stay what they are."""
    run = parse_error(record(name="Error", message="Command failed: ./train.sh", code=137, killed=False))
    assert (run.chain[0].code, run.details["exitCode"]) == (None, 137)
    call = parse_error(record(name="Error", message="14 UNAVAILABLE: no connection", code=14))
    assert (call.chain[0].code, "exitCode" in call.details) == ("14", False)
