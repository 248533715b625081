"""`smithers-nb bug`: seen first, decided by a person, sent once, kept when it is not taken."""

from __future__ import annotations

import json
import os
import pty
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location

FAILED = "order-sync-013"


pytestmark = pytest.mark.usefixtures("endpoint", "project")  # no report can reach the makers of Smithers


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of its own to stand in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_dry_run_prints_what_would_be_sent(cli, own_example, endpoint):
    """The payload, exactly, is on standard output; where it would go is on standard error; nothing is sent or written."""
    answer = cli("bug", "--run", FAILED, "--dry-run", "-s", own_example)
    assert answer.code == 0
    assert answer.json["run"]["runId"] == FAILED
    assert answer.json["title"].startswith(f"Run {FAILED} failed: ")
    assert f"this would be sent to {endpoint.url}; nothing was sent" in answer.err
    assert endpoint.requests == []
    line = cli("bug", "--run", FAILED, "--dry-run", "--yes", "-f", "jsonl", "-s", own_example)
    assert len(line.lines) == 1
    assert endpoint.requests == []


def test_without_a_terminal_nothing_is_sent_unless_told(cli, own_example, endpoint):
    """In a pipe or a script the report is shown and refused, with a hint; no answer is taken for a yes."""
    answer = cli("bug", "--run", FAILED, "-s", own_example)
    assert answer.code == 4
    assert '"smithersVersion"' in answer.err
    assert "nothing was sent: confirmation required (not a terminal)" in answer.err
    assert "--yes" in answer.err
    assert (answer.out, endpoint.requests) == ("", [])


def test_yes_sends_what_was_shown(cli, own_example, endpoint):
    """`--yes` is a decision: what is shown on standard error is what the server gets, byte for byte of meaning."""
    answer = cli("bug", "it replays", "--run", FAILED, "--title", "Replay", "--yes", "-s", own_example, "-f", "json")
    assert answer.code == 0
    assert answer.json == {"id": "bug-7", "url": "https://bug.example/7", "endpoint": endpoint.url, "earlier": False}
    [request] = endpoint.requests
    assert request.json == json.loads(answer.err[: answer.err.rindex("}") + 1])
    assert (request.json["title"], request.json["body"].startswith("it replays\n")) == ("Replay", True)


def test_a_table_says_where_it_was_filed(cli, endpoint):
    """For people the id and the address are two lines."""
    answer = cli("bug", "words alone", "--yes")
    assert answer.out.splitlines() == ["Filed  bug-7", "See    https://bug.example/7", f"At     {endpoint.url}"]
    assert "run" not in endpoint.requests[0].json


def test_a_failure_that_is_not_the_engines_is_said(cli, own_example):
    """Who reports a failure of their own workflow is told so, but it is theirs to decide."""
    answer = cli("bug", "--run", FAILED, "--yes", "-s", own_example)
    assert "the autopsy classes this failure workflow-bug, not smithers-bug" in answer.err
    assert answer.code == 0
    assert "this run did not fail" in cli("bug", "slow", "--run", "order-sync-004", "--yes", "-s", own_example).err


@pytest.mark.parametrize("status", ["413 Too Large", "500 Oops", "302 Found", "200 OK"])
def test_what_is_not_taken_is_kept(cli, own_example, endpoint, status):
    """Whatever the endpoint answers instead, the payload is in a private file of the project, and the exit code is 1."""
    endpoint.answer = endpoint.http(status, b"garbage", Location="http://elsewhere.invalid/")
    answer = cli("bug", "--run", FAILED, "--yes", "-s", own_example)
    assert answer.code == 1
    assert "(BUG_REPORT_POST_FAILED)" in answer.err
    [kept] = (own_example.parent / ".smithers" / "bug-reports").iterdir()
    assert f"hint: the report was saved in {kept}" in answer.err
    assert json.loads(kept.read_bytes()) == endpoint.requests[0].json
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert answer.out == ""


