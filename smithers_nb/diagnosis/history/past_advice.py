"""What the operator did after a failure, and whether it helped.

Smithers keeps no ledger of advice, but its rows show what was done: a resume, a retry-task, a rewind, a fork, a new run. Gets typed
rows and gives one `FollowUp` per step with its outcome, so that a suggestion after which the same failure came back is not made again.
Only the run, its children and a few runs of the same workflow are read, so that the quick answer knows as much as an autopsy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.engines.base import engine_of_store
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.rows import AttemptRow, BranchRow, EventRow, FailureRow, OutputRow, RunRow, TimeTravelRow
from smithers_nb.sources.base import CHILD_MARK, is_child_of

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.base import Source

Step = Literal["resume", "retry-task", "rewind", "fork", "new-run", "new-run-after-edit"]
Outcome = Literal["finished", "same-failure", "other-failure", "open"]

_SUGGESTED_AS: Final[dict[Step, Suggestion]] = {
    "resume": "resume",
    "retry-task": "retry",
    "rewind": "rewind",
    "new-run": "retry",
    "new-run-after-edit": "edit-workflow-and-reset",
}
_TIMES_BEFORE_GIVEN_UP: Final[dict[Step, int]] = {"new-run": 3, "new-run-after-edit": 2}
"""A new run with the same input may be a schedule, and a first edit may have missed: one of them proves nothing."""

_TELLING: Final = ("RunStarted", "RunFailed", "RunFinished", "RetryTaskStarted", "TimeTravelJumped")
_MAX_RUNS: Final = 10
_MAX_AGE_MS: Final = 90 * 86_400_000
_NEVER: Final = 2**62


class FollowUp(Finding):
    """One step after a failure."""

    step: Step
    at: int = described("when, epoch milliseconds")
    run_id: str = described("run that it acted on, or the new run")
    outcome: Outcome = described("what came of it before the next step")


class Trail(NamedTuple):
    """Rows that show what happened to one run after it failed.

    Attributes:
        run: The run.
        events: Its lifecycle events, in order of `seq`.
        attempts: Its attempts, those that were set aside at least.
        time_travel: Its rewinds.
        branches: Forks of it.
        again: Later runs of the same workflow with the same input, oldest first, and the runs of `branches`.
        failures: Failures of all these runs.
    """

    run: RunRow
    events: Sequence[EventRow] = ()
    attempts: Sequence[AttemptRow] = ()
    time_travel: Sequence[TimeTravelRow] = ()
    branches: Sequence[BranchRow] = ()
    again: Sequence[RunRow] = ()
    failures: Sequence[FailureRow] = ()


def what_followed(trail: Trail, at: int, signature: str) -> tuple[FollowUp, ...]:
    """Return what was done after a failure, oldest step first.

    Args:
        trail: Rows of the run and of what came after it.
        at: When the failure happened, epoch milliseconds.
        signature: Its signature.
    """
    steps = sorted(((step, time) for step, time in _steps_within(trail) if time >= at), key=lambda found: found[1])
    ends = [*(time for _, time in steps[1:]), _NEVER]
    within = [
        FollowUp(step=step, at=time, run_id=trail.run.run_id, outcome=_outcome_within(trail, time, end, signature))
        for (step, time), end in zip(steps, ends, strict=False)
    ]
    return tuple(sorted([*within, *_new_runs(trail, at, signature)], key=lambda followed: followed.at))


def failed_suggestions(followed: Iterable[FollowUp]) -> frozenset[Suggestion]:
    """Name the suggestions that were carried out in vain: the same failure came back, and the same step did not help later."""
    in_vain: dict[Step, int] = {}
    for one in followed:
        if one.outcome == "same-failure":
            in_vain[one.step] = in_vain.get(one.step, 0) + 1
        elif one.outcome == "finished":
            in_vain.pop(one.step, None)
    given_up = (step for step, times in in_vain.items() if times >= _TIMES_BEFORE_GIVEN_UP.get(step, 1))
    return frozenset(_SUGGESTED_AS[step] for step in given_up if step in _SUGGESTED_AS)


def tried_in_vain(source: Source, run_id: str, signature: str, now: int) -> frozenset[Suggestion]:
    """Name the suggestions that were carried out before, after which the same failure came back.

    Args:
        source: Where the runs live.
        run_id: Exact id of the run.
        signature: Signature of its failure; none gives nothing.
        now: Leave out what failed after this epoch millisecond.

    Raises:
        SourceVanished: The store is gone.
    """
    found = trail_of(source, run_id, signature, now) if signature else None
    vain = failed_suggestions(what_followed(*found, signature)) if found else frozenset()
    # where a resume tries again what failed, it is how a retry was carried out
    return vain if engine_of_store(source).replays or "resume" not in vain else vain - {"resume"} | {"retry"}


def trail_of(source: Source, run_id: str, signature: str, now: int) -> tuple[Trail, int] | None:
    """Read what happened since a failure first showed up in a run, or in other runs with the same input.

    Args:
        source: Where the runs live.
        run_id: Exact id of the run.
        signature: Signature of its failure.
        now: Leave out what failed after this epoch millisecond.

    Returns:
        The trail, and when the failure first happened (epoch milliseconds); None when the run did not meet this signature.

    Raises:
        SourceVanished: The store is gone.
    """
    run = next(iter(source.rows(RunRow, run_id)), None)
    failures = list(_failures_in(source, run_id, now)) if run else []
    own = [row.at or 0 for row in failures if row.signature == signature]
    if run is None or not own:
        return None
    others = [other for other in _same_input(source, run) if other.run_id != run_id]
    failures += [row for other in others for row in _failures_in(source, other.run_id, now)]
    met = {row.run_id: row.at or 0 for row in sorted(failures, key=lambda row: -(row.at or 0)) if row.signature == signature}
    since = min(met.get(row.run_id, own[0]) for row in (run, *others))
    same = [row for row in (run, *others) if row.run_id in met or (row.started_at or 0) >= since]
    forks = source.rows(BranchRow, only={"parent_run_id": [run_id]})
    forked = source.rows(RunRow, only={"run_id": [fork.run_id for fork in forks]}) if forks else []
    failures += [row for fork in forked for row in _failures_in(source, fork.run_id, now)]
    trail = Trail(
        run=run,
        events=source.rows(EventRow, run_id, only={"type": _TELLING}),
        attempts=source.rows(AttemptRow, run_id, only={"state": ["cancelled"]}),
        time_travel=source.rows(TimeTravelRow, run_id),
        branches=forks,
        again=[*sorted(same, key=lambda row: row.started_at or 0), *forked],
        failures=failures,
    )
    return trail, min([*own, since])


def _steps_within(trail: Trail) -> Iterator[tuple[Step, int]]:
    """Read steps off the run's own log: a start is one only after a failure; the first start and those after a gate are not."""
    starts, asked = _starts_after_failure(trail.events)
    for start, end in zip(starts, [*starts[1:], _NEVER], strict=False):
        set_aside = any(a.reset and (a.finished_at or a.started_at or 0) <= start for a in trail.attempts)
        worked = _new_failures(trail, start, end) or (end == _NEVER and trail.run.status != "failed")
        # a resume of a failed run only repeats the recorded error; new work on what was set aside is a retry-task, which logs nothing
        yield "retry-task" if start in asked or (set_aside and worked) else "resume", start
    jumps = [travel.at or 0 for travel in trail.time_travel if travel.result != "rejected"]
    jumps = jumps or [event.at or 0 for event in trail.events if event.type == "TimeTravelJumped"]
    yield from (("rewind", at) for at in jumps)


