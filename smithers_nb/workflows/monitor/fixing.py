"""Carries out one repair, with the Smithers CLI for a run of Smithers and with the engine for one of ours, and checks its effect.

A repair is made only if the run still needs it at that moment, and counts only if the store shows that the run continued. Only the three
kinds of repairs in `repairs` can be made from here.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.engine.stages.context import JOURNAL, OWNER, ROOT, RUN
from smithers_nb.errors import RunNotFound, SmithersNbError
from smithers_nb.model.timestamps import now_ms
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.redact import redact, short_line
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor.gather import opened
from smithers_nb.workflows.monitor.repairs import action_of, arguments, repair_of
from smithers_nb.workflows.monitor.results import FixRow, MonitorSnapshot, Repair, Taken
from smithers_nb.workflows.monitor.smithers_program import smithers_cli

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.model.vocabulary import Health
    from smithers_nb.sources.snapshot import Snapshot

_POLL_S: Final = 0.5
_START_TIMEOUT_S: Final = 60.0
"""Seconds a run may take to start again before the repair counts as having no effect."""

_WATCH_S: Final = 30.0
"""Seconds to wait for the end of a run that has started again; after that it continues unwatched."""

_EXIT_TIMEOUT_S: Final = 3.0
"""Seconds the CLI may take to exit after the run has ended."""

_MAX_LOG_LINE: Final = 400
_NAMES: Final = {"resume": "resume", "retry-task": "retry-task of {node}", "fresh-run": "fresh run {new} with the corrected input"}
_PROGRESS: Final = frozenset({"NodeStarted", "NodeFinished", "RunFinished", "ExecutionStarted"})


class _Observation(NamedTuple):
    """The state and health of a run, and whether it has made progress since the repair."""

    status: str
    state: str
    health: Health
    went_on: bool


class _NotStarted(Exception):
    """The repair could not be started; the message says why."""


def apply(repair: Repair, gathered: MonitorSnapshot, source: str | None) -> FixRow:
    """Carry out a repair and watch whether the run continues.

    Args:
        repair: The repair, approved if it needed approval.
        gathered: The run.
        source: Store of the run, as given to the monitor.
    """
    nothing = FixRow(target_run_id=gathered.target_run_id, applied=False, action=action_of(repair), summary="")
    try:
        with opened(gathered, source) as snapshot:
            case = Case(snapshot, now_ms())
            needed = repair_of(case, explain(snapshot, now=case.now))
            if needed is None or action_of(needed) != action_of(repair):
                return replace(nothing, action="", summary=f"nothing was done: the run has changed since and is now {case.state}")
            since = now_ms()
            with _started(needed, snapshot) as started:
                target = replace(gathered, target_run_id=needed.new_run_id or gathered.target_run_id)
                seen = _watch(lambda: _observe(target, source, since, is_fresh=needed.kind == "fresh-run"), started)
                result = started.result()
    except (_NotStarted, SmithersNbError, OSError) as error:
        why = redact(str(error))
        return replace(nothing, summary=f"nothing was done: {why}", still_needs_human=repair.command)
    name = _NAMES[repair.kind].format(node=repair.node_id or "the run", new=repair.new_run_id)
    effect = "it started" if repair.kind == "fresh-run" else "the run went on"
    outcome = f"{effect} and is {seen.state}" if seen.went_on else f"without effect: the run is still {seen.state}"
    done = seen.went_on and seen.health in {"healthy", "blocked"}
    return replace(
        nothing,
        applied=True,
        actions_taken=(Taken(command=repair.command, result=result),),
        resumed=seen.went_on,
        still_needs_human=None if done else f"it is {seen.health} after the {name}; see the log: {result}",
        summary=f"{name}: {outcome}",
        state_after=seen.state,
        health_after=seen.health,
        new_run_id=repair.new_run_id if seen.went_on else "",
    )


class _Started:
    """A repair that was started: the process of the CLI, or no process when a worker carries it out."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
        self.process, self.log = process, log

    @property
    def ended(self) -> bool:
        """Whether the process has ended; never true for a repair handed to a worker."""
        return self.process is not None and self.process.poll() is not None

    def result(self) -> str:
        """Return how the process ended, or that it still runs, with the last line it printed."""
        if self.process is None:
            return "handed to a worker"
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_EXIT_TIMEOUT_S)
        code = self.process.poll()
        if code is None:
            return f"still running (process {self.process.pid})"
        last = ""
        if self.log is not None:
            with suppress(OSError):
                last = _last_line(self.log.read_text("utf-8", "replace"))
        return f"exit {code}{f': {last}' if last else ''}"


def _last_line(log: str) -> str:
    """Return the last line that the CLI printed before the commands it suggests after every run."""
    return short_line(log.partition("\ncta:\n")[0].strip().rpartition("\n")[2], _MAX_LOG_LINE)


