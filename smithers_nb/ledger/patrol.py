"""The patrol: work that nobody does any more or too long, leases that ran out, agents that crash or are lost, reviews without anybody.

Two patrols at once do no harm: each bead is taken in a transaction of its own and looked at again under its lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_agents, bead_events, bead_leases, beads
from smithers_nb.ledger import breaker, triage
from smithers_nb.ledger.agents import end_lease
from smithers_nb.ledger.dispatch import DISPATCHED, MAX_ATTEMPTS
from smithers_nb.ledger.items import set_agent
from smithers_nb.ledger.transition import HELD, append, locked, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

STALE_HOOK_MS: Final = 30 * 60_000
ORPHANED_REVIEW_MS: Final = 30 * 60_000
DEFAULT_TIMEOUT_MS: Final = 4 * 3_600_000
MAX_LOST: Final = 3
GRACE: Final = 2
"""Lifetimes of a lease that pass after its end before the work is taken back."""

CRASH_LOOP: Final = "crash_loop"
_MINUTE: Final = 60_000


class Finding(NamedTuple):
    """A bead that a patrol changed or wrote about, and by which path."""

    bead_id: str
    path: str


def patrol(ledger: Ledger) -> list[Finding]:
    """Look at everything once and end or give back what is stuck.

    Returns:
        What was changed, in the order of the changes.
    """
    return [
        *_orphans(ledger),
        *_timeouts(ledger),
        *_lapsed_leases(ledger),
        *_orphaned_reviews(ledger),
        *_used_up(ledger),
        *_crash_loops(ledger),
    ]


def started_at(connection: sa.Connection, bead_id: str) -> int | None:
    """Return when the current attempt of a bead began: its newest change to in_progress, whatever else was edited since."""
    query = sa.select(bead_events.c.created_at_ms).where(bead_events.c.bead_id == bead_id, bead_events.c.new_value == "in_progress")
    at: int | None = connection.execute(query.order_by(bead_events.c.seq.desc()).limit(1)).scalar()
    return at


def _orphans(ledger: Ledger) -> Iterator[Finding]:
    """Take work from agents that are idle or dead: it fails when its dispatches are used up, and is given back otherwise."""
    for agent_id in _agents_to_look_at(ledger):
        with ledger.writing() as connection:
            query = sa.select(bead_agents).where(bead_agents.c.agent_id == agent_id).with_for_update()
            agent = connection.execute(query).one()
            idle = ledger.now() - agent.last_activity_at_ms
            if agent.hook_bead_id is None or agent.status == "working" or idle < STALE_HOOK_MS:
                continue
            bead = locked(connection, agent.hook_bead_id)
            set_agent(connection, agent_id, hook_bead_id=None, times_lost=agent.times_lost + 1)
            end_lease(connection, bead.bead_id)
            path = _take_from(ledger, connection, agent, bead, idle // _MINUTE)
        if path:
            yield Finding(bead.bead_id, path)


def _take_from(ledger: Ledger, connection: sa.Connection, agent: Any, bead: Any, idle: int) -> str | None:
    threshold = STALE_HOOK_MS // _MINUTE
    if bead.status not in ("open", "in_progress", "in_review"):
        return None
    if bead.dispatch_attempts >= MAX_ATTEMPTS:
        details = {"agent_id": agent.agent_id, "idle_minutes": idle, "threshold_minutes": threshold}
        details |= {"dispatch_attempts": bead.dispatch_attempts, "last_activity_at": agent.last_activity_at_ms}
        why = reason("orphaned_work", **details)
        transition(ledger, connection, bead.bead_id, "failed", actor="patrol", agent_id=agent.agent_id, reason=why)
        return "orphaned_work"
    if agent.times_lost + 1 >= MAX_LOST:
        why = reason("agent_lost", agent_id=agent.agent_id, times=agent.times_lost + 1, threshold_minutes=threshold)
        transition(ledger, connection, bead.bead_id, "failed", actor="patrol", agent_id=agent.agent_id, reason=why)
        return "agent_lost"
    if bead.status == "open":
        return None
    why = reason("dead_assignee_reopened", agent_id=agent.agent_id, idle_minutes=idle)
    transition(ledger, connection, bead.bead_id, "open", actor="patrol", agent_id=agent.agent_id, reason=why)
    return "dead_assignee_reopened"


def _timeouts(ledger: Ledger) -> Iterator[Finding]:
    """Fail work that takes longer than its own `timeout_ms`, measured from the event that began it."""
    for bead_id in _with_status(ledger, "in_progress"):
        with ledger.writing() as connection:
            bead = locked(connection, bead_id)
            begun = started_at(connection, bead_id)
            limit = timeout_of(bead)
            elapsed = ledger.now() - (begun if begun is not None else bead.updated_at_ms)
            if bead.status != "in_progress" or begun is None or elapsed <= limit:
                continue
            details = {"timeout_ms": limit, "elapsed_ms": elapsed, "started_at": begun}
            why = reason("timeout", **details, timeout_minutes=_minutes(limit), elapsed_minutes=elapsed // _MINUTE)
            transition(ledger, connection, bead_id, "failed", actor="patrol", agent_id=bead.assignee, reason=why)
            connection.execute(bead_agents.update().where(bead_agents.c.hook_bead_id == bead_id).values(hook_bead_id=None, status="idle"))
            end_lease(connection, bead_id)
        yield Finding(bead_id, "timeout")


def _lapsed_leases(ledger: Ledger) -> Iterator[Finding]:
    """Take work back whose lease ran out long ago; of a lease that was never renewed that is only said, because its holder may live."""
    ended = bead_leases.c.expires_at_ms <= ledger.now()
    with ledger.reading() as connection:
        lapsed = list(connection.execute(sa.select(bead_leases.c.bead_id).where(ended).order_by(bead_leases.c.bead_id)).scalars())
    for bead_id in lapsed:
        with ledger.writing() as connection:
            bead = locked(connection, bead_id)
            lease = connection.execute(sa.select(bead_leases).where(bead_leases.c.bead_id == bead_id, ended)).first()
            path = None if lease is None else _judge_lease(ledger, connection, bead, lease)
        if path:
            yield Finding(bead_id, path)


def _judge_lease(ledger: Ledger, connection: sa.Connection, bead: Any, lease: Any) -> str | None:
    at = ledger.now()
    if bead.status not in HELD:
        end_lease(connection, bead.bead_id)
        return None
    if lease.heartbeat_at_ms > lease.granted_at_ms:
        if at < lease.expires_at_ms + GRACE * lease.ttl_ms:
            return None
        minutes = (at - lease.expires_at_ms) // _MINUTE
        details = {"holder": lease.holder, "expired_minutes": minutes, "heartbeat_at": lease.heartbeat_at_ms, "never_renewed": False}
        why = reason("lease_reclaimed", **details)
        transition(ledger, connection, bead.bead_id, "open", actor="patrol", agent_id=lease.holder, reason=why)
        set_agent(connection, lease.holder, status="idle", hook_bead_id=None)
        end_lease(connection, bead.bead_id)
        return "lease_reclaimed"
    if lease.warned_at_ms is not None:
        return None
    connection.execute(bead_leases.update().where(bead_leases.c.bead_id == bead.bead_id).values(warned_at_ms=at))
    said = "the lease ran out and was never renewed; that does not mean that its holder is gone"
    append(connection, bead.bead_id, "lease_lapsed", actor="patrol", at=at, agent_id=lease.holder, metadata={"message": said})
    return "lease_lapsed"


def _crash_loops(ledger: Ledger) -> Iterator[Finding]:
    """Ask for a decision about each agent that crashed several times; crashes that were asked about already are not counted again."""
    since = ledger.now() - breaker.WINDOW_MS
    failed = bead_events.c.move == "fail", bead_events.c.actor == "container", bead_events.c.created_at_ms > since
    query = sa.select(bead_events.c.agent_id, bead_events.c.created_at_ms).where(*failed, bead_events.c.agent_id.is_not(None))
    with ledger.reading() as connection:
        crashes: dict[str, list[int]] = {}
        for agent_id, at in connection.execute(query):
            crashes.setdefault(agent_id, []).append(at)
    for agent_id, times in sorted(crashes.items()):
        if len(times) < breaker.CRASHES:
            continue
        with ledger.writing() as connection:
            asked = triage.asked_at(connection, CRASH_LOOP, agent_id)
            counted = sum(1 for at in times if asked is None or at > asked)
            if counted < breaker.CRASHES:
                continue
            context = f"Agent {agent_id} crashed {counted} times within {breaker.WINDOW_MS // _MINUTE} minutes"
            made = triage.request(ledger, connection, CRASH_LOOP, bead_id=None, agent_id=agent_id, context=context)
        if made:
            yield Finding(made, CRASH_LOOP)


def timeout_of(bead: Any) -> int:
    """Return the time limit of a bead, milliseconds: `timeout_ms` of its metadata, else four hours."""
    limit = orjson.loads(bead.metadata_json).get("timeout_ms")
    return int(limit) if isinstance(limit, int | float) and limit > 0 else DEFAULT_TIMEOUT_MS


def _orphaned_reviews(ledger: Ledger) -> Iterator[Finding]:
    for bead_id in _with_status(ledger, "in_review"):
        with ledger.writing() as connection:
            bead = locked(connection, bead_id)
            idle = ledger.now() - bead.updated_at_ms
            if bead.status != "in_review" or bead.type != "merge_request" or idle < ORPHANED_REVIEW_MS or _is_polled(bead):
                continue
            why = reason("pr_review_orphaned", idle_minutes=idle // _MINUTE, threshold_minutes=ORPHANED_REVIEW_MS // _MINUTE)
            transition(ledger, connection, bead_id, "failed", actor="patrol", reason=why)
        yield Finding(bead_id, "pr_review_orphaned")


def _used_up(ledger: Ledger) -> Iterator[Finding]:
    """Fail open work that came back after every dispatch it may have, because no dispatch is due for it any more."""
    spent = beads.c.type.in_(DISPATCHED), beads.c.status == "open", beads.c.dispatch_attempts >= MAX_ATTEMPTS
    with ledger.reading() as connection:
        found = list(connection.execute(sa.select(beads.c.bead_id).where(*spent).order_by(beads.c.bead_id)).scalars())
    for bead_id in found:
        with ledger.writing() as connection:
            bead = locked(connection, bead_id)
            if bead.status != "open" or bead.dispatch_attempts < MAX_ATTEMPTS:
                continue
            back = bead_events.c.bead_id == bead_id, bead_events.c.move == "give_back"
            newest = sa.select(bead_events.c.reason).where(*back).order_by(bead_events.c.seq.desc()).limit(1)
            details = {"attempts": bead.dispatch_attempts, "last_reason": connection.execute(newest).scalar() or ""}
            transition(ledger, connection, bead_id, "failed", actor="patrol", reason=reason("attempts_used_up", **details))
        yield Finding(bead_id, "attempts_used_up")


def _is_polled(bead: Any) -> bool:
    return bool(orjson.loads(bead.metadata_json).get("pr_url"))


def _agents_to_look_at(ledger: Ledger) -> list[str]:
    before = ledger.now() - STALE_HOOK_MS
    held = bead_agents.c.hook_bead_id.is_not(None), bead_agents.c.status != "working", bead_agents.c.last_activity_at_ms <= before
    with ledger.reading() as connection:
        return list(connection.execute(sa.select(bead_agents.c.agent_id).where(*held).order_by(bead_agents.c.agent_id)).scalars())


def _with_status(ledger: Ledger, status: str) -> list[str]:
    with ledger.reading() as connection:
        return list(connection.execute(sa.select(beads.c.bead_id).where(beads.c.status == status).order_by(beads.c.bead_id)).scalars())


def _minutes(ms: int) -> int | float:
    return ms // _MINUTE if ms % _MINUTE == 0 else round(ms / _MINUTE, 1)
