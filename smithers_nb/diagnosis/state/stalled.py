"""What stops a run that waits for nobody: a failed task, a worker that is gone, an engine that is alive and does nothing.

Each finder gets a case and yields blockers; `blockers` puts them together. A resume only replays a recorded error, so
whatever has used up its attempts is pointed to `retry-task`, with a preview of what that resets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.conditions import Case, last_alive
from smithers_nb.diagnosis.state.progress import QUOTA, Tries
from smithers_nb.diagnosis.state.stagnation import said_in_the_loop
from smithers_nb.diagnosis.text.quotes import of_attempt, of_event, of_gate, of_run
from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import span, when
from smithers_nb.model.verdict import Blocker
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import as_texts

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Evidence

HUNG_AFTER_MS: Final = 15 * 60_000
"""A task without a time limit that is silent for longer than this counts as hung."""


def failed_tasks(case: Case) -> Iterator[Blocker]:
    """Tasks whose newest attempt failed: given up, retried in vain, or retried soon."""
    for tries in case.tries:
        if case.snapshot.may_fail(tries.node_id, tries.iteration) or tries.last.error_code == QUOTA:
            continue
        if case.given_up(tries):
            yield _given_up(case, tries)
        elif tries.hopeless:
            yield _retry_storm(case, tries)
        elif case.is_alive:
            yield _backoff(case, tries)


def denials(case: Case) -> Iterator[Blocker]:
    """Gates that a person denied."""
    failed = {(node.node_id, node.iteration) for node in case.snapshot.nodes if node.state == "failed"}
    for gate in case.snapshot.approvals:
        if gate.status == "denied" and (gate.node_id, gate.iteration) in failed:
            note = f": {short_line(gate.note)}" if gate.note else ""
            yield Blocker(
                kind="approval-denied",
                node_id=gate.node_id,
                iteration=gate.iteration,
                since=gate.decided_at,
                reason=f"{gate.decided_by or 'somebody'} denied “{short_line(gate.title or gate.node_id)}”{note}; a decision, not a fault",
                evidence=(of_gate(gate, gate.note),),
            )


def engine(case: Case) -> Iterator[Blocker]:
    """A run marked `running` that no process is running."""
    run, jump = case.run, case.rewound
    if run.status != "running":
        return
    if case.cancel_pending_ms is not None:
        yield _cancelling(case, case.cancel_pending_ms)
    elif jump is not None:
        yield _undriven(
            case,
            kind="rewound",
            since=jump.at,
            reason="the run was rewound to an earlier frame and not resumed; its status says running, but no process is running it",
            evidence=of_event(jump),
        )
    elif case.lost_worker or case.state == "unknown":
        alive = last_alive(run)
        heartbeat = "no heartbeat was ever recorded" if alive is None else f"last heartbeat {span(case.now - alive)} ago"
        check = f"make sure that {_process(run.owner)} has ended on its own machine, then resume" if run.owner else "resume it"
        yield _undriven(
            case,
            kind="orphaned" if case.state == "orphaned" else "stale-heartbeat",
            since=alive or run.created_at,
            reason=f"no process is running the run: {heartbeat}; {check}",
            evidence=of_run(run),
        )


_TAKES_EFFECT: Final = {
    "pause": "no new task begins, and the run pauses once those under way have ended",
    "hijack": "the agent's session is handed over once it can be interrupted",
}


def requests(case: Case) -> Iterator[Blocker]:
    """What people have asked of a run and that has not happened yet; a cancel is told by `engine`."""
    for what, at in case.open_requests:
        yield Blocker(
            kind=f"{what}-pending",
            since=at,
            reason=f"a {what} was requested {span(case.now - at)} ago: {_TAKES_EFFECT[what]}",
            evidence=(of_run(case.run),),
        )


def repeating(case: Case) -> Iterator[Blocker]:
    """A loop whose reviewer says the same no each time: it works, and gets no further."""
    same = case.stagnant
    if same is not None:
        yield Blocker(
            kind="loop-repeats",
            node_id=same.node_id,
            iteration=same.last_iteration,
            reason=(
                f"gave the same answer in rounds {same.first_iteration} to {same.last_iteration}: {short_line(same.rejection, 200)}; "
                "cancel the run and change what the loop gives its worker, as more rounds cost time and tokens and change nothing"
            ),
            commands=(case.engine.cancel(case.run.run_id),),
            evidence=(said_in_the_loop(same),),
        )


def idle(case: Case) -> Iterator[Blocker]:
    """An engine that is alive, has unfinished work and does none of it."""
    if case.is_zombie:
        left = [node.node_id for node in case.snapshot.nodes if node.state == "pending"]
        waiting = f"; {', '.join(left[:5])} never started" if left else ""
        yield Blocker(
            kind="zombie",
            since=case.last_activity,
            reason=(
                f"the engine is alive but has done nothing for {span(case.quiet_ms)}{waiting}; a write to the store may have "
                f"failed (disk full?): end {_process(case.run.owner)} on its own machine, check its log, then resume"
            ),
            commands=(case.resume(force=True),),
            evidence=(of_run(case.run),),
        )


def hung_tasks(case: Case) -> Iterator[Blocker]:
    """Tasks that are past their time limit, or silent for long without one, under an engine that is alive."""
    for attempt in case.hung(HUNG_AFTER_MS) if case.is_alive else ():
        heard = attempt.heartbeat_at or attempt.started_at or case.now
        limit = f" (its limit is {span(attempt.timeout_ms)})" if attempt.timeout_ms is not None else ""
        yield Blocker(
            kind="stale-task-heartbeat",
            node_id=attempt.node_id,
            iteration=attempt.iteration,
            since=heard,
            reason=(
                f"attempt {attempt.attempt} was last active {span(case.now - heard)} ago{limit}; cancel the run, then give the task "
                "a new attempt"
            ),
            commands=(case.engine.cancel(case.run.run_id), _again(case, attempt)),
            evidence=(of_attempt(attempt),),
        )


def dependencies(case: Case) -> Iterator[Blocker]:
    """Tasks that cannot start because one that they depend on has failed for good."""
    failed = {tries.node_id: tries for tries in case.tries if case.given_up(tries)}
    pending = {(node.node_id, node.iteration): node for node in case.snapshot.nodes if node.state == "pending"}
    for task in case.snapshot.tasks:
        node = pending.get((task.node_id, task.iteration))
        cause = next((failed[name] for name in as_texts(task.depends_on) if name in failed), None)
        if node is not None and cause is not None:
            yield Blocker(
                kind="dependency-failed",
                node_id=node.node_id,
                iteration=node.iteration,
                since=cause.last.finished_at,
                reason=f"cannot start because {cause.node_id} failed",
                evidence=(of_attempt(cause.last),),
            )


def structural(case: Case) -> Iterator[Blocker]:
    """An error of the run itself, with no failed task behind it."""
    run = case.run
    denied = any(gate.status == "denied" for gate in case.snapshot.approvals)
    if run.status == "failed" and not denied and not case.tries:
        yield Blocker(
            kind="run-failed",
            since=run.finished_at,
            reason=f"the run itself failed: {short_line(clean_message(run.error_message or 'its error is not recorded'))}",
            evidence=(of_run(run, run.error_message),),
        )


def _given_up(case: Case, tries: Tries) -> Blocker:
    used = plural(tries.failed, "attempt") if tries.allowed is None else f"{tries.failed} of {plural(tries.allowed, 'attempt')}"
    refused = "; the engine refuses another attempt" if tries.last.retryable is False and tries.failed != tries.allowed else ""
    preview = reset_preview(case.snapshot, tries.node_id, tries.iteration)
    effects = repeated_effects(case.snapshot, preview)
    unsafe = tries.node_id in effects
    again = f"`retry-task` gives new attempts and {preview.summary}"
    if unsafe:
        again = "it does something outside the run, so check whether that happened and start a fresh run if it did not"
    elif effects:
        again += f"; {', '.join(effects)} did something outside the run, which is then repeated"
    engine = case.engine
    then = f"a resume would only replay this error, {again}" if engine.replays else engine.tries_again
    return Blocker(
        kind="retries-exhausted" if tries.exhausted else "task-failed",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.last.finished_at,
        reason=(f"failed on {used}{refused}: {_said(tries.last)}; {then}"),
        commands=() if unsafe or _is_advised(case) else (_again(case, tries.last),),
        evidence=(of_attempt(tries.last),),
    )


def _is_advised(case: Case) -> bool:
    """Return whether the advice on the failure says the same: where a resume tries again, there is no other way to go on."""
    return case.run.status == "failed" and not case.engine.replays


def _retry_storm(case: Case, tries: Tries) -> Blocker:
    return Blocker(
        kind="retry-storm",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.streak_since,
        reason=(
            f"failed the same way {tries.streak} times so far and is retried without limit; it will not recover by itself: "
            f"{_said(tries.last)} (cancel the run, fix the task, start again with a limit such as retries={{2}})"
        ),
        commands=(case.engine.cancel(case.run.run_id),),
        evidence=(of_attempt(tries.last),),
    )


def _backoff(case: Case, tries: Tries) -> Blocker:
    left = "no limit" if tries.allowed is None else f"{plural(tries.allowed - tries.failed, 'attempt')} left"
    due = tries.next_at or case.now
    if due > case.now:
        at = f"due in {span(due - case.now)}, at {when(due)}"
    else:
        announced = (tries.node_id, tries.iteration) in case.announced_retries
        at = "announced, after a delay not recorded" if announced else "due now"
    return Blocker(
        kind="retry-backoff",
        node_id=tries.node_id,
        iteration=tries.iteration,
        since=tries.last.finished_at,
        until=tries.next_at,
        reason=f"attempt {tries.last.attempt} failed: {_said(tries.last)}; the next one is {at} ({left})",
        evidence=(of_attempt(tries.last),),
    )


def _cancelling(case: Case, waited: int) -> Blocker:
    """A cancel that is pending, or that no process was there to carry out: never a run to resume."""
    run, late = case.run, case.cancel_overdue
    return Blocker(
        kind="cancel-pending",
        since=run.cancel_requested_at,
        reason=f"a cancel was requested {span(waited)} ago and has not been carried out" + ("; request it again" if late else " yet"),
        commands=(case.engine.cancel(run.run_id),) if late else (),
        evidence=(of_run(run),),
    )


def _undriven(case: Case, *, kind: str, since: int | None, reason: str, evidence: Evidence) -> Blocker:
    return Blocker(kind=kind, since=since, reason=reason, commands=(case.resume(force=True),), evidence=(evidence,))


def _process(owner: str | None) -> str:
    """Return the owner of a run as a person would look for it."""
    kind, _, rest = (owner or "").partition(":")
    return f"process {rest.partition(':')[0]}" if kind == "pid" and rest else owner or "its engine"


def _again(case: Case, attempt: AttemptRow) -> str:
    """Print what gives a task a new attempt: a resume, where that does not only replay the recorded error."""
    engine, path = case.engine, case.run.workflow_path
    if not engine.replays:
        return case.resume()
    return engine.retry_task(path, case.run.run_id, attempt.node_id, attempt.iteration)


def _said(attempt: AttemptRow) -> str:
    return short_line(clean_message(attempt.error_message or "no message"))
