"""How often the same failure came back: one signature, or a table of all.

Gets the failures frame of a whole store, with attempts and tokens when the cost is wanted, and gives counts, first and last time,
what was lost, and how long each workflow has been failing this way without a break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.diagnosis.failure.order import by_time, epoch_ms, is_own_run
from smithers_nb.diagnosis.history.cost import of_failures, spending
from smithers_nb.model.verdict import Recurrence

if TYPE_CHECKING:
    import pandas as pd

_NEWEST = 10


def recurrence(
    failures: pd.DataFrame,
    signature: str,
    tokens: pd.DataFrame | None = None,
    *,
    attempts: pd.DataFrame | None = None,
    repair_loop: str = "",
) -> Recurrence:
    """Tell how often a signature occurred.

    Args:
        failures: `FAILURES` frame of the whole store.
        signature: Signature to look for.
        tokens: `TOKENS` frame; without it no tokens are counted.
        attempts: `ATTEMPTS` frame; without it no time is counted.
        repair_loop: Why this looks like a repair loop, see `loops.repair_loop_of`.

    Returns:
        Counts of zero when the store has no such failure.
    """
    hit = failures[failures["signature"] == signature]
    newest = hit.sort_values(["at", "run_id"], ascending=False, kind="stable")["run_id"].drop_duplicates()
    lost = _lost(hit, attempts, tokens)
    return Recurrence(
        count=len(hit),
        runs=len(newest),
        run_ids=tuple(newest.head(_NEWEST)),
        first_at=epoch_ms(hit["at"].min()),
        last_at=epoch_ms(hit["at"].max()),
        wall_s=round(float(lost["wall_s"].sum()), 3),
        tokens=int(lost["tokens"].sum()),
        repair_loop=repair_loop,
    )


def signatures_table(
    failures: pd.DataFrame, runs: pd.DataFrame, *, attempts: pd.DataFrame | None = None, tokens: pd.DataFrame | None = None
) -> pd.DataFrame:
    """List every signature of a store, the one that hit most runs first.

    Args:
        failures: `FAILURES` frame of the whole store.
        runs: `RUNS` frame of the whole store.
        attempts: `ATTEMPTS` frame; without it `wall_s` is NA.
        tokens: `TOKENS` frame; without it `tokens` is NA.

    Returns:
        Columns `signature, failure_class, code, message` (those of the newest failure), `count` (failures), `runs`, `nodes`,
        `workflows` (how many of each it hit), `first_at, last_at`, `streak` (how many of a workflow's newest ended runs in a row met
        it; the longest such streak), `streak_of` (that workflow), `wall_s` (seconds lost), `tokens` (lost).
    """
    import pandas as pd

    ordered = failures.merge(runs[["run_id", "workflow"]], on="run_id", how="left").sort_values(["at", "run_id"], kind="stable")
    node = ordered["workflow"].fillna("") + "/" + ordered["node_id"].fillna("")
    grouped = ordered.assign(node=node).groupby("signature", sort=False)
    table = grouped.agg(
        failure_class=("failure_class", "last"),
        code=("code", "last"),
        message=("message", "last"),
        count=("run_id", "size"),
        runs=("run_id", "nunique"),
        nodes=("node", "nunique"),
        workflows=("workflow", "nunique"),
        first_at=("at", "min"),
        last_at=("at", "max"),
    ).reset_index()
    running = streaks(failures, runs)
    table["streak"] = pd.array([running.get(s, (0, None))[0] for s in table["signature"]], dtype="Int64")
    table["streak_of"] = pd.array([running.get(s, (0, None))[1] for s in table["signature"]], dtype="str")
    lost = _lost(failures, attempts, tokens).groupby("signature")[["wall_s", "tokens"]].sum().reindex(table["signature"], fill_value=0)
    table["wall_s"] = pd.array([None if attempts is None else float(wall) for wall in lost["wall_s"]], dtype="Float64")
    table["tokens"] = pd.array([None if tokens is None else int(used) for used in lost["tokens"]], dtype="Int64")
    return table.sort_values(["runs", "count", "last_at"], ascending=False, kind="stable", ignore_index=True)


def streaks(failures: pd.DataFrame, runs: pd.DataFrame) -> dict[str, tuple[int, str]]:
    """Find how many of a workflow's newest ended runs in a row met each signature: signature to (length, workflow), longest first."""
    met = failures.groupby("run_id")["signature"].agg(set).to_dict()
    longest: dict[str, tuple[int, str]] = {}
    ended = by_time(runs[is_own_run(runs) & runs["finished_at"].notna()])
    for workflow, ids in ended.groupby("workflow", sort=True)["run_id"]:
        unbroken: set[str] | None = None
        for length, run_id in enumerate(reversed(list(ids)), start=1):
            unbroken = met.get(run_id, set()) if unbroken is None else unbroken & met.get(run_id, set())
            if not unbroken:
                break
            for signature in unbroken:
                longest[signature] = max(longest.get(signature, (0, "")), (length, str(workflow)))
    return longest


def _lost(hit: pd.DataFrame, attempts: pd.DataFrame | None, tokens: pd.DataFrame | None) -> pd.DataFrame:
    """Give what each failed attempt cost: `signature`, `wall_s`, `tokens`; what is not given costs nothing."""
    from smithers_nb.frames import empty
    from smithers_nb.model.rows import TokenRow

    used = empty(TokenRow) if tokens is None else tokens
    known = used.assign(duration_s=0.0) if attempts is None else attempts
    return of_failures(spending(known[known["run_id"].isin(hit["run_id"])], used), hit)
