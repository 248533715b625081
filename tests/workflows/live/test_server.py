"""Live pages as a client sees them: who may look, what a page says, how it changes, and what a form decides."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from smithers_nb.engine.control import pending
from smithers_nb.engine.location import Location
from smithers_nb.workflows.live.served_runs import ServedRuns
from smithers_nb.workflows.live.server import serving
from tests.support.history import Runs, cell, write_notebook

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Runs of a small notebook in a project of their own."""
    found = Runs(Location.of(tmp_path), write_notebook(tmp_path / "job.ipynb", cell("1", name="work")))
    yield found
    found.journal.close()


class Client:
    """A browser that has opened the printed address."""

    def __init__(self, address: str) -> None:
        self.address, self.port = address, urlsplit(address).port
        _, headers, _ = self.ask(address.partition(str(self.port))[2], cookie="")
        self.cookie = headers["Set-Cookie"].partition(";")[0]

    def ask(self, path: str, *, method: str = "GET", cookie: str | None = None, body: str | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        known = self.cookie if cookie is None else cookie
        connection.request(method, path, body, sent | ({"Cookie": known} if known else {}))
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read().decode()
        connection.close()
        return found

    def page(self, path: str = "/run/r1") -> str:
        return self.ask(path)[2]

    def send(self, form: dict[str, str], action: str = "/decide", **headers: str):
        origin = headers.pop("Origin", f"http://127.0.0.1:{self.port}")
        kind = {"Content_Type": "application/x-www-form-urlencoded", "Accept": "application/json", "Origin": origin} | headers
        return self.ask(action, method="POST", body=urlencode(form), **kind)

    def form(self, path: str = "/run/r1") -> dict[str, str]:
        """Read the hidden fields of the first form of a page."""
        page = self.page(path)
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page[page.index("<form method") :]))


class Following(threading.Thread):
    """A client that keeps what a page sends."""

    def __init__(self, client: Client, page: str = "r1") -> None:
        super().__init__(daemon=True)
        self.client, self.page, self.found = client, page, {}
        self.connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
        self.start()

    def run(self) -> None:
        with suppress(OSError, http.client.HTTPException):  # the server ends with the test
            self.follow()

    def follow(self) -> None:
        self.connection.request("GET", f"/events?page={self.page}", headers={"Cookie": self.client.cookie})
        answer = self.connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: {"):
                self.found |= json.loads(line[6:])

    def until(self, test, seconds: float = 20) -> bool:
        end = time.monotonic() + seconds
        while not (done := test(self.found)) and time.monotonic() < end:
            time.sleep(0.02)
        return bool(done)


@pytest.fixture
def client(runs: Runs) -> Iterator[Client]:
    """A client of a server of these runs."""
    runs.new()
    with serving(ServedRuns.of(runs.location), lambda _: None, run_id="r1") as address:
        yield Client(address)


def test_who_may_look(client: Client) -> None:
    """Without token or cookie, with a wrong one or another host's name nothing is shown; the token leaves the address at once."""
    status, headers, _ = client.ask(client.address.partition(str(client.port))[2], cookie="")
    assert (status, headers["Location"]) == (302, "/run/r1")
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in headers["Set-Cookie"].split(";")}
    assert client.ask("/run/r1")[0] == 200
    assert client.ask("/run/r1", cookie="")[0] == 403
    assert client.ask("/run/r1?token=wrong", cookie="")[0] == 403
    assert client.ask("/run/r1", cookie=f"smithers-nb-{client.port}=reader")[0] == 403
    assert client.ask("/run/r1", Host="evil.example")[0] == 403
    assert client.ask("/run/r1", Host="127.0.0.1:1")[0] == 403
    assert client.ask("/run/nobody")[0] == 404
    assert client.ask("/../../etc/passwd")[0] == 404
    assert {client.ask("/run/r1", method=method)[0] for method in ("POST", "PUT", "DELETE")} == {405}


