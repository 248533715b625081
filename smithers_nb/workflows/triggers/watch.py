"""Launches an autopsy for every run that fails in a Smithers project, whoever started it.

A watcher polls the project's store, read-only. Each failure is recorded once, in our journal, so that neither another watcher nor the next
start of this one investigates it again. No problem with the store ends a watch: it is reported once, and the watch continues.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.history.autopsies import newest_autopsies
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.seen_failures import SeenFailure, known, unlaunched
from smithers_nb.errors import SourceUnreadable
from smithers_nb.model.rows import RunRow
from smithers_nb.model.timestamps import now_ms
from smithers_nb.sources.base import CHILD_MARK, Source
from smithers_nb.sources.locate import open_smithers
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.pack.install_smithers import has_trigger
from smithers_nb.workflows.triggers import launch
from smithers_nb.workflows.triggers.launch import Failed, Launched, Skipped

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_ENDED: Final = ("failed", "cancelled")
_RACY_NS: Final = 2_000_000_000
_GRACE_MS: Final = 15_000
"""How long to wait for Smithers' own trigger to start its autopsy after a run has ended."""
_MAX_AUTOPSIES: Final = max(2, os.cpu_count() or 1)
"""How many autopsies may run at once; further failures wait."""


class Seen(NamedTuple):
    """A failure that a watcher has handled.

    Attributes:
        failed_at: Epoch milliseconds.
        autopsy_run_id: The autopsy that was launched; None when the launch failed.
        problem: Why the launch failed.
    """

    run_id: str
    workflow: str | None
    failed_at: int
    autopsy_run_id: str | None
    problem: str = ""


class Watcher:
    """Watches one project.

    Attributes:
        location: The project whose workflow is launched and whose journal records what was seen.
        folder: Its folder.
        settled: Whether the last look handled everything it found, which it does not while too many autopsies run.
    """

    def __init__(self, location: Location, folder: Path, *, since_ms: int) -> None:
        self.location = location
        self.settled = False
        self.folder = folder
        self._since = since_ms
        self._file: Path | None = None
        self._mark: _Mark | None = None
        self._remembered: str | None = None
        self._dealt_with: set[SeenFailure] = set()
        self._left_over: set[SeenFailure] = set()

    def look(self) -> list[Seen]:
        """Launch an autopsy of every failed run that has not been seen before.

        Returns:
            What was launched now, oldest failure first.

        Raises:
            SourceError: The store is missing, locked, damaged, or not a Smithers store.
            JournalUnusable: Failures cannot be recorded, so nothing is launched.
        """
        if self.settled and self._mark is not None and _mark(self._file) == self._mark and self._mark.is_old:
            return []
        self.settled = False
        with closing(open_smithers(self.folder)) as source:
            self._file = _file_of(source)
            self._mark = _mark(self._file)
            store = _identity(source, self.location)
            self._remember(store)
            fresh = self._fresh(source, store)
            problems = source.problems
            seen = list(self._launched(fresh)) if fresh else []
        self.settled = self._dealt_with.issuperset(fresh)
        if problems and not seen:
            raise SourceUnreadable(f"{source.location}: {problems[0].what}", hint="the readable part of it is still watched")
        return seen

    def _remember(self, store: str) -> None:
        """Read once which failures of a store the journal has recorded, from an earlier start or another watcher."""
        if self._remembered == store:
            return
        with Journal.open(self.location) as journal, journal.reading() as connection:
            self._left_over = set(unlaunched(connection, store))
            self._dealt_with = known(connection, store, self._since)
        self._remembered = store

    def _fresh(self, source: Source, store: str) -> dict[SeenFailure, Failed]:
        """Return the failures that this watcher has not handled yet, oldest first."""
        found = {}
        rows = []
        for run in source.rows(RunRow, only={"status": _ENDED}):
            failure = _as_noticed(run, store)
            if failure in self._dealt_with or (failure.failed_at_ms < self._since and failure not in self._left_over):
                continue
            failed = _as_failed(run, source, self.folder)
            if _needs_autopsy(run, failed, source):
                found[failure] = failed
                rows.append(run)
            else:
                self._dealt_with.add(failure)
        looked_into = newest_autopsies(source, rows) if rows else {}
        for failure in [failure for failure in found if failure.run_id in looked_into]:
            del found[failure]
            self._dealt_with.add(failure)
        return dict(sorted(found.items(), key=lambda item: item[0].failed_at_ms))

    def _launched(self, fresh: dict[SeenFailure, Failed]) -> Iterator[Seen]:
        is_triggered = has_trigger(self.folder)
        for failure, failed in fresh.items():
            if is_triggered and now_ms() - failure.failed_at_ms < _GRACE_MS:  # Smithers' own trigger may be about to launch one
                continue
            if launch.under_way() >= _MAX_AUTOPSIES:
                return
            done, is_mine = launch.launch_once(self.location, failed, failure.store, failure.failed_at_ms)
            self._dealt_with.add(failure)
            about = failure.run_id, failed.workflow, failure.failed_at_ms
            if isinstance(done, Skipped):
                yield Seen(*about, None, done.detail or done.reason)
            elif is_mine:
                yield Seen(*about, done.autopsy_run_id)


