"""Several failures in one run: which one is a symptom of another, and what else failed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.text.quotes import of_attempt

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Evidence

ALSO_FAILED: Final = "also failed"
"""Note on the evidence for another failure next to the one that mattered."""

EARLIER: Final = "an earlier attempt failed otherwise"
"""Note on the evidence for a failure of the same task before the one that mattered."""

_MAX_QUOTED: Final = 4
_LOCAL: Final = re.compile(r"127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0|/var/run/|\.sock\b|host\.docker\.internal", re.IGNORECASE)
_NO_ANSWER: Final = re.compile(
    r"ECONNREFUSED|refused|ETIMEDOUT|timed? ?out|unable to connect|could not connect|not reachable", re.IGNORECASE
)
_STARTS: Final = re.compile(r"^(?:start|launch|boot|serve|spawn|bring-up|deploy)(?![a-z])", re.IGNORECASE)
"""The name of a task whose purpose is to start something."""

_NOT_STARTED: Final = re.compile(
    r"EADDRINUSE|address already in use|(?:failed|unable|could not|cannot) (?:to )?(?:start|launch|spawn|boot|bind|listen|run)"
    r"|did not (?:start|come up|become (?:ready|healthy))|(?:not|never) (?:ready|healthy|started)|unhealthy|exited (?:with|early|before)"
    r"|exit(?:ed)? (?:code|status) \d|command not found|\bENOENT\b|port is already|no such image|pull access denied|no space left"
    r"|out of memory",
    re.IGNORECASE,
)

K = TypeVar("K")


def failed_start(failed: Mapping[K, list[AttemptRow]], first: K) -> K | None:
    """Return the node that failed to start something, when the first failure only says that nothing on this machine answers.

    Args:
        failed: Failed attempts by node.
        first: The node that failed first.
    """
    errors = {key: f"{tries[-1].error_code or ''} {tries[-1].error or tries[-1].error_message or ''}" for key, tries in failed.items()}
    if not (_LOCAL.search(errors[first]) and _NO_ANSWER.search(errors[first])):
        return None
    others = [(key, text) for key, text in errors.items() if key != first and not _NO_ANSWER.search(text)]
    return next((key for key, text in others if _NOT_STARTED.search(text) or _STARTS.match(failed[key][-1].node_id)), None)


def other_failures(failed: Mapping[K, list[AttemptRow]], root: K) -> Iterator[Evidence]:
    """Yield quotes of what else failed, so that a reader can check that it was a consequence."""
    others = [max(attempts, key=by_start) for key, attempts in failed.items() if key != root]
    yield from (attempt_evidence(last, ALSO_FAILED) for last in others[:_MAX_QUOTED])


def earlier_failures(attempts: Sequence[AttemptRow], signatures: Sequence[str]) -> Iterator[Evidence]:
    """Yield quotes of what earlier attempts failed with where it was something else, each kind of error once.

    Args:
        attempts: Failed attempts of one task, oldest first.
        signatures: Fingerprints of their errors.
    """
    kinds = {signatures[-1]}
    for attempt, kind in zip(attempts[:-1], signatures, strict=False):
        if kind not in kinds and len(kinds) < _MAX_QUOTED:
            kinds.add(kind)
            yield attempt_evidence(attempt, EARLIER)


def attempt_evidence(attempt: AttemptRow, note: str = "") -> Evidence:
    """Return a quote of an attempt's error."""
    return of_attempt(attempt, note or f"state {attempt.state}", attempt.error_message or attempt.error)
