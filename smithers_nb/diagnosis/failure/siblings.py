"""Several failures in one run: which is a symptom of which, and what else failed.

Gets the attempts that failed, by node, the cause being not yet known; says nothing about a failure that it has no reason for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.model.verdict import Evidence

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow

ALSO_FAILED: Final = "also failed"
"""Note of the evidence for a failure beside the one that mattered."""

EARLIER: Final = "an earlier attempt failed otherwise"
"""Note of the evidence for a failure of the same task before the one that mattered."""

_MAX_BESIDE: Final = 4
_LOCAL: Final = re.compile(r"127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0|/var/run/|\.sock\b|host\.docker\.internal", re.IGNORECASE)
_NO_ANSWER: Final = re.compile(
    r"ECONNREFUSED|refused|ETIMEDOUT|timed? ?out|unable to connect|could not connect|not reachable", re.IGNORECASE
)
_STARTS: Final = re.compile(r"^(?:start|launch|boot|serve|spawn|bring-up|deploy)(?![a-z])", re.IGNORECASE)
"""A task that is there to start something, by its name."""

_NOT_STARTED: Final = re.compile(
    r"EADDRINUSE|address already in use|(?:failed|unable|could not|cannot) (?:to )?(?:start|launch|spawn|boot|bind|listen|run)"
    r"|did not (?:start|come up|become (?:ready|healthy))|(?:not|never) (?:ready|healthy|started)|unhealthy|exited (?:with|early|before)"
    r"|exit(?:ed)? (?:code|status) \d|command not found|\bENOENT\b|port is already|no such image|pull access denied|no space left"
    r"|out of memory",
    re.IGNORECASE,
)

K = TypeVar("K")


def what_did_not_start(failed: Mapping[K, list[AttemptRow]], first: K) -> K | None:
    """Find the failure to start something, where the first failure only says that nothing on this machine answers.

    Args:
        failed: Attempts that failed, by node.
        first: The node that failed first.
    """
    said = {key: f"{tries[-1].error_code or ''} {tries[-1].error or tries[-1].error_message or ''}" for key, tries in failed.items()}
    if not (_LOCAL.search(said[first]) and _NO_ANSWER.search(said[first])):
        return None
    others = [(key, text) for key, text in said.items() if key != first and not _NO_ANSWER.search(text)]
    return next((key for key, text in others if _NOT_STARTED.search(text) or _STARTS.match(failed[key][-1].node_id)), None)


def beside(failed: Mapping[K, list[AttemptRow]], root: K) -> Iterator[Evidence]:
    """Quote what else failed, so that nobody has to take its being a consequence on trust."""
    others = [max(attempts, key=by_start) for key, attempts in failed.items() if key != root]
    yield from (attempt_evidence(last, ALSO_FAILED) for last in others[:_MAX_BESIDE])


def earlier(attempts: Sequence[AttemptRow], signatures: Sequence[str]) -> Iterator[Evidence]:
    """Quote what attempts before the last failed with, where it was something else; each kind of error once.

    Args:
        attempts: Attempts of one task that failed, the oldest first.
        signatures: The fingerprints of their errors.
    """
    kinds = {signatures[-1]}
    for attempt, kind in zip(attempts[:-1], signatures, strict=False):
        if kind not in kinds and len(kinds) < _MAX_BESIDE:
            kinds.add(kind)
            yield attempt_evidence(attempt, EARLIER)


def attempt_evidence(attempt: AttemptRow, note: str = "") -> Evidence:
    """Quote the error of an attempt."""
    ref = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
    return Evidence(ref=ref, quote=excerpt(attempt.error_message or attempt.error or attempt.state), note=note or f"state {attempt.state}")
