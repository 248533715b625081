"""The review queue and the refinery: a merge request is a bead of its own, so its failure sits on it and is reachable from its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import as_json
from smithers_nb.engine.journal.work_items import bead_agents, bead_events, bead_links, beads, rigs
from smithers_nb.ledger import convoys
from smithers_nb.ledger.dispatch import Launcher, Started
from smithers_nb.ledger.items import create, set_agent, track, tracked
from smithers_nb.ledger.transition import HELD, append, link, locked, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.model.failure_reason import FailureReason

Result = Literal["merged", "failed", "conflict", "exited", "rework"]
_PATHS: Final = {"failed": "review_failed", "exited": "refinery_exit_without_merge"}
MAX_LANDINGS: Final = 5
"""Merge requests of one convoy that may fail before the convoy does."""


def submit(ledger: Ledger, connection: sa.Connection, source_id: str, *, branch: str, pr_url: str | None = None, actor: str) -> str:  # noqa: PLR0913
    """Put a bead's work into the review queue: a merge request that tracks it.

    Returns:
        Id of the merge request.
    """
    source = locked(connection, source_id)
    metadata = {"branch": branch} | ({"pr_url": pr_url} if pr_url else {})
    mr_id = create(
        ledger,
        connection,
        f"Review {branch}",
        type="merge_request",
        rig_id=source.rig_id,
        metadata=metadata,
        parent_id=source_id,
        created_by=actor,
    )
    track(ledger, connection, mr_id, source_id)
    append(connection, source_id, "review_submitted", actor=actor, at=ledger.now(), metadata={"mr_bead_id": mr_id, "branch": branch})
    return mr_id


def submit_landing(ledger: Ledger, connection: sa.Connection, convoy_id: str, *, branch: str, rig_id: str | None, actor: str) -> str:  # noqa: PLR0913
    """Put a convoy's feature branch into the review queue; the convoy lands when this is merged.

    Returns:
        Id of the merge request, which `lands` the convoy and is no member of it.
    """
    options: dict[str, Any] = {"type": "merge_request", "rig_id": rig_id, "metadata": {"branch": branch}, "created_by": actor}
    mr_id = create(ledger, connection, f"Land {branch}", parent_id=convoy_id, **options)
    link(connection, mr_id, convoy_id, convoys.LANDS)
    append(connection, convoy_id, "review_submitted", actor=actor, at=ledger.now(), metadata={"mr_bead_id": mr_id, "branch": branch})
    return mr_id


def queue(connection: sa.Connection) -> list[str]:
    """List merge requests that wait for the refinery, oldest first."""
    query = sa.select(beads.c.bead_id).where(beads.c.type == "merge_request", beads.c.status == "open")
    return list(connection.execute(query.order_by(beads.c.created_at_ms, beads.c.bead_id)).scalars())


def start_review(ledger: Ledger, mr_id: str, agent_id: str, launch: Launcher) -> bool:
    """Take a merge request from the queue and start the refinery on it.

    Returns:
        Whether the refinery runs; otherwise the merge request has failed, with its reason, or somebody else took it, or its rig has no
        review and its pull request is polled.
    """
    with ledger.writing() as connection:
        row = locked(connection, mr_id)
        if row.status != "open":
            return False
        missing = _missing(connection, row)
        if missing:
            path, details = missing
            transition(ledger, connection, mr_id, "failed", actor="scheduler", reason=reason(path, **details))
            return False
        transition(ledger, connection, mr_id, "in_progress", actor="scheduler", agent_id=agent_id)
        if not _reviews(connection, row):  # nobody reviews here: its pull request is polled until somebody merges it
            transition(ledger, connection, mr_id, "in_review", actor="scheduler", agent_id=agent_id)
            return False
        connection.execute(beads.update().where(beads.c.bead_id == mr_id).values(assignee=agent_id))
        set_agent(connection, agent_id, status="working", hook_bead_id=mr_id, last_activity_at_ms=ledger.now())
    try:
        started = launch(mr_id, agent_id)
    except Exception as error:  # noqa: BLE001  # whatever a launcher raises is why the refinery did not start
        started = Started(ok=False, error=str(error) or type(error).__name__, error_type=type(error).__name__)
    if not started.ok:
        with ledger.writing() as connection:
            set_agent(connection, agent_id, status="idle", hook_bead_id=None)
            why = start_failed("refinery", started)
            transition(ledger, connection, mr_id, "failed", actor="container", agent_id=agent_id, reason=why, expect="in_progress")
    return started.ok


def start_failed(role: str, started: Started) -> FailureReason:
    """Write why a container of a role did not start."""
    details: dict[str, Any] = {"role": role, "phase": started.phase, "error": started.error or "it returned false and gave no error"}
    details |= {name: value for name, value in (("status", started.status), ("error_type", started.error_type)) if value is not None}
    return reason("triage_start_failed" if role == "triage" else "refinery_start_failed", **details)


def pr_created(ledger: Ledger, connection: sa.Connection, mr_id: str, pr_url: str, *, actor: str) -> bool:
    """Take the URL of the pull request that the refinery made; one that is not https fails the merge request.

    Returns:
        Whether the URL was taken.
    """
    row, at = locked(connection, mr_id), ledger.now()
    source_id = tracked(connection, mr_id, "issue")
    if not pr_url.startswith("https://"):
        append(connection, source_id or mr_id, "pr_creation_failed", actor=actor, at=at, metadata={"pr_url": pr_url, "mr_bead_id": mr_id})
        why = reason("invalid_pr_url", pr_url=pr_url, **({"source_bead_id": source_id} if source_id else {}))
        _fail(ledger, connection, mr_id, source_id, why)
        return False
    metadata = orjson.loads(row.metadata_json) | {"pr_url": pr_url}
    connection.execute(beads.update().where(beads.c.bead_id == mr_id).values(metadata_json=as_json(metadata)))
    append(connection, mr_id, "pr_created", actor=actor, at=at, metadata={"pr_url": pr_url})
    transition(ledger, connection, mr_id, "in_review", actor=actor, expect="in_progress")
    return True


def refinery_done(ledger: Ledger, connection: sa.Connection, mr_id: str, agent_id: str, pr_url: str | None) -> bool:
    """Take a refinery's word that it is done, with the pull request that it made, if any.

    Returns:
        Whether the pull request was taken; otherwise the merge request has failed.
    """
    hook = connection.execute(sa.select(bead_agents.c.hook_bead_id).where(bead_agents.c.agent_id == agent_id)).scalar_one()
    set_agent(connection, agent_id, status="idle", hook_bead_id=None, last_activity_at_ms=ledger.now())
    if pr_url:
        return pr_created(ledger, connection, mr_id, pr_url, actor=agent_id)
    if hook == mr_id:
        complete(ledger, connection, mr_id, "exited", "it gave no pull request URL")
        return False
    _fail(ledger, connection, mr_id, tracked(connection, mr_id, "issue"), reason("refinery_hook_lost", agent_id=agent_id))
    return False


def complete(  # noqa: PLR0913  # what a refinery reports
    ledger: Ledger,
    connection: sa.Connection,
    mr_id: str,
    result: Result,
    message: str,
    *,
    target_branch: str = "main",
    files: list[str] | None = None,
) -> None:
    """Take the outcome of a review.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        mr_id: The merge request.
        result: `merged`, `failed`, `conflict`, `exited` (the refinery ended without merging), `rework`.
        message: What the refinery said.
        target_branch: Branch that it merged into.
        files: Files in conflict.
    """
    row = locked(connection, mr_id)
    branch = str(orjson.loads(row.metadata_json).get("branch") or "")
    source_id = tracked(connection, mr_id, "issue")
    if result == "merged":
        _land(ledger, connection, mr_id, source_id, message or f"Merged into {target_branch}")
        return
    if result == "conflict":
        escalation = create(ledger, connection, f"Merge conflict of {branch}", type="escalation", body=message, created_by="refinery")
        details = {
            "branch": branch,
            "target_branch": target_branch,
            "message": message,
            "mr_bead_id": mr_id,
            "escalation_bead_id": escalation,
        }
        why = reason(
            "merge_conflict", **details, **({"files": files} if files else {}), **({"source_bead_id": source_id} if source_id else {})
        )
    elif result == "rework":
        why = reason("rejected_for_rework", message=message, retry_count=retries(connection, source_id), mr_bead_id=mr_id)
        transition(ledger, connection, mr_id, "closed", actor="refinery", reason=f"Superseded by rework: {message}")
        append(connection, source_id or mr_id, "rework_requested", actor="refinery", at=ledger.now(), metadata={"message": message})
        _send_back(ledger, connection, source_id, why)
        return
    else:
        why = reason(
            _PATHS[result],
            mr_bead_id=mr_id,
            source_bead_id=source_id,
            message=message,
            branch=branch,
            retry_count=retries(connection, source_id),
        )
    _fail(ledger, connection, mr_id, source_id, why)


def _land(ledger: Ledger, connection: sa.Connection, mr_id: str, source_id: str | None, said: str) -> None:
    _completed(ledger, connection, mr_id, source_id, "merged", said)
    transition(ledger, connection, mr_id, "closed", actor="refinery", reason=said)
    if source_id:
        transition(ledger, connection, source_id, "closed", actor="refinery", reason=f"{said} ({mr_id})")
    if convoy_id := convoys.landed_by(connection, mr_id):
        convoys.settle(ledger, connection, convoy_id, "refinery")


def pr_closed(ledger: Ledger, connection: sa.Connection, mr_id: str, pr_url: str, *, merged: bool) -> None:
    """Take what polling found: the pull request was merged, or closed without a merge."""
    if merged:
        complete(ledger, connection, mr_id, "merged", f"Merged as {pr_url}")
        return
    source_id = tracked(connection, mr_id, "issue")
    details = {"pr_url": pr_url, "mr_bead_id": mr_id, "source_bead_id": source_id, "message": "PR closed without merge"}
    _fail(ledger, connection, mr_id, source_id, reason("pr_closed_without_merge", **details))


def retries(connection: sa.Connection, source_id: str | None) -> int:
    """Count how often a bead's work was sent back."""
    given_back = bead_events.c.move == "give_back", bead_events.c.actor == "refinery"
    query = sa.select(sa.func.count()).select_from(bead_events).where(bead_events.c.bead_id == (source_id or ""), *given_back)
    return int(connection.execute(query).scalar_one())


