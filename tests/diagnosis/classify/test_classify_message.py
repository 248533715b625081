"""One error message: whose fault, how sure, by which rule."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.classify.classify import classify_message

OWN = "TypeError: x\n    at children (/srv/ws/a/workflows/a.tsx:15:23)"
ENGINE = "TypeError: x\n    at f (/srv/node_modules/@smithers-orchestrator/engine/src/engine.js:1:2)"
REFUSED = "connect ECONNREFUSED 127.0.0.1:5439"


def test_own_stack_is_the_workflows():
    """A language error thrown in the workflow's file is the workflow's fault."""
    found = classify_message("undefined is not an object (evaluating 'a.b')", "TypeError", stack=OWN)
    assert (found.failure_class, found.confidence, found.suggestion) == ("workflow-bug", "high", "edit-workflow-and-reset")


def test_engine_stack_is_the_engines():
    """A language error thrown in engine code is the engine's, and says why nobody else's."""
    found = classify_message("undefined is not an object (evaluating 'a.b')", "TypeError", stack=ENGINE)
    assert (found.failure_class, found.suggestion) == ("smithers-bug", "escalate")
    assert len(found.exonerated) == 2


def test_structural_code_beats_engine_stack():
    """A structural error is the workflow's although the engine throws it."""
    found = classify_message("Duplicate Task id detected: a", "DUPLICATE_ID", stack=ENGINE)
    assert (found.failure_class, found.confidence) == ("workflow-bug", "high")
    assert found.exonerated == ()


def test_quoted_error_is_not_thrown():
    """An engine frame above a message that merely quotes a language error does not blame the engine."""
    assert classify_message("codex said: TypeError: fetch failed", "AGENT_CLI_ERROR", stack=ENGINE).failure_class == "agent-flake"


@pytest.mark.parametrize(
    "code", ["ECONNREFUSED", "ENOTFOUND", "EACCES", "ENOSPC", "EADDRINUSE", "CERT_HAS_EXPIRED", "ERR_POSTGRES_CONNECTION_REFUSED"]
)
def test_system_calls_are_the_environments(code):
    """An error of the system is the environment's even when the workflow's own line met it."""
    found = classify_message("it did not work", code, stack=OWN)
    assert (found.failure_class, found.suggestion) == ("environment", "fix-environment")


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("PROCESS_IDLE_TIMEOUT", "agent", "agent-flake"),
        ("TASK_HEARTBEAT_TIMEOUT", "agent", "agent-flake"),
        ("TASK_HEARTBEAT_TIMEOUT", "compute", "workflow-bug"),
        ("TASK_TIMEOUT", "agent", "agent-flake"),
        ("TASK_TIMEOUT", "compute", "workflow-bug"),
        ("TASK_TIMEOUT", "wait-for-event", "environment"),
        ("ASPECT_BUDGET_EXCEEDED", None, "workflow-bug"),
        ("VCS_NOT_FOUND", "compute", "environment"),
        ("HUMAN_TASK_INVALID_JSON", None, "unknown"),
        ("AI_StreamProviderError", "agent", "agent-flake"),
        ("AGENT_QUOTA_EXCEEDED", "agent", "agent-flake"),
        ("AGENT_CLI_ERROR", "agent", "unknown"),
        ("INVALID_OUTPUT", "compute", "workflow-bug"),
        ("INVALID_OUTPUT", "agent", "agent-flake"),
    ],
)
def test_codes(code, kind, expected):
    """A code alone decides as the table of codes says; a wrapper decides nothing."""
    assert classify_message("", code, task_kind=kind).failure_class == expected


def test_message_beats_wrapper():
    """What is inside a wrapper decides."""
    assert classify_message("AGENT_CLI_ERROR: Your credit balance is too low").failure_class == "environment"
    assert classify_message("Claude run failed: 529 overloaded_error", "AGENT_CLI_ERROR").failure_class == "agent-flake"


def test_status_of_details():
    """An HTTP status in the details counts as much as one in the text."""
    assert classify_message("nope", "AI_APICallError", details={"statusCode": 401}).failure_class == "environment"
    assert classify_message("nope", "AI_APICallError", details={"statusCode": 503}).failure_class == "agent-flake"


def test_credit_is_no_rate_limit():
    """A 429 that asks for money is not one that passes."""
    assert classify_message("Error code: 429 - insufficient_quota: check your plan and billing details").suggestion == "fix-environment"
    assert classify_message("Error code: 429 - rate limit reached, try again in 2s").suggestion == "retry"


