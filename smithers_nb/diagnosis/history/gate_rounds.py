"""Gate results over the rounds of a piece of work.

Gets runs, outputs and approvals and reads what each run said about being done: boolean columns such as `passed` or `ok`, worded
verdicts, and people's decisions. Gives one table per family of workflows, run by run, and says when nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.failure.order import by_time, epoch_ms, is_own_run
from smithers_nb.diagnosis.history.repair_loops import SEVERAL
from smithers_nb.diagnosis.history.run_profile import records
from smithers_nb.diagnosis.history.workflow_families import families
from smithers_nb.diagnosis.text.conventions import words
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    import pandas as pd

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


def gate_rounds(runs: pd.DataFrame, outputs: pd.DataFrame, approvals: pd.DataFrame, *, several: int = SEVERAL) -> tuple[GateRounds, ...]:
    """Read the gates of every run, grouped by family of workflows.

    Args:
        runs: `RUNS` frame of the whole store.
        outputs: `OUTPUTS` frame; of a node in a loop the last iteration counts.
        approvals: `APPROVALS` frame; a gate that is still open has no result.
        several: From how many rounds on unchanged results are stagnation.

    Returns:
        Families of which some run had a gate, by name.
    """
    own = by_time(runs[is_own_run(runs) & runs["workflow"].notna()])
    stems = families(own["workflow"].unique())
    results = _results(outputs, approvals)
    grouped = own.groupby(own["workflow"].map(stems), sort=True)
    found = (_rounds(str(family), records(members[["run_id", "started_at"]]), results, several) for family, members in grouped)
    return tuple(rounds for rounds in found if rounds)


def _results(outputs: pd.DataFrame, approvals: pd.DataFrame) -> dict[str, dict[str, bool]]:
    """Map each run to its gates and what they said last."""
    results: dict[str, dict[str, bool]] = {}
    for row in sorted(records(outputs[["run_id", "node_id", "iteration", "row"]]), key=lambda row: row["iteration"]):
        for column, said in _gates_in(row["row"]):
            results.setdefault(row["run_id"], {})[f"{logical_id(row['node_id'])}.{column}"] = said
    for row in records(approvals[["run_id", "node_id", "status"]]):
        if row["status"] in _DECIDED:
            results.setdefault(row["run_id"], {})[f"{logical_id(row['node_id'])}.approved"] = _DECIDED[row["status"]]
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


def _rounds(family: str, members: Sequence[dict[str, Any]], results: dict[str, dict[str, bool]], several: int) -> GateRounds | None:
    judged = [run for run in members if run["run_id"] in results]
    if not judged:
        return None
    gates = tuple(sorted({gate for run in judged for gate in results[run["run_id"]]}))
    rounds = tuple(
        GateRound(run_id=run["run_id"], at=epoch_ms(run["started_at"]), results=tuple(results[run["run_id"]].get(gate) for gate in gates))
        for run in judged
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
