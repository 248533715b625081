"""What an agent said when it failed is found among all it said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from smithers_nb.diagnosis.failure.agent_errors import hidden_error, is_generic
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.model.rows import EventRow
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import LiteralSource, make

Make = Callable[..., Any]
GENERIC = "Claude run failed"


@pytest.fixture
def said(any_row: Make) -> Make:
    """Make an agent event of attempt 1 of node `n`."""

    def make(seq: int, *, iteration: int | None = 0, number: int = 1, **event: object) -> EventRow:
        payload = json.dumps({"event": event})
        return any_row(EventRow, run_id="r", seq=seq, type="AgentEvent", node_id="n", iteration=iteration, attempt=number, payload=payload)

    return make


@pytest.mark.parametrize("field", ["error", "message", "answer", "text"])
def test_every_field_that_holds_words_is_read(said: Make, attempt: Make, field: str) -> None:
    """An agent's words are in different fields with different agents; their margins go."""
    found = hidden_error([said(4, **{field: "  401 unauthorized\n"})], attempt("n"), GENERIC)
    assert found is not None
    assert (found.ref, found.quote) == ("event:4", "401 unauthorized")


def test_an_error_is_preferred_to_later_words(said: Make, attempt: Make) -> None:
    """The newest text that looks like an error is taken, and without one the last words."""
    events = [said(1, text="old failure"), said(2, text="quota exceeded"), said(3, text="bye")]
    found, last = hidden_error(events, attempt("n"), GENERIC), hidden_error(events[2:], attempt("n"), GENERIC)
    assert found is not None
    assert last is not None
    assert (found.quote, last.quote) == ("quota exceeded", "bye")


def test_long_last_words_are_work(said: Make, attempt: Make) -> None:
    """A last text longer than a line or two is the agent's work, not its error."""
    assert hidden_error([said(1, text="w" * 200)], attempt("n"), GENERIC) is not None
    assert hidden_error([said(1, text="w" * 201)], attempt("n"), GENERIC) is None


def test_only_the_attempt_itself_speaks(said: Make, attempt: Make) -> None:
    """What another attempt or another round of a loop said is not this failure; a round that is not recorded is the first."""
    row = attempt("n", 1, iteration=0)
    assert hidden_error([said(1, number=2, text="error: other"), said(2, iteration=1, text="error: other")], row, GENERIC) is None
    assert hidden_error([said(1, iteration=None, text="error: mine")], row, GENERIC) is not None


@pytest.mark.parametrize("noise", ["warning: experimental feature", "state db missing rollout path", GENERIC, "codex exited with code 1"])
def test_noise_is_no_error(said: Make, attempt: Make, noise: str) -> None:
    """Lines that agents print on every run, or that say no more than the stored message, explain nothing."""
    assert hidden_error([said(1, text=noise)], attempt("n"), GENERIC) is None


@pytest.mark.parametrize("payload", [None, "{", "[]", '{"event": "x"}', '{"event": {"text": 3}}'])
def test_events_without_words_are_passed_over(any_row: Make, attempt: Make, payload: str | None) -> None:
    """An event that holds no text says nothing."""
    event = any_row(EventRow, run_id="r", seq=1, type="AgentEvent", node_id="n", iteration=0, attempt=1, payload=payload)
    assert hidden_error([event], attempt("n"), GENERIC) is None


@pytest.mark.parametrize(
    ("message", "generic"),
    [("", True), ("Agent run failed.", True), ("codex exited with status 1", True), ("spawn codex ENOENT", False)],
)
def test_messages_that_say_nothing_are_told(message: str, generic: bool) -> None:
    """`The agent failed` needs an explanation; what names a cause does not."""
    assert is_generic(message) == generic


def test_last_words(run, attempt):
    """Of an answer that is not valid JSON the answer is kept, of a time limit the last of the error stream."""
    plain = attempt("a", kind="agent", error=json.dumps({"code": "INVALID_OUTPUT", "message": "plain text"}), response="I cannot write.")
    failure = find_failure(Snapshot(LiteralSource([run(), plain]), "r"))
    assert failure.details["answer"] == "I cannot write."
    late = attempt("a", kind="agent", error=json.dumps({"code": "TASK_TIMEOUT", "message": "timed out"}))
    said = [
        make(EventRow, run_id="r", seq=seq, type="NodeOutput", node_id="a", attempt=1, payload=json.dumps({"text": text, "stream": stream}))
        for seq, (stream, text) in enumerate([("stderr", "waiting for approval"), ("stdout", "thinking")])
    ]
    failure = find_failure(Snapshot(LiteralSource([run(), late, *said]), "r"))
    assert failure.details["lastWords"] == "waiting for approval"
    assert [e.ref for e in failure.evidence if "last" in e.note] == ["event:0"]


def test_what_an_agent_printed(run, attempt):
    """Where neither the error nor the agent's events say why, the line that it printed does."""
    mute = attempt("a", kind="agent", error=json.dumps({"code": "AGENT_CLI_ERROR", "message": "Claude run failed"}))
    said = [
        make(
            EventRow, run_id="r", seq=seq, type="NodeOutput", node_id="a", attempt=1, payload=json.dumps({"text": text, "stream": "stdout"})
        )
        for seq, text in enumerate(["reading files", "Credit balance is too low to go on: error"])
    ]
    failure = find_failure(Snapshot(LiteralSource([run(), mute, *said]), "r"))
    assert failure.chain[0].message == "Credit balance is too low to go on: error"
    assert "event:1" in [e.ref for e in failure.evidence]
