"""Real sessions of four agent CLIs, against their labels."""

from __future__ import annotations

import json

import pytest

from smithers_nb import connect
from tests.support.data import CORPUS

SESSIONS = CORPUS / "sessions"
LABELS = [json.loads(path.read_text()) for path in sorted(SESSIONS.glob("*/label.json"))]
STILL_RUNS = {"opencode-gh-login-stuck"}
"""Labelled by what a person did before; its last record is a command that still runs, so the log cannot say how it ended."""

pytestmark = pytest.mark.skipif(not LABELS, reason="the corpus is not beside this checkout")


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label["name"])
def test_state_class_and_deciding_record(label):
    """Each is as labelled, the record within three lines."""
    path = SESSIONS / label["name"] / label["file"]
    with connect(path) as project:
        why = project.run(path.name).why()
    assert label["name"] in STILL_RUNS or why.state in {label["state"], *(["cut"] if label["state"] == "running-or-cut" else [])}
    assert (why.failure_class or "none") == label["failureClass"]
    lines = [int(piece.ref.removeprefix("line:")) for piece in why.evidence]
    assert any(abs(line - right) <= 3 for line in lines for right in (label["decidingRecord"], *label.get("otherRecords", ())))
