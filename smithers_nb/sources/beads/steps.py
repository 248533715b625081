"""Read one line of any log as a step of one bead: who did it, the status before and after, and its reason.

`READERS` has one reader per kind of log (`shapes.LOGS`). Each takes a parsed line and returns a `Step`, or None if the line is not one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.sources.stores.json_text import parse

if TYPE_CHECKING:
    from smithers_nb.sources.beads.shapes import Log

_EPOCH_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Step(NamedTuple):
    """One entry of a bead's log.

    Attributes:
        at: Time in epoch microseconds.
        what: Stored event type; `comment` for any comment.
        actor: Who did it.
        old: Status before, if the entry has it; otherwise the status after the previous step applies.
        new: Status after, if the entry has it.
        reason: Reason in the entry; empty for none.
        beside: The same update also wrote notes, a description or a reason.
        closing: The entry is a close, regardless of the status before.
        old_reason: Reason of the previous close, if the entry has it.
        holder: Who had the work before, if the entry has that.
        assignee: Who has the work afterwards; empty if no one, None if the entry does not have that.
        row_reason: Close reason in the row afterwards; None if the entry does not contain the row.
        metadata: The bead's metadata, if the entry contains it.
    """

    bead_id: str
    at: int | None
    what: str
    actor: str | None = None
    old: str | None = None
    new: str | None = None
    reason: str = ""
    beside: bool = False
    closing: bool = False
    old_reason: str = ""
    holder: str | None = None
    assignee: str | None = None
    row_reason: str | None = None
    metadata: Mapping[str, Any] | None = None


def read_step(log: Log, record: Mapping[str, Any]) -> Step | None:
    """Return the step that a line of a log records; None if it records none."""
    return READERS[log](record)


def instant_us(value: Any) -> int | None:
    """Convert a stored time to epoch microseconds: ISO 8601 (UTC without a zone), epoch seconds or epoch milliseconds."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            stamp = datetime.fromisoformat(value)
            since = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
            return (since.days * 86_400 + since.seconds) * _EPOCH_US + since.microseconds
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(value * (1_000 if value > _EPOCH_MS else _EPOCH_US))
    except (ValueError, OverflowError):
        pass
    return None


def instant_ms(value: Any) -> int | None:
    """Convert a stored time to epoch milliseconds; see `instant_us`."""
    us = instant_us(value)
    return None if us is None else us // 1_000


def text(value: Any) -> str:
    """Return a stripped string; empty for anything else."""
    return value.strip() if isinstance(value, str) else ""


def as_dict(value: Any) -> dict[str, Any]:
    """Return a JSON object, parsing it if it is stored as text; empty for anything else."""
    if isinstance(value, str):
        if value[:1] != "{":
            return {}
        value = parse(value)
    return value if isinstance(value, dict) else {}