def _fail(ledger: Ledger, connection: sa.Connection, mr_id: str, source_id: str | None, why: FailureReason) -> None:
    """Fail the merge request, say so on its source, and send the source's work back."""
    _completed(ledger, connection, mr_id, source_id, why.code, why.message)
    transition(ledger, connection, mr_id, "failed", actor="refinery", reason=why)
    if convoy_id := convoys.landed_by(connection, mr_id):
        _give_up_landing(ledger, connection, convoy_id, why)
    back = reason("rejected_for_rework", message=why.message, retry_count=retries(connection, source_id), mr_bead_id=mr_id)
    _send_back(ledger, connection, source_id, back)


def _give_up_landing(ledger: Ledger, connection: sa.Connection, convoy_id: str, why: FailureReason) -> None:
    """Fail a convoy whose landing has failed too often."""
    landings = bead_links.join(beads, beads.c.bead_id == bead_links.c.bead_id)
    query = sa.select(sa.func.count()).select_from(landings).where(bead_links.c.depends_on_id == convoy_id, beads.c.status == "failed")
    failed = int(connection.execute(query.where(bead_links.c.type == convoys.LANDS)).scalar_one())
    if failed >= MAX_LANDINGS:
        exhausted = reason("landing_mr_exhausted", attempts=failed, last_error=why.message)
        transition(ledger, connection, convoy_id, "failed", actor="scheduler", reason=exhausted)


