"""Real sessions of Claude Code and Codex, against their labels."""

from __future__ import annotations

import json

import pytest

from smithers_nb import connect
from tests.support.data import CORPUS

SESSIONS = CORPUS / "sessions"
LABELS = [json.loads(path.read_text()) for path in sorted(SESSIONS.glob("*/label.json"))]
READ = [label for label in LABELS if label["cli"].startswith(("claude", "codex"))]
pytestmark = pytest.mark.skipif(not READ, reason="the corpus is not beside this checkout")


@pytest.mark.parametrize("label", READ, ids=lambda label: label["name"])
def test_state_class_and_deciding_record(label):
    """Each is as labelled, the record within three lines."""
    path = SESSIONS / label["name"] / label["file"]
    with connect(path) as project:
        why = project.run(path.name).why()
    assert why.state in {label["state"], *(["cut"] if label["state"] == "running-or-cut" else [])}
    assert (why.failure_class or "none") == label["failureClass"]
    lines = [int(piece.ref.removeprefix("line:")) for piece in why.evidence]
    assert any(abs(line - right) <= 3 for line in lines for right in (label["decidingRecord"], *label.get("otherRecords", ())))
