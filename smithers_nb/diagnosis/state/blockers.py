"""Why a run does not continue: everything it waits for or is stopped by, each with what ends it.

Gets the rows of one run and `now`, asks the finders of `waiting`, `queue_waits` and `stalled`, follows unfinished child runs, and adds
whether a resume would be refused. A run that has ended well has no blockers; neither has one that is simply at work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.workflow_edits import was_edited, workflow_file
from smithers_nb.diagnosis.state import queue_waits, stalled, waiting
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.text.quotes import in_run, of_run
from smithers_nb.model.verdict import Blocker

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.diagnosis.engines.base import EngineCommands
    from smithers_nb.sources.snapshot import Snapshot

_NOTHING_TO_DO: Final = frozenset({"finished", "continued", "cancelled"})
_MAX_DEPTH: Final = 8
_FINDERS: Final[tuple[Callable[[Case], Iterator[Blocker]], ...]] = (
    waiting.questions,
    waiting.approvals,
    waiting.unasked_approvals,
    waiting.decided,
    waiting.events,
    waiting.timers,
    waiting.quota,
    waiting.paused,
    waiting.bound,
    queue_waits.worker,
    queue_waits.asleep,
    queue_waits.queue,
    queue_waits.child_workflows,
    queue_waits.left_behind,
    stalled.engine,
    stalled.requests,
    stalled.denials,
    stalled.failed_tasks,
    stalled.idle,
    stalled.repeating,
    stalled.hung_tasks,
    stalled.structural,
    stalled.dependencies,
)
"""Every reason not to continue, the one to look at first on top."""


def blockers(snapshot: Snapshot, now: int, *, workflow_path: Path | None = None) -> tuple[Blocker, ...]:
    """List what keeps a run, and its unfinished child runs, from continuing.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.
        workflow_path: The workflow's file, when it is not where the run recorded it; only its hash is looked at.

    Returns:
        The blockers, the one to look at first on top; none when nothing blocks the run.
    """
    if snapshot.run.status in _NOTHING_TO_DO:
        return ()
    case = Case(snapshot, now)
    found = [*_of_run(case), *_of_children(case, _MAX_DEPTH)]
    return _with_the_edit(case, found, workflow_path)


def _of_run(case: Case) -> Iterator[Blocker]:
    return (blocker for find in _FINDERS for blocker in find(case))


def _of_children(case: Case, depth: int) -> Iterator[Blocker]:
    """Follow child runs that have not ended; the task that launched a failed one has its error."""
    for child in case.snapshot.children if depth and case.run.status != "failed" else ():
        run_id, status = child.run.run_id, child.run.status
        if status in _NOTHING_TO_DO or status == "failed":
            continue
        inner = Case(child, case.now)
        for blocker in _of_run(inner):
            yield replace(blocker, reason=f"in child run {run_id}: {blocker.reason}", evidence=in_run(blocker.evidence, run_id))
        yield from _of_children(inner, depth - 1)


def _with_the_edit(case: Case, found: list[Blocker], workflow_path: Path | None) -> tuple[Blocker, ...]:
    """Make the commands go through although the workflow was edited since, and explain what that means."""
    run = case.run
    continues = any("--resume" in line or "retry-task" in line for blocker in found for line in (*blocker.commands, *blocker.alternatives))
    if not continues or not was_edited(run, workflow_path):
        return tuple(found)
    name = re.split(r"[\\/]", run.workflow_path or str(workflow_file(run, workflow_path)))[-1]
    edited = Blocker(
        kind="workflow-changed",
        reason=(
            f"{name} was edited since this run was started; without `--accept-workflow-change` a resume or retry-task is refused with "
            "RESUME_METADATA_MISMATCH, with it you confirm that finished tasks may stay as they are. Or restore the old text"
        ),
        evidence=(of_run(run, run.workflow_path, "hash at launch differs"),),
    )
    return (*(_accepting(blocker, case.engine) for blocker in found), edited)


def _accepting(blocker: Blocker, cli: EngineCommands) -> Blocker:
    commands, alternatives = (tuple(map(cli.accepting_change, lines)) for lines in (blocker.commands, blocker.alternatives))
    return replace(blocker, commands=commands, alternatives=alternatives)
