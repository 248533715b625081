"""What a run waits for in a queue, and a run whose executor is gone.

DBOS records neither heartbeats nor whose turn it is. What the rows show is which workflows hold the slots of a queue and when each of
them last recorded anything; the wait lasts as long as they hold them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.notebooks import WORKER
from smithers_nb.diagnosis.text.quotes import of_node, of_run
from smithers_nb.model.rows import AttemptRow, RunRow
from smithers_nb.model.timestamps import span, when
from smithers_nb.model.verdict import Blocker
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.sources.stores.json_text import as_object, whole

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.conditions import Case
    from smithers_nb.model.rows import NodeRow

_WAITING: Final = "waiting-queue"
_FOR_A_WORKER: Final = "waiting-worker"
_HOLDING: Final = ("pending",)
_QUIET_MS: Final = 5 * 60_000
_NAMED: Final = 3
_LOOKED_AT: Final = 50
_BY_ITSELF: Final = "its process continues by itself, and so does the application when it is restarted"
_TOO_LATE: Final = "that was {} ago, so no process is running it: restarting the application recovers it, and so does a resume"


def queue(case: Case) -> Iterator[Blocker]:
    """A workflow that waits for its turn, with those that hold the places of its queue."""
    run = case.run
    name = as_object(run.config).get("queue")
    if run.status != _WAITING or not isinstance(name, str):
        return
    others = case.snapshot.source.rows(RunRow, only={"status": [*_HOLDING]})
    holders = [other for other in others if as_object(other.config).get("queue") == name and other.run_id != run.run_id]
    quiet = [(other, case.now - _last_recorded(case, other)) for other in holders[:_LOOKED_AT]]
    named = ", ".join(f"{other.run_id} (last record {span(silent)} ago)" for other, silent in quiet[:_NAMED])
    more = f" and {len(holders) - _NAMED} more" if len(holders) > _NAMED else ""
    ancestors = _ancestors(case)
    stuck = [other for other, silent in quiet if silent > _QUIET_MS and other.run_id not in ancestors]
    version = f"version {run.workflow_hash} of the application" if run.workflow_hash else "this application"
    behind = f"behind {named}{more}" if holders else f"and nothing runs in it: is an executor of {version} running?"
    hint = "; if no process is running it any more, cancel it or restart its application, which recovers it" if stuck else ""
    own = next((other for other in holders if other.run_id in ancestors), None)
    if own is not None:
        hint += (
            f". {own.run_id} started it, directly or through others: if it waits for the result and the queue has no other slot, "
            "that wait cannot end, not even after a restart; let the queue run more workflows at once, or cancel one of the two"
        )
    waited = f", for {span(case.now - run.created_at)}" if run.created_at is not None else ""
    yield Blocker(
        kind=_WAITING,
        since=run.created_at,
        reason=f"waits in queue {name}{waited}, {behind}{hint}",
        commands=tuple(line for other in stuck[:_NAMED] for line in (case.engine.inspect(other.run_id), case.engine.cancel(other.run_id))),
        evidence=(
            of_run(run),
            *(of_run(other, note=f"holds a slot of {name}") for other in holders[:_NAMED]),
        ),
    )


def _ancestors(case: Case) -> set[str]:
    """Return the ids of the workflows that have started this one, directly or through others."""
    found: set[str] = set()
    parent = case.run.parent_run_id
    while parent and parent not in found:
        found.add(parent)
        parent = next((row.parent_run_id for row in case.snapshot.source.rows(RunRow, parent)), None)
    return found


def worker(case: Case) -> Iterator[Blocker]:
    """A run of ours that no worker has taken yet."""
    run = case.run
    if run.status != _FOR_A_WORKER:
        return
    yield Blocker(
        kind=_FOR_A_WORKER,
        since=case.last_activity,
        reason=(
            f"waits for a worker to take it, for {span(case.quiet_ms)}; start one if none is running, here or on any machine that reaches "
            "the database"
        ),
        commands=(WORKER,),
        evidence=(of_run(run),),
    )


def asleep(case: Case) -> Iterator[Blocker]:
    """A workflow that sleeps, waits for a message until a time, or was delayed; the process that executes it ends the wait."""
    run = case.run
    if not case.engine.wakes_itself:
        return
    for node in case.snapshot.nodes:
        if node.state.startswith("waiting-"):
            yield _nap(case, node)
    put_off = whole(as_object(run.config).get("delayedUntil"))
    if put_off is not None and run.status == "waiting-timer" and run.started_at is None:
        yield Blocker(
            kind=run.status,
            since=run.created_at,
            until=put_off,
            reason=f"is delayed until {when(put_off)}; then it waits for its turn in its queue",
            evidence=(of_run(run),),
        )


def _nap(case: Case, node: NodeRow) -> Blocker:
    due = _due(case, node)
    late = case.is_overdue(due)
    waits = "waits for a message or an event of another workflow" if node.state == "waiting-event" else "sleeps"
    until = "" if due is None else f" until {when(due)}" + (f", in {span(due - case.now)}" if due > case.now else "")
    then = _of_another_version(case) or (_TOO_LATE.format(span(case.now - (due or case.now))) if late else _BY_ITSELF)
    return Blocker(
        kind=node.state,
        node_id=node.node_id,
        iteration=node.iteration,
        since=node.updated_at,
        until=due,
        reason=f"{waits}{until}; {then}",
        commands=(case.resume(),) if late else (),
        evidence=(of_node(node),),
    )


def child_workflows(case: Case) -> Iterator[Blocker]:
    """Child workflows that have begun and not ended; DBOS records a wait for a result only when the result is there."""
    for child in case.snapshot.children if case.engine.wakes_itself and case.run.status in _HOLDING else ():
        if child.run.status in _HOLDING:
            yield Blocker(
                kind="waiting-child",
                since=child.run.created_at,
                reason=f"child workflow {child.run_id} has not ended; if this workflow waits for its result, it continues after that",
                commands=(case.engine.inspect(child.run_id),),
                evidence=(of_run(child.run),),
            )


def left_behind(case: Case) -> Iterator[Blocker]:
    """A workflow that has begun, is not over, and has recorded nothing for a while."""
    run = case.run
    silent = case.quiet_ms
    if run.status not in _HOLDING or silent <= _QUIET_MS:
        return
    name = as_object(run.config).get("queue")
    held = f" It holds a slot of queue {name}." if isinstance(name, str) else ""
    unfinished = [child.run.run_id for child in case.snapshot.children if not is_terminal(child.run.status)]
    waits = f"still executes it, perhaps waiting for child workflow {unfinished[0]}, which has not ended" if unfinished else ""
    doing = waits or "is in a long step"
    recovery = _of_another_version(case) or "restarting the application recovers the workflow, and so does a resume"
    yield Blocker(
        kind="left-pending",
        since=case.now - silent,
        reason=(
            f"nothing was recorded since {when(case.now - silent)}, {span(silent)} ago. DBOS keeps no heartbeat, so either executor "
            f"{run.owner or 'local'} {doing}, or it is gone; then {recovery}.{held}"
        ),
        commands=(case.resume(),),
        evidence=(of_run(run),),
    )


def _of_another_version(case: Case) -> str:
    """Return that only an application of the version that began the workflow recovers it, where newer ones have another."""
    run, snapshot = case.run, case.snapshot
    newer = snapshot.source.rows(RunRow, since_ms=run.created_at or run.started_at)
    same = [row for row in newer if as_object(row.config).get("application") == as_object(run.config).get("application")]
    last = max(same, key=lambda row: row.created_at or 0, default=run)
    if not run.workflow_hash or not last.workflow_hash or last.workflow_hash == run.workflow_hash:
        return ""
    step = max((task.ordinal for task in snapshot.tasks), default=1)
    version = f" fork --application-version {shlex.quote(last.workflow_hash)} "
    fork = case.engine.rewind(run.run_id, step).replace(" fork ", version, 1)
    return (
        f"it was started by application version {run.workflow_hash}, and the newest workflow here by {last.workflow_hash}: an application "
        f"that is started as {last.workflow_hash} does not pick it up. Start one with DBOS__APPVERSION={run.workflow_hash}, or continue in "
        f"the new version with a fork of it, `{fork}`, and cancel this one"
    )


def _due(case: Case, node: NodeRow) -> int | None:
    for task in case.snapshot.tasks:
        if (task.node_id, task.iteration) == (node.node_id, node.iteration):
            return whole(as_object(task.props).get("until"))
    return None


def _last_recorded(case: Case, run: RunRow) -> int:
    times = [run.started_at, run.created_at]
    times += [at for attempt in case.snapshot.source.rows(AttemptRow, run.run_id) for at in (attempt.started_at, attempt.finished_at)]
    return max((at for at in times if at is not None), default=0)
