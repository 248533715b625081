"""One request to a real server, whatever that server does."""

from __future__ import annotations

import json
import re
import stat
import threading
import time

import pytest

from smithers_nb.errors import BugReportNotSent
from smithers_nb.model.bug_report import BugFiled, BugSaved, outcome_of
from smithers_nb.workflows.bugs.endpoint import DEFAULT_ENDPOINT, TIMEOUT_S, endpoint_for, refusal, send
from smithers_nb.workflows.bugs.filing import file_bug, project_folder, reports_folder

PAYLOAD = {"title": "t", "body": "b €", "createdAtMs": 1}
CONTENT = json.dumps(PAYLOAD).encode()


def test_a_report_is_posted_once_as_json(endpoint, tmp_path):
    """The server gets one POST with exactly the payload, and its answer says where it was filed."""
    filed = file_bug(PAYLOAD, endpoint=endpoint.url, root=tmp_path)
    assert filed == BugFiled(id="bug-7", url="https://bug.example/7", endpoint=endpoint.url)
    [request] = endpoint.requests
    assert request.line == "POST /api/bugs HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.json == PAYLOAD


def test_fifteen_seconds_are_given():
    """Smithers' own time limit is ours."""
    assert TIMEOUT_S == 15


@pytest.mark.parametrize(
    ("status", "told"),
    [("413 Payload Too Large", "413 Payload Too Large"), ("500 Oops", "500 Oops"), ("404 Not Found", "404"), ("401 \x1b[31mNo", "401")],
)
@pytest.mark.parametrize("manner", ["answer", "deaf"])
def test_a_refusal_is_an_error_that_says_its_status(endpoint, status, told, manner):
    """A status that is no success is a failure, also from a server that answers before it has read."""
    endpoint.answer, endpoint.manner = endpoint.http(status, b"<html>"), manner
    with pytest.raises(BugReportNotSent) as caught:
        send(CONTENT, endpoint.url)
    assert told in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert (caught.value.code, caught.value.exit_code) == ("BUG_REPORT_POST_FAILED", 1)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed(endpoint, status):
    """A report goes where the person agreed it goes: a redirect, even to the same server, is a failure that names the target."""
    endpoint.answer = endpoint.http(status, Location=endpoint.url.replace("bugs", "elsewhere"))
    with pytest.raises(BugReportNotSent, match=r"redirects to http://127\.0\.0\.1:\d+/api/elsewhere, which was not followed"):
        send(CONTENT, endpoint.url)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("manner", ["hang", "trickle-head", "trickle-body"])
def test_the_time_is_for_everything_together(endpoint, manner):
    """A server that never answers, or answers one byte at a time, is left when the time is up, and its connection is cut."""
    endpoint.manner = manner
    start = time.monotonic()
    with pytest.raises(BugReportNotSent, match=r"within 0\.5 s; the report may have arrived"):
        send(CONTENT, endpoint.url, timeout_s=0.5)
    assert time.monotonic() - start < 2
    assert endpoint.lost.wait(5)
    for thread in threading.enumerate():
        if thread.name == "bug-report":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"{",
        b"[]",
        b"null",
        b'"bug-7"',
        b"{}",
        b'{"id": ""}',
        b'{"id": null}',
        b'{"id": true}',
        b'{"id": {"a": 1}}',
        b"\xff\xfe",
        b"\x00" * 100,
    ],
)
def test_garbage_is_no_success(endpoint, body):
    """An answer without the id of a bug counts as not filed, because nobody could find the report again."""
    endpoint.answer = endpoint.http("200 OK", body)
    with pytest.raises(BugReportNotSent, match="without the id of a bug; the report may have arrived"):
        send(CONTENT, endpoint.url)


def test_an_endless_answer_is_not_read(endpoint):
    """Of ten megabytes only the beginning is read."""
    endpoint.answer = endpoint.http("200 OK", b'{"id": "' + b"x" * 10_000_000 + b'"}')
    with pytest.raises(BugReportNotSent, match="longer than 65,536 bytes"):
        send(CONTENT, endpoint.url)


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"HTTP/9 x y\r\n\r\n"])
def test_what_is_no_http_is_a_broken_connection(endpoint, answer):
    """A server that closes at once or speaks something else leaves an error in words."""
    endpoint.answer = answer
    with pytest.raises(BugReportNotSent, match=r"the connection broke|cannot be reached"):
        send(CONTENT, endpoint.url)


def test_a_server_that_hangs_up_at_once(endpoint):
    """A connection that is closed before anything was read is a failure, also for a report that does not fit into a buffer."""
    endpoint.manner = "drop"
    with pytest.raises(BugReportNotSent, match=r"the connection broke|cannot be reached"):
        send(b"x" * 20_000_000, endpoint.url)


def test_nobody_there(endpoint):
    """A port where nothing listens, and a name that does not exist, cannot be reached; a plain server is no TLS server."""
    endpoint.manner = "deaf"
    for url in ("http://nowhere.invalid/api", endpoint.url.replace("http:", "https:")):
        with pytest.raises(BugReportNotSent, match="cannot be reached"):
            send(CONTENT, url, timeout_s=5)
    endpoint.close()
    with pytest.raises(BugReportNotSent, match=r"cannot be reached: .*refused"):
        send(CONTENT, endpoint.url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "data:application/json,{}",
        "javascript:alert(1)",
        "bug.smithers.sh/api",
        "",
        "http://",
        "http://:80/",
        "http://[::1/x",
        "http://host:port/",
        "http://host:99999/",
        "http://user:secret@host/",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://host/\x00",
        "http://hóst/",
    ],
)
def test_only_addresses_of_web_servers_are_taken(url, tmp_path):
    """Other schemes, broken URLs and URLs with a password are refused before anything is sent; the report is kept."""
    assert refusal(url)
    kept = file_bug(PAYLOAD, endpoint=url, root=tmp_path)
    assert isinstance(kept, BugSaved)
    assert "is not a valid endpoint" in kept.reason
    assert "secret" not in kept.reason