def _completed(ledger: Ledger, connection: sa.Connection, mr_id: str, source_id: str | None, result: str, message: str) -> None:  # noqa: PLR0913, PLR0917
    metadata = {"mr_bead_id": mr_id, "result": result, "message": message}
    append(connection, source_id or mr_id, "review_completed", actor="refinery", at=ledger.now(), metadata=metadata)


def _send_back(ledger: Ledger, connection: sa.Connection, source_id: str | None, why: FailureReason) -> None:
    if source_id and locked(connection, source_id).status in HELD:
        transition(ledger, connection, source_id, "open", actor="refinery", reason=why)


def _missing(connection: sa.Connection, row: Any) -> tuple[str, dict[str, str]] | None:
    """Return the path by which a merge request without a usable rig fails, and its details; None when it can be reviewed."""
    if not row.rig_id:
        return "missing_rig_id", {}
    if connection.execute(sa.select(rigs.c.rig_id).where(rigs.c.rig_id == row.rig_id)).first() is None:
        return "missing_rig_config", {"rig_id": row.rig_id}
    if not _reviews(connection, row) and not orjson.loads(row.metadata_json).get("pr_url"):
        return "no_pr_url", {"agent_id": row.created_by}
    return None


def _reviews(connection: sa.Connection, row: Any) -> bool:
    """Say whether the rig of a merge request has a review; one does unless its configuration says otherwise."""
    config = connection.execute(sa.select(rigs.c.config_json).where(rigs.c.rig_id == row.rig_id)).scalar_one()
    return orjson.loads(config).get("review") is not False
