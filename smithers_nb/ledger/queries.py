"""Reading the ledger: beads, their log, why they failed, and the audit, each by an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.diagnosis.beads import reasons
from smithers_nb.diagnosis.beads.audit import Audit, EvidenceRow
from smithers_nb.engine.journal.work_items import bead_events, bead_links, bead_summaries, beads
from smithers_nb.model.beads import BeadEventRow, BeadFailureRow, BeadRow
from smithers_nb.sources.beads.steps import reason_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from smithers_nb.model.failure_reason import FailureReason

_BOUNCED: Final = 3
_EVIDENCE: Final = 500


def bead_rows(
    connection: sa.Connection, *, status: Collection[str] = (), bead_id: str | None = None, limit: int | None = None
) -> list[BeadRow]:
    """List beads, the last changed first."""
    query = sa.select(beads).order_by(beads.c.updated_at_ms.desc(), beads.c.bead_id)
    query = query.where(beads.c.status.in_(status)) if status else query
    query = query.where(beads.c.bead_id == bead_id) if bead_id is not None else query
    return [_bead(row) for row in connection.execute(query.limit(limit))]


def event_rows(
    connection: sa.Connection, *, bead_id: str | None = None, since_ms: int | None = None, failures: bool = False, limit: int | None = None
) -> list[BeadEventRow]:
    """List the log, newest first."""
    query = sa.select(bead_events).order_by(bead_events.c.seq.desc())
    query = query.where(bead_events.c.bead_id == bead_id) if bead_id is not None else query
    query = query.where(bead_events.c.created_at_ms >= since_ms) if since_ms is not None else query
    query = query.where(bead_events.c.move == "fail") if failures else query
    return [_event(row) for row in connection.execute(query.limit(limit))]


def failure_rows(connection: sa.Connection, limit: int | None = None) -> list[BeadFailureRow]:
    """List the failures, newest first."""
    found = event_rows(connection, failures=True, limit=limit)
    return [
        BeadFailureRow(
            row.bead_id,
            row.seq,
            row.at,
            row.type,
            row.reason_code or "unknown",
            row.reason or "",
            row.reason_source or "import",
            row.payload,
        )
        for row in found
    ]


def failure_of(connection: sa.Connection, bead_id: str) -> FailureReason | None:
    """Return why a bead failed last: the reason of its newest change to failed, whatever was logged after it; None when it never did."""
    from smithers_nb.model.failure_reason import FailureReason  # pydantic; lists and audits do without

    query = sa.select(bead_events.c.metadata_json).where(bead_events.c.bead_id == bead_id, bead_events.c.move == "fail")
    text = connection.execute(query.order_by(bead_events.c.seq.desc()).limit(1)).scalar()
    return None if text is None else FailureReason(**orjson.loads(text)["failure_reason"])


def causes_of(connection: sa.Connection, bead_id: str) -> list[tuple[str, FailureReason]]:
    """Return the failures that a source or a convoy has to do with: bead and reason, by its `caused-by` links."""
    query = sa.select(bead_links.c.depends_on_id).where(bead_links.c.bead_id == bead_id, bead_links.c.type == "caused-by")
    found = [(other, failure_of(connection, other)) for other in sorted(connection.execute(query).scalars())]
    return [(other, why) for other, why in found if why is not None]


def summary_of(connection: sa.Connection, bead_id: str) -> str:
    """Return the newest failure of a bead in plain language, signed when a provider wrote it; empty when there is no summary."""
    query = sa.select(bead_events.c.seq).where(bead_events.c.bead_id == bead_id, bead_events.c.move == "fail")
    newest = query.order_by(bead_events.c.seq.desc()).limit(1).scalar_subquery()
    row = connection.execute(sa.select(bead_summaries.c.text, bead_summaries.c.model).where(bead_summaries.c.event_seq == newest)).first()
    if row is None:
        return ""
    return str(row.text) if row.model == "deterministic" else f"{row.model} says: {row.text}"


def audit(connection: sa.Connection, location: str, evidence: int = _EVIDENCE) -> Audit:
    """Audit the ledger by its index of moves, without reading the log.

    Args:
        connection: A connection of `Ledger.reading`.
        location: The ledger as shown to people.
        evidence: Rows of evidence per count that are read at most.
    """
    grouped = sa.select(bead_events.c.move, bead_events.c.flags, sa.func.count()).where(bead_events.c.move.is_not(None))
    rows = connection.execute(grouped.group_by(bead_events.c.move, bead_events.c.flags)).all()

    def count(move: str, bits: int = 0) -> int:
        return sum(number for kind, flags, number in rows if kind == move and (not bits or flags & bits))

    given = sa.select(bead_events.c.bead_id).where(bead_events.c.move == "give_back").group_by(bead_events.c.bead_id)
    bounced = list(connection.execute(given.having(sa.func.count() >= _BOUNCED)).scalars())
    counts: dict[str, int | None] = {
        "closes": count("close"),
        "closes_no_reason": count("close", reasons.NO_REASON),
        "closes_default": count("close", reasons.IS_DEFAULT),
        "closes_one_word": count("close", reasons.ONE_WORD),
        "closes_terse": count("close", reasons.IS_TERSE),
        "give_backs": count("give_back"),
        "give_backs_no_reason": count("give_back", reasons.NO_REASON),
        "reopens": count("reopen"),
        "reopens_no_reason": count("reopen", reasons.NO_REASON),
        "reopen_reason_gone": count("reopen", reasons.GONE),
        "second_reason_dropped": count("close", reasons.SECOND_DROPPED),
        "bounced_3": len(bounced),
        "lease_reclaims_no_reason": count("give_back", reasons.RECLAIM),
    }
    more = {"failures": count("fail"), "failures_no_reason": count("fail", reasons.NO_REASON)}
    ends = (sa.select(end(bead_events.c.seq)).scalar_subquery() for end in (sa.func.min, sa.func.max))  # each by the key; both at once scan
    first, last = connection.execute(sa.select(*ends)).one()
    covered = {"source": location, "kind": "ledger", "records": (last or 0) - (first or 0) + 1 if last else 0, "from": None, "to": None}
    covered |= {"counted": True, "cannot_show": [], "notes": [] if last else ["the ledger is empty"]}
    found = _evidence(connection, {(kind, flags) for kind, flags, _ in rows}, evidence)
    moved = bead_events.c.move == "give_back", bead_events.c.bead_id.in_(bounced[:evidence])
    found += _evidence_rows(connection, "bounced_3", moved, evidence) if bounced else []
    return Audit(counts, more, lambda: found, (covered,))


_FINDINGS: Final = (
    ("closes_no_reason", "close", reasons.NO_REASON),
    ("closes_default", "close", reasons.IS_DEFAULT),
    ("closes_one_word", "close", reasons.ONE_WORD),
    ("closes_terse", "close", reasons.IS_TERSE),
    ("give_backs_no_reason", "give_back", reasons.NO_REASON),
    ("reopens_no_reason", "reopen", reasons.NO_REASON),
    ("reopen_reason_gone", "reopen", reasons.GONE),
    ("second_reason_dropped", "close", reasons.SECOND_DROPPED),
    ("lease_reclaims_no_reason", "give_back", reasons.RECLAIM),
)


def _evidence(connection: sa.Connection, kinds: set[tuple[str, int]], limit: int) -> list[EvidenceRow]:
    """Read the rows behind the counts, by the index: `kinds` are the pairs of move and flags that there are."""
    found: list[EvidenceRow] = []
    for name, move, bit in _FINDINGS:
        flags = sorted(flags for kind, flags in kinds if kind == move and flags & bit)
        if flags:
            found += _evidence_rows(connection, name, (bead_events.c.move == move, bead_events.c.flags.in_(flags)), limit)
    return found


def _evidence_rows(connection: sa.Connection, name: str, which: tuple[sa.ColumnElement[bool], ...], limit: int) -> list[EvidenceRow]:
    columns = [bead_events.c[column] for column in ("bead_id", "created_at_ms", "actor", "reason", "seq")]
    rows = connection.execute(sa.select(*columns).where(*which).limit(limit)).all()  # fetched one by one they take twice as long
    return [EvidenceRow(name, bead_id, at, actor, None, "", reason or "", f"event:{seq}") for bead_id, at, actor, reason, seq in rows]


def _bead(row: Any) -> BeadRow:
    why = orjson.loads(row.reason_json) if row.reason_json else {}
    over = row.closed_at_ms if row.status == "closed" else row.failed_at_ms
    fixed = row.bead_id, row.type, row.status, row.title, row.assignee, row.parent_id, row.created_at_ms, row.updated_at_ms, over
    return BeadRow(
        *fixed, why.get("code"), why.get("message"), why.get("source"), row.dispatch_attempts, row.source_json or row.metadata_json
    )


def _event(row: Any) -> BeadEventRow:
    metadata = orjson.loads(row.metadata_json)
    given = (reason_in(metadata), metadata.get("reason"), metadata.get("lost"))
    why = next((one for one in given if one and isinstance(one, dict)), {})
    fixed = row.seq, row.bead_id, row.created_at_ms, row.event_type, row.actor or row.agent_id, row.old_value, row.new_value
    said = why.get("message") or row.reason or _said(metadata)
    return BeadEventRow(*fixed, why.get("code"), said, why.get("source"), row.source_json or row.metadata_json)


def _said(metadata: dict[str, Any]) -> str | None:
    suppressed = metadata.get("suppressed")
    words = (suppressed.get("message") if isinstance(suppressed, dict) else None, metadata.get("resolution_notes"), metadata.get("message"))
    return next((word for word in words if word), None)