@pytest.mark.parametrize(
    ("message", "suggestion"),
    [
        ("connect ETIMEDOUT 10.20.0.5:5432", "fix-environment"),
        ("GitHub API 403: API rate limit exceeded", "fix-environment"),
        ("inventory service answered 503", "retry"),
        ("read ECONNRESET", "retry"),
    ],
)
def test_without_an_agent_no_agent_is_blamed(message, suggestion):
    """What looks like a provider's fault is some other server's in a task without an agent, unless a model is named."""
    found = classify_message(message, task_kind="compute")
    assert (found.failure_class, found.suggestion) == ("environment", suggestion)
    assert found.confidence != "high"
    assert classify_message(f"openai: {message}", task_kind="compute").failure_class != "workflow-bug"
    assert classify_message(message, task_kind="agent").failure_class in {"agent-flake", "environment"}


def test_a_model_called_by_own_code_is_a_provider():
    """Own code that talks to a model meets the same faults as an agent."""
    assert classify_message("OpenAI: 429 Rate limit reached for gpt-5", task_kind="compute").failure_class == "agent-flake"


def test_doubt_lowers_confidence():
    """Words with more than one usual cause never make a sure verdict."""
    assert classify_message("upsert output rep: table rep has no column named x", "DB_WRITE_FAILED").confidence == "medium"


def test_python_exception_counts_as_thrown():
    """The last line of a traceback in the message names what was thrown."""
    text = "Command failed: python3 a.py\nTraceback (most recent call last):\n  File \"/srv/a.py\", line 6, in f\n    x\nKeyError: 'net'"
    found = classify_message(text, stack=f"Error: {text}\n    at children (/srv/wf.tsx:7:3)")
    assert (found.rule, found.failure_class) == ("script-threw", "workflow-bug")


@pytest.mark.parametrize("message", ["", "undefined", "Error", "Task failed: build", "CLI exited with code 1", "qwertz"])
def test_nothing_said(message):
    """Who is told nothing says so, with low confidence."""
    found = classify_message(message)
    assert (found.failure_class, found.confidence) == ("unknown", "low")


@given(st.text(max_size=300), st.one_of(st.none(), st.text(max_size=20)), st.text(max_size=200))
def test_any_text(message, code, stack):
    """No text, code or stack makes it fail, and unknown is never sure."""
    found = classify_message(message, code, stack=stack)
    assert found.failure_class != "unknown" or found.confidence != "high"


@pytest.mark.parametrize("piece", ["a", "x ", "(", "models ", "quota ", "error: ", "\n", "at f (/a:1:2)\n", "1", "import 'x' "])
def test_megabytes(piece):
    """A message and a stack of a megabyte cost little more than short ones."""
    text = piece * (1_000_000 // len(piece))
    classify_message("warm up")
    started = time.process_time()
    classify_message(text, stack=text)
    assert time.process_time() - started < 0.25


def test_beginning_and_end_of_a_long_text():
    """What matters may stand at either end of a long log."""
    noise = "working on it\n" * 20_000
    assert classify_message(REFUSED + noise).failure_class == "environment"
    assert classify_message(noise + REFUSED).failure_class == "environment"


def test_public_messages(corpus):
    """On labelled messages from public threads at least 90 in 100 are right, and of the sure ones 98."""
    rows = [json.loads(line) for line in (corpus / "errors.jsonl").read_text().splitlines()]
    right = [
        (found.confidence, found.failure_class in {row["class"], *row["alt_classes"]})
        for row in rows
        if (found := classify_message(row["message"]))
    ]
    sure = [good for confidence, good in right if confidence == "high"]
    assert sum(good for _, good in right) / len(right) >= 0.9
    assert sum(sure) / len(sure) >= 0.98


@pytest.mark.parametrize(
    "message",
    ["session expired for learner 12", "account 99 is blocked by compliance", "duplicate invoice number 17", "429 parcels are missing"],
)
def test_words_of_a_trade_make_nothing_sure(message):
    """What a person wrote into the workflow may use the words of a machine; only a program that is quoted makes a verdict sure."""
    assert classify_message(message, "Error", stack=OWN, task_kind="compute").confidence != "high"
    assert classify_message(REFUSED, "Error", stack=OWN, task_kind="compute").confidence == "high"
