"""What runs and their failures cost in time and tokens.

Gets frames and gives one `Cost`. Wall time is that of attempts, added up: parallel ones count each. Tokens are input plus output as
reported per attempt; cache reads and reasoning are parts of these and not added again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.model.finding import Finding, described

if TYPE_CHECKING:
    import pandas as pd

ATTEMPT_KEY = ["run_id", "node_id", "iteration", "attempt"]


class Cost(Finding):
    """Time and tokens of some attempts, and how much of it went into those that failed."""

    runs: int = described("runs counted", default=0)
    attempts: int = described("attempts counted", default=0)
    wall_s: float = described("seconds of all attempts", default=0.0)
    tokens: int = described("input and output tokens of all attempts", default=0)
    failed_attempts: int = described("attempts that failed", default=0)
    failed_wall_s: float = described("seconds of failed attempts", default=0.0)
    failed_tokens: int = described("tokens of failed attempts", default=0)


def cost(
    attempts: pd.DataFrame, tokens: pd.DataFrame, failures: pd.DataFrame, *, run_id: str | None = None, signature: str | None = None
) -> Cost:
    """Add up what a run, a signature, or everything given cost.

    Args:
        attempts: `ATTEMPTS` frame.
        tokens: `TOKENS` frame (maximum per attempt); may be empty.
        failures: `FAILURES` frame; says which attempts failed, and with which signature.
        run_id: Count this run only.
        signature: Count only the runs that met this signature, and as failed only its attempts.
    """
    failed = failures if signature is None else failures[failures["signature"] == signature]
    wanted = set(failed["run_id"]) if signature is not None else set(attempts["run_id"])
    wanted &= {run_id} if run_id is not None else wanted
    spent = spending(attempts[attempts["run_id"].isin(wanted)], tokens)
    lost = of_failures(spent, failed)
    return Cost(
        runs=spent["run_id"].nunique(),
        attempts=len(spent),
        wall_s=float(spent["wall_s"].sum()),
        tokens=int(spent["tokens"].sum()),
        failed_attempts=len(lost),
        failed_wall_s=float(lost["wall_s"].sum()),
        failed_tokens=int(lost["tokens"].sum()),
    )


def spending(attempts: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Give one row per attempt: its key, `wall_s` in seconds and `tokens`; what is not known counts as nothing."""
    used = tokens[ATTEMPT_KEY].assign(tokens=tokens["input_tokens"].fillna(0) + tokens["output_tokens"].fillna(0))
    spent = attempts[ATTEMPT_KEY].assign(wall_s=attempts["duration_s"].fillna(0.0))
    joined = spent.merge(used.groupby(ATTEMPT_KEY, as_index=False, dropna=True).sum(), on=ATTEMPT_KEY, how="left")
    return joined.assign(tokens=joined["tokens"].fillna(0))


def of_failures(spent: pd.DataFrame, failures: pd.DataFrame) -> pd.DataFrame:
    """Keep the attempts that are in a frame of failures; failures of a run itself have none."""
    keys = failures.loc[failures["attempt"].notna(), [*ATTEMPT_KEY, "signature"]]
    return spent.merge(keys, on=ATTEMPT_KEY, how="inner")
