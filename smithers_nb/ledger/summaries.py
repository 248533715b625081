"""Failures in plain language, beside the raw reason and only where it is long or differs: never for a code that says all by itself.

Deterministic without a provider: the most telling line of the output, and a known pattern's hint. The text is redacted first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from smithers_nb.diagnosis.failure.excerpt import telling_line
from smithers_nb.engine.journal.work_items import bead_events, bead_summaries
from smithers_nb.ledger.queries import failure_of
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger
    from smithers_nb.model.failure_reason import FailureReason

Writer = Callable[[str], str]
"""Takes the redacted facts and gives one or two sentences; what it raises leaves the deterministic summary in place."""

LONG: Final = 400
_ELIGIBLE: Final = frozenset({"agent_crashed", "container_start_failed", "dispatch_exhausted", "refinery_dispatch_exhausted"})
_HINTS: Final = (
    (r"cannot find module '([^']+)'", "The module {0} could not be found: the dependency is not installed, or the import path is wrong."),
    (r"no module named '?([\w.]+)", "The module {0} could not be found: the dependency is not installed, or the import path is wrong."),
    (r"out of memory|oom|heap limit", "The process needed more memory than it was allowed."),
    (r"timed? ?out|timeout", "Something that it waited for did not answer in time."),
    (r"econnrefused|connection refused", "A service that it needs does not listen."),
    (r"enospc|no space left", "The disk is full."),
    (r"permission denied|eacces", "It was not allowed to read or write something that it needs."),
    (r"rate.?limit|\b429\b", "A service limited how often it may be asked."),
)


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


def summarise(ledger: Ledger, connection: sa.Connection, bead_id: str, write: Writer | None = None) -> str | None:
    """Write the summary of a bead's newest failure, once, and return it; a provider's replaces the deterministic one. None for no need.

    Args:
        ledger: Gives the time.
        connection: A transaction of `Ledger.writing`.
        bead_id: A bead that failed.
        write: A provider; without one, or when it fails, the words are the deterministic ones.
    """
    reason = failure_of(connection, bead_id)
    eligible = None if reason is None else why_eligible(reason)
    if reason is None or eligible is None:
        return None
    query = sa.select(sa.func.max(bead_events.c.seq)).where(bead_events.c.bead_id == bead_id, bead_events.c.move == "fail")
    seq = connection.execute(query).scalar_one()
    mine = bead_summaries.c.event_seq == seq
    known = connection.execute(sa.select(bead_summaries.c.text, bead_summaries.c.model).where(mine)).first()
    if known is not None and (write is None or known.model == "provider"):
        return str(known.text)
    facts = redact(_facts(reason))
    text, model = plain_words(facts), "deterministic"
    if write is not None:
        try:
            text, model = redact(write(facts)).strip() or text, "provider"
        except Exception:  # noqa: BLE001  # whatever a provider does, the deterministic words are there
            model = "deterministic"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
    row = {"text": text, "model": model, "prompt_hash": digest, "at_ms": ledger.now(), "why_eligible": eligible}
    if known is None:
        connection.execute(bead_summaries.insert().values(event_seq=seq, **row))
    else:
        connection.execute(bead_summaries.update().where(mine).values(row))
    return text


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
