"""What stops a run that waits for nobody: a failed task, an engine that is gone, an engine that lives and does nothing.

Each finder gets a run and `now` and yields blockers; `blockers` puts them together. A resume only replays a recorded error, so
whatever has used up its attempts is pointed to `retry-task`, with a preview of what that resets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.back_off import announced_retries
from smithers_nb.diagnosis.state.health import run_state
from smithers_nb.diagnosis.state.progress import (
    HEARTBEAT_STALE_MS,
    Tries,
    hung,
    is_idle,
    is_over,
    last_activity,
    last_alive,
    rewound,
    tolerated,
    unfinished_tries,
)
from smithers_nb.diagnosis.text.durations import clock, cut, span
from smithers_nb.model.verdict import Blocker, Evidence
from smithers_nb.sources.stores.json_text import as_texts

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.sources.snapshot import Snapshot

HUNG_AFTER_MS: Final = 15 * 60_000
"""A task without a time limit that is silent for longer than this is taken for hung."""

_QUOTE: Final = 400
_QUOTA: Final = "AGENT_QUOTA_EXCEEDED"


def failed_tasks(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Tasks whose newest attempt failed: given up, tried again without hope, or tried again soon."""
    spared = tolerated(snapshot)
    for tries in unfinished_tries(snapshot):
        if tries.node_id in spared or tries.last.error_code == _QUOTA:
            continue
        if tries.exhausted or is_over(snapshot.run):
            yield _given_up(snapshot, tries)
        elif tries.hopeless:
            yield _retry_storm(snapshot, tries)
        elif snapshot.run.status == "running" and run_state(snapshot.run, now) == "running":
            yield _backoff(snapshot, tries, now)