def _starts_after_failure(events: Iterable[EventRow]) -> tuple[list[int], set[int]]:
    """Find the starts that follow a failure, and those of them that an announced retry-task made."""
    starts: list[int] = []
    asked: set[int] = set()
    failed, announced = False, False
    for event in events:
        if event.type == "RunFailed":
            failed, announced = True, False
        elif event.type == "RetryTaskStarted":
            announced = True
        elif event.type == "RunStarted" and failed:
            starts.append(event.at or 0)
            asked |= {event.at or 0} if announced else set()
            failed = False
    return starts, asked


def _new_failures(trail: Trail, start: int, end: int) -> set[str]:
    """Collect the signatures of attempts of the run or its children that failed between two steps."""
    own = (f for f in trail.failures if f.attempt is not None and _belongs(f.run_id, trail.run.run_id))
    return {f.signature for f in own if start < (f.at or 0) <= end}


def _outcome_within(trail: Trail, start: int, end: int, signature: str) -> Outcome:
    if new := _new_failures(trail, start, end):
        return "same-failure" if signature in new else "other-failure"
    if any(event.type == "RunFailed" and start < (event.at or 0) <= end for event in trail.events):
        return "same-failure"  # no new attempt: the recorded error came back
    return "finished" if end == _NEVER and trail.run.status in {"finished", "continued"} else "open"


def _new_runs(trail: Trail, at: int, signature: str) -> Iterator[FollowUp]:
    forks = {branch.run_id for branch in trail.branches}
    before: str | None = None
    for run in trail.again:
        started = run.started_at or run.created_at or 0
        if started <= at:
            before = run.workflow_hash
            continue
        edited = before is not None and run.workflow_hash not in {None, before}
        step: Step = "fork" if run.run_id in forks else "new-run-after-edit" if edited else "new-run"
        yield FollowUp(step=step, at=started, run_id=run.run_id, outcome=_outcome_of(run, trail.failures, signature))
        before = run.workflow_hash or before


def _outcome_of(run: RunRow, failures: Iterable[FailureRow], signature: str) -> Outcome:
    if run.status in {"finished", "continued"}:
        return "finished"
    if run.status != "failed":
        return "open"
    return "same-failure" if any(f.signature == signature and _belongs(f.run_id, run.run_id) for f in failures) else "other-failure"


def _failures_in(source: Source, run_id: str, now: int) -> Iterator[FailureRow]:
    """Read what failed in a run and in its children."""
    for one in (run_id, *source.run_ids(f"{run_id}{CHILD_MARK}", _MAX_RUNS)):
        yield from failure_rows(source, one, now=now)


def _same_input(source: Source, run: RunRow) -> Iterator[RunRow]:
    """Find the nearest runs of the same workflow and input, before and after a run, itself included."""
    wanted = _input_of(source, run.run_id)
    if not wanted or not run.workflow:
        yield run
        return
    began = run.created_at or run.started_at or 0
    found = source.rows(RunRow, only={"workflow": [run.workflow]}, since_ms=began - _MAX_AGE_MS)
    found.sort(key=lambda row: row.created_at or row.started_at or 0)
    place = next((i for i, row in enumerate(found) if row.run_id == run.run_id), 0)
    for row in found[max(place - _MAX_RUNS, 0) : place + _MAX_RUNS + 1]:
        if row.run_id == run.run_id or _input_of(source, row.run_id) == wanted:
            yield row


def _input_of(source: Source, run_id: str) -> str:
    row = next((row.row for row in source.rows(OutputRow, run_id, only={"node_id": ["input"]})), None)
    return row if row and row not in {"{}", '{"payload":"{}"}', '{"payload":{}}'} else ""


def _belongs(failed_in: str, run_id: str) -> bool:
    """Return whether a failure is of a run or of one of its children."""
    return failed_in == run_id or is_child_of(failed_in, run_id)