@contextmanager
def _started(repair: Repair, snapshot: Snapshot) -> Iterator[_Started]:
    if snapshot.source.kind == "journal":
        _use_engine(repair, snapshot)
        yield _Started()
        return
    words, folder = _command(repair, snapshot)
    log = Path(os.environ.get(ROOT) or ".").absolute() / ".smithers_nb" / "logs" / f"monitor-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        yield _Started(_process(words, folder, stream), log)


def _command(repair: Repair, snapshot: Snapshot) -> tuple[list[str], Path]:
    """Return the Smithers command line and the folder in which it uses the same store that was read."""
    path = Path(snapshot.run.workflow_path or "")
    if not snapshot.run.workflow_path or not path.is_file():
        raise _NotStarted(f"the workflow's file {snapshot.run.workflow_path} is not on this machine")
    folder = commands_folder(snapshot)
    store = Path(snapshot.source.location)
    here = Path(folder.path) if folder else path.parent
    if not any(file.is_file() and file.samefile(store) for file in (here / store.name, here / ".smithers" / store.name)):
        raise _NotStarted(f"the CLI would use a different store than {store}")
    cli = smithers_cli(path)
    if cli is None:
        raise _NotStarted("no Smithers CLI was found; install it in the project: npm install smithers-orchestrator")
    return [*cli, *arguments(repair, run_id=snapshot.run.run_id, workflow_path=str(path))], here


def _process(words: list[str], folder: Path, stream: IO[bytes]) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if name not in (RUN, OWNER, ROOT, JOURNAL)}
    return subprocess.Popen(  # noqa: S603  # an argument list from the allow-list in `repairs`
        words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
    )


def _use_engine(repair: Repair, snapshot: Snapshot) -> None:
    """Request the next execution of one of our runs and make sure that a worker is running."""
    from smithers_nb.engine import control
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.triggers.background import ensure_worker

    file = Path(snapshot.source.location)
    location = Location.of(f"sqlite:///{file.absolute()}") if file.exists() else Location.of()
    if not file.exists() and location.shown != snapshot.source.location:
        raise _NotStarted("its journal is not in the database that SMITHERS_NB_DATABASE names")
    if repair.kind == "resume":
        control.resume(location, snapshot.run_id)
    elif repair.kind == "fresh-run":
        _submit(repair, snapshot, location)
    else:
        control.retry_task(location, snapshot.run_id, repair.node_id or "", repair.iteration)
    ensure_worker(location)


def _submit(repair: Repair, snapshot: Snapshot, location: Location) -> None:
    """Submit a fresh run of the same notebook, with the failed run as its parent, and enqueue it for a worker."""
    from smithers_nb.engine import control
    from smithers_nb.engine.workers.client import enqueue

    run = snapshot.run
    if not run.workflow_path or not Path(run.workflow_path).is_file():
        raise _NotStarted(f"the notebook {run.workflow_path} is not on this machine")
    cwd = as_object(run.config).get("cwd")
    folder = Path(cwd) if isinstance(cwd, str) and Path(cwd).is_dir() else None
    control.submit(location, run.workflow_path, repair.input or {}, run_id=repair.new_run_id, parent_run_id=run.run_id, cwd=folder)
    enqueue(location, repair.new_run_id)


def _watch(observe: Callable[[], _Observation], started: _Started) -> _Observation:
    """Poll the run until it has ended or parked, has continued for a while, or has failed to start in time."""
    begin = time.monotonic()
    went_on_at: float | None = None
    while True:
        ended = started.ended  # read first, so that the observation includes everything the process wrote
        seen, now = observe(), time.monotonic()
        went_on_at = now if seen.went_on and went_on_at is None else went_on_at
        settled = seen.went_on and (is_terminal(seen.status) or seen.status.startswith("waiting-") or seen.status == "paused")
        late = now - (went_on_at or begin) > (_WATCH_S if went_on_at else _START_TIMEOUT_S)
        if settled or ended or late:
            return seen
        time.sleep(_POLL_S)


def _observe(gathered: MonitorSnapshot, source: str | None, since: int, *, is_fresh: bool) -> _Observation:
    try:
        with opened(gathered, source) as snapshot:
            return _observation(snapshot, since, is_fresh=is_fresh)
    except RunNotFound:  # the fresh run is not in the store yet
        return _Observation("", "not started", "stuck", went_on=False)


def _observation(snapshot: Snapshot, since: int, *, is_fresh: bool) -> _Observation:
    """Observe a run; a fresh run counts as started as soon as it has started, even if it meets a gate first."""
    case = Case(snapshot, now_ms())
    signs = _PROGRESS | {"RunStarted"} if is_fresh else _PROGRESS
    went_on = any((event.at or 0) >= since and event.type in signs for event in snapshot.events)
    return _Observation(case.run.status, case.state, health(snapshot, case.now)[0], went_on)
