"""The one function that changes a bead's status: its event, its row and the count of its convoys in one transaction.

A failure demands a `FailureReason` whose details are those of its code, giving work back and reopening demand a reason, and what is over
stays over: a second reason for it goes into the log as `failure_suppressed` or `second_reason_dropped`, so that no race loses one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.diagnosis.beads.reasons import reason_flags
from smithers_nb.engine.journal.records import as_json
from smithers_nb.engine.journal.work_items import bead_events, bead_links, beads
from smithers_nb.errors import ControlRefused, RunNotFound
from smithers_nb.ledger import convoys
from smithers_nb.model.failure_codes import fits_code
from smithers_nb.model.failure_codes import reason as coded
from smithers_nb.model.failure_reason import FailureReason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

Reason = FailureReason | str | None

HELD: Final = frozenset({"in_progress", "in_review", "hooked"})
OVER: Final = frozenset({"closed", "failed"})
MOVES: Final[dict[tuple[str, str], str | None]] = {
    ("open", "in_progress"): None,
    ("open", "closed"): "close",
    ("open", "failed"): "fail",
    ("in_progress", "open"): "give_back",
    ("in_progress", "in_review"): None,
    ("in_progress", "closed"): "close",
    ("in_progress", "failed"): "fail",
    ("in_review", "open"): "give_back",
    ("in_review", "in_progress"): None,
    ("in_review", "closed"): "close",
    ("in_review", "failed"): "fail",
    ("failed", "open"): "reopen",
}
"""Allowed changes of status, and the move that each is; an imported status of another system may go anywhere an open bead may."""

NEEDS_TEXT: Final = frozenset({"give_back", "reopen"})
UPWARD: Final = ("tracks", "lands")
"""Links by which a failure is reachable from above: of a member or a merge request, and of the merge request that lands a convoy."""

_THIS: Final = beads.c.bead_id == sa.bindparam("its_id")
_IS_UPWARD: Final = sa.or_(*(bead_links.c.type == kind for kind in UPWARD))  # `in_` would be put together with every execution
_LINKED: Final = sa.exists().where(bead_links.c.bead_id == beads.c.bead_id, _IS_UPWARD).label("linked")
# built once: putting a statement together takes SQLAlchemy longer than SQLite takes to execute it
_LOCK: Final = sa.select(beads, _LINKED).where(_THIS).with_for_update(of=beads)
_STANDS: Final = sa.select(beads.c.bead_id, beads.c.status, beads.c.updated_at_ms, beads.c.reason_json, _LINKED)
_LOCK_STATUS: Final = _STANDS.where(_THIS).with_for_update(of=beads)
_APPEND: Final = bead_events.insert()
_WRITE: Final = beads.update().where(_THIS)  # of the columns that it is given


def transition(  # noqa: PLR0913  # all but three are options by name
    ledger: Ledger,
    connection: sa.Connection,
    bead_id: str,
    to: str,
    *,
    actor: str,
    reason: Reason = None,
    agent_id: str | None = None,
    expect: str | None = None,
    more: dict[str, Any] | None = None,
) -> int | None:
    """Change the status of a bead.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        bead_id: The bead.
        to: The new status.
        actor: Who does it.
        reason: Why. A `FailureReason` for `failed`; a `FailureReason` or a sentence for giving back and reopening; a sentence for closing.
        agent_id: The agent that it is about.
        expect: Do nothing unless the status is this.
        more: Further metadata of the event.

    Returns:
        Position of the event in the log; None when nothing changed.

    Raises:
        RunNotFound: There is no such bead.
        ControlRefused: The change is not allowed; `code` is `BEAD_OVER` or `BEAD_MOVE`.
        ValueError: A reason is missing, or does not fit its code.
    """
    row = _found(connection, _LOCK_STATUS, bead_id)
    if expect is not None and row.status != expect:
        return None
    if row.status in OVER and to in OVER:
        return _suppress(ledger, connection, row, actor, reason)
    if row.status == to:
        return None
    move = _move(row.status, to, bead_id)
    _check(move, reason)
    at = max(ledger.now(), row.updated_at_ms)
    event_type = "reopened" if move == "reopen" else "status_changed"
    about = {"old": row.status, "new": to, "agent_id": agent_id, "metadata": dict(more or {}) | _metadata(move, reason)}
    seq = append(connection, bead_id, event_type, actor=actor, at=at, move=move, reason=reason, **about)
    connection.execute(_WRITE, {"its_id": bead_id, **_row_values(to, at, seq, move, reason)})
    if row.linked:
        if move == "fail":
            _link_causes(connection, bead_id)
        convoys.recount(ledger, connection, bead_id, actor)
    return seq


def append(  # noqa: PLR0913  # all but three are options by name
    connection: sa.Connection,
    bead_id: str,
    event_type: str,
    *,
    actor: str | None,
    at: int,
    old: str | None = None,
    new: str | None = None,
    agent_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    move: str | None = None,
    reason: Reason = None,
) -> int:
    """Write one line of the log and return its position; a line about a status belongs to `transition`."""
    text = message_of(reason)
    values = {
        "bead_id": bead_id,
        "agent_id": agent_id,
        "actor": actor,
        "event_type": event_type,
        "old_value": old,
        "new_value": new,
        "metadata_json": as_json(metadata or {}),
        "created_at_ms": at,
        "move": move,
        "flags": reason_flags(text) if move else 0,
        "reason": text or None,
    }
    given = {name: value for name, value in values.items() if value is not None}
    key: Any = connection.execute(_APPEND, given).inserted_primary_key
    return int(key.seq)


def note(  # noqa: PLR0913  # all but four are options by name
    connection: sa.Connection,
    bead_id: str,
    event_type: str,
    reason: FailureReason,
    *,
    actor: str,
    at: int,
    agent_id: str | None = None,
    more: dict[str, Any] | None = None,
) -> int:
    """Write that something went wrong with a bead that keeps its status, and why.

    Raises:
        ValueError: There is no reason, or it does not fit its code.
    """
    if not isinstance(reason, FailureReason) or not fits_code(reason):
        raise ValueError(f"a {event_type} needs a reason whose details are those of its code")
    metadata = dict(more or {}) | {"reason": reason.model_dump()}
    return append(connection, bead_id, event_type, actor=actor, at=at, agent_id=agent_id, metadata=metadata, reason=reason)


def locked(connection: sa.Connection, bead_id: str) -> Any:
    """Read a bead and keep it from others until the transaction ends; `linked` says whether anything tracks or is tracked.

    Raises:
        RunNotFound: There is no such bead.
    """
    return _found(connection, _LOCK, bead_id)


def _found(connection: sa.Connection, query: sa.Select[Any], bead_id: str) -> Any:
    row = connection.execute(query, {"its_id": bead_id}).first()
    if row is None:
        raise RunNotFound(f"no bead {bead_id!r} in the ledger", hint="list them with `smithers-nb beads list`")
    return row


def message_of(reason: Reason) -> str:
    """Return a reason as a sentence; empty for none."""
    return reason.message if isinstance(reason, FailureReason) else (reason or "").strip()


def _move(old: str, new: str, bead_id: str) -> str | None:
    known = (old, new) if old in {pair[0] for pair in MOVES} | OVER else ("open", new)
    if known not in MOVES:
        code = "BEAD_OVER" if old in OVER else "BEAD_MOVE"
        hint = "a failed bead is reopened with `smithers-nb beads reopen`; a closed one stays closed" if old in OVER else ""
        raise ControlRefused(f"bead {bead_id} is {old} and cannot become {new}", code=code, hint=hint)
    return MOVES[known]


def _check(move: str | None, reason: Reason) -> None:
    if move == "fail":
        if not isinstance(reason, FailureReason):
            raise ValueError("a failed bead needs a failure reason: code, message, source, details")
        if not fits_code(reason):
            raise ValueError(f"the details of {reason.code} from {reason.source} are not those of its code")
    elif move in NEEDS_TEXT and not message_of(reason):
        raise ValueError("giving work back and reopening it need a reason")


def _metadata(move: str | None, reason: Reason) -> dict[str, Any]:
    if isinstance(reason, FailureReason):
        return {"failure_reason" if move == "fail" else "reason": reason.model_dump()}
    return {"reason": reason} if reason else {}


def _row_values(to: str, at: int, seq: int, move: str | None, reason: Reason) -> dict[str, Any]:
    values: dict[str, Any] = {"status": to, "updated_at_ms": at, "status_seq": seq}
    if move == "fail" and isinstance(reason, FailureReason):
        values |= {"failed_at_ms": at, "reason_json": as_json(reason.model_dump())}
    elif move == "close":
        values |= {"closed_at_ms": at, "reason_json": as_json({"message": message_of(reason)}) if reason else None}
    elif move in NEEDS_TEXT:
        values |= {"assignee": None, "closed_at_ms": None, "failed_at_ms": None, "reason_json": None}
    if move == "reopen":
        values |= {"dispatch_attempts": 0, "last_dispatch_at_ms": None}
    return values


def _suppress(ledger: Ledger, connection: sa.Connection, row: Any, actor: str, reason: Reason) -> int | None:
    """Keep a reason that comes too late: the status stays as it is."""
    if not message_of(reason):
        return None
    at = max(ledger.now(), row.updated_at_ms)
    metadata = {"suppressed": reason.model_dump() if isinstance(reason, FailureReason) else {"message": reason}}
    if row.status == "failed":
        return append(connection, row.bead_id, "failure_suppressed", actor=actor, at=at, metadata=metadata)
    kept = orjson.loads(row.reason_json)["message"] if row.reason_json else ""
    dropped = coded("second_reason_dropped", reason=message_of(reason), kept=kept)
    return note(connection, row.bead_id, "second_reason_dropped", dropped, actor=actor, at=at, more=metadata)


def _link_causes(connection: sa.Connection, bead_id: str) -> None:
    """Make a failure reachable from what the bead belongs to: its source and every convoy above."""
    above: set[str] = set()
    level = {bead_id}
    while level:
        query = sa.select(bead_links.c.depends_on_id).where(bead_links.c.bead_id.in_(level), _IS_UPWARD)
        level = set(connection.execute(query).scalars()) - above - {bead_id}
        above |= level
    for other in sorted(above):
        link(connection, other, bead_id, "caused-by")


def link(connection: sa.Connection, bead_id: str, depends_on_id: str, kind: str) -> None:
    """Connect two beads, once."""
    same = (bead_links.c.bead_id == bead_id, bead_links.c.depends_on_id == depends_on_id, bead_links.c.type == kind)
    if connection.execute(sa.select(bead_links.c.type).where(*same)).first() is None:
        connection.execute(bead_links.insert().values(bead_id=bead_id, depends_on_id=depends_on_id, type=kind))
