"""What runs and their failures cost in time and tokens.

Gets rows and gives one `Cost`. Wall time is that of attempts, added up: parallel ones count each. Tokens are input plus output as
reported per attempt; cache reads and reasoning are parts of these and not added again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from smithers_nb.model.finding import Finding, described

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, FailureRow, TokenRow

AttemptKey: TypeAlias = tuple[str, str | None, int | None, int | None]


class Cost(Finding):
    """Time and tokens of some attempts, and how much of it went into those that failed."""

    runs: int = described("runs counted", default=0)
    attempts: int = described("attempts counted", default=0)
    wall_s: float = described("seconds of all attempts", default=0.0)
    tokens: int = described("input and output tokens of all attempts", default=0)
    failed_attempts: int = described("attempts that failed", default=0)
    failed_wall_s: float = described("seconds of failed attempts", default=0.0)
    failed_tokens: int = described("tokens of failed attempts", default=0)


class Spent(NamedTuple):
    """Seconds and tokens; what is not known counts as nothing."""

    wall_s: float = 0.0
    tokens: int = 0


def cost(
    attempts: Sequence[AttemptRow],
    tokens: Iterable[TokenRow],
    failures: Sequence[FailureRow],
    *,
    run_id: str | None = None,
    signature: str | None = None,
) -> Cost:
    """Add up what a run, a signature, or everything given cost.

    Args:
        attempts: Attempts of the runs.
        tokens: Their token use (maximum per attempt); may be empty.
        failures: Which attempts failed, and with which signature.
        run_id: Count this run only.
        signature: Count only the runs that met this signature, and as failed only its attempts.
    """
    failed = [row for row in failures if signature in {None, row.signature}]
    wanted = {row.run_id for row in (attempts if signature is None else failed) if run_id in {None, row.run_id}}
    spent = spending(attempts, tokens)
    tries = [key for key in map(attempt_key, attempts) if key[0] in wanted]
    whole, lost = total(spent, tries), total(spent, failed_keys := [key for key in map(attempt_key, failed) if key in set(tries)])
    return Cost(
        runs=len({key[0] for key in tries}),
        attempts=len(tries),
        wall_s=whole.wall_s,
        tokens=whole.tokens,
        failed_attempts=len(failed_keys),
        failed_wall_s=lost.wall_s,
        failed_tokens=lost.tokens,
    )


def attempt_key(row: AttemptRow | TokenRow | FailureRow) -> AttemptKey:
    """Return the key of the attempt that a row is about."""
    return row.run_id, row.node_id, row.iteration, row.attempt


def spending(attempts: Iterable[AttemptRow], tokens: Iterable[TokenRow]) -> dict[AttemptKey, Spent]:
    """Map attempts to what each cost."""
    spent = {attempt_key(row): Spent(row.duration_s or 0.0) for row in attempts}
    for row in tokens:
        before = spent.get(attempt_key(row), Spent())
        spent[attempt_key(row)] = before._replace(tokens=before.tokens + (row.input_tokens or 0) + (row.output_tokens or 0))
    return spent


def total(spent: dict[AttemptKey, Spent], keys: Collection[AttemptKey]) -> Spent:
    """Add up what some attempts cost; the failure of a run itself has no attempt and costs nothing."""
    found = [spent[key] for key in keys if key in spent]
    return Spent(sum((one.wall_s for one in found), 0.0), sum(one.tokens for one in found))
