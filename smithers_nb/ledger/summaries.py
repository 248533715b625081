"""Failures in plain language, next to the raw reason: only for long output and for errors that differ, never for simple codes.

The summary written when a bead fails is deterministic: the most telling line of the output, and the hint of a known pattern. A provider's
summary may replace it (`workflows.bead_summary`). Either way the text is redacted first.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import sqlalchemy as sa

from smithers_nb.diagnosis.failure.excerpt import telling_line
from smithers_nb.engine.journal.work_items import bead_events, bead_summaries
from smithers_nb.ledger.queries import failure_of
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.model.failure_reason import FailureReason

DETERMINISTIC: Final = "deterministic"
"""The author of summaries that no provider wrote."""

LONG: Final = 400
_ELIGIBLE: Final = frozenset({"agent_crashed", "container_start_failed", "dispatch_exhausted", "refinery_dispatch_exhausted"})
_HINTS: Final = (
    (r"cannot find module '?([^'\s]+)", "The module {0} could not be found: the dependency is not installed, or the import path is wrong."),
    (r"no module named '?([\w.]+)", "The module {0} could not be found: the dependency is not installed, or the import path is wrong."),
    (r"out of memory|oom|heap limit", "The process needed more memory than it was allowed."),
    (r"timed? ?out|timeout", "Something that it waited for did not answer in time."),
    (r"econnrefused|connection refused", "A service that it needs does not listen."),
    (r"enospc|no space left", "The disk is full."),
    (r"permission denied|eacces", "It was not allowed to read or write something that it needs."),
    (r"rate.?limit|\b429\b", "A service limited how often it may be asked."),
)


class Subject(NamedTuple):
    """The failure that a summary is about.

    Attributes:
        event_seq: Event that recorded it.
        facts: Its output or errors, redacted.
        why_eligible: Why its message alone is not enough.
    """

    event_seq: int
    facts: str
    why_eligible: str

    @property
    def digest(self) -> str:
        """A short hash of the facts."""
        return hashlib.sha256(self.facts.encode()).hexdigest()[:16]


def why_eligible(reason: FailureReason) -> str | None:
    """Return why a failure deserves plain words; None when its message says all."""
    if reason.code not in _ELIGIBLE:
        return None
    distinct = reason.details.get("distinct_errors", 0)
    if distinct > 1:
        return f"{distinct} different errors"
    if reason.code in ("agent_crashed", "container_start_failed"):
        said = str(reason.details.get("reason") or reason.details.get("error") or "")
        return f"{len(said)} characters of output" if len(said) > LONG else None
    return None


def subject_of(connection: sa.Connection, bead_id: str) -> Subject | None:
    """Return the newest failure of a bead; None when there is none, or when its message says everything."""
    reason = failure_of(connection, bead_id)
    eligible = None if reason is None else why_eligible(reason)
    if reason is None or eligible is None:
        return None
    query = sa.select(sa.func.max(bead_events.c.seq)).where(bead_events.c.bead_id == bead_id, bead_events.c.move == "fail")
    return Subject(connection.execute(query).scalar_one(), redact(_facts(reason)), eligible)


def summarise(ledger: Ledger, connection: sa.Connection, bead_id: str) -> None:
    """Write the deterministic summary of a bead's newest failure, if it needs one and has none."""
    subject = subject_of(connection, bead_id)
    if subject is not None and author_of(connection, subject) is None:
        store(ledger, connection, subject, plain_words(subject.facts), DETERMINISTIC)


def author_of(connection: sa.Connection, subject: Subject) -> str | None:
    """Return who wrote the summary of a failure; None when it has none."""
    query = sa.select(bead_summaries.c.model).where(bead_summaries.c.event_seq == subject.event_seq)
    return connection.execute(query).scalar()


def store(ledger: Ledger, connection: sa.Connection, subject: Subject, text: str, author: str) -> None:
    """Store the summary of a failure in place of an earlier one."""
    connection.execute(bead_summaries.delete().where(bead_summaries.c.event_seq == subject.event_seq))
    row = {"text": text, "model": author, "prompt_hash": subject.digest, "why_eligible": subject.why_eligible}
    connection.execute(bead_summaries.insert().values(event_seq=subject.event_seq, at_ms=ledger.now(), **row))


def plain_words(facts: str) -> str:
    """Return the most telling line of an output, and what is known about its kind."""
    last = telling_line(facts) or next((line.strip() for line in reversed(facts.splitlines()) if line.strip()), "nothing was said")
    last = last[:300]
    for pattern, hint in _HINTS:
        found = re.search(pattern, last, re.IGNORECASE) or re.search(pattern, facts, re.IGNORECASE)
        if found:
            return f"{hint.format(*found.groups())} It said: {last}"
    return f"It ended with: {last}"


def _facts(reason: FailureReason) -> str:
    errors = [f"attempt {one['n']}: {one['error']}" for one in reason.details.get("errors", ())]
    return "\n".join([str(reason.details.get("reason") or reason.details.get("error") or reason.message), *errors])