def test_words_alone_are_kept_here(cli, endpoint, project):
    """A report without a run is kept in the current folder's own place."""
    endpoint.manner = "drop"
    answer = cli("bug", "words alone", "--yes")
    assert answer.code == 1
    [kept] = (project / ".smithers_nb" / "bug-reports").iterdir()
    assert json.loads(kept.read_bytes())["body"] == "words alone"


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ((), "BUG_REPORT_EMPTY"),
        (("  ",), "BUG_REPORT_EMPTY"),
        (("--run", "no-such-run"), "no run 'no-such-run'"),
        (("x", "--run", FAILED, "-s", "nowhere.db"), "BUG_REPORT_RUN_UNREADABLE"),
        (("x", "--run", FAILED, "-s", "broken.db"), "BUG_REPORT_RUN_UNREADABLE"),
    ],
)
def test_what_cannot_be_reported_is_said_before_anything_is_sent(cli, own_example, endpoint, words, word):
    """Nothing to say, a run that is not there and a store that cannot be read are errors of the user: exit code 4, one line."""
    Path("broken.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 4_000)
    rest = () if "-s" in words else ("-s", own_example)
    answer = cli("bug", *words, "--yes", *rest)
    assert answer.code == 4
    assert word in answer.err
    assert "Traceback" not in answer.err
    assert endpoint.requests == []


def test_a_wrong_endpoint_is_refused_first(cli, endpoint, monkeypatch):
    """An address that is none is named before anything is read; the environment goes before the option."""
    monkeypatch.delenv("SMITHERS_BUG_ENDPOINT")
    answer = cli("bug", "x", "--yes", "--endpoint", "file:///etc/passwd")
    assert (answer.code, "file:///etc/passwd is not a valid endpoint" in answer.err) == (4, True)
    assert cli("bug", "x", "--yes", "--endpoint", endpoint.url).code == 0
    monkeypatch.setenv("SMITHERS_BUG_ENDPOINT", "ftp://x")
    assert cli("bug", "x", "--yes", "--endpoint", endpoint.url).code == 4
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(("typed", "code", "sent"), [("send\n", 0, 1), ("SEND \n", 0, 1), ("yes\n", 2, 0), ("\n", 2, 0), ("\x04", 2, 0)])
def test_a_terminal_is_asked(endpoint, typed, code, sent):
    """On a terminal only the typed word sends the report; anything else, also the end of the input, leaves it unsent."""
    left, said = on_a_terminal(["bug", "odd \x1b[2J resume"], typed)
    assert f"sent to {endpoint.url}. Type `send` to send it" in said
    assert (left, len(endpoint.requests)) == (code, sent)
    assert ("not sent" in said) is (sent == 0)
    assert "\x1b[2J" not in said


def on_a_terminal(words: list[str], typed: str) -> tuple[int, str]:
    """Run the command line on a terminal of its own, type when it asks, and give its exit code and what it showed."""
    terminal, theirs = pty.openpty()
    call = [sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())", *words]
    with subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        said, asked, deadline = b"", False, time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                piece = os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                break
            said += piece
            if not asked and b"anything else to leave it: " in said:
                asked = True
                os.write(terminal, typed.encode())
    os.close(terminal)
    return process.returncode, said.decode()


def test_help_says_that_a_decision_is_needed(cli):
    """The help tells what leaves the machine and when."""
    assert "Nothing is ever sent without a decision" in " ".join(cli("bug", "--help").out.split())
    assert not Path(".smithers_nb").exists()


def test_one_bug_is_filed_once(cli, own_example, endpoint):
    """The same failure of a run, reported again by whoever, is answered with what was filed; other words are another report."""
    first = cli("bug", "--run", FAILED, "--yes", "-s", own_example, "-f", "json")
    again = cli("bug", "--run", FAILED, "--yes", "-s", own_example, "-f", "json")
    assert (first.json["earlier"], again.json["earlier"], again.json["id"], again.code) == (False, True, "bug-7", 0)
    assert "nothing was sent now" in again.err
    assert len(endpoint.requests) == 1
    assert cli("bug", "and it is slow", "--run", FAILED, "--yes", "-s", own_example).code == 0
    assert cli("bug", "--run", FAILED, "--yes", "--again", "-s", own_example).code == 0
    assert len(endpoint.requests) == 3


def test_a_proposal_is_sent_as_it_was_shown(cli, own_example, endpoint, monkeypatch, tmp_path):
    """What `--propose` printed goes to the address in it, though the environment and the store say otherwise by then."""
    monkeypatch.chdir(own_example.parent)
    proposed = cli("bug", "--run", FAILED, "--propose", "-f", "json")
    assert (proposed.code, proposed.json["endpoint"], endpoint.requests) == (0, endpoint.url, [])
    kept = tmp_path / "proposal.json"
    kept.write_text(proposed.out)
    own_example.unlink()
    monkeypatch.setenv("SMITHERS_BUG_ENDPOINT", "http://127.0.0.1:9/elsewhere")
    assert cli("bug", "--send", kept).code == 4  # nobody has agreed
    assert endpoint.requests == []
    sent = cli("bug", "--send", kept, "--yes", "-f", "json")
    assert (sent.code, sent.json["endpoint"]) == (0, endpoint.url)
    assert [request.json for request in endpoint.requests] == [proposed.json["payload"]]
    kept.write_text("{}")
    assert cli("bug", "--send", kept, "--yes").code == 4


def test_a_run_of_our_own_is_kept_in_a_file(cli, endpoint, monkeypatch, tmp_path, journal_runs):
    """The makers of Smithers have nothing to do with it, so its report is a file; only an address that is named gets it."""
    monkeypatch.delenv("SMITHERS_BUG_ENDPOINT")
    location = Location.of(tmp_path)
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "nightly-1")
    answer = cli("bug", "--run", "nightly-1", "--yes", "-s", tmp_path, "-f", "json")
    assert (answer.code, answer.json["sent"], endpoint.requests) == (0, False, [])
    assert "run of smithers-nb, not of Smithers" in answer.json["detail"]
    assert json.loads(Path(answer.json["saved"]).read_bytes())["run"]["runId"] == "nightly-1"
    assert cli("bug", "--run", "nightly-1", "--yes", "-s", tmp_path, "--endpoint", endpoint.url).code == 0
    assert len(endpoint.requests) == 1