def test_every_answer_has_its_policy(client: Client) -> None:
    """Scripts and styles run by their hash alone, nothing frames a page, nothing is kept."""
    for path in ("/", "/run/r1", "/run/r1/run.json", "/nothing"):
        headers = client.ask(path)[1]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_what_a_run_wrote_is_text(runs: Runs, client: Client) -> None:
    """Names, questions and errors of a run are escaped on its page, on the page of all runs and in what is sent later."""
    runs.did("r1", HOSTILE)
    runs.gate("r1", f"gate {HOSTILE}")
    for page in (client.page(), client.page("/")):
        assert page.count("<script>") == 1  # our own
        assert "<script>alert" not in page
        assert not {"\x1b", "\u202e"} & set(page)
    assert "&lt;script&gt;alert" in client.page()


def test_an_open_page_changes_with_the_run(runs: Runs, client: Client) -> None:
    """A gate that a run asks at appears on an open page by itself, and what was decided is gone from it."""
    following = Following(client)
    assert following.until(lambda found: "nodes" in found)
    runs.gate("r1", "publish")
    assert following.until(lambda found: any(name.startswith("ask-") for name in found))
    name = next(name for name in following.found if name.startswith("ask-"))
    assert json.loads(client.send(client.form() | {"decision": "deny", "note": "no"})[2])["done"]
    assert following.until(lambda found: found[name] is None)


def test_a_page_of_a_shared_database_changes_with_the_run(tmp_path: Path, postgres: str) -> None:
    """A journal in Postgres has no file to watch: it is polled, and a page shows a new gate as soon as one of a file does."""
    location = Location.of(tmp_path, database=postgres)
    found = Runs(location, write_notebook(tmp_path / "job.ipynb", cell("1", name="work")))
    found.new()
    with found.journal, serving(ServedRuns.of(location), lambda _: None, run_id="r1") as address:
        run, fleet = Following(Client(address)), Following(Client(address), "/")
        assert run.until(lambda seen: "nodes" in seen)
        assert fleet.until(lambda seen: "counts" in seen)
        found.did("r1", "extract")
        found.gate("r1", "publish")
        assert run.until(lambda seen: any(name.startswith("ask-") for name in seen))
        assert run.until(lambda seen: "extract" in (seen["nodes"] or ""))
        assert fleet.until(lambda seen: any(name.startswith("ask-") for name in seen))


def test_a_decision_is_bound_to_what_was_shown_and_made_once(runs: Runs, client: Client) -> None:
    """A form of an earlier version and a second decision are refused with the reason; the first stands, with name and note."""
    runs.gate("r1", "publish")
    form = client.form()
    assert form["digest"] == pending(runs.location)[0].digest
    stale = json.loads(client.send(form | {"digest": "0" * 64, "decision": "approve"})[2])
    assert "asks something else now" in stale["message"]
    assert runs.states()["publish"] == "waiting-approval"
    assert json.loads(client.send(form | {"decision": "maybe"})[2])["done"] is False
    assert json.loads(client.send(form | {"decision": "approve", "note": "checked"})[2])["message"] == "Approved."
    again = json.loads(client.send(form | {"decision": "deny"})[2])
    assert ("approved already by" in again["message"], again["done"]) == (True, True)
    row = runs.rows("_smithers_approvals")[0]
    assert (row.status, row.note) == ("approved", "checked")


def test_no_other_site_decides(runs: Runs, client: Client) -> None:
    """A form of another origin, without origin, without the key or without the cookie decides nothing."""
    runs.gate("r1", "publish")
    form = client.form() | {"decision": "approve"}
    assert client.send(form, Origin="http://evil.example")[0] == 403
    assert client.send(form, Origin="null")[0] == 403
    assert client.send(form, Origin="")[0] == 403
    assert client.send(form | {"key": "guessed"})[0] == 403
    assert client.send(form, cookie="")[0] == 403
    assert runs.states()["publish"] == "waiting-approval"