def denials(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Gates that a person closed."""
    del now
    failed = {(node.node_id, node.iteration) for node in snapshot.nodes if node.state == "failed"}
    for gate in snapshot.approvals:
        if gate.status == "denied" and (gate.node_id, gate.iteration) in failed:
            note = f": {cut(gate.note)}" if gate.note else ""
            yield Blocker(
                kind="approval-denied",
                node_id=gate.node_id,
                iteration=gate.iteration,
                since=gate.decided_at,
                reason=f"{gate.decided_by or 'somebody'} said no to “{cut(gate.title or gate.node_id)}”{note}; a decision, not a fault",
                evidence=(Evidence(ref=f"approval:{gate.node_id}/{gate.iteration}", quote=(gate.note or gate.status)[:_QUOTE]),),
            )


def engine(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A run marked `running` that nobody drives."""
    run = snapshot.run
    state = run_state(run, now)
    if run.status != "running":
        return
    jump = rewound(snapshot)
    if run.cancel_requested_at is not None:
        yield from _cancelling(snapshot, now)
    elif jump is not None:
        yield _undriven(
            snapshot,
            kind="rewound",
            since=jump.at,
            reason="the run was set back to an earlier frame and nobody has resumed it; its status says running, but nobody drives it",
            evidence=Evidence(ref=f"event:{jump.seq}", quote="TimeTravelJumped"),
        )
    elif state in {"stale", "orphaned", "unknown"}:
        alive = last_alive(run)
        seen = "it never gave a sign of life" if alive is None else f"its last sign of life was {span(now - alive)} ago"
        check = f"make sure that {_process(run.owner)} is not running on its own machine, then resume" if run.owner else "resume it"
        yield _undriven(
            snapshot,
            kind="orphaned" if state == "orphaned" else "stale-heartbeat",
            since=alive or run.created_at,
            reason=f"nobody drives the run: {seen}; {check}",
            evidence=Evidence(ref=f"run:{run.run_id}", quote=run.status),
        )


def idle(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """An engine that lives, has unfinished work and does none of it."""
    run = snapshot.run
    if run.cancel_requested_at is None and run_state(run, now) == "running" and not rewound(snapshot) and is_idle(snapshot, now):
        left = [node.node_id for node in snapshot.nodes if node.state == "pending"]
        waiting = f"; {', '.join(left[:5])} never started" if left else ""
        yield Blocker(
            kind="zombie",
            since=last_activity(snapshot),
            reason=(
                f"the engine lives but has done nothing for {span(now - last_activity(snapshot))}{waiting}; a write to the store may have "
                f"failed (disk full?): end {_process(run.owner)} on its own machine, look at its log, then resume"
            ),
            commands=(_resume(snapshot, force=True),),
            evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
        )


def hung_tasks(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Tasks that are past their time limit, or silent for long without one, under an engine that lives."""
    if run_state(snapshot.run, now) != "running":
        return
    for attempt in hung(snapshot, now, HUNG_AFTER_MS):
        heard = attempt.heartbeat_at or attempt.started_at or now
        limit = f" (its limit is {span(attempt.timeout_ms)})" if attempt.timeout_ms is not None else ""
        yield Blocker(
            kind="stale-task-heartbeat",
            node_id=attempt.node_id,
            iteration=attempt.iteration,
            since=heard,
            reason=(
                f"attempt {attempt.attempt} was last heard of {span(now - heard)} ago{limit}; cancel the run, then give the task a new "
                "attempt"
            ),
            commands=(engine_of(snapshot).cli.cancel(snapshot.run.run_id), _again(snapshot, attempt)),
            evidence=(_evidence(attempt),),
        )


def dependencies(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """Tasks that cannot start because one that they depend on has failed for good."""
    del now
    spared = tolerated(snapshot)
    failed = {t.node_id: t for t in unfinished_tries(snapshot) if (t.exhausted or is_over(snapshot.run)) and t.node_id not in spared}
    pending = {(node.node_id, node.iteration): node for node in snapshot.nodes if node.state == "pending"}
    for task in snapshot.tasks:
        node = pending.get((task.node_id, task.iteration))
        cause = next((failed[name] for name in as_texts(task.depends_on) if name in failed), None)
        if node is not None and cause is not None:
            yield Blocker(
                kind="dependency-failed",
                node_id=node.node_id,
                iteration=node.iteration,
                since=cause.last.finished_at,
                reason=f"cannot start because {cause.node_id} failed",
                evidence=(_evidence(cause.last),),
            )


def structural(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """An error of the run itself, with no failed task behind it."""
    del now
    run = snapshot.run
    denied = any(gate.status == "denied" for gate in snapshot.approvals)
    if run.status == "failed" and not denied and not unfinished_tries(snapshot):
        yield Blocker(
            kind="run-failed",
            since=run.finished_at,
            reason=f"the run itself failed: {cut(clean_message(run.error_message or 'its error is not recorded'))}",
            evidence=(Evidence(ref=f"run:{run.run_id}", quote=(run.error_message or run.status)[:_QUOTE]),),
        )


def _given_up(snapshot: Snapshot, tries: Tries) -> Blocker:
    used = f"{tries.failed} of {tries.allowed}" if tries.allowed is not None else str(tries.failed)
    refused = "; the engine refuses another one" if tries.last.retryable is False and tries.failed != tries.allowed else ""
    preview = reset_preview(snapshot, tries.node_id, tries.iteration)
    effects = repeated_effects(snapshot, preview)
    unsafe = tries.node_id in effects
    again = f"`retry-task` gives new attempts and {preview.summary}"
    if unsafe:
        again = "it does something outside the run, so look whether that happened and start a fresh run if it did not"
    elif effects:
        again += f"; {', '.join(effects)} did something outside the run, and that is done again"
    engine = engine_of(snapshot)
    then = f"a resume would only replay this error, {again}" if engine.replays else engine.tries_again
    return Blocker(
        kind="retries-exhausted" if tries.exhausted else "task-failed",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.last.finished_at,
        reason=(f"failed on {used} attempt(s){refused}: {_said(tries.last)}; {then}"),
        commands=() if unsafe or _is_advised(snapshot) else (_again(snapshot, tries.last),),
        evidence=(_evidence(tries.last),),
    )


def _is_advised(snapshot: Snapshot) -> bool:
    """Tell whether the advice on the failure says the same: where a resume tries again, there is no other way to go on."""
    return snapshot.run.status == "failed" and not engine_of(snapshot).replays


def _retry_storm(snapshot: Snapshot, tries: Tries) -> Blocker:
    return Blocker(
        kind="retry-storm",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.streak_since,
        reason=(
            f"fails the same way each time, {tries.streak} times so far, and is tried without end; it will not recover by itself: "
            f"{_said(tries.last)} (end the run, mend the task, start again with a limit such as retries={{2}})"
        ),
        commands=(engine_of(snapshot).cli.cancel(snapshot.run.run_id),),
        evidence=(_evidence(tries.last),),
    )


def _backoff(snapshot: Snapshot, tries: Tries, now: int) -> Blocker:
    left = "no limit" if tries.allowed is None else f"{tries.allowed - tries.failed} attempt(s) left"
    due = tries.next_at or now
    is_announced = (tries.node_id, tries.iteration) in announced_retries(snapshot)
    when = (
        f"due in {span(due - now)}, at {clock(due)}"
        if due > now
        else "announced, after a delay not recorded"
        if is_announced
        else "due now"
    )
    return Blocker(
        kind="retry-backoff",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.last.finished_at,
        until=tries.next_at,
        reason=f"attempt {tries.last.attempt} failed: {_said(tries.last)}; the next one is {when} ({left})",
        evidence=(_evidence(tries.last),),
    )


def _cancelling(snapshot: Snapshot, now: int) -> Iterator[Blocker]:
    """A cancel that is on its way, or that nobody was there to carry out: never a run to resume."""
    run = snapshot.run
    waited = now - (run.cancel_requested_at or now)
    late = waited > HEARTBEAT_STALE_MS
    yield Blocker(
        kind="cancel-pending",
        since=run.cancel_requested_at,
        reason=f"a cancel was asked for {span(waited)} ago and has not been carried out" + ("; ask again" if late else " yet"),
        commands=(engine_of(snapshot).cli.cancel(run.run_id),) if late else (),
        evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status),),
    )


def _undriven(snapshot: Snapshot, *, kind: str, since: int | None, reason: str, evidence: Evidence) -> Blocker:
    return Blocker(kind=kind, since=since, reason=reason, commands=(_resume(snapshot, force=True),), evidence=(evidence,))


def _process(owner: str | None) -> str:
    """Name the owner of a run as a person would look for it."""
    kind, _, rest = (owner or "").partition(":")
    return f"process {rest.partition(':')[0]}" if kind == "pid" and rest else owner or "its engine"


def _resume(snapshot: Snapshot, *, force: bool = False) -> str:
    return engine_of(snapshot).cli.resume(snapshot.run.workflow_path, snapshot.run.run_id, force=force)


def _again(snapshot: Snapshot, attempt: AttemptRow) -> str:
    """Print what gives a task a new attempt: a resume, where that does not only replay the recorded error."""
    engine, path = engine_of(snapshot), snapshot.run.workflow_path
    if not engine.replays:
        return _resume(snapshot)
    return engine.cli.retry_task(path, snapshot.run.run_id, attempt.node_id, attempt.iteration)


def _evidence(attempt: AttemptRow) -> Evidence:
    ref = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
    return Evidence(ref=ref, quote=(attempt.error_message or attempt.state)[:_QUOTE])


def _said(attempt: AttemptRow) -> str:
    return cut(clean_message(attempt.error_message or "no message"))
