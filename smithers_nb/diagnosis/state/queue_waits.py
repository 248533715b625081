"""What a run waits for that only its queue knows, and one that somebody left behind.

DBOS records neither a sign of life nor whose turn it is. What can be told is which workflows hold the places of a queue, when each of
them last recorded anything, and that nothing ends the wait as long as they do not.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.notebooks import WORKER
from smithers_nb.diagnosis.state.progress import HEARTBEAT_STALE_MS, last_activity
from smithers_nb.diagnosis.text.durations import clock, span
from smithers_nb.model.rows import AttemptRow, RunRow
from smithers_nb.model.verdict import Blocker, Evidence
from smithers_nb.sources.stores.json_text import as_object, whole

if TYPE_CHECKING:
    from smithers_nb.model.rows import NodeRow
    from smithers_nb.sources.snapshot import Snapshot

_WAITING: Final = "waiting-queue"
_FOR_A_WORKER: Final = "waiting-worker"
_HOLDING: Final = ("pending",)
_QUIET_MS: Final = 5 * 60_000
_NAMED: Final = 3
_LOOKED_AT: Final = 50
_BY_ITSELF: Final = "its process goes on by itself, and so does the application when it is started again"
_TOO_LATE: Final = "that was {} ago, so nobody works on it: starting the application again recovers it, and so does a resume"


def queue(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A workflow that waits for its turn, with those that hold the places of its queue."""
    run = snapshot.run
    name = as_object(run.config).get("queue")
    if run.status != _WAITING or not isinstance(name, str):
        return
    others = snapshot.source.rows(RunRow, only={"status": [*_HOLDING]})
    holders = [other for other in others if as_object(other.config).get("queue") == name and other.run_id != run.run_id]
    quiet = [(other, now - _last_recorded(snapshot, other)) for other in holders[:_LOOKED_AT]]
    told = ", ".join(f"{other.run_id} (last recorded anything {span(silent)} ago)" for other, silent in quiet[:_NAMED])
    more = f" and {len(holders) - _NAMED} more" if len(holders) > _NAMED else ""
    stuck = [other for other, silent in quiet if silent > _QUIET_MS]
    behind = f"behind {told}{more}" if holders else "and nothing runs in it: is an executor of this application version up?"
    hint = "; if nobody works on it any more, cancel it or start its application again, which recovers it" if stuck else ""
    waited = f", for {span(now - run.created_at)}" if run.created_at is not None else ""
    cli = engine_of(snapshot).cli
    yield Blocker(
        kind=_WAITING,
        since=run.created_at,
        reason=f"waits in queue {name}{waited}, {behind}{hint}",
        commands=tuple(line for other in stuck[:_NAMED] for line in (cli.inspect(other.run_id), cli.cancel(other.run_id))),
        evidence=(
            Evidence(ref=f"run:{run.run_id}", quote=run.status),
            *(Evidence(ref=f"run:{other.run_id}", quote=other.status, note=f"holds a place of {name}") for other in holders[:_NAMED]),
        ),
    )


def worker(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A run of ours that nobody executes yet."""
    run = snapshot.run
    if run.status != _FOR_A_WORKER:
        return
    since = last_activity(snapshot)
    yield Blocker(
        kind=_FOR_A_WORKER,
        since=since,
        reason=f"waits for a worker to take it, for {span(now - since)}; start one if none is up, here or wherever its database is reached",
        commands=(WORKER,),
        evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
    )


def asleep(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A workflow that sleeps, waits for a message until a time, or was put off; whoever executes it ends the wait."""
    run = snapshot.run
    if not engine_of(snapshot).wakes_itself:
        return
    for node in snapshot.nodes:
        if node.state.startswith("waiting-"):
            yield _nap(snapshot, node, now)
    put_off = whole(as_object(run.config).get("delayedUntil"))
    if put_off is not None and run.status == "waiting-timer" and run.started_at is None:
        yield Blocker(
            kind=run.status,
            since=run.created_at,
            until=put_off,
            reason=f"was put off until {clock(put_off)}; then it waits for its turn in its queue",
            evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
        )


def _nap(snapshot: Snapshot, node: NodeRow, now: int) -> Blocker:
    due = _due(snapshot, node)
    late = due is not None and now - due > HEARTBEAT_STALE_MS
    waits = "waits for a message or an event of another workflow" if node.state == "waiting-event" else "sleeps"
    until = "" if due is None else f" until {clock(due)}" + (f", in {span(due - now)}" if due > now else "")
    then = _of_another_version(snapshot) or (_TOO_LATE.format(span(now - (due or now))) if late else _BY_ITSELF)
    return Blocker(
        kind=node.state,
        node_id=node.node_id,
        iteration=node.iteration,
        since=node.updated_at,
        until=due,
        reason=f"{waits}{until}; {then}",
        commands=(engine_of(snapshot).cli.resume(None, snapshot.run.run_id),) if late else (),
        evidence=(Evidence(ref=f"node:{node.node_id}/{node.iteration}", quote=node.state),),
    )


def left_behind(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A workflow that has begun, is not over, and has recorded nothing for a while."""
    run = snapshot.run
    silent = now - last_activity(snapshot)
    if run.status not in _HOLDING or silent <= _QUIET_MS:
        return
    name = as_object(run.config).get("queue")
    held = f" It holds a place of queue {name}." if isinstance(name, str) else ""
    recovery = _of_another_version(snapshot) or "starting the application again recovers the workflow, and so does a resume"
    yield Blocker(
        kind="left-pending",
        since=now - silent,
        reason=(
            f"nothing was recorded since {clock(now - silent)}, {span(silent)} ago. DBOS keeps no sign of life, so either executor "
            f"{run.owner or 'local'} is in a long step, or it is gone; then {recovery}.{held}"
        ),
        commands=(engine_of(snapshot).cli.resume(run.workflow_path, run.run_id),),
        evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
    )


def _of_another_version(snapshot: Snapshot) -> str:
    """Say that only an application of the version that the workflow was started with recovers it, where newer ones have another."""
    run = snapshot.run
    newer = snapshot.source.rows(RunRow, since_ms=run.created_at or run.started_at)
    same = [row for row in newer if as_object(row.config).get("application") == as_object(run.config).get("application")]
    last = max(same, key=lambda row: row.created_at or 0, default=run)
    if not run.workflow_hash or not last.workflow_hash or last.workflow_hash == run.workflow_hash:
        return ""
    step = max((task.ordinal for task in snapshot.tasks), default=1)
    fork = (
        engine_of(snapshot)
        .cli.rewind(run.run_id, step)
        .replace(" fork ", f" fork --application-version {shlex.quote(last.workflow_hash)} ", 1)
    )
    return (
        f"it was started by application version {run.workflow_hash}, and the newest workflow here by {last.workflow_hash}: an application "
        f"that is started as {last.workflow_hash} does not pick it up. Start one with DBOS__APPVERSION={run.workflow_hash}, or go on in "
        f"the new version with a fork of it, `{fork}`, and cancel this one"
    )


def _due(snapshot: Snapshot, node: NodeRow) -> int | None:
    for task in snapshot.tasks:
        if (task.node_id, task.iteration) == (node.node_id, node.iteration):
            return whole(as_object(task.props).get("until"))
    return None


def _last_recorded(snapshot: Snapshot, run: RunRow) -> int:
    times = [run.started_at, run.created_at]
    times += [at for attempt in snapshot.source.rows(AttemptRow, run.run_id) for at in (attempt.started_at, attempt.finished_at)]
    return max((at for at in times if at is not None), default=0)
