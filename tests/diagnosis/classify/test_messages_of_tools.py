"""Messages of compilers, package managers, databases, clouds, providers and shells, written to see what the rules get wrong."""

from __future__ import annotations

import json
from pathlib import Path

from smithers_nb.diagnosis.classify.classify import classify_message

ROWS = [json.loads(line) for line in (Path(__file__).parents[2] / "data" / "messages.jsonl").read_text("utf-8").splitlines()]


def test_the_messages_of_tools():
    """The class is right for nearly all, and whatever is sure is right."""
    found = [(row, classify_message(row["message"])) for row in ROWS]
    wrong = [(row["message"][:80], one.failure_class, one.rule) for row, one in found if one.failure_class not in row["classes"]]
    assert [row["message"] for row, one in found if one.confidence == "high" and one.failure_class not in row["classes"]] == []
    assert sum(one.confidence == "high" for _, one in found) > len(ROWS) / 3
    assert len(wrong) <= 0.05 * len(ROWS), wrong
