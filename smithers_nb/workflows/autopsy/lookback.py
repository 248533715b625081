"""What the whole store knows about a failure: the last good run, what changed since, how often it came back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.failure.order import began, by_time, is_own_run
from smithers_nb.diagnosis.history.gate_rounds import gate_rounds
from smithers_nb.diagnosis.history.last_good import changes_between, last_good
from smithers_nb.diagnosis.history.past_advice import tried_in_vain
from smithers_nb.diagnosis.history.recurrence import recurrence
from smithers_nb.diagnosis.history.repair_loops import repair_loop_of, repair_loops
from smithers_nb.diagnosis.history.workflow_families import by_family
from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.diagnosis.state.stagnation import stagnant_nodes
from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import ApprovalRow, AttemptRow, FailureRow, OutputRow, RunRow, TokenRow
from smithers_nb.model.verdict import Change, LastGoodRun, PastRun, Recurrence

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.base import Source

_LOOP_CAP = "RALPH_MAX_REACHED"
_RECENT = 20
_MAX_RUNS = 400
"""Runs whose time and tokens are added up; the newest ones."""


class Past(NamedTuple):
    """What history says.

    Attributes:
        tried: Suggestions that were followed before, after which the same failure came back.
        recent: The newest runs of the workflow and, if it is not among them, the run itself; oldest first.
    """

    last_good_run: LastGoodRun | None
    changed_since: tuple[Change, ...]
    recurrence: Recurrence
    tried: frozenset[Suggestion]
    recent: tuple[PastRun, ...]


def look_back(source: Source, run_id: str, signature: str, now: int) -> Past:
    """Ask the whole store about a failure.

    Args:
        source: The store.
        run_id: The run that was asked about.
        signature: Signature of its failure; none gives no recurrence.
        now: Leave out what failed after this epoch millisecond.

    Raises:
        SourceVanished: The store is gone.
    """
    runs = source.rows(RunRow)
    failed = failure_rows(source, now=now)
    return Past(
        *_last_good(source, runs, run_id),
        _recurrence(source, runs, failed, run_id, signature),
        tried_in_vain(source, run_id, signature, now),
        _recent(runs, {row.run_id for row in failed if row.signature == signature}, run_id, now),
    )


def _recent(runs: Sequence[RunRow], met: Collection[str], run_id: str, now: int) -> tuple[PastRun, ...]:
    workflow = next((run.workflow for run in runs if run.run_id == run_id), None)
    own = by_time(run for run in runs if run.workflow == workflow and is_own_run(run) and (began(run) or 0) <= now)
    shown = own[-_RECENT:]
    shown = [*(run for run in own[:-_RECENT] if run.run_id == run_id), *shown]
    return tuple(PastRun(run_id=run.run_id, state=run_state(run, now), same=run.run_id in met) for run in shown)


def _last_good(source: Source, runs: Sequence[RunRow], run_id: str) -> tuple[LastGoodRun | None, tuple[Change, ...]]:
    try:
        good = last_good(runs, run_id)
        return good, changes_between(source, good.run_id, run_id) if good else ()
    except RunNotFound:  # its row is damaged; the source has said so among its problems
        return None, ()


def _recurrence(source: Source, runs: Sequence[RunRow], failed: Sequence[FailureRow], run_id: str, signature: str) -> Recurrence:
    hit = sorted((row for row in failed if row.signature == signature), key=lambda row: -(row.at or 0))
    if not hit:
        return Recurrence()
    only = {"run_id": list(dict.fromkeys(row.run_id for row in hit))[:_MAX_RUNS]}
    workflow = next((run.workflow for run in runs if run.run_id == run_id), None) or ""
    loop = repair_loop_of(repair_loops(runs, failed), workflow, signature)
    gates = _unchanged_gates(source, runs, workflow) if loop else ()
    return recurrence(
        hit,
        signature,
        source.rows(TokenRow, only=only),
        attempts=source.rows(AttemptRow, only=only),
        repair_loop="; ".join(filter(None, (loop, *gates, *_stagnation(source, run_id)))),
    )


def _unchanged_gates(source: Source, runs: Sequence[RunRow], workflow: str) -> Iterator[str]:
    """Explain which gates stayed red over the newest rounds of a repair loop."""
    family = next((members for members in by_family(runs).values() if any(run.workflow == workflow for run in members)), [])[-_MAX_RUNS:]
    only = {"run_id": [run.run_id for run in family]}
    for rounds in gate_rounds(family, source.rows(OutputRow, only=only), source.rows(ApprovalRow, only=only)):
        yield rounds.reason


def _stagnation(source: Source, run_id: str) -> Iterator[str]:
    """Explain which nodes of a loop that ran out of iterations produced the same over and over."""
    if not source.rows(RunRow, run_id, only={"error_code": [_LOOP_CAP]}):
        return
    for node in stagnant_nodes(source.rows(OutputRow, run_id)):
        yield f"{node.node_id} gave the same output in {node.iterations} iterations in a row"
