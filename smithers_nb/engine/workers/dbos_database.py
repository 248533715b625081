"""The durable engine's own database: what it keeps of an outcome, and what is said when it cannot be used.

An error is one line that a person can act on, in the log too. DBOS lets its driver's exceptions out and logs their tracebacks, with every
statement and its values; neither helps anybody, and a statement's values may be secrets.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.engine.execution.run_execution import Outcome
from smithers_nb.engine.journal.store import unusable
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_LOG: Final = "dbos"
_MAX_LENGTH: Final = 300


@contextmanager
def telling(location: Location) -> Iterator[None]:
    """Turn what DBOS and its driver say into an error of ours.

    Raises:
        JournalUnusable: The engine's database cannot be used: locked, read-only, damaged, no room, no server, no rights.
    """
    import sqlalchemy as sa
    from dbos import error as dbos_error

    try:
        yield
    except (sa.exc.DBAPIError, dbos_error.DBOSException, OSError) as error:
        where = location.shown if location.file is None else location.file.with_name("dbos.db")
        raise unusable(f"the durable engine's database {where}", error) from error


def log_in_lines(*, silent: bool) -> None:
    """Let DBOS log an error as one line, or not at all where whoever waits is told by an exception; called before DBOS is made."""
    log = logging.getLogger(_LOG)
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, _Lines)]
    log.addHandler(_Lines(logging.CRITICAL + 1 if silent else logging.ERROR))  # DBOS adds none where there is one
    log.propagate = False


def as_row(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as DBOS keeps it."""
    reason = outcome.reason.model_dump() if outcome.reason else None
    return {"run_id": outcome.run_id, "status": outcome.status, "notebook": outcome.notebook and str(outcome.notebook), "reason": reason}


def outcome_of(row: dict[str, Any]) -> Outcome:
    """Read an outcome that DBOS has kept."""
    notebook, reason = row["notebook"], row["reason"]
    return Outcome(row["run_id"], row["status"], Path(notebook) if notebook else None, FailureReason(**reason) if reason else None)


class _Lines(logging.Handler):
    """Writes time, what happened, and the exception's own message, without secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        reason = getattr(error, "orig", None) or error
        told = record.getMessage().partition("\n")[0].rstrip(": ") + (f": {reason}" if reason else "")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        with suppress(OSError, ValueError):  # nobody reads it any more
            sys.stderr.write(f"smithers-nb: {at} {' '.join(redact(told).split())[:_MAX_LENGTH]}\n")