def looked_into(location: Location, folder: Path, run_id: str) -> tuple[Failed, Launched | Skipped]:
    """Launch the autopsy of one run of a Smithers project, unless a watcher was faster.

    Raises:
        SourceError: The store cannot be read.
        JournalUnusable: The failure cannot be recorded.
    """
    with closing(open_smithers(folder)) as source:
        run = next((row for row in source.rows(RunRow, run_id) if row.status in _ENDED), None)
        if run is None:
            return Failed(None), Skipped("no-run-id")
        failed = _as_failed(run, source, folder)
        if not _needs_autopsy(run, failed, source):
            return failed, Skipped("ops-workflow" if failed.is_ops else "no-run-id")
        failure = _as_noticed(run, _identity(source, location))
        if theirs := newest_autopsies(source, [run]).get(run.run_id):
            return failed, Skipped("looked-into", f"{theirs[0].run_id} looks into it")
    return failed, launch.launch_once(location, failed, failure.store, failure.failed_at_ms)[0]


class _Mark(NamedTuple):
    """The state of a store's files, to detect changes.

    Attributes:
        is_old: Whether the last change is old enough that a further change must alter the modification time.
    """

    stats: tuple[tuple[int, ...] | None, ...]
    is_old: bool


def _mark(file: Path | None) -> _Mark | None:
    if file is None:
        return None
    stats = tuple(_stat(Path(f"{file}{end}")) for end in ("", "-wal"))
    newest = max((stat[-1] for stat in stats if stat), default=0)
    return _Mark(stats, time.time_ns() - newest > _RACY_NS)


def _stat(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _as_noticed(run: RunRow, store: str) -> SeenFailure:
    return SeenFailure(store, run.run_id, run.finished_at or run.started_at or run.created_at or 0)


def _as_failed(run: RunRow, source: Source, folder: Path) -> Failed:
    """Return a failed run for `launch`; a store on a server is named by its project folder."""
    return Failed(run.run_id, run.workflow, run.workflow_path, str(_file_of(source) or folder))


def _needs_autopsy(run: RunRow, failed: Failed, source: Source) -> bool:
    """Return whether a run needs its own autopsy: not a cancelled run, a child run, or a workflow that investigates runs."""
    if failed.is_ops or CHILD_MARK in run.run_id:
        return False
    return run.status == "failed" or find_failure(Snapshot(source, run.run_id)).kind == "masked-cancel"


def _identity(source: Source, location: Location) -> str:
    """Return the identity of a store, which stays the same when its project is moved."""
    file = Path(source.location)
    return str(file.relative_to(location.root)) if file.is_relative_to(location.root) else source.location


def _file_of(source: Source) -> Path | None:
    """Return the file of a store; None for one on a server."""
    file = Path(source.location)
    return file.absolute() if file.is_file() else None
