"""Repair loops: the same work started over and over without getting further.

Gets the rows of a whole store and finds families of workflows that meet the same failure again and again, fail several times in a row, or
grow one repair workflow after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from smithers_nb.diagnosis.failure.order import began
from smithers_nb.diagnosis.history.workflow_families import by_family, is_repair
from smithers_nb.model.finding import Finding, described

if TYPE_CHECKING:
    from smithers_nb.model.rows import FailureRow, RunRow

SEVERAL = 3
"""From this many on, the same thing again is a pattern."""

_LISTED = 10
Kind = Literal["same-failure", "in-a-row", "repair-workflows"]


class RepeatedFailure(Finding):
    """One signature that several runs of a family met."""

    signature: str
    runs: int = described("runs that met it")
    message: str = described("message of the newest", default="")


class RepairLoop(Finding):
    """A family of workflows that is run again and again without getting further."""

    family: str = described("stem that the workflows share")
    workflows: tuple[str, ...] = described("their names")
    kinds: tuple[Kind, ...] = described("what makes it look like a loop")
    runs: int = described("ended runs")
    failed: int = described("of these, failed")
    streak: int = described("newest ended runs that failed in a row")
    longest_streak: int = described("most failures in a row ever")
    repeated: tuple[RepeatedFailure, ...] = described("signatures that several runs met, most runs first", default=())
    run_ids: tuple[str, ...] = described("failed runs, newest first, at most ten", default=())
    first_at: int | None = described("first of the failed runs started, epoch milliseconds", default=None)
    last_at: int | None = described("last of the failed runs started, epoch milliseconds", default=None)
    reason: str = described("the same in plain words")


def repair_loops(runs: Iterable[RunRow], failures: Iterable[FailureRow], *, several: int = SEVERAL) -> tuple[RepairLoop, ...]:
    """Find families of workflows that look like a repair loop.

    Args:
        runs: Runs of the whole store.
        failures: Failures of the whole store.
        several: From how many runs on the same is a pattern.

    Returns:
        One loop per family, the one with most failed runs first. Child runs and runs that did not end are not counted.
    """
    met = _met(failures)
    found = (_loop(family, members, met, several) for family, members in by_family(runs).items())
    return tuple(sorted((loop for loop in found if loop), key=lambda loop: (-loop.failed, loop.family)))


def repair_loop_of(loops: Sequence[RepairLoop], workflow: str, signature: str) -> str:
    """Return the reason to call a failure part of a repair loop, empty when there is none.

    Args:
        loops: What `repair_loops` found.
        workflow: Workflow of the failed run.
        signature: Signature of its failure.
    """
    loop = next((loop for loop in loops if workflow in loop.workflows), None)
    if loop is None:
        return ""
    repeated = next((repeated for repeated in loop.repeated if repeated.signature == signature), None)
    if repeated is not None:
        return f"{repeated.runs} runs of {loop.family} met this same failure; {loop.reason}"
    return loop.reason if loop.streak >= SEVERAL or "repair-workflows" in loop.kinds else ""


def _loop(family: str, members: Sequence[RunRow], met: dict[str, dict[str, str]], several: int) -> RepairLoop | None:
    ended = [run for run in members if run.finished_at is not None and run.status in {"finished", "failed", "continued"}]
    failed = [run for run in ended if run.status == "failed"]
    if not failed:
        return None
    workflows = tuple(sorted({run.workflow for run in members if run.workflow}))
    repeated = _repeated([run.run_id for run in failed], met, several)
    stretches = [len(list(same)) for is_failed, same in groupby(ended, key=lambda run: run.status == "failed") if is_failed]
    repairs = sum(map(is_repair, workflows))
    signs: dict[Kind, str] = {
        "same-failure": f"{repeated[0].runs} of them with the same failure" if repeated else "",
        "in-a-row": f"{max(stretches)} in a row" if max(stretches) >= several else "",
        "repair-workflows": f"{repairs} workflows were written to repair it" if repairs >= several - 1 else "",
    }
    if not any(signs.values()):
        return None
    return RepairLoop(
        family=family,
        workflows=workflows,
        kinds=tuple(kind for kind, sign in signs.items() if sign),
        runs=len(ended),
        failed=len(failed),
        streak=stretches[-1] if ended[-1].status == "failed" else 0,
        longest_streak=max(stretches),
        repeated=repeated,
        run_ids=tuple(run.run_id for run in reversed(failed))[:_LISTED],
        first_at=began(failed[0]),
        last_at=began(failed[-1]),
        reason=", ".join([f"{len(failed)} of {len(ended)} ended runs of {family} failed", *filter(None, signs.values())]),
    )


def _met(failures: Iterable[FailureRow]) -> dict[str, dict[str, str]]:
    """Map each run to the signatures that it met, with the message of the newest."""
    met: dict[str, dict[str, str]] = {}
    for row in sorted(failures, key=lambda row: row.at or 0):
        met.setdefault(row.run_id, {})[row.signature] = row.message or ""
    return met


def _repeated(run_ids: Sequence[str], met: dict[str, dict[str, str]], several: int) -> tuple[RepeatedFailure, ...]:
    counts: dict[str, int] = {}
    messages: dict[str, str] = {}
    for run_id in run_ids:
        for signature, message in met.get(run_id, {}).items():
            counts[signature] = counts.get(signature, 0) + 1
            messages[signature] = message
    found = (RepeatedFailure(signature=s, runs=n, message=messages[s]) for s, n in counts.items() if n >= several)
    return tuple(sorted(found, key=lambda repeated: (-repeated.runs, repeated.signature)))
