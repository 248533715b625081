"""The log that an agent CLI left on this machine about an attempt is found by its id, and told in `why` and in the autopsy."""

from __future__ import annotations

import pytest

from smithers_nb.sources.locate import open_source
from smithers_nb.sources.sessions.files import log_of
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.stages import run_autopsy
from smithers_nb.workflows.autopsy.why import explain
from tests.support.sessions import api_error, user, write_log

NOW = 1_795_300_000_000
RUN, SESSION = "461d2259-b520-4e1b-8464-9d55a26ff4c5", "7c0e2f"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of Claude Code and of Codex without any log."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / ".claude"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / ".codex"))
    return tmp_path


def why(store):
    """The advice of the quick answer."""
    return explain(Snapshot(open_source(store("test-writer")), RUN), now=NOW).advice.detail


def test_it_is_told_with_how_it_went(home, store):
    """The quick answer and the autopsy name the log and its end; the commands stay what they were."""
    before = explain(Snapshot(open_source(store("test-writer")), RUN), now=NOW).advice
    assert "session is on this machine" not in before.detail
    log = write_log(home / ".claude" / "projects" / "-shop" / f"{SESSION}.jsonl", user("hi"), api_error("API Error: 529 overloaded"))
    ended = "the last turn failed, because the provider failed or was overloaded: API Error: 529 overloaded (line 2); it can be resumed."
    told = f"The agent's own session is on this machine: {ended} `smithers-nb why {log}`"
    assert told in why(store)
    verdict = run_autopsy(store("test-writer"), RUN, now=NOW)
    assert told in verdict.suggestion_detail
    assert verdict.commands == before.commands


def test_a_log_that_cannot_be_read_is_only_named(home, store):
    """Half a file is no reason to fail."""
    log = home / ".claude" / "projects" / "-shop" / f"{SESSION}.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("no JSON\n")
    assert f"The agent's own session is on this machine: `smithers-nb why {log}` shows it." in why(store)


def test_the_id_of_a_foreign_store_is_no_path(home):
    """Only the id of a session is looked for: no folder, no pattern."""
    write_log(home / ".claude" / "projects" / "-shop" / "abcd.jsonl", user("hi"))
    write_log(home / ".codex" / "sessions" / "2026" / "11" / "01" / "rollout-2026-11-01T00-00-00-abcd.jsonl", user("hi"))
    assert log_of("claude", "abcd").name == "abcd.jsonl"
    assert log_of("codex", "abcd").name.startswith("rollout-")
    for name in ("*", "../abcd", "a*cd", "", "ab", "abcd/x"):
        assert log_of("claude", name) is None
