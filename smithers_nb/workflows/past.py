"""What the whole store knows about a failure: the last good run, what changed since, how often it came back.

The only part of an autopsy that needs frames, so pandas is imported here and when this is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import AttemptRow, RunRow, TokenRow
from smithers_nb.model.verdict import Change, LastGoodRun, Recurrence

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.base import Source

_MOST_RUNS = 400
"""Runs whose time and tokens are added up; the newest ones."""


class Past(NamedTuple):
    """What history says.

    Attributes:
        tried: Suggestions that were followed before, after which the same failure came back.
    """

    last_good_run: LastGoodRun | None
    changed_since: tuple[Change, ...]
    recurrence: Recurrence
    tried: frozenset[Suggestion] = frozenset()


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
    from smithers_nb.diagnosis.history import changes_between, last_good

    runs = source.frame(RunRow)
    try:
        good = last_good(runs, run_id)
        changes = changes_between(source, good.run_id, run_id) if good else ()
    except RunNotFound:  # its row is damaged; the source has said so among its problems
        good, changes = None, ()
    return Past(good, changes, _recurrence(source, signature, now))


def _recurrence(source: Source, signature: str, now: int) -> Recurrence:
    from smithers_nb.diagnosis.failures import failures
    from smithers_nb.diagnosis.recurrence import recurrence

    if not signature:
        return Recurrence()
    failed = failures(source, now=now)
    hit = failed.loc[failed["signature"] == signature].sort_values("at", ascending=False)
    only = {"run_id": list(hit["run_id"].drop_duplicates().head(_MOST_RUNS))}
    attempts, tokens = (source.frame(row, only=only) for row in (AttemptRow, TokenRow))
    return recurrence(failed, signature, tokens, attempts=attempts)
