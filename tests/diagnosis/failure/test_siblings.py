"""Several failures in one run."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.failure.siblings import ALSO_FAILED, EARLIER
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import LiteralSource


@pytest.mark.parametrize(
    ("first", "second", "root"),
    [
        ("connect ECONNREFUSED 127.0.0.1:5432", "Error: listen EADDRINUSE: address already in use :::5432", "b"),
        ("connect to localhost:9000 timed out", "docker: no such image: minio:9", "b"),
        ("connect ECONNREFUSED 127.0.0.1:5432", "undefined is not an object (evaluating 'x.y')", "a"),
        ("connect ECONNREFUSED 10.1.1.1:5432", "Error: listen EADDRINUSE: address already in use :::5432", "a"),
        ("connect ECONNREFUSED 127.0.0.1:5432", "could not start: connection refused 127.0.0.1:5432", "a"),
    ],
)
def test_a_local_service_that_did_not_start(run, attempt, first, second, root):
    """A refused connection to this machine is a symptom when a sibling failed to start something, and only then."""
    rows = [run(), attempt("a", error_message=first, error=first, finished_at=1), attempt("b", error_message=second, error=second)]
    assert find_failure(Snapshot(LiteralSource(rows), "r")).node_id == root


def test_a_task_that_starts_something_is_known_by_its_name(run, attempt):
    """Whatever kept it from starting, nobody can connect to what was not started."""
    refused = "connect ECONNREFUSED 127.0.0.1:7794"
    rows = [run(), attempt("seed", error_message=refused, error=refused, finished_at=1)]
    rows.append(attempt("start-mock", error_message="bind: permission denied", error="bind: permission denied"))
    assert find_failure(Snapshot(LiteralSource(rows), "r")).node_id == "start-mock"


def test_what_else_failed_is_quoted(run, attempt):
    """Each other failure is among the evidence in its own words."""
    rows = [run(), attempt("a", error="boom", error_message="boom", finished_at=1), attempt("b", error="bang", error_message="bang")]
    found = find_failure(Snapshot(LiteralSource(rows), "r"))
    assert [(e.ref, e.quote) for e in found.evidence if e.note == ALSO_FAILED] == [("attempt:b/0/1", "bang")]


def test_earlier_attempts_that_failed_otherwise_are_quoted(run, attempt):
    """What a retried task failed with before is among the evidence, unless it was the same."""
    said = ["read ECONNRESET", "HTTP 503 Service Unavailable", "no space left on device", "no space left on device"]
    tries = [attempt("a", attempt=at, error=text, error_message=text, started_at=at, finished_at=at) for at, text in enumerate(said, 1)]
    found = find_failure(Snapshot(LiteralSource([run(), *tries]), "r"))
    assert [(e.ref, e.quote) for e in found.evidence if e.note == EARLIER] == [("attempt:a/0/1", said[0]), ("attempt:a/0/2", said[1])]
