"""Runs many autopsies through the queue of a shared database, where workers on any machine take each of them once.

`queue_autopsies` submits one durable autopsy per failure, waits until workers have finished them all, and returns the same rows as
`local.run_autopsies`. The id of an autopsy is derived from its failure, so submitting it again, from anywhere, changes nothing. A finished
autopsy is not repeated; only one that failed itself is started again. Paths must mean the same file for every worker.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from smithers_nb.engine.artifacts import store as artifact_store
from smithers_nb.engine.control.submit import base36
from smithers_nb.engine.stages.context import JOURNAL
from smithers_nb.errors import ControlRefused
from smithers_nb.model.rows import RunRow
from smithers_nb.resources import resource
from smithers_nb.sources.urls import lent
from smithers_nb.workflows.batch.local import AutopsyRow
from smithers_nb.workflows.triggers.launch import WORKFLOW, installed_at

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.location import Location
    from smithers_nb.sources.base import Source
    from smithers_nb.workflows.batch.local import BatchProgress

_NOTEBOOK: Final = "notebooks/autopsy.ipynb"
_POLL_S: Final = 0.3
_CHECK_S: Final = 5.0
"""How often to look for ended autopsies, and whether there is a worker at all."""

_REPORT_S: Final = 15.0
"""How long to wait for the report of an autopsy that has ended."""

_RESTARTABLE: Final = frozenset({"failed", "cancelled", "paused"})
_CHUNK: Final = 400
_ID_LENGTH: Final = 6


class Failure(NamedTuple):
    """A failed run of a store.

    Attributes:
        failed_at: When it ended, epoch milliseconds; a run that fails again has a new time.
        store: Location of its store.
    """

    run_id: str
    failed_at: int
    store: str

    @property
    def autopsy_id(self) -> str:
        """Id of its autopsy, in the format of any post-failure run, but derived from the failure."""
        key = "\0".join((self.store, self.run_id, str(self.failed_at))).encode("utf-8", "surrogatepass")
        digest = int.from_bytes(hashlib.sha256(key).digest(), "big") % 36**_ID_LENGTH
        return f"{WORKFLOW}-{base36(self.failed_at)}-{base36(digest).rjust(_ID_LENGTH, '0')}"


def failures(source: Source, run_ids: Sequence[str]) -> list[Failure]:
    """Return the failures of the given runs; runs that have not failed are left out."""
    known = {run.run_id: run for run in source.rows(RunRow, only={"status": ["failed"]})}
    found = ((run_id, known[run_id]) for run_id in dict.fromkeys(run_ids) if run_id in known)
    return [Failure(run_id, run.finished_at or run.started_at or run.created_at or 0, source.location) for run_id, run in found]


def for_workers(source: Source, given: str | None, location: Location) -> str:
    """Return the address by which every worker finds a store: its absolute path, which must be the same for all, or its URL.

    Args:
        source: The store.
        given: How the caller named it; None for the current folder.
        location: The project. When the store is in its shared database, workers use their own URL for it, with its password.
    """
    if Path(source.location).exists():
        return str(Path(source.location).absolute())
    if given is None or Path(given).exists():
        return str(Path(given or ".").absolute())
    return f"env:{JOURNAL}" if given == location.url else lent(given)


def queue_autopsies(  # noqa: PLR0913  # all but two are options by name
    location: Location,
    failed: Sequence[Failure],
    *,
    source: str,
    artifacts: str | Path = "artifacts",
    now: int | None = None,
    provider: str | None = None,
    progress: BatchProgress | None = None,
) -> list[AutopsyRow]:
    """Submit an autopsy for each failed run, and wait until workers have finished them.

    Args:
        location: The project and its shared database.
        failed: The failures, from `failures`.
        source: Their store, as every worker finds it: an absolute path or a URL.
        artifacts: Folder or URL for `post-failure/AUTOPSY.ipynb` and `autopsy/RUN.html` of each.
        now: Judge as of this time, epoch milliseconds; defaults to the worker's clock.
        provider: The provider that investigates.
        progress: Called after each autopsy, in the calling thread.

    Returns:
        One row per failure, in the same order. An autopsy that waits for a person has a provisional verdict.

    Raises:
        ParameterError: Artifacts cannot be written there, or a parameter is wrong.
        JournalUnusable: The database cannot be used.
        KeyboardInterrupt: Submitted autopsies stay queued; calling this again waits for them.
    """
    from smithers_nb.engine.journal import Journal

    artifact_store.check(artifacts)
    where = str(artifacts) if artifact_store.is_url(artifacts) else str(Path(artifacts).absolute())
    given = {"source": source, "provider": provider, "now": now}
    todo = {one.autopsy_id: one for one in failed}
    with Journal.open(location) as journal:
        for run_id, one in todo.items():
            _submit(
                location,
                run_id,
                {"target_run_id": one.run_id, **{name: value for name, value in given.items() if value is not None}},
                where,
            )
        rows: dict[str, AutopsyRow] = {}
        for run_id in _ended(location, journal, list(todo)):
            rows[run_id] = row = _row(journal, run_id, todo[run_id])
            if progress is not None:
                progress(len(rows), len(todo), row)
    return [rows[one.autopsy_id] for one in failed]


def _submit(location: Location, run_id: str, parameters: Mapping[str, Any], artifacts: str) -> None:
    """Submit and queue an autopsy; one that exists already is started again only if it failed or was stopped."""
    from smithers_nb.engine import control
    from smithers_nb.engine.workers.client import enqueue

    installed = installed_at(location)
    notebook = installed if installed.is_file() else resource(_NOTEBOOK)
    try:
        control.submit(
            location, notebook, parameters, run_id=run_id, post_failure=False, hidden=True, cwd=location.root, artifacts=artifacts
        )
    except ControlRefused as error:
        if error.code != "RUN_EXISTS":
            raise
        with suppress(ControlRefused):  # it is being executed, or has ended
            _restart(location, run_id)
        return
    enqueue(location, run_id)


def _restart(location: Location, run_id: str) -> None:
    from smithers_nb.engine import control
    from smithers_nb.engine.journal.records import QUEUED
    from smithers_nb.engine.workers.client import enqueue

    status = _status(location, run_id)
    if status == QUEUED:  # its submitter died before queueing it
        enqueue(location, run_id)
    elif status in _RESTARTABLE:
        control.resume(location, run_id)


def _status(location: Location, run_id: str) -> str:
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import runs

    with Journal.open(location) as journal, journal.reading() as connection:
        return str(connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id)).scalar_one())


def _ended(location: Location, journal: Journal, run_ids: Sequence[str]) -> Iterator[str]:
    """Yield each run as soon as its executions have ended, while making sure that a worker exists."""
    from smithers_nb.workflows.triggers.background import ensure_worker

    left, looked_at = dict.fromkeys(run_ids), 0.0
    while left:
        if time.monotonic() - looked_at > _CHECK_S:
            looked_at = time.monotonic()
            ensure_worker(location)
        with journal.reading() as connection:
            going = {run_id for chunk in _chunks(list(left)) for run_id in _unfinished(connection, chunk)}
        for run_id in [run_id for run_id in left if run_id not in going]:
            del left[run_id]
            yield run_id
        if left:
            time.sleep(_POLL_S)


def _unfinished(connection: sa.Connection, run_ids: Sequence[str]) -> list[str]:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.schema import executions

    query = sa.select(executions.c.run_id).where(executions.c.run_id.in_(run_ids), executions.c.outcome.is_(None))
    return list(connection.execute(query).scalars())


def _chunks(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (run_ids[start : start + _CHUNK] for start in range(0, len(run_ids), _CHUNK))


def _row(journal: Journal, run_id: str, failure: Failure) -> AutopsyRow:
    """Build the row of an autopsy from the journal."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal.schema import executions, runs

    report = _report(journal, run_id)
    with journal.reading() as connection:
        run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
        found = _verdict(connection, run_id)
        columns = executions.c.started_at_ms, executions.c.finished_at_ms, executions.c.notebook
        done = connection.execute(sa.select(*columns).where(executions.c.run_id == run_id).order_by(executions.c.number)).all()
        brought = _last_artifact_event(connection, run_id, ".ipynb")
        notebook = brought.get("kept") or brought.get("artifact") or (done[-1].notebook if done else None)
    took = sum((one.finished_at_ms - one.started_at_ms) / 1000 for one in done if one.finished_at_ms and one.started_at_ms)
    message = orjson.loads(run.error_json).get("message") if run.error_json else None
    return AutopsyRow(
        run_id=failure.run_id,
        failure_class=found.get("failureClass"),
        confidence=found.get("confidence"),
        suggestion=found.get("suggestion"),
        signature=found.get("signature"),
        root_cause=found.get("rootCause"),
        notebook=notebook,
        report=report,
        duration_s=round(took, 3),
        error=None if found else message or f"it is {run.status}",
    )


