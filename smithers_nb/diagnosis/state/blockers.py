"""Why a run does not go on: everything it waits for or is stopped by, each with what ends it.

Gets the rows of one run and `now`, asks the finders of `waiting` and `stopped`, follows unfinished child runs, and adds whether a
resume would be refused. A run that is over and well has no blockers; neither has one that is simply at work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.workflow_edits import was_edited, workflow_file
from smithers_nb.diagnosis.state import queue_waits, stalled, waiting
from smithers_nb.model.verdict import Blocker, Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.diagnosis.engines.base import Cli
    from smithers_nb.sources.snapshot import Snapshot

_NOTHING_TO_DO: Final = frozenset({"finished", "continued", "cancelled"})
_DEEPEST: Final = 8
_FINDERS: Final[tuple[Callable[[Snapshot, int], Iterator[Blocker]], ...]] = (
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
    queue_waits.left_behind,
    stalled.engine,
    stalled.denials,
    stalled.failed_tasks,
    stalled.idle,
    stalled.hung_tasks,
    stalled.structural,
    stalled.dependencies,
)
"""Every reason not to go on, the one to look at first on top."""


def blockers(snapshot: Snapshot, now: int, *, workflow_path: Path | None = None) -> tuple[Blocker, ...]:
    """List what keeps a run, and its unfinished child runs, from going on.

    Args:
        snapshot: The run.
        now: Epoch milliseconds.
        workflow_path: The workflow's file, when it is not where the run recorded it; only its hash is looked at.

    Returns:
        The blockers, the one to look at first on top; none when nothing blocks the run.
    """
    if snapshot.run.status in _NOTHING_TO_DO:
        return ()
    found = [blocker for find in _FINDERS for blocker in find(snapshot, now)]
    found += _of_children(snapshot, now, _DEEPEST)
    return _with_the_edit(snapshot, found, workflow_path)


def _of_children(snapshot: Snapshot, now: int, depth: int) -> list[Blocker]:
    """Follow child runs that have not ended; those that failed are told by the task that launched them."""
    found: list[Blocker] = []
    for child in snapshot.children if depth and snapshot.run.status != "failed" else ():
        if child.run.status in _NOTHING_TO_DO or child.run.status == "failed":
            continue
        own = [blocker for find in _FINDERS for blocker in find(child, now)]
        found += [_in_child(blocker, child.run.run_id) for blocker in own] + _of_children(child, now, depth - 1)
    return found


def _in_child(blocker: Blocker, run_id: str) -> Blocker:
    """Say that a blocker is one of a child run, in its reason and in its references."""
    evidence = tuple(e if e.ref.startswith("run:") else replace(e, ref=f"{run_id}/{e.ref}") for e in blocker.evidence)
    return replace(blocker, reason=f"in child run {run_id}: {blocker.reason}", evidence=evidence)


def _with_the_edit(snapshot: Snapshot, found: list[Blocker], workflow_path: Path | None) -> tuple[Blocker, ...]:
    """Make the commands go through although the workflow was edited since, and say what that means."""
    run = snapshot.run
    continues = any("--resume" in line or "retry-task" in line for blocker in found for line in (*blocker.commands, *blocker.alternatives))
    if not continues or not was_edited(run, workflow_path):
        return tuple(found)
    name = re.split(r"[\\/]", run.workflow_path or str(workflow_file(run, workflow_path)))[-1]
    edited = Blocker(
        kind="workflow-changed",
        reason=(
            f"{name} was edited since this run was started; without `--accept-workflow-change` a resume or retry-task is refused with "
            "RESUME_METADATA_MISMATCH, with it you answer for that finished tasks may stand as they are. Or put the old text back"
        ),
        evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.workflow_path or run.status, note="hash at launch differs"),),
    )
    return (*(_accepting(blocker, engine_of(snapshot).cli) for blocker in found), edited)


def _accepting(blocker: Blocker, cli: Cli) -> Blocker:
    commands, alternatives = (tuple(map(cli.accepting_change, lines)) for lines in (blocker.commands, blocker.alternatives))
    return replace(blocker, commands=commands, alternatives=alternatives)