def test_precedence_of_endpoints(monkeypatch):
    """The environment goes before the caller, the caller before the makers of Smithers."""
    monkeypatch.setenv("SMITHERS_BUG_ENDPOINT", "http://env")
    assert endpoint_for("http://given") == "http://env"
    monkeypatch.setenv("SMITHERS_BUG_ENDPOINT", " ")
    assert endpoint_for("http://given") == "http://given"
    monkeypatch.delenv("SMITHERS_BUG_ENDPOINT")
    assert endpoint_for() == DEFAULT_ENDPOINT == "https://bug.smithers.sh/api/bugs"


def test_a_proxy_is_used_but_never_for_this_machine(endpoint, monkeypatch):
    """Reports to elsewhere go through the proxy of the environment, those to loopback straight there, and `no_proxy` counts."""
    monkeypatch.setenv("http_proxy", endpoint.url.removesuffix("/api/bugs"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert send(CONTENT, "http://bug.example.invalid/api").id == "bug-7"
    assert endpoint.requests[-1].line == "POST http://bug.example.invalid/api HTTP/1.1"
    assert send(CONTENT, endpoint.url).id == "bug-7"
    assert endpoint.requests[-1].line == "POST /api/bugs HTTP/1.1"
    monkeypatch.setenv("no_proxy", "bug.example.invalid")
    with pytest.raises(BugReportNotSent, match="cannot be reached"):
        send(CONTENT, "http://bug.example.invalid/api", timeout_s=5)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///x", 7, None, ["https://x"], "https://" + "x" * 3_000, "https://a b", "//x"]
)
def test_an_address_that_no_browser_should_open_is_dropped(endpoint, url):
    """The bug is filed, but only an http(s) address is handed on."""
    endpoint.answer = endpoint.http("200 OK", json.dumps({"id": 7, "url": url}).encode())
    assert send(CONTENT, endpoint.url) == BugFiled(id="7", url=None, endpoint=endpoint.url)


def test_a_hostile_id_is_one_short_line(endpoint):
    """What the server calls the bug reaches a terminal as one line without controls."""
    endpoint.answer = endpoint.http("200 OK", json.dumps({"id": "\x1b[2J a\nb " + "x" * 9_000}).encode())
    name = send(CONTENT, endpoint.url).id
    assert name.startswith(r"\x1b[2J a b x")
    assert len(name) < 300


def test_a_report_that_was_not_taken_is_kept(endpoint, tmp_path):
    """The file has the whole payload, a name made of the time, and is for its owner only; two at once do not meet."""
    endpoint.answer = endpoint.http("500 Oops")
    (tmp_path / ".smithers").mkdir()
    kept = [file_bug(PAYLOAD, endpoint=endpoint.url, root=tmp_path) for _ in range(5)]
    folder = tmp_path / ".smithers" / "bug-reports"
    files = sorted(folder.iterdir())
    assert sorted(one.path for one in kept) == [str(file) for file in files]
    assert len(files) == 5
    for file in files:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z(-\d)?\.json", file.name)
        assert json.loads(file.read_bytes()) == PAYLOAD
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (tmp_path / ".smithers_nb").exists()


def test_reports_are_kept_where_the_project_keeps_its_things(tmp_path):
    """A project of Smithers keeps them in its folder, one of ours in ours, and a store in such a folder is the project's."""
    assert reports_folder(tmp_path) == tmp_path / ".smithers_nb" / "bug-reports"
    journal = tmp_path / ".smithers_nb" / "journal.db"
    journal.parent.mkdir()
    journal.touch()
    assert project_folder(str(journal)) == tmp_path
    (tmp_path / "smithers.db").touch()
    assert project_folder(str(tmp_path / "smithers.db")) == tmp_path
    assert reports_folder(tmp_path) == tmp_path / ".smithers" / "bug-reports"
    assert project_folder("postgresql://host/db") == project_folder(None)


def test_a_report_that_cannot_be_kept_says_so(endpoint, tmp_path):
    """Where no file can be written the outcome has no path, and nothing else is lost."""
    endpoint.answer = endpoint.http("500 Oops")
    (tmp_path / ".smithers_nb").write_text("in the way")
    kept = file_bug(PAYLOAD, endpoint=endpoint.url, root=tmp_path)
    assert (kept.path, "500" in kept.reason) == (None, True)
    assert "could not be saved either" in outcome_of(kept).detail


def test_outcomes_have_the_names_of_the_node():
    """Filed, kept and not allowed give the row that the node `report-bug` outputs."""
    rows = [
        outcome_of(result).as_json()
        for result in (BugFiled(id="7", url="https://x/7", endpoint="e"), BugSaved(reason="r", path="p", endpoint="e"), None)
    ]
    assert [(row["filed"], row["bugId"], row["bugUrl"]) for row in rows] == [
        (True, "7", "https://x/7"),
        (False, None, None),
        (False, None, None),
    ]
    assert ["7" in rows[0]["detail"], "saved in p" in rows[1]["detail"], "Nobody agreed" in rows[2]["detail"]] == [True] * 3
