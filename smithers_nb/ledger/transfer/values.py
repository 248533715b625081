"""The rows of the ledger that a foreign bead or event becomes, and what a foreign event is in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.engine.journal.records import as_json
from smithers_nb.model.failure_codes import LIVE, PATHS
from smithers_nb.model.failure_codes import reason as coded
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.beads.rows import subject_of, time_of, type_of
from smithers_nb.sources.beads.steps import as_dict, read_step, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.model.beads import BeadRow
    from smithers_nb.sources.beads.shapes import Log


def bead_values(row: BeadRow, record: Mapping[str, Any], origin: str, *, unexplained: bool = False) -> dict[str, Any]:
    """Return the row of a foreign bead; `unexplained` says that it is blocked and nothing tells by what."""
    why = {"message": row.reason} | ({"code": row.reason_code, "source": row.reason_source} if row.reason_code else {})
    if unexplained:
        why = coded("blocked_without_reason", status=row.status or "").model_dump()
    at = row.created_at or row.updated_at or 0
    return {
        "bead_id": row.bead_id,
        "type": row.type or "issue",
        "status": row.status or "open",
        "title": row.title or "",
        "body": text(record.get("description")) or text(record.get("body")) or None,
        "rig_id": text(record.get("rig_id")) or text(record.get("rig")) or None,
        "parent_id": row.parent_id,
        "assignee": row.assignee,
        "priority": None if record.get("priority") is None else str(record["priority"]),
        "labels_json": as_json(record.get("labels") or []),
        "metadata_json": as_json(as_dict(record.get("metadata"))),
        "dispatch_attempts": row.dispatch_attempts,
        "created_by": text(record.get("created_by")) or None,
        "created_at_ms": at,
        "updated_at_ms": row.updated_at or at,
        "closed_at_ms": row.closed_at if row.status != "failed" else None,
        "failed_at_ms": row.closed_at if row.status == "failed" else None,
        "reason_json": as_json(why) if row.reason or unexplained else None,
        "origin": origin,
        "source_json": as_json(record),
    }


def failure(reason: Mapping[str, Any], message: str = "") -> dict[str, Any]:
    """Write a foreign reason in our four fields; what nobody recorded is `unknown`."""
    details = reason.get("details")
    return {
        "code": text(reason.get("code")) or "unknown",
        "message": text(reason.get("message")) or message or "No reason recorded",
        "source": text(reason.get("source")) or "import",
        "details": details if isinstance(details, dict) else {"text": details} if isinstance(details, str) else {},
    }


def event_values(log: Log, record: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the row of a foreign event, not judged yet."""
    step = read_step(log, record)
    metadata = as_dict(record.get("metadata"))
    return {
        "bead_id": step.bead_id if step else subject_of(record),
        "agent_id": text(record.get("agent_id")) or None,
        "actor": (step.actor if step else text(record.get("actor"))) or None,
        "event_type": type_of(record),
        "old_value": step.old if step else None,
        "new_value": step.new if step else None,
        "metadata_json": as_json(metadata) if metadata else "{}",
        "created_at_ms": time_of(record) if step is None or step.at is None else step.at // 1_000,
        "move": None,
        "flags": 0,
        "reason": None,
        "origin": origin,
        "source_json": as_json(record),
    }


def live(event: Mapping[str, Any], record: Mapping[str, Any]) -> FailureReason | None:
    """Return the reason that a foreign event is, when its type is one of our paths; its words are its own. None for any other event."""
    path = LIVE.get(event["event_type"])
    if path is None:
        return None
    body = as_dict(record.get("payload")) | {"order": text(record.get("subject"))}
    said = {name: value for name, value in body.items() if name in path.needed | path.optional}
    try:
        return coded(next(name for name, one in PATHS.items() if one is path), **said)
    except ValueError:  # the event does not say all that our path does
        message = next((text(body.get(key)) for key in ("error", "reason", "message") if text(body.get(key))), "")
        return FailureReason(code=path.code, message=message or "No reason recorded", source=path.source, details=said)


def snapshot(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the bead that a line of a journal or of gascity shows; empty for none."""
    payload = as_dict(record.get("payload"))
    return as_dict(record.get("issue")) or as_dict(payload.get("bead")) or payload
