"""The documents that a live page links to: the run as JSON, and its notebook or a monitor's findings as a one-file report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.engine.execution.outcome import notebook_of
from smithers_nb.engine.journal.records import Node, read_output
from smithers_nb.model.rows import EventRow
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import NOISE_EVENTS
from smithers_nb.present.html.markup import Html, h, join
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import redact_value
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores.json_text import loads

if TYPE_CHECKING:
    from smithers_nb.workflows.live.served_runs import ServedRuns

_MAX_EVENTS: Final = 30


def as_json(runs: ServedRuns, run_id: str) -> bytes:
    """Return a run as JSON: status, nodes, pending requests and the end of its log, with secrets redacted.

    Raises:
        RunNotFound: There is no such run.
        SourceError: The store cannot be read.
    """
    with runs.open() as source:
        snapshot = Snapshot(source, run_id)
        run = snapshot.run
        errors = {(row.node_id, row.iteration, row.attempt): row.error_message for row in snapshot.attempts}
        events = snapshot.source.rows(EventRow, run_id, only={"type": AllBut(NOISE_EVENTS)})[-_MAX_EVENTS:]
        asks = runs.pending(run_id) if snapshot.source.kind == "journal" else []
        document: dict[str, Any] = {
            "runId": run.run_id,
            "workflow": run.workflow,
            "status": run.status,
            "state": run_state(run, now_ms()),
            "error": run.error_message,
            "nodes": [
                {
                    "nodeId": node.node_id,
                    "iteration": node.iteration,
                    "state": node.state,
                    "attempt": node.last_attempt,
                    "error": errors.get((node.node_id, node.iteration, node.last_attempt or 0)),
                }
                for node in snapshot.nodes
            ],
            "asks": [
                {
                    "nodeId": item.node_id,
                    "iteration": item.iteration,
                    "kind": item.kind,
                    "prompt": item.prompt,
                    "requestId": item.request_id,
                    "digest": item.digest,
                }
                for item in asks
            ],
            "events": [{"seq": e.seq, "at": e.at, "type": e.type, "payload": loads(e.payload)} for e in events if e.payload],
        }
    return orjson.dumps(redact_value(document), default=str)


def report(runs: ServedRuns, run_id: str) -> str | None:
    """Return the report of a run of the journal: a monitor's report, or else its notebook so far; None when there is neither."""
    if not runs.has_journal:
        return None
    with runs.journal() as journal, journal.reading() as connection:
        row = read_output(connection, Node(run_id, "report"))
    if row and isinstance(row.get("html"), str):
        return str(row["html"])
    from smithers_nb.present.report.report import write_report

    notebook = notebook_of(runs.location, run_id)
    if not notebook.is_file():
        return None
    with PrivateFolder() as folder:
        return write_report(notebook, folder / "report.html").read_text("utf-8")


def form_reply(hint: str, back: str) -> Html:
    """Render the reply to a form that was sent without scripts."""
    return join((h("p", hint) if hint else None, h("p", h("a", "Back to the run", href=back))))
