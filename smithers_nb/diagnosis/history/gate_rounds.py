"""Gate results over the rounds of a piece of work.

Gets runs, outputs and approvals and reads what each run said about being done: boolean columns such as `passed` or `ok`, worded
verdicts, and people's decisions. Gives one table per family of workflows, run by run, and says when nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.history.repair_loops import SEVERAL
from smithers_nb.diagnosis.history.workflow_families import by_family
from smithers_nb.diagnosis.text.conventions import words
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, OutputRow, RunRow

_DECIDED = {"approved": True, "denied": False}


class GateRound(Finding):
    """What the gates of one run said, in the order of `GateRounds.gates`; none for a gate that it did not get to."""

    run_id: str
    at: int | None = described("start of the run, epoch milliseconds", default=None)
    results: tuple[bool | None, ...] = ()


class GateRounds(Finding):
    """Gate results of a family of workflows, oldest run first."""

    family: str
    gates: tuple[str, ...] = described("`NODE.COLUMN` of each gate")
    rounds: tuple[GateRound, ...]
    unchanged: int = described("newest rounds in a row with the same results, something still red among them")
    stagnated: bool = described("that has lasted for several rounds")
    reason: str = described("the same in plain words, when it has stagnated", default="")


def gate_rounds(
    runs: Iterable[RunRow], outputs: Iterable[OutputRow], approvals: Iterable[ApprovalRow], *, several: int = SEVERAL
) -> tuple[GateRounds, ...]:
    """Read the gates of every run, grouped by family of workflows.

    Args:
        runs: Runs of the whole store.
        outputs: What their nodes produced; of a node in a loop the last iteration counts.
        approvals: Their gates; one that is still open has no result.
        several: From how many rounds on unchanged results are stagnation.

    Returns:
        Families of which some run had a gate, by name.
    """
    results = _results(outputs, approvals)
    found = (_rounds(family, members, results, several) for family, members in by_family(runs).items())
    return tuple(rounds for rounds in found if rounds)


def _results(outputs: Iterable[OutputRow], approvals: Iterable[ApprovalRow]) -> dict[str, dict[str, bool]]:
    """Map each run to its gates and what they said last."""
    results: dict[str, dict[str, bool]] = {}
    for row in sorted(outputs, key=lambda row: row.iteration):
        for column, result in _gates_in(row.row):
            results.setdefault(row.run_id, {})[f"{logical_id(row.node_id)}.{column}"] = result
    for gate in approvals:
        if gate.status in _DECIDED:
            results.setdefault(gate.run_id, {})[f"{logical_id(gate.node_id)}.approved"] = _DECIDED[gate.status]
    return results


def _gates_in(row: str | None) -> Iterator[tuple[str, bool]]:
    for column, said in as_object(row).items():
        result = _read(column.lower(), said)
        if result is not None:
            yield column, result


def _read(column: str, said: Any) -> bool | None:
    if column in words("gates", "flags") or column.endswith(words("gates", "flag_ends")):
        return bool(said) if isinstance(said, bool) or said in (0, 1) else None
    if column in words("gates", "worded") and isinstance(said, str):
        word = said.strip().lower().replace("-", "_").replace(" ", "_")
        return True if word in words("gates", "yes") else False if word in words("gates", "no") else None
    return None


def _rounds(family: str, members: Sequence[RunRow], results: dict[str, dict[str, bool]], several: int) -> GateRounds | None:
    judged = [run for run in members if run.run_id in results]
    if not judged:
        return None
    gates = tuple(sorted({gate for run in judged for gate in results[run.run_id]}))
    rounds = tuple(
        GateRound(run_id=run.run_id, at=run.started_at, results=tuple(results[run.run_id].get(gate) for gate in gates)) for run in judged
    )
    unchanged = _unchanged(rounds)
    red = [gate for gate, said in zip(gates, rounds[-1].results, strict=True) if said is False]
    reason = f"{', '.join(red)} stayed red and nothing else changed over {unchanged} runs" if unchanged >= several else ""
    return GateRounds(family=family, gates=gates, rounds=rounds, unchanged=unchanged, stagnated=unchanged >= several, reason=reason)


def _unchanged(rounds: Sequence[GateRound]) -> int:
    newest = rounds[-1].results
    if False not in newest:
        return 0
    differing = (place for place, one in enumerate(reversed(rounds)) if one.results != newest)
    return next(differing, len(rounds))
