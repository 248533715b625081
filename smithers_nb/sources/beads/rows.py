"""Convert lines of a store to typed rows: current beads, events of its log, and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.beads import BeadEventRow, BeadFailureRow, BeadRow
from smithers_nb.model.failure_codes import LIVE
from smithers_nb.sources.beads.steps import as_dict, instant_ms, read_step, reason_in, text
from smithers_nb.sources.stores.json_text import dump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.sources.beads.shapes import Log

_MESSAGE_KEYS: Final = ("reason", "error", "error_msg", "message", "close_reason", "failureMessage", "resolution_notes", "notes")


def bead_row(record: Mapping[str, Any]) -> BeadRow | None:
    """Return the row of an issue of bd, or of a bead of cloud Gastown or our ledger; None for a line without an id."""
    bead_id = record.get("id") or record.get("bead_id")
    if not isinstance(bead_id, str):
        return None
    metadata = as_dict(record.get("metadata"))
    failure = reason_in(metadata)
    status = text(record.get("status"))
    attempts = record.get("dispatch_attempts")
    return BeadRow(
        bead_id,
        text(record.get("issue_type")) or text(record.get("type")) or None,
        status,
        text(record.get("title")) or None,
        text(record.get("assignee")) or text(record.get("assignee_agent_bead_id")) or None,
        text(record.get("parent_bead_id")) or text(record.get("parent_id")) or None,
        instant_ms(record.get("created_at")),
        instant_ms(record.get("updated_at")),
        instant_ms(record.get("closed_at")),
        text(failure.get("code")) or None,
        text(failure.get("message")) or text(record.get("close_reason")) or text(metadata.get("close_reason")) or None,
        text(failure.get("source")) or None,
        attempts if isinstance(attempts, int) else 0,
        dump(dict(record)),
    )


def event_row(log: Log, number: int, record: Mapping[str, Any]) -> BeadEventRow:
    """Return the row of a log line; a line of unknown type is kept as it is."""
    step = read_step(log, record)
    what = type_of(record)
    body = as_dict(record.get("payload"))
    metadata = as_dict(record.get("metadata"))
    failure = reason_in(metadata)
    message = next((text(part.get(name)) for part in (body, metadata) for name in _MESSAGE_KEYS if text(part.get(name))), "")
    live = LIVE.get(what)
    return BeadEventRow(
        number,
        step.bead_id if step else subject_of(record),
        time_of(record),
        what,
        (step.actor if step else text(record.get("actor"))) or None,
        step.old if step else None,
        step.new if step else None,
        text(failure.get("code")) or (live.code if live else None),
        text(failure.get("message")) or (step.reason if step else "") or message or None,
        text(failure.get("source")) or (live.source if live else None),
        dump(dict(record)),
    )


def type_of(record: Mapping[str, Any]) -> str:
    """Return the stored type of a line of any log, or `unknown`."""
    for name in ("event_type", "type", "op", "kind"):
        value = record.get(name)
        if isinstance(value, str):
            return value
    return "unknown"


def subject_of(record: Mapping[str, Any]) -> str:
    """Return the bead that a log line is about, even if the line is not a step; empty if none."""
    named = record.get("issue_id") or record.get("bead_id") or record.get("subject")
    return text(named or as_dict(record.get("payload")).get("bead"))


def time_of(record: Mapping[str, Any]) -> int | None:
    """Return the time of a line of any log in epoch milliseconds."""
    return instant_ms(record.get("created_at") or record.get("ts"))


def failure_row(event: BeadEventRow) -> BeadFailureRow | None:
    """Return the failure that an event records: a change to failed or one of the live failure events; None for any other."""
    failed = event.new_status == "failed"
    if not failed and event.type not in LIVE:
        return None
    code, source = event.reason_code or "unknown", event.reason_source or "import"
    return BeadFailureRow(event.bead_id, event.seq, event.at, event.type, code, event.reason or "no reason recorded", source, event.payload)
