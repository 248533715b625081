"""`triage-run` on the command line."""

from __future__ import annotations

FIELDS = {
    "targetRunId",
    "state",
    "failingNodes",
    "pendingApprovals",
    "rootCause",
    "confidence",
    "recommendedAction",
    "command",
    "summary",
}
"""Those of Smithers' own `triage-run`."""


def test_its_row_has_the_fields_of_smithers_own(cli, store):
    """A reader of the one can read the other; ours come on top."""
    answer = cli("triage-run", "mail-002", "--source", store("fleet"), "--format", "json")
    assert answer.code == 0
    assert answer.json.keys() >= FIELDS
    assert (answer.json["failingNodes"], answer.json["recommendedAction"]) == (1, "fix")
    assert answer.json["evidence"]


def test_its_page_says_what_to_do_and_why(cli, store):
    """The page has the cause, the confidence and the command."""
    told = cli("triage-run", "mail-002", "--source", store("fleet")).out
    assert "ECONNREFUSED" in told
    assert "confidence" in told.lower()
    assert "retry-task" in told
