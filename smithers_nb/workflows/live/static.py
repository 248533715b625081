"""What a live page links to: the run as JSON, and its notebook or its monitor's findings as a report in one file."""

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

_EVENTS: Final = 30


def as_json(runs: ServedRuns, run_id: str) -> bytes:
    """Write a run as JSON: status, nodes, what it asks, the end of its log; secrets redacted.

    Raises:
        RunNotFound: There is no such run.
        SourceError: Its store cannot be read.
    """
    with runs.open() as source:
        seen = Snapshot(source, run_id)
        run, tried = seen.run, {(row.node_id, row.iteration, row.attempt): row.error_message for row in seen.attempts}
        events = seen.source.rows(EventRow, run_id, only={"type": AllBut(NOISE_EVENTS)})[-_EVENTS:]
        asks = runs.pending(run_id) if seen.source.kind == "journal" else []
        found: dict[str, Any] = {
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
                    "error": tried.get((node.node_id, node.iteration, node.last_attempt or 0)),
                }
                for node in seen.nodes
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
    return orjson.dumps(redact_value(found), default=str)


def report(runs: ServedRuns, run_id: str) -> str | None:
    """Return the report of a run of ours: what a monitor wrote, else its notebook as far as it got; None when there is neither."""
    if not runs.has_journal:
        return None
    with runs.journal() as journal, journal.reading() as connection:
        written = read_output(connection, Node(run_id, "report"))
    if written and isinstance(written.get("html"), str):
        return str(written["html"])
    from smithers_nb.present.report.report import write_report

    notebook = notebook_of(runs.location, run_id)
    if not notebook.is_file():
        return None
    with PrivateFolder() as folder:
        return write_report(notebook, folder / "report.html").read_text("utf-8")


def told(hint: str, back: str) -> Html:
    """Lay out the answer to a form that was sent without scripts."""
    return join((h("p", hint) if hint else None, h("p", h("a", "Back to the run", href=back))))
