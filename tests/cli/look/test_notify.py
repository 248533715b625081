"""`inbox --notify` tells a person once of what newly needs them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports

SINCE = ("--now", 1795181301665, "--since", "2026-11-01", "--format", "json")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A project of its own to be in."""
    pytest.importorskip("apprise")
    project = tmp_path / "here"
    (project / ".smithers_nb").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


def test_one_line_once_for_each_cause(cli, own_example, endpoint):
    """Everything new is one message of one line; the same again is none; the store stays as it was, and the list is printed as ever."""
    url, before = endpoint.url.replace("http://", "json://"), own_example.read_bytes()
    first = cli("inbox", own_example, *SINCE, "--notify", url)
    assert (first.code, len(endpoint.requests)) == (0, 1)
    told = endpoint.requests[0].json
    assert f"{len(first.json)} things need you" in told["title"]
    assert "APPROVE release-gate" in told["message"]
    assert "\n" not in told["message"]
    again = cli("inbox", own_example, *SINCE, "--notify", url)
    assert (again.code, again.json, len(endpoint.requests)) == (0, first.json, 1)
    assert own_example.read_bytes() == before


def test_what_was_not_taken_is_told_again(cli, own_example, endpoint):
    """A channel that refuses ends with exit code 1, without a second try, and nothing counts as said."""
    url = endpoint.url.replace("http://", "json://")
    endpoint.answer = endpoint.http("503 Service Unavailable")
    assert cli("inbox", own_example, *SINCE, "--notify", url).code == 1
    assert len(endpoint.requests) == 1
    endpoint.answer = endpoint.FILED
    assert cli("inbox", own_example, *SINCE, "--notify", url).code == 0
    assert len(endpoint.requests) == 2


def test_an_address_is_refused_without_showing_it(cli, own_example):
    """An address of no known kind ends with exit code 4, and the secret in it is not printed."""
    answer = cli("inbox", own_example, *SINCE, "--notify", "nosuch://token-abc123@host")
    assert answer.code == 4
    assert "abc123" not in answer.err
