"""A whole failure: its cause chain, its details, and how its attempts went."""

from __future__ import annotations

import json

import pytest

from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.model.verdict import Failure, Link
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot

ENGINE = "TypeError: x\n    at f (/srv/node_modules/@smithers-orchestrator/engine/src/engine.js:1:2)"
OWN = "TypeError: x\n    at children (/srv/ws/a/workflows/a.tsx:15:23)"
SCHEMA = 'Task output failed validation for verdict: level: Invalid option: expected one of "low"|"high"'


def failure(*links: Link, attempts: int = 1, kind: str = "attempt", task_kind: str | None = None, **details) -> Failure:
    """Make a failure whose attempts all ended alike."""
    return Failure(
        run_id="r",
        node_id="n",
        kind=kind,
        chain=links,
        attempts=attempts,
        signatures=("a" * 12,) * attempts,
        task_kind=task_kind,
        details=details,
    )


def test_wrapper_defers_to_its_cause():
    """The run's error only says which task failed; the cause says why."""
    found = classify(
        failure(
            Link(code="SESSION_ERROR", message="Task failed: model-provider-login"),
            Link(message="connect ECONNREFUSED 127.0.0.1:1", code="ECONNREFUSED"),
        )
    )
    assert (found.failure_class, found.confidence) == ("environment", "high")


def test_what_an_author_guesses_is_no_evidence():
    """`cannot connect` around a key that is missing speaks of no network; around a refused connection it does."""
    guess = Link(message="cannot connect to the warehouse", name="RuntimeError")
    own = classify(failure(guess, Link(message="'port'", name="KeyError", stack=OWN), task_kind="compute"))
    assert (own.failure_class, own.rule == "connection-refused") == ("workflow-bug", False)
    assert classify(failure(guess, Link(message="no answer", name="ConnectionRefusedError"))).rule == "connection-refused"


def test_names_of_tasks_are_no_evidence():
    """What a task is called says nothing about why it failed."""
    assert classify(failure(Link(code="SESSION_ERROR", message="Task failed: docker-login"))).failure_class == "unknown"


def test_system_error_thrown_by_own_line():
    """An error class of the language does not hide the system's code beside it."""
    found = classify(failure(Link(name="TypeError", code="DEPTH_ZERO_SELF_SIGNED_CERT", message="self signed certificate", stack=OWN)))
    assert (found.failure_class, found.suggestion) == ("environment", "fix-environment")


@pytest.mark.parametrize(("attempts", "expected"), [(1, "agent-flake"), (2, "workflow-bug")])
def test_whole_answer_refused(attempts, expected):
    """An answer that breaks the schema once is the agent's slip; on every attempt it is the schema's or the prompt's."""
    found = classify(
        failure(Link(code="INVALID_OUTPUT", message=SCHEMA), attempts=attempts, task_kind="agent", text='{"level": "critical"}')
    )
    assert found.failure_class == expected


def test_cut_off_answer_stays_a_flake():
    """An answer that breaks off is no fault of the schema, however often."""
    found = classify(
        failure(Link(code="INVALID_OUTPUT", message="did not return valid JSON"), attempts=3, task_kind="agent", text='{"level": "crit')
    )
    assert (found.failure_class, found.suggestion) == ("agent-flake", "retry")


@pytest.mark.parametrize(
    "message", ["API Error: 529 overloaded_error", "Rate limit reached for requests", "status code 503", "read ECONNRESET"]
)
def test_provider_faults_stay_flakes(message):
    """A provider that is down stays down for all attempts; that blames nobody else."""
    assert classify(failure(Link(name="AI_APICallError", message=message), attempts=5, task_kind="agent")).failure_class == "agent-flake"


def test_repeated_reason_says_so():
    """A class that repetition decided says so in its reason."""
    assert "every attempt" in classify(failure(Link(code="TOOL_PATCH_FAILED", message="patch does not apply"), attempts=2)).reason


def test_engine_needs_its_own_frame():
    """Without a frame of the engine nothing is called its bug, whatever the words; with one, it says why nobody else's."""
    words = "internal error: entered unreachable code"
    assert classify(failure(Link(name="Error", message=words))).failure_class != "smithers-bug"
    assert classify(failure(Link(name="Error", message=words), task_kind="agent")).failure_class == "agent-flake"
    found = classify(failure(Link(name="TypeError", message="undefined is not an object", stack=ENGINE)))
    assert (found.failure_class, len(found.exonerated)) == ("smithers-bug", 2)


def test_engine_tables_are_the_engines():
    """A row that the engine's own table refuses is the engine's fault; one that the author's table refuses is not."""
    message = "NOT NULL constraint failed: {}.iteration"
    assert (
        classify(failure(Link(code="DB_WRITE_FAILED", message="insert node a: " + message.format("_smithers_nodes")))).failure_class
        == "smithers-bug"
    )
    assert (
        classify(failure(Link(code="DB_WRITE_FAILED", message="upsert output a: " + message.format("report")))).failure_class
        == "workflow-bug"
    )


def test_denied_is_a_decision():
    """A person who says no has broken nothing."""
    found = classify(failure(kind="denied"))
    assert (found.failure_class, found.suggestion, found.rule) == ("unknown", "escalate", "denied")


def test_nothing_recorded():
    """A failure without a word is unknown, with low confidence."""
    found = classify(failure(kind="none"))
    assert (found.failure_class, found.confidence) == ("unknown", "low")


def test_labelled_stores(corpus, corpus_store):
    """Over every labelled failure of real stores: class and suggestion right in 97 of 100, and the sure ones in 98."""
    right, sure = [], []
    for folder in sorted((corpus / "smithers").iterdir()):
        label = json.loads((folder / "label.json").read_text())
        labels = [one for one in (label.get("runs") or [label]) if one.get("failure_class")]
        if not labels:
            continue
        source = open_source(corpus_store(folder.name))
        for one in labels:
            found = classify(find_failure(Snapshot(source, one["run_id"])))
            good = found.failure_class in (one.get("acceptable_classes") or [one["failure_class"]])
            right.append(good and found.suggestion in (one.get("acceptable_suggestions") or [one["suggestion"]]))
            sure += [good] if found.confidence == "high" else []
        source.close()
    assert sum(right) / len(right) >= 0.97
    assert sum(sure) / len(sure) >= 0.98


def test_a_program_that_a_signal_ended():
    """Node records the signal by name; one that the caller itself sent, as at a time limit, says nothing about memory."""
    own = "Error: x\n    at execSync (node:child_process:310:31)\n    at children (/srv/ws/a/workflows/a.tsx:15:23)"
    link = Link(name="Error", message="Command failed: python train.py", stack=own)
    assert classify(failure(link, signal="SIGKILL")).rule == "exit-killed"
    assert classify(failure(link, signal="SIGSEGV")).rule == "exit-crashed"
    for sent in ({"killed": True}, {"code": "ETIMEDOUT"}):
        assert classify(failure(link, signal="SIGKILL", **sent)).rule != "exit-killed"


def test_a_program_that_failed_is_not_the_authors_own_words():
    """Of a program that Node ran and that ended with a status, the reason speaks of a program."""
    own = "Error: x\n    at execSync (node:child_process:310:31)\n    at children (/srv/ws/a/workflows/a.tsx:15:23)"
    found = classify(failure(Link(name="Error", message="Command failed: ./nightly.sh eu", stack=own), status=2))
    assert (found.rule, found.failure_class, found.confidence) == ("program-failed", "unknown", "low")
