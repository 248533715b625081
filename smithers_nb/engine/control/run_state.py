"""What every operation needs to know about a run first: its id, its status, and whether a process executes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import STALE_S, known_workers
from smithers_nb.engine.journal.schema import runs
from smithers_nb.errors import AmbiguousRunId, ControlRefused, RunNotFound
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_MAX_COUNT: Final = 20


def resolve(journal: Journal, given: str) -> str:
    """Return the id of the one run whose id equals or begins with the given text.

    Raises:
        RunNotFound: No run matches.
        AmbiguousRunId: Several match.
    """
    begins = sa.func.substr(runs.c.run_id, 1, len(given)) == given  # not LIKE, which ignores case in SQLite
    query = sa.select(runs.c.run_id).where(begins).order_by(runs.c.run_id).limit(_MAX_COUNT)
    with journal.reading() as connection:
        if given and connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == given)).first():
            return given
        found: list[str] = list(connection.execute(query).scalars()) if given else []
    if not found:
        hint = "`smithers-nb ps --all` lists the runs; a Smithers run is operated with the commands that `smithers-nb why RUN` prints"
        raise RunNotFound(f"no run {given!r} in {journal.location.shown}", hint=hint)
    if len(found) > 1:
        listed = ", ".join(found[:5]) + (" …" if len(found) > 5 else "")  # noqa: PLR2004  # enough examples to see how they differ
        raise AmbiguousRunId(f"run id {given!r} is ambiguous: {listed}", candidates=found, hint="give more characters of the id")
    return found[0]


def resolved(location: Location, given: str) -> str:
    """Return the id of the one run in a location whose id equals or begins with the given text; see `resolve`."""
    with Journal.open(location) as journal:
        return resolve(journal, given)


def run_row(connection: sa.Connection, run_id: str) -> sa.Row[Any]:
    """Return a run's row."""
    row: sa.Row[Any] = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
    return row


def status_of(location: Location, run_id: str) -> str:
    """Return the status of a run.

    Raises:
        JournalUnusable: The journal cannot be read.
    """
    with Journal.open(location) as journal, journal.reading() as connection:
        return str(run_row(connection, run_id).status)


def config_of(row: sa.Row[Any]) -> dict[str, Any]:
    """Return the launch configuration of a run."""
    return dict(orjson.loads(row.config_json or "{}"))


def is_executed(connection: sa.Connection, row: sa.Row[Any]) -> bool:
    """Return whether a live process executes a run."""
    if row.runtime_owner_id is None:
        return False
    return any(worker.owner == row.runtime_owner_id and worker.is_alive(now_ms()) for worker in known_workers(connection))


def is_taken(connection: sa.Connection, run_id: str) -> bool:
    """Return whether a process is about to execute a run: it was queued recently, and its starter is still alive."""
    queued = executions.queued(connection, run_id)
    if queued is None or abs(now_ms() - queued.at) >= STALE_S * 1000:
        return False
    if queued.starter is None:
        return True
    return any(worker.owner == queued.starter and worker.is_alive(now_ms()) for worker in known_workers(connection))


def refuse_while_executed(connection: sa.Connection, row: sa.Row[Any], *, force: bool = False) -> None:
    """Refuse to change a run that a live process executes.

    Raises:
        ControlRefused: `RUN_OWNER_ALIVE` or `RUN_STILL_RUNNING`.
    """
    stop = f"stop it first: smithers-nb cancel {row.run_id}"
    if is_executed(connection, row):
        raise ControlRefused(f"run {row.run_id} is executed by a live process ({row.runtime_owner_id})", code="RUN_OWNER_ALIVE", hint=stop)
    if not force and is_taken(connection, row.run_id):
        raise ControlRefused(
            f"run {row.run_id} is still running: another process has just started it",
            code="RUN_STILL_RUNNING",
            hint="follow it with `smithers-nb logs --follow`; --force takes it over if nothing happens",
        )
