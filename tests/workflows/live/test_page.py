"""The live page of a run: what it shows, to whom, and that nothing of a run becomes markup in it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from smithers_nb.engine.location import Location
from smithers_nb.workflows.live.page import page_of, serving, state_of
from tests.support.history import Runs, cell, write_notebook

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Runs of a small notebook in a project of their own."""
    found = Runs(Location.of(tmp_path), write_notebook(tmp_path / "job.ipynb", cell("1", name="work")))
    yield found
    found.journal.close()


def ask(address: str, name: str = "", *, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], str]:
    """Read from the page's server, with any method and host."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, f"{parts.path}{name}", headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_what_a_run_wrote_is_text(runs: Runs) -> None:
    """Names, questions and errors of a run are escaped, and the page has no script."""
    runs.new()
    runs.did("r1", HOSTILE)
    runs.gate("r1", f"gate {HOSTILE}")
    page = page_of(state_of(runs.location, "r1"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not {"\x1b", "\u202e"} & set(page)


def test_only_a_run_that_is_not_over_loads_itself_anew(runs: Runs) -> None:
    """A page of a finished run stays as it is."""
    runs.new()
    assert 'http-equiv="refresh"' in page_of(state_of(runs.location, "r1"))
    runs.failed("r1", "load")
    page = page_of(state_of(runs.location, "r1"))
    assert 'http-equiv="refresh"' not in page
    assert "no such table" in page


def test_the_server_answers_reads_of_who_knows_the_token(runs: Runs) -> None:
    """Page, JSON and HEAD work below the token; other paths, hosts, tokens and methods are refused; every answer has its policy."""
    runs.new()
    runs.gate("r1", "publish")
    told: list[str] = []
    with serving(runs.location, "r1", told.append) as address:
        assert told == [address]
        status, headers, page = ask(address)
        assert (status, "publish?" in page, "script-src 'none'" in headers["Content-Security-Policy"]) == (200, True, True)
        assert headers["Cache-Control"] == "no-store"
        found = json.loads(ask(address, "run.json")[2])
        assert (found["status"], found["asks"][0]["nodeId"]) == ("waiting-approval", "publish")
        assert ask(address, method="HEAD")[::2] == (200, "")
        assert ask(address, "report")[0] == 404  # nothing is saved yet
        assert ask(address, "../../etc/passwd")[0] == 404
        assert ask(address, host="evil.example")[0] == 404
        assert ask(address.rsplit("/", 2)[0] + "/")[0] == 404
        assert ask(f"{address[:-1]}x/")[0] == 404
        assert {ask(address, method=method)[0] for method in ("POST", "PUT", "DELETE")} == {501}
        assert runs.row().status == "waiting-approval"


def test_a_journal_that_is_gone_is_told(runs: Runs) -> None:
    """A journal that cannot be read any more is one line, and the server goes on."""
    runs.new()
    with serving(runs.location, "r1", lambda _: None) as address:
        runs.location.file.write_bytes(b"this is no database" * 500)
        for file in runs.location.file.parent.glob("journal.db-*"):
            file.unlink()
        status, _, text = ask(address)
        assert status == 503
        assert len(text.splitlines()) == 1
        assert ask(address)[0] == 503


def test_the_report_is_the_notebook_as_far_as_it_got(runs: Runs) -> None:
    """What the notebook has shown so far is served as a report with a policy of its own."""
    from smithers_nb.engine.execution.outcome import notebook_of

    runs.new()
    file = notebook_of(runs.location, "r1")
    file.parent.mkdir(parents=True)
    shown = {"output_type": "stream", "name": "stdout", "text": "so far <b>"}
    write_notebook(file, cell("print(1)", name="work") | {"outputs": [shown]})
    with serving(runs.location, "r1", lambda _: None) as address:
        status, headers, page = ask(address, "report")
    assert status == 200
    assert "so far &lt;b&gt;" in page
    assert "Content-Security-Policy" in page
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
