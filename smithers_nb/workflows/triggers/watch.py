"""An autopsy for every run that fails in a Smithers project, whoever started it.

A watcher looks at the project's store from time to time, reading only. A failure is noticed once, in our journal, so that neither another
watcher nor the next start of this one looks into it again. Nothing about the store ends a watch: it says what is wrong, once, and goes on.
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
"""How long Smithers' own trigger may take to begin the autopsy that it launches when a run ends."""
_AT_ONCE: Final = max(2, os.cpu_count() or 1)
"""How many autopsies may be under way; further failures wait for their turn."""


class Seen(NamedTuple):
    """A failure that a watcher has looked into, or could not.

    Attributes:
        failed_at: Epoch milliseconds.
        autopsy_run_id: The autopsy that was launched; None when none could be.
        problem: Why none could be.
    """

    run_id: str
    workflow: str | None
    failed_at: int
    autopsy_run_id: str | None
    problem: str = ""


class Watcher:
    """Looks at one project.

    Attributes:
        location: The project; its pack is launched, its journal remembers.
        folder: Its folder.
        settled: Whether the last look has dealt with all that it found; it has not while too many autopsies are under way.
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
        """Launch an autopsy of every run that has failed and that nobody has noticed yet.

        Returns:
            What was launched now, oldest failure first.

        Raises:
            SourceError: The store is not there, locked, damaged, or something else.
            JournalUnusable: What was noticed cannot be remembered, so nothing is launched.
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
            raise SourceUnreadable(f"{source.location}: {problems[0].what}", hint="what can be read of it is watched all the same")
        return seen

    def _remember(self, store: str) -> None:
        """Read once what the journal knows of a store, by this watcher's last life or by another."""
        if self._remembered == store:
            return
        with Journal.open(self.location) as journal, journal.reading() as connection:
            self._left_over = set(unlaunched(connection, store))
            self._dealt_with = known(connection, store, self._since)
        self._remembered = store

    def _fresh(self, source: Source, store: str) -> dict[SeenFailure, Failed]:
        """Find the failures that this watcher has not dealt with, oldest first."""
        found = {}
        rows = []
        for run in source.rows(RunRow, only={"status": _ENDED}):
            failure = _as_noticed(run, store)
            if failure in self._dealt_with or (failure.failed_at_ms < self._since and failure not in self._left_over):
                continue
            failed = _as_failed(run, source, self.folder)
            if _counts(run, failed, source):
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
            if is_triggered and now_ms() - failure.failed_at_ms < _GRACE_MS:  # their trigger may be about to launch one
                continue
            if launch.under_way() >= _AT_ONCE:
                return
            done, is_mine = launch.launch_once(self.location, failed, failure.store, failure.failed_at_ms)
            self._dealt_with.add(failure)
            about = failure.run_id, failed.workflow, failure.failed_at_ms
            if isinstance(done, Skipped):
                yield Seen(*about, None, done.detail or done.reason)
            elif is_mine:
                yield Seen(*about, done.autopsy_run_id)


def looked_into(location: Location, folder: Path, run_id: str) -> tuple[Failed, Launched | Skipped]:
    """Launch the autopsy of one run of a Smithers project, unless a watcher has been faster.

    Raises:
        SourceError: The store cannot be read.
        JournalUnusable: It cannot be remembered.
    """
    with closing(open_smithers(folder)) as source:
        run = next((row for row in source.rows(RunRow, run_id) if row.status in _ENDED), None)
        if run is None:
            return Failed(None), Skipped("no-run-id")
        failed = _as_failed(run, source, folder)
        if not _counts(run, failed, source):
            return failed, Skipped("ops-workflow" if failed.is_ops else "no-run-id")
        failure = _as_noticed(run, _identity(source, location))
        if theirs := newest_autopsies(source, [run]).get(run.run_id):
            return failed, Skipped("looked-into", f"{theirs[0].run_id} looks into it")
    return failed, launch.launch_once(location, failed, failure.store, failure.failed_at_ms)[0]


class _Mark(NamedTuple):
    """What tells one state of a store's file from the next.

    Attributes:
        is_old: Whether the last change lies so far back that a further one would have another time.
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
    """Describe a failed run; a store on a server is found again through its project."""
    return Failed(run.run_id, run.workflow, run.workflow_path, str(_file_of(source) or folder))


def _counts(run: RunRow, failed: Failed, source: Source) -> bool:
    """Distinguish a failure from a cancellation, and from what the autopsy of another run looks into anyway."""
    if failed.is_ops or CHILD_MARK in run.run_id:
        return False
    return run.status == "failed" or find_failure(Snapshot(source, run.run_id)).kind == "masked-cancel"


def _identity(source: Source, location: Location) -> str:
    """Name a store, the same when its project is moved."""
    file = Path(source.location)
    return str(file.relative_to(location.root)) if file.is_relative_to(location.root) else source.location


def _file_of(source: Source) -> Path | None:
    """Return the file of a store; None for one on a server, which is found again through its project."""
    file = Path(source.location)
    return file.absolute() if file.is_file() else None
