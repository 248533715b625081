"""How often the same failure came back: one signature, or a table of all.

Gets the failures of a whole store, with attempts and tokens when the cost is wanted, and gives counts, first and last time,
what was lost, and how long each workflow has been failing this way without a break.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.failure.order import by_time, is_own_run
from smithers_nb.diagnosis.history.cost import Spent, attempt_key, spending, total
from smithers_nb.model.rows import SignatureRow
from smithers_nb.model.verdict import Recurrence
from smithers_nb.sources.base import CHILD_MARK
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, FailureRow, RunRow, TokenRow

_NEWEST = 10
_MAX_VERSIONS = 3


def recurrence(
    failures: Iterable[FailureRow],
    signature: str,
    tokens: Iterable[TokenRow] = (),
    *,
    attempts: Iterable[AttemptRow] = (),
    repair_loop: str = "",
) -> Recurrence:
    """Count how often a signature occurred.

    Args:
        failures: Failures of the whole store.
        signature: Signature to look for.
        tokens: Token use; without it no tokens are counted.
        attempts: Attempts; without them no time is counted.
        repair_loop: Why this looks like a repair loop, see `repair_loops.repair_loop_of`.

    Returns:
        Counts of zero when the store has no such failure.
    """
    hit = _in_time(row for row in failures if row.signature == signature)
    run_ids = tuple(dict.fromkeys(root_of(row.run_id) for row in reversed(hit)))
    lost = total(spending(attempts, tokens), list(map(attempt_key, hit)))
    first_at, last_at = _span(hit)
    return Recurrence(
        count=len(hit),
        runs=len(run_ids),
        run_ids=run_ids[:_NEWEST],
        first_at=first_at,
        last_at=last_at,
        wall_s=round(lost.wall_s, 3),
        tokens=lost.tokens,
        repair_loop=repair_loop,
    )


def signatures_table(
    failures: Iterable[FailureRow],
    runs: Sequence[RunRow],
    *,
    attempts: Iterable[AttemptRow] | None = None,
    tokens: Iterable[TokenRow] | None = None,
) -> list[SignatureRow]:
    """List every signature of a store, the one that hit most runs first.

    Args:
        failures: Failures of the whole store.
        runs: Runs of the whole store.
        attempts: Attempts; without them `wall_s` is None.
        tokens: Token use; without it `tokens` is None.
    """
    groups: dict[str, list[FailureRow]] = {}
    for row in _in_time(failures):
        groups.setdefault(row.signature, []).append(row)
    workflows = {run.run_id: run.workflow for run in runs}
    configs = {run.run_id: run.config for run in runs}
    running = streaks((row for hit in groups.values() for row in hit), runs)
    spent = spending(attempts or (), tokens or ())
    unknown: dict[str, Any] = {name: None for name, given in (("wall_s", attempts), ("tokens", tokens)) if given is None}
    table = [
        _row(hit, workflows, running.get(signature, (0, None)), total(spent, list(map(attempt_key, hit))))._replace(
            versions=_versions(hit, configs), **unknown
        )
        for signature, hit in groups.items()
    ]
    return sorted(table, key=lambda row: (row.runs, row.count, row.last_at or 0), reverse=True)


def streaks(failures: Iterable[FailureRow], runs: Iterable[RunRow]) -> dict[str, tuple[int, str]]:
    """Find how many of a workflow's newest ended runs in a row met each signature: signature to (length, workflow), longest first."""
    met: dict[str, set[str]] = {}
    for row in failures:
        met.setdefault(row.run_id, set()).add(row.signature)
    longest: dict[str, tuple[int, str]] = {}
    ended = by_time(run for run in runs if is_own_run(run) and run.finished_at is not None)
    for workflow, members in groupby(sorted(ended, key=lambda run: run.workflow or ""), key=lambda run: run.workflow):
        unbroken: set[str] | None = None
        for length, run in enumerate(reversed(list(members)), start=1):
            unbroken = met.get(run.run_id, set()) & (met.get(run.run_id, set()) if unbroken is None else unbroken)
            if not unbroken or workflow is None:
                break
            for signature in unbroken:
                longest[signature] = max(longest.get(signature, (0, "")), (length, workflow))
    return longest


def root_of(run_id: str) -> str:
    """Name the run that somebody launched: a failure two subflows down, which each run on the way repeats, is one incident."""
    return run_id.partition(CHILD_MARK)[0] or run_id


def _in_time(failures: Iterable[FailureRow]) -> list[FailureRow]:
    """Sort failures by time, oldest first; those without one count as the oldest."""
    return sorted(failures, key=lambda row: (row.at or 0, row.run_id))


def _span(hit: Iterable[FailureRow]) -> tuple[int | None, int | None]:
    times = [row.at for row in hit if row.at is not None]
    return min(times, default=None), max(times, default=None)


def _versions(hit: Iterable[FailureRow], configs: Mapping[str, str | None]) -> str | None:
    """Name the versions of the agent CLI that met a failure, given oldest first: the first says since when."""
    sessions = (as_object(configs.get(run_id)).get("session") for run_id in dict.fromkeys(row.run_id for row in hit))
    named = [f"{told.get('cli') or ''} {told['version']}".strip() for told in sessions if isinstance(told, dict) and told.get("version")]
    versions = list(dict.fromkeys(named))
    if len(versions) > _MAX_VERSIONS:
        return f"{versions[0]} to {versions[-1]} ({len(versions)} versions)"
    return ", ".join(versions) or None


def _row(hit: Sequence[FailureRow], workflows: dict[str, str | None], streak: tuple[int, str | None], lost: Spent) -> SignatureRow:
    """Describe the failures of one signature, given oldest first."""
    first_at, last_at = _span(hit)
    places = {(workflows.get(row.run_id), row.node_id) for row in hit}
    return SignatureRow(
        signature=hit[-1].signature,
        failure_class=hit[-1].failure_class,
        code=next((row.code for row in reversed(hit) if row.code is not None), None),
        message=next((row.message for row in reversed(hit) if row.message is not None), None),
        count=len(hit),
        runs=len({root_of(row.run_id) for row in hit}),
        nodes=len(places),
        workflows=len({workflow for workflow, _ in places} - {None}),
        first_at=first_at,
        last_at=last_at,
        streak=streak[0],
        streak_of=streak[1],
        wall_s=lost.wall_s,
        tokens=lost.tokens,
    )
