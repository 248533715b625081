"""What the whole store knows about a failure: the last good run, what changed since, how often it came back.

The only part of an autopsy that needs frames, so pandas is imported here and when this is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.history.past_advice import tried_in_vain
from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import ApprovalRow, AttemptRow, FailureRow, OutputRow, RunRow, TokenRow
from smithers_nb.model.verdict import Change, LastGoodRun, Recurrence

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.base import Source

_LOOP_CAP = "RALPH_MAX_REACHED"
_MAX_RUNS = 400
"""Runs whose time and tokens are added up; the newest ones."""


class Past(NamedTuple):
    """What history says.

    Attributes:
        tried: Suggestions that were followed before, after which the same failure came back.
    """

    last_good_run: LastGoodRun | None
    changed_since: tuple[Change, ...]
    recurrence: Recurrence
    tried: frozenset[Suggestion]


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
    runs = source.frame(RunRow)
    failed = [row for row in failure_rows(source) if (row.at or 0) <= now]
    return Past(
        *_last_good(source, runs, run_id),
        _recurrence(source, runs, failed, run_id, signature),
        tried_in_vain(source, run_id, signature, now),
    )


def _last_good(source: Source, runs: pd.DataFrame, run_id: str) -> tuple[LastGoodRun | None, tuple[Change, ...]]:
    from smithers_nb.diagnosis.history.last_good import changes_between, last_good

    try:
        good = last_good(runs, run_id)
        return good, changes_between(source, good.run_id, run_id) if good else ()
    except RunNotFound:  # its row is damaged; the source has said so among its problems
        return None, ()


def _recurrence(source: Source, runs: pd.DataFrame, failed: Sequence[FailureRow], run_id: str, signature: str) -> Recurrence:
    from smithers_nb.diagnosis.history.recurrence import recurrence
    from smithers_nb.diagnosis.history.repair_loops import repair_loop_of, repair_loops
    from smithers_nb.frames import frame_from_rows

    hit = sorted((row for row in failed if row.signature == signature), key=lambda row: -(row.at or 0))
    if not hit:
        return Recurrence()
    only = {"run_id": list(dict.fromkeys(row.run_id for row in hit))[:_MAX_RUNS]}
    attempts, tokens = source.frame(AttemptRow, only=only), source.frame(TokenRow, only=only)
    frame = frame_from_rows(FailureRow, failed)
    workflow = next(iter(runs.loc[runs["run_id"] == run_id, "workflow"].dropna()), "")
    loop = repair_loop_of(repair_loops(runs, frame), workflow, signature)
    told = "; ".join(filter(None, (loop, *_unchanged_gates(source, runs, workflow, looping=bool(loop)), *_stagnation(source, run_id))))
    return recurrence(frame, signature, tokens, attempts=attempts, repair_loop=told)


def _unchanged_gates(source: Source, runs: pd.DataFrame, workflow: str, *, looping: bool) -> Iterator[str]:
    """Say which gates stayed red over the rounds of a repair loop."""
    from smithers_nb.diagnosis.history.gate_rounds import gate_rounds
    from smithers_nb.diagnosis.history.workflow_families import families

    if not looping:
        return
    stems = families(runs["workflow"].dropna().unique())
    family = runs[runs["workflow"].map(stems) == stems.get(workflow)]
    only = {"run_id": family["run_id"].tolist()[-_MAX_RUNS:]}
    for rounds in gate_rounds(family, source.frame(OutputRow, only=only), source.frame(ApprovalRow, only=only)):
        yield rounds.reason


def _stagnation(source: Source, run_id: str) -> Iterator[str]:
    """Say which nodes of a loop that ran out of iterations produced the same over and over."""
    from smithers_nb.diagnosis.history.repair_loops import stagnant_nodes

    if not source.rows(RunRow, run_id, only={"error_code": [_LOOP_CAP]}):
        return
    for node in stagnant_nodes(source.frame(OutputRow, run_id)):
        yield f"{node.node_id} gave the same output in {node.iterations} iterations in a row"