def test_an_answer_has_to_fit(runs: Runs, client: Client) -> None:
    """A question has the form of its schema; what does not fit is refused with the reason, and the answer is JSON."""
    runs.question("r1", "copies", {"type": "integer"})
    form = client.form()
    refused = json.loads(client.send(form | {"value": "three"}, "/answer")[2])
    assert (refused["message"], refused["done"]) == ("'three' is no whole number", False)
    assert json.loads(client.send(form | {"value": "3"}, "/answer")[2])["done"]
    assert runs.rows("_smithers_human_requests")[0].response_json == "3"


def test_a_form_works_without_scripts(runs: Runs, client: Client) -> None:
    """Sent by the browser itself, a form is answered with a page that leads back."""
    runs.gate("r1", "publish")
    status, _, page = client.send(client.form() | {"decision": "approve"}, Accept="text/html")
    assert (status, "Approved." in page, 'href="/run/r1"' in page) == (200, True, True)


def test_slow_and_dead_clients_hurt_nobody(runs: Runs, client: Client) -> None:
    """Clients that read nothing or vanish take neither time nor memory from the one that follows."""
    with ExitStack() as stack:
        for _ in range(8):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", client.port)))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            deaf.sendall(f"GET /events?page=r1 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nCookie: {client.cookie}\r\n\r\n".encode())
        for _ in range(4):
            gone = socket.create_connection(("127.0.0.1", client.port))
            gone.sendall(f"GET /events?page=r1 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nCookie: {client.cookie}\r\n\r\n".encode())
            gone.close()
        following = Following(client)
        for number in range(30):
            runs.did("r1", f"node-{number}")
        assert following.until(lambda found: "node-29" in found.get("nodes", ""))
        assert client.ask("/run/r1")[0] == 200


def test_a_store_that_is_gone_is_told(runs: Runs, client: Client) -> None:
    """A journal that cannot be read any more is said on the page, which keeps what it showed."""
    runs.did("r1", "load")
    following = Following(client)
    assert following.until(lambda found: "load" in found.get("nodes", ""))
    runs.journal.close()
    runs.location.file.write_bytes(b"this is no database" * 500)
    for file in runs.location.file.parent.glob("journal.db-*"):
        file.unlink()
    assert following.until(lambda found: found.get("problem-0"))
    assert "load" in client.page()


def test_the_page_of_all_runs(runs: Runs, client: Client) -> None:
    """Every run is in the table, newest first, with what needs a person above it; a run that is new appears by itself."""
    runs.gate("r1", "publish")
    following = Following(client, "/")
    assert following.until(lambda found: "publish" in (found.get("inbox") or ""))
    runs.new("r2")
    assert following.until(lambda found: "r2" in found.get("runs-0", ""))
    page = client.page("/")
    assert page.index('id="f-inbox"') < page.index('id="f-runs-0"')
    assert page.index('href="/run/r2"', page.index('id="f-runs-0"')) < page.index('href="/run/r1"', page.index('id="f-runs-0"'))


def test_the_run_as_json_and_its_report(runs: Runs, client: Client) -> None:
    """The page's links give status and questions as JSON, and the notebook as far as it got."""
    from smithers_nb.engine.execution.outcome import notebook_of

    runs.gate("r1", "publish")
    found = json.loads(client.page("/run/r1/run.json"))
    assert (found["status"], found["asks"][0]["nodeId"]) == ("waiting-approval", "publish")
    assert client.ask("/run/r1/report")[0] == 404  # nothing is saved yet
    file = notebook_of(runs.location, "r1")
    file.parent.mkdir(parents=True)
    write_notebook(file, cell("print(1)", name="work") | {"outputs": [{"output_type": "stream", "name": "stdout", "text": "so far <b>"}]})
    status, headers, page = client.ask("/run/r1/report")
    assert (status, "so far &lt;b&gt;" in page, "Content-Security-Policy" in page) == (200, True, True)
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
