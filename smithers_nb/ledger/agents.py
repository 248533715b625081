"""What agents report: how they ended, with the reason they gave, kept word for word for workers and refinery alike."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb.engine.journal.work_items import bead_agents, bead_leases, bead_texts, beads
from smithers_nb.errors import RunNotFound
from smithers_nb.ledger import breaker, summaries
from smithers_nb.ledger.items import set_agent
from smithers_nb.ledger.transition import append, locked, transition
from smithers_nb.model.failure_codes import reason as failure

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

MAX_INLINE: Final = 16_000
"""Characters of a reason that stand in its details; a longer one is kept whole as a text and named there by reference."""

_NOBODY_SAID: Final = "no reason was reported"


def agent_completed(  # noqa: PLR0913  # what a container reports
    ledger: Ledger,
    connection: sa.Connection,
    agent_id: str,
    *,
    status: str,
    reason: str = "",
    exit_code: int | None = None,
    signal: str | None = None,
    log: str | None = None,
    autopsy_run_id: str | None = None,
) -> None:
    """Take an agent's report that its process ended.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        agent_id: The agent.
        status: `completed`, or how it failed.
        reason: What the container said about it.
        exit_code: Exit status of the process.
        signal: Signal that ended it.
        log: End of its log; kept as a text and linked.
        autopsy_run_id: Run of which an autopsy explains the failure.
    """
    agent = find_agent(connection, agent_id)
    bead_id, at = agent.hook_bead_id, ledger.now()
    held = connection.execute(sa.select(beads.c.status).where(beads.c.bead_id == bead_id)).scalar()
    unfinished = status == "completed" and held == "in_progress"
    hook = bead_id if unfinished else None  # it ended without handing its work in, so the patrol takes the work back
    set_agent(connection, agent_id, status="idle", hook_bead_id=hook, last_activity_at_ms=at)
    if bead_id is None:
        return
    end_lease(connection, bead_id)
    append(connection, bead_id, "agent_exited", actor=agent_id, at=at, agent_id=agent_id, metadata={"status": status, "reason": reason})
    if status == "completed":
        breaker.succeeded(connection, breaker.working(agent_id))
        return
    details: dict[str, Any] = {"agent_id": agent_id, "exit_status": status, "reason": reason or _NOBODY_SAID, "role": agent.role}
    details |= {
        name: value
        for name, value in (("exit_code", exit_code), ("signal", signal), ("autopsy_run_id", autopsy_run_id))
        if value is not None
    }
    if len(reason) > MAX_INLINE:
        details |= {"reason": reason[:MAX_INLINE], "reason_ref": keep_text(connection, reason)}
    if log:
        details["log_tail_ref"] = keep_text(connection, log)
    breaker.failed(ledger, connection, breaker.working(agent_id), reason or _NOBODY_SAID, breaker.CRASHES)
    transition(ledger, connection, bead_id, "failed", actor="container", agent_id=agent_id, reason=failure("agent_crashed", **details))
    summaries.summarise(ledger, connection, bead_id)


def submit_work(ledger: Ledger, connection: sa.Connection, agent_id: str) -> str:
    """Hand an agent's work over to review and return the bead."""
    agent = find_agent(connection, agent_id)
    bead_id = str(agent.hook_bead_id)
    transition(ledger, connection, bead_id, "in_review", actor=agent_id, agent_id=agent_id)
    _let_go(ledger, connection, agent_id, bead_id)
    breaker.succeeded(connection, breaker.working(agent_id))
    return bead_id


def finish_work(ledger: Ledger, connection: sa.Connection, agent_id: str, *, commits: int, commit: str | None = None) -> bool:
    """Take an agent's word that its work is done, when something shows it.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        agent_id: The agent.
        commits: Commits that were found since it began.
        commit: The commit that it says it has shipped; None when it says nothing of one.

    Returns:
        Whether the work is in review now; otherwise it has failed, because nothing was done or what is stated is not there.
    """
    if commits > 0:
        submit_work(ledger, connection, agent_id)
        return True
    bead_id = str(find_agent(connection, agent_id).hook_bead_id)
    if commit:
        why = failure("shipped_without_commit", evidence=f"the commit {commit} is nowhere", commit=commit)
    else:
        why = failure("closed_without_work", evidence="no commit since the work began", agent_id=agent_id)
    transition(ledger, connection, bead_id, "failed", actor="refinery", agent_id=agent_id, reason=why)
    _let_go(ledger, connection, agent_id, bead_id)
    return False


def take_lease(ledger: Ledger, connection: sa.Connection, bead_id: str, holder: str, ttl_ms: int) -> None:
    """Write who holds a bead, and until when without a heartbeat."""
    at = ledger.now()
    end_lease(connection, bead_id)
    times = {"granted_at_ms": at, "heartbeat_at_ms": at, "expires_at_ms": at + ttl_ms, "ttl_ms": ttl_ms}
    connection.execute(bead_leases.insert().values(bead_id=bead_id, holder=holder, **times))


def renew_lease(ledger: Ledger, connection: sa.Connection, agent_id: str) -> bool:
    """Take an agent's heartbeat; return whether it still holds a lease."""
    at = ledger.now()
    set_agent(connection, agent_id, last_activity_at_ms=at)
    mine = bead_leases.update().where(bead_leases.c.holder == agent_id)
    values = {"heartbeat_at_ms": at, "expires_at_ms": at + bead_leases.c.ttl_ms, "warned_at_ms": None}
    return connection.execute(mine.values(values)).rowcount > 0


def end_lease(connection: sa.Connection, bead_id: str) -> None:
    """Forget who holds a bead."""
    connection.execute(bead_leases.delete().where(bead_leases.c.bead_id == bead_id))


def _let_go(ledger: Ledger, connection: sa.Connection, agent_id: str, bead_id: str) -> None:
    set_agent(connection, agent_id, status="idle", hook_bead_id=None, last_activity_at_ms=ledger.now())
    end_lease(connection, bead_id)


def give_back(ledger: Ledger, connection: sa.Connection, bead_id: str, *, actor: str, note: str) -> None:
    """Put held work back, with the reason why.

    Raises:
        ValueError: No reason is given.
    """
    if not note.strip():
        raise ValueError("giving work back needs a reason")
    holder = locked(connection, bead_id).assignee
    transition(ledger, connection, bead_id, "open", actor=actor, reason=failure("given_back", actor=actor, note=note))
    if holder:
        _let_go(ledger, connection, holder, bead_id)


def find_agent(connection: sa.Connection, agent_id: str) -> Any:
    """Read an agent.

    Raises:
        RunNotFound: There is no such agent.
    """
    row = connection.execute(sa.select(bead_agents).where(bead_agents.c.agent_id == agent_id)).first()
    if row is None:
        raise RunNotFound(f"no agent {agent_id!r} in the ledger")
    return row


def keep_text(connection: sa.Connection, body: str) -> str:
    """Keep a long text once and return its reference, `text:…`."""
    ref = f"text:{hashlib.sha256(body.encode('utf-8', 'replace')).hexdigest()[:16]}"
    if connection.execute(sa.select(bead_texts.c.ref).where(bead_texts.c.ref == ref)).first() is None:
        connection.execute(bead_texts.insert().values(ref=ref, body=body))
    return ref


def text_of(connection: sa.Connection, ref: str) -> str | None:
    """Return a kept text; None when there is none of that reference."""
    body: str | None = connection.execute(sa.select(bead_texts.c.body).where(bead_texts.c.ref == ref)).scalar()
    return body