def reason_in(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the failure reason in an event of cloud Gastown or our ledger, which is stored in one of three places."""
    reason = as_dict(metadata.get("failure_reason"))
    if reason:
        return reason
    given_back = metadata.get("reason")  # our ledger's reason for giving work back
    if isinstance(given_back, dict) and given_back.get("message"):
        return given_back
    loose = {"code": metadata.get("failureKind") or metadata.get("failureReason"), "message": metadata.get("failureMessage")}
    return loose if any(loose.values()) else {}


def _audit(record: Mapping[str, Any]) -> Step | None:
    """Read a row of bd's table `events`: `new_value` is a change set as JSON, or the plain reason of a close or reopen."""
    what, change = record.get("event_type"), record.get("new_value")
    if type(what) is not str or (
        what not in _ALWAYS_STEPS and (not change or '"status"' not in (change if type(change) is str else str(change)))
    ):
        return None
    bead_id = record.get("issue_id")
    if not isinstance(bead_id, str):
        return None
    at, actor, comment = instant_us(record.get("created_at")), _actor(record.get("actor")), record.get("comment")
    comment = text(comment) if comment else ""
    if what == "commented":
        return Step(bead_id, at, "comment", actor)
    before = record.get("old_value")
    new, old = as_dict(change) if change else {}, as_dict(before) if before else {}
    plain = "" if new else text(change)
    reason = comment
    if what == "closed":
        reason = text(new.get("close_reason")) if new else plain or comment
    elif what == "reopened":
        reason = comment or plain
    status = new["status"] if new and isinstance(new.get("status"), str) else _STATUS_EVENTS.get(what)
    if status is None:
        return None
    holder = _actor(old.get("assignee")) if old else _actor(before) if what == "lease_reclaimed" else None
    beside = bool(new) and not _BESIDE.isdisjoint(new) and any(text(new.get(name)) for name in _BESIDE)
    was = old["status"] if old and isinstance(old.get("status"), str) else None
    kept = text(old.get("close_reason")) if old else ""
    given = text(new.get("assignee")) if "assignee" in new else None
    return Step(bead_id, at, what, actor, was, status, reason, beside, what == "closed", kept, holder, given)


def _interactions(record: Mapping[str, Any]) -> Step | None:
    """Read a line of `interactions.jsonl`: a change of `status` or `assignee`."""
    extra, bead_id = record.get("extra"), record.get("issue_id")
    if record.get("kind") != "field_change" or not isinstance(extra, dict) or not isinstance(bead_id, str):
        return None
    at, actor = instant_us(record.get("created_at")), _actor(record.get("actor"))
    if extra.get("field") == "assignee":
        return Step(bead_id, at, "assignee", actor, assignee=text(extra.get("new_value")))
    if extra.get("field") != "status":
        return None
    old, new = text(extra.get("old_value")) or None, text(extra.get("new_value")) or None
    return Step(bead_id, at, "status", actor, old=old, new=new, reason=text(extra.get("reason")), closing=new == "closed")


def _gascity(record: Mapping[str, Any]) -> Step | None:
    """Read a line of gascity's log; the payload of `bead.*` is the bead or contains it under `bead`."""
    what, payload = record.get("type"), record.get("payload")
    if not isinstance(what, str):
        return None
    body = payload if isinstance(payload, dict) else {}
    at, actor, subject = instant_us(record.get("ts")), _actor(record.get("actor")), record.get("subject")
    if what in _GIVEN_BACK:
        bead_id = text(body.get("bead_id")) or text(body.get("id")) or text(subject)
        holder = _actor(body.get("dead_assignee")) or _actor(body.get("previous_owner"))
        return Step(bead_id, at, what, actor, new="open", reason=text(body.get("reason")), holder=holder, assignee="") if bead_id else None
    bead = body["bead"] if isinstance(body.get("bead"), dict) else body
    bead_id = text(bead.get("id")) or text(subject)
    if not what.startswith("bead.") or not bead_id or not isinstance(bead.get("status"), str):
        return None
    return _snapshot(Step(bead_id, at, what, actor, closing=what == "bead.closed"), bead)


def _journal(record: Mapping[str, Any]) -> Step | None:
    """Read a record of `bd events export`: the operation, and the issue after it."""
    bead_id, what, issue = record.get("issue_id"), record.get("op"), record.get("issue")
    if not isinstance(bead_id, str) or not isinstance(what, str):
        return None
    at, actor = instant_us(record.get("ts")), _actor(record.get("actor"))
    if what == "comment":
        return Step(bead_id, at, "comment", actor)
    if not isinstance(issue, dict) or not isinstance(issue.get("status"), str):
        return None
    return _snapshot(Step(bead_id, at, what, actor, closing=what == "close"), issue)


def _snapshot(step: Step, issue: Mapping[str, Any]) -> Step:
    metadata = as_dict(issue.get("metadata"))
    reason = text(issue.get("close_reason")) or text(metadata.get("close_reason"))
    closes = step.closing or issue["status"] == "closed"
    return step._replace(
        new="closed" if step.closing else issue["status"],
        reason=reason if closes else "",
        row_reason=reason,
        assignee=text(issue.get("assignee")),
        metadata=metadata,
    )


def _cloud(record: Mapping[str, Any]) -> Step | None:
    """Read a row of `bead_events` of cloud Gastown or our ledger: statuses are plain text, the reason is in `metadata`."""
    bead_id, what = record.get("bead_id"), record.get("event_type")
    if not isinstance(bead_id, str) or not isinstance(what, str):
        return None
    metadata = as_dict(record.get("metadata"))
    failure = reason_in(metadata)
    given = next((text(metadata.get(name)) for name in _REASONS if text(metadata.get(name))), "")
    at, actor = instant_us(record.get("created_at")), _actor(record.get("actor")) or _actor(record.get("agent_id"))
    if what not in ("status_changed", "closed", "reopened", "created"):
        return None
    reason = text(failure.get("message")) or text(failure.get("code")) or given or text(record.get("reason"))
    new = _STATUS_EVENTS.get(what, "open") if what in ("closed", "created") else text(record.get("new_value")) or "open"
    return Step(bead_id, at, what, actor, old=text(record.get("old_value")) or None, new=new, reason=reason, closing=what == "closed")


def _gt(record: Mapping[str, Any]) -> Step | None:
    """Read a line of gt's own log: a bead is slung or hooked, and unhooked without a reason."""
    what, body = record.get("type"), as_dict(record.get("payload"))
    bead_id, status = text(body.get("bead")), _GT.get(str(what))
    if not bead_id or status is None:
        return None
    reason = text(body.get("reason")) or text(body.get("error"))
    holder = _actor(body.get("target")) or _actor(record.get("actor"))
    return Step(bead_id, instant_us(record.get("ts")), str(what), _actor(record.get("actor")), new=status, reason=reason, assignee=holder)


def _actor(value: Any) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


_EPOCH_MS: Final = 100_000_000_000
_STATUS_EVENTS: Final = {
    "created": None,
    "status_changed": None,
    "updated": None,
    "claimed": "in_progress",
    "closed": "closed",
    "reopened": "open",
    "unclaimed": "open",
    "lease_reclaimed": "open",
    "restored": None,
}
"""Audit events that may change a status, with the status they imply if their change set has none."""
_ALWAYS_STEPS: Final = {"commented"} | {name for name, status in _STATUS_EVENTS.items() if status is not None}
"""Audit events that matter regardless of their change set."""
_BESIDE: Final = frozenset({"notes", "description", "close_reason"})
"""Fields that may contain the reason when the update that changes a status also writes them."""

CREATED: Final[Mapping[Log, tuple[str, str]]] = {
    "audit": ("event_type", "created"),
    "cloud": ("event_type", "created"),
    "journal": ("op", "create"),
    "gascity": ("type", "bead.created"),
}
"""Key and value of the lines that create a bead; the other kinds of log never show a creation."""

_GIVEN_BACK: Final = frozenset({"bead.dead_assignee_reopened", "hook.claim.reclaimed_stale", "bead.lease_reclaimed", "bead.unclaimed"})
_GT: Final = {"sling": "hooked", "hook": "hooked", "unhook": "open"}
_REASONS: Final = ("close_reason", "reason", "resolution_notes", "notes", "message", "note")
READERS: Final[Mapping[Log, Callable[[Mapping[str, Any]], Step | None]]] = {
    "audit": _audit,
    "journal": _journal,
    "interactions": _interactions,
    "gascity": _gascity,
    "cloud": _cloud,
    "gt": _gt,
}