def _verdict(connection: sa.Connection, run_id: str) -> dict[str, Any]:
    """Read the verdict; for an autopsy that waits for a person, the verdict it would have if nothing were reported."""
    from smithers_nb.engine.journal.records import Node, read_output
    from smithers_nb.workflows.autopsy import stages
    from smithers_nb.workflows.autopsy.durable import INVESTIGATE, OUTPUT, PROPOSE
    from smithers_nb.workflows.autopsy.results import GateCard, Investigation

    row = read_output(connection, Node(run_id, OUTPUT))
    if row is not None:
        return dict(row)
    found, card = (read_output(connection, Node(run_id, node)) for node in (INVESTIGATE, PROPOSE))
    if found is None or card is None:
        return {}
    return stages.verdict(Investigation.read(found), GateCard.read(card)).as_json()


def _report(journal: Journal, run_id: str) -> str | None:
    """Wait for the report, which a worker writes after the autopsy has ended; None when it could not be written."""
    until = time.monotonic() + _REPORT_S
    while time.monotonic() < until:
        with journal.reading() as connection:
            event_data = _last_artifact_event(connection, run_id, ".html")
        if event_data:
            return None if "error" in event_data else str(event_data["artifact"])
        time.sleep(_POLL_S)
    return None


def _last_artifact_event(connection: sa.Connection, run_id: str, suffix: str) -> dict[str, Any]:
    """Return the last event about an artifact since the last execution began; empty without one."""
    import sqlalchemy as sa

    from smithers_nb.engine.artifacts.delivery import NOT_WRITTEN, WRITTEN
    from smithers_nb.engine.journal.schema import events

    types = (WRITTEN, NOT_WRITTEN, "ExecutionStarted")
    query = sa.select(events.c.type, events.c.payload_json).where(events.c.run_id == run_id, events.c.type.in_(types))
    for event in connection.execute(query.order_by(events.c.seq.desc())):
        event_data: dict[str, Any] = orjson.loads(event.payload_json)
        if event.type == "ExecutionStarted":
            break
        if str(event_data.get("artifact")).endswith(suffix):
            return event_data
    return {}
