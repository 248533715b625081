"""A session of an agent CLI is monitored as far as its log allows, and its question is in the list of what needs a person."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.state.inbox import requests
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.monitor.attention import needs
from smithers_nb.workflows.monitor.report import compose
from smithers_nb.workflows.monitor.stages import look
from smithers_nb.workflows.monitor.views import headline_of
from tests.support.sessions import SESSION, api_error, call, said, user, write_log

WRITTEN = 1_793_512_801_000
"""When `write_log` says the second of two records was written, epoch milliseconds."""

MINUTE, HOUR = 60_000, 3_600_000
ASKS = [user("hi"), call("a", "AskUserQuestion")]
WORKS = [user("hi"), call("a")]


@pytest.mark.parametrize(
    ("records", "later", "health", "said_so"),
    [
        (WORKS, MINUTE, "healthy", "working; its log was written 1 min ago"),
        (WORKS, HOUR, "stuck", "nothing was written for 1 h: it was ended, or waits for a permission"),
        (ASKS, HOUR, "blocked", "AskUserQuestion asks a person"),
        ([user("hi"), api_error("API Error: 529 overloaded")], HOUR, "failed", "529"),
        ([user("hi"), said("done")], HOUR, "healthy", "It finished"),
        ([user("hi"), user("[Request interrupted by user]")], HOUR, "healthy", "A person interrupted the last turn"),
    ],
)
def test_health(tmp_path, records, later, health, said_so):
    """How the last turn ended, and how long ago the log was written, is all there is to judge by."""
    path = write_log(tmp_path / "s.jsonl", *records)
    _, found = look("s.jsonl", path, now=WRITTEN + later)
    assert found.health == health
    assert said_so.casefold() in f"{found.summary} {found.root_cause} {found.waiting_on}".casefold()
    assert "Its record shows no" in found.summary  # what an agent changed may be nowhere in it


def test_a_question_needs_a_person_for_a_day(tmp_path):
    """What was asked today is in the list, with the command that goes on; what was asked last week was left, and a cut log asks nobody."""
    write_log(tmp_path / "asks.jsonl", *ASKS)
    write_log(tmp_path / "works.jsonl", *WORKS)
    source = open_source(f"sessions:{tmp_path}")
    (need,) = needs(source, WRITTEN + HOUR)
    assert (need.kind, need.run_id, need.commands) == ("ASK", "asks.jsonl", (f"claude --resume {SESSION}",))
    (asked,) = requests(source, WRITTEN + HOUR)
    assert (asked.kind, asked.run_id, asked.commands, asked.options) == ("ask", "asks.jsonl", need.commands, None)
    assert needs(source, WRITTEN + 48 * HOUR) == requests(source, WRITTEN + 48 * HOUR) == []


def test_an_interrupted_session_is_not_called_healthy(tmp_path):
    """Its page says what the record says, quotes it, and leaves out what a log has nothing of."""
    path = write_log(tmp_path / "s.jsonl", user("hi"), user("[Request interrupted by user]"))
    gathered, found = look("s.jsonl", path, now=WRITTEN)
    page = compose(gathered, found).html
    assert "Run s.jsonl was interrupted" in page
    assert "line:2" in page
    assert "healthy" not in headline_of(found, None, gathered).text
    assert [heading for heading, _ in found.topics()] == ["What this rests on", "By hand"]
