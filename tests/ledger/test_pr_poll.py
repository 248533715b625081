"""Pull requests are polled over HTTP on a loopback server, and every kind of answer has its consequence."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import beads
from smithers_nb.ledger import items, pr_poll, queries, review
from smithers_nb.ledger.dispatch import Started

PR = "https://git.example/o/r/pull/7"


@pytest.fixture
def host():
    """A git host on loopback that gives one answer, and remembers what it was asked."""

    class Host(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append((self.path, self.headers["Authorization"]))
            status, body = self.server.answer
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Host)
    server.asked, server.answer = [], (200, {"state": "open"})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mr(in_file, host, monkeypatch):
    """A merge request in review whose rig is at that host."""
    monkeypatch.setenv("RIG_TOKEN", "ghp-of-the-rig")
    config = {"host": "git.example", "api_url": f"http://127.0.0.1:{host.server_port}", "token_env": "RIG_TOKEN"}
    with in_file.ledger.writing() as connection:
        items.add_rig(connection, "rig", config)
    _, mr_id = in_file.submitted(rig_id="rig")
    refinery = in_file.agent("refinery")
    assert review.start_review(in_file.ledger, mr_id, refinery, lambda *_: Started(ok=True))
    with in_file.ledger.writing() as connection:
        assert review.pr_created(in_file.ledger, connection, mr_id, PR, actor=refinery)
    return mr_id


def status(fleet, bead_id):
    with fleet.ledger.reading() as connection:
        return connection.execute(sa.select(beads.c.status).where(beads.c.bead_id == bead_id)).scalar()


@pytest.mark.parametrize(
    "case",
    [
        ({"state": "open"}, "open", "in_review"),
        ({"state": "closed", "merged": True}, "merged", "closed"),
        ({"state": "closed", "merged": False}, "closed", "failed"),
    ],
)
def test_an_answer_is_acted_on(in_file, host, mr, case):
    """An open pull request stays in review, a merged one closes the merge request, a closed one fails it with its own code."""
    answer, found, after = case
    host.answer = (200, answer)
    assert pr_poll.poll_all(in_file.ledger) == {mr: found}
    assert status(in_file, mr) == after
    assert host.asked == [("/repos/o/r/pulls/7", "Bearer ghp-of-the-rig")]
    if after == "failed":
        with in_file.ledger.reading() as connection:
            assert queries.failure_of(connection, mr).code == "pr_closed_without_merge"


@pytest.mark.parametrize("case", [((500, b""), "http_error", 10), ((200, b"<html>"), "invalid_response", 3)])
def test_a_host_that_fails_is_asked_again_until_a_limit(in_file, host, mr, case):
    """Failures in a row are counted, one good answer starts anew, and at the limit the merge request fails with the last error."""
    answer, kind, limit = case
    host.answer = answer
    for _ in range(limit - 1):
        pr_poll.poll_all(in_file.ledger)
    host.answer = (200, {"state": "open"})
    pr_poll.poll_all(in_file.ledger)
    host.answer = answer
    for _ in range(limit - 1):
        pr_poll.poll_all(in_file.ledger)
    assert status(in_file, mr) == "in_review"
    pr_poll.poll_all(in_file.ledger)
    with in_file.ledger.reading() as connection:
        why = queries.failure_of(connection, mr)
    assert (why.code, why.details["kind"], why.details["failures"]) == ("pr_poll_failed", kind, limit)


def test_the_token_goes_to_its_own_host_only(in_file, host, mr, monkeypatch):
    """A redirect is not followed, another host is not asked, and without a token nothing is sent."""
    host.answer = (302, b"")
    assert pr_poll.poll_all(in_file.ledger) == {mr: "http_error"}
    assert [path for path, _ in host.asked] == ["/repos/o/r/pulls/7"]
    monkeypatch.delenv("RIG_TOKEN")
    assert pr_poll.poll_all(in_file.ledger) == {mr: "no_token"}
    assert pr_poll.ask("https://evil.example/o/r/pull/7", {"host": "git.example"}).state == "host_mismatch"
    assert len(host.asked) == 1
