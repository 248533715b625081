"""A run as a page while it goes on: states, what it asks, the end of its log, and its notebook as a report.

What `up --serve` shows. The server listens on this machine only, answers reads only, and only to who knows the token in its address;
nothing can be decided there, the page prints the commands for that. It reads the journal anew for each request and has no scripts.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.notebooks import NotebookCommands
from smithers_nb.engine.control.decisions import pending
from smithers_nb.engine.control.log import glance
from smithers_nb.engine.control.run_state import status_of
from smithers_nb.engine.execution.outcome import notebook_of
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import attempts, nodes, runs
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.timestamps import when
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.present.html.decision_cards import GateRequest, QuestionRequest, gate_asked, question_asked
from smithers_nb.present.html.markup import Html, h, join, table
from smithers_nb.present.html.page import AROUND
from smithers_nb.present.html.parts import state_mark
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from smithers_nb.engine.control.decisions import Pending
    from smithers_nb.engine.location import Location
    from smithers_nb.model.rows import EventRow

_HOST: Final = "127.0.0.1"
_EVERY_S: Final = 3
_EVENTS: Final = 30
_FRAMED: Final = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class State(NamedTuple):
    """A run at one moment.

    Attributes:
        nodes: Node, iteration, state, attempt, error message, in the order in which they began.
        asks: What waits for a person.
        events: The end of its log, oldest first.
    """

    run_id: str
    workflow: str
    status: str
    error: str | None
    nodes: list[dict[str, Any]]
    asks: list[Pending]
    events: list[EventRow]


@contextmanager
def serving(location: Location, run_id: str, on_ready: Callable[[str], object]) -> Iterator[str]:
    """Serve a run's page as long as the block lasts.

    Args:
        location: Where its journal is.
        run_id: The run.
        on_ready: Told the address, token included.
    """
    token = secrets.token_urlsafe(18)
    server = ThreadingHTTPServer((_HOST, 0), partial(_Handler, location, run_id, token))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name=f"live page of {run_id}", daemon=True)
    thread.start()
    address = f"http://{_HOST}:{server.server_port}/{token}/"
    try:
        on_ready(address)
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for_end(location: Location, run_id: str, *, every_s: float = 1.0) -> str:
    """Wait until a run is over, and give its status."""
    pause = threading.Event()
    while not is_terminal(status := status_of(location, run_id)):
        pause.wait(every_s)
    return status


def state_of(location: Location, run_id: str) -> State:
    """Read how a run stands.

    Raises:
        JournalUnusable: The journal cannot be read.
    """
    with Journal.open(location) as journal:
        seen = glance(journal, run_id)
        with journal.reading() as connection:
            run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
            found = [_node(*row) for row in connection.execute(_nodes_of(run_id))]
    error = orjson.loads(run.error_json).get("message") if run.error_json else None
    return State(run_id, run.workflow_name, run.status, error, found, pending(location, run_id), seen.events[-_EVENTS:])


def page_of(state: State, *, has_report: bool = True) -> str:
    """Lay a run's state out as a page without scripts; one that is not over loads itself anew every few seconds."""
    title = f"{one_line(state.workflow, 80)} {one_line(state.run_id, 130)}"
    again = None if is_terminal(state.status) else Html(f'<meta http-equiv="refresh" content="{_EVERY_S}">')
    head = join(
        (
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            again,
            h("title", title),
            h("style", Html(_style())),
        )
    )
    report = h("p", h("a", "The notebook as far as it got", href="report"), " · ", h("a", "JSON", href="run.json"))
    body = h(
        "main",
        h("h1", title),
        h("p", _mark(state.status), " ", state.error),
        join(_asked(item) for item in state.asks),
        report if has_report else None,
        table("Nodes", ("Node", "State", "Attempt", "Error"), [_node_row(row) for row in state.nodes]),
        table("End of the log", ("Time", "Event", "Node"), [(when(e.at), e.type, e.node_id) for e in reversed(state.events)]),
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body class="snb snb-report">{body}</body></html>'


def _asked(item: Pending) -> Html:
    ours = NotebookCommands()
    if item.request_id is None:
        gate = (item.run_id, item.node_id, item.iteration)
        ways = [(ours.approve(*gate), "go on"), (ours.deny(*gate), "decline")]
        return gate_asked(GateRequest(item.prompt, item.summary, commands=ways)).html
    ways = [(ours.answer(item.request_id, FILL_IN), "answer")]
    return question_asked(QuestionRequest(item.prompt, options=item.options, commands=ways)).html


def _node_row(row: dict[str, Any]) -> tuple[object, ...]:
    name = row["nodeId"] + (f"#{row['iteration']}" if row["iteration"] else "")
    return h("code", name), _mark(row["state"]), row["attempt"], one_line(row["error"], 400)


def _mark(state: str) -> Html:
    return h("span", state_mark(state), class_=f"snb-state snb-{look(state).tone}")


def _nodes_of(run_id: str) -> sa.Select[Any]:
    tries = attempts.c
    same = sa.and_(
        tries.run_id == nodes.c.run_id,
        tries.node_id == nodes.c.node_id,
        tries.iteration == nodes.c.iteration,
        tries.attempt == nodes.c.last_attempt,
    )
    columns = (nodes.c.node_id, nodes.c.iteration, nodes.c.state, nodes.c.last_attempt, tries.error_json)
    began = sa.func.coalesce(tries.started_at_ms, nodes.c.updated_at_ms)
    return sa.select(*columns).outerjoin(attempts, same).where(nodes.c.run_id == run_id).order_by(began, nodes.c.node_id)


def _node(node_id: str, iteration: int, state: str, attempt: int | None, error: str | None) -> dict[str, Any]:
    message = orjson.loads(error).get("message") if error else None
    return {"nodeId": node_id, "iteration": iteration, "state": state, "attempt": attempt, "error": message}


def _json(state: State) -> bytes:
    from smithers_nb.sources.stores.json_text import loads

    events = [{"seq": e.seq, "at": e.at, "type": e.type, "payload": loads(e.payload)} for e in state.events if e.payload]
    asks = [
        {"nodeId": item.node_id, "iteration": item.iteration, "kind": item.kind, "prompt": item.prompt, "requestId": item.request_id}
        for item in state.asks
    ]
    found = {"runId": state.run_id, "workflow": state.workflow, "status": state.status, "error": state.error}
    return orjson.dumps(redact_value(found | {"nodes": state.nodes, "asks": asks, "events": events}), default=str)


def _report(location: Location, run_id: str) -> bytes | None:
    """Make the report of the notebook as far as it got."""
    from smithers_nb.present.report.report import write_report
    from smithers_nb.private_folder import PrivateFolder

    notebook = notebook_of(location, run_id)
    if not notebook.is_file():
        return None
    with PrivateFolder() as folder:
        return write_report(notebook, folder / "report.html").read_bytes()


def _style() -> str:
    from smithers_nb.present.html.theme import theme_css

    return theme_css() + AROUND


def _policy() -> str:
    from smithers_nb.present.report.exporter import policy

    return f"{policy([_style()], [])}; frame-ancestors 'none'".replace("script-src ;", "script-src 'none';")


class _Handler(BaseHTTPRequestHandler):
    """Answers reads of one run's page."""

    server_version, sys_version = "smithers-nb", ""
    timeout = 10

    def __init__(self, location: Location, run_id: str, token: str, *args: Any) -> None:
        self._location, self._run_id, self._token = location, run_id, token
        super().__init__(*args)

    def do_GET(self) -> None:  # the library asks for this name
        """Answer a read."""
        _, _, rest = self.path.partition("?")[0].partition("/")
        token, _, name = rest.partition("/")
        if not self._is_local() or not secrets.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            self._say(404, b"not found\n", "text/plain", _FRAMED)
            return
        try:
            self._answer(name)
        except SmithersNbError as error:
            self._say(503, f"{error}\n".encode("utf-8", "replace"), "text/plain", _FRAMED)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep silent: the token is part of every line."""

    def _is_local(self) -> bool:
        """Refuse a name that somebody else's server made point here."""
        assert isinstance(self.server, ThreadingHTTPServer)
        host, port = self.headers.get("Host", ""), self.server.server_port
        return host in (f"{_HOST}:{port}", f"localhost:{port}")

    def _answer(self, name: str) -> None:
        if name == "run.json":
            self._say(200, _json(state_of(self._location, self._run_id)), "application/json", _FRAMED)
        elif name == "report":
            found = _report(self._location, self._run_id)
            if found is None:
                self._say(404, b"nothing is saved yet\n", "text/plain", _FRAMED)
            else:
                self._say(200, found, "text/html; charset=utf-8", _FRAMED)  # the report brings its own policy
        elif name == "":
            has_report = notebook_of(self._location, self._run_id).is_file()
            page = page_of(state_of(self._location, self._run_id), has_report=has_report)
            self._say(200, page.encode("utf-8", "replace"), "text/html; charset=utf-8", _policy())
        else:
            self._say(404, b"not found\n", "text/plain", _FRAMED)

    def _say(self, code: int, content: bytes, kind: str, policy: str) -> None:
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(code)
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
