"""One repair carried out: with the real CLI for a run of Smithers, with the engine for one of ours, and then looked at again.

A repair is made only if the run still needs it at that moment, and counts only when the store shows that the run went on. Nothing else
than the three kinds of `repairs` can be done from here.
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

_LOOK_S: Final = 0.5
_BEGIN_S: Final = 60.0
"""How long a run may take to begin again before the repair counts as one without effect."""

_END_S: Final = 30.0
"""How long its end is waited for once it goes on; a run that takes longer goes on by itself."""

_LEAVE_S: Final = 3.0
"""How long a CLI may take to leave after the run has ended."""

_LOG_TAIL: Final = 400
_NAMES: Final = {"resume": "resume", "retry-task": "retry-task of {node}", "fresh-run": "fresh run {new} with the corrected input"}
_WENT_ON: Final = frozenset({"NodeStarted", "NodeFinished", "RunFinished", "ExecutionStarted"})


class _Seen(NamedTuple):
    """What a look at the run showed: its state and health, and whether anything has been done since a moment."""

    status: str
    state: str
    health: Health
    went_on: bool


class _NotDone(Exception):
    """A repair that could not even be started, with the reason."""


def apply(repair: Repair, gathered: MonitorSnapshot, source: str | None) -> FixRow:
    """Carry out a repair and look whether the run goes on.

    Args:
        repair: What a person approved, or did not have to.
        gathered: Which run it is about.
        source: Where the run lives, as the monitor was told.
    """
    nothing = FixRow(target_run_id=gathered.target_run_id, applied=False, action=action_of(repair), summary="")
    try:
        with opened(gathered, source) as snapshot:
            case = Case(snapshot, now_ms())
            again = repair_of(case, explain(snapshot, now=case.now))
            if again is None or action_of(again) != action_of(repair):
                return replace(nothing, action="", summary=f"nothing was done: the run has moved since and is {case.state} now")
            since = now_ms()
            with _started(again, snapshot) as started:
                target = replace(gathered, target_run_id=again.new_run_id or gathered.target_run_id)
                seen = _watch(lambda: _look(target, source, since, is_fresh=again.kind == "fresh-run"), started)
                result = started.result()
    except (_NotDone, SmithersNbError, OSError) as error:
        why = redact(str(error))
        return replace(nothing, summary=f"nothing was done: {why}", still_needs_human=repair.command)
    told = _NAMES[repair.kind].format(node=repair.node_id or "the run", new=repair.new_run_id)
    begun = "it has begun" if repair.kind == "fresh-run" else "the run went on"
    outcome = f"{begun} and is {seen.state}" if seen.went_on else f"without effect: the run is still {seen.state}"
    done = seen.went_on and seen.health in {"healthy", "blocked"}
    return replace(
        nothing,
        applied=True,
        actions_taken=(Taken(command=repair.command, result=result),),
        resumed=seen.went_on,
        still_needs_human=None if done else f"it is {seen.health} after the {told}; look at the log: {result}",
        summary=f"{told}: {outcome}",
        state_after=seen.state,
        health_after=seen.health,
        new_run_id=repair.new_run_id if seen.went_on else "",
    )


class _Started:
    """Something that was started and may have ended: the process of a CLI, or nothing at all when a worker does it."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
        self.process, self.log = process, log

    @property
    def ended(self) -> bool:
        """It ended, and nobody works on it any more."""
        return self.process is not None and self.process.poll() is not None

    def result(self) -> str:
        """Describe how it ended or that it goes on, with the end of what it printed."""
        if self.process is None:
            return "handed to a worker"
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_LEAVE_S)
        code = self.process.poll()
        said = ""
        if self.log is not None:
            with suppress(OSError):
                said = _last_line(self.log.read_text("utf-8", "replace"))
        return f"still at work (process {self.process.pid})" if code is None else f"exit {code}{f': {said}' if said else ''}"


def _last_line(log: str) -> str:
    """Return the last line that a CLI printed before the commands which it suggests after every run."""
    return short_line(log.partition("\ncta:\n")[0].strip().rpartition("\n")[2], _LOG_TAIL)


@contextmanager
def _started(repair: Repair, snapshot: Snapshot) -> Iterator[_Started]:
    if snapshot.source.kind == "journal":
        _with_engine(repair, snapshot)
        yield _Started()
        return
    words, folder = _command(repair, snapshot)
    log = Path(os.environ.get(ROOT) or ".").absolute() / ".smithers_nb" / "logs" / f"monitor-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        yield _Started(_process(words, folder, stream), log)


def _command(repair: Repair, snapshot: Snapshot) -> tuple[list[str], Path]:
    """Return the exact command of the Smithers CLI, and the folder in which it meets the very store that was read."""
    path = Path(snapshot.run.workflow_path or "")
    if not snapshot.run.workflow_path or not path.is_file():
        raise _NotDone(f"the workflow's file {snapshot.run.workflow_path} is not on this machine")
    folder = commands_folder(snapshot)
    store = Path(snapshot.source.location)
    here = Path(folder.path) if folder else path.parent
    if not any(place.is_file() and place.samefile(store) for place in (here / store.name, here / ".smithers" / store.name)):
        raise _NotDone(f"the CLI would work on another store than {store}")
    cli = smithers_cli(path)
    if cli is None:
        raise _NotDone("there is no Smithers CLI here; install it in the project: npm install smithers-orchestrator")
    return [*cli, *arguments(repair, run_id=snapshot.run.run_id, workflow_path=str(path))], here


def _process(words: list[str], folder: Path, stream: IO[bytes]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in (RUN, OWNER, ROOT, JOURNAL)}
    return subprocess.Popen(  # noqa: S603  # an argument list from the allow-list in `repairs`
        words, cwd=folder, env=kept, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
    )


def _with_engine(repair: Repair, snapshot: Snapshot) -> None:
    """Ask for the next execution of one of our runs, and see to it that a worker is there."""
    from smithers_nb.engine import control
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.triggers.background import ensure_worker

    place = Path(snapshot.source.location)
    location = Location.of(f"sqlite:///{place.absolute()}") if place.exists() else Location.of()
    if not place.exists() and location.shown != snapshot.source.location:
        raise _NotDone("its journal is in a database that SMITHERS_NB_DATABASE does not name")
    if repair.kind == "resume":
        control.resume(location, snapshot.run_id)
    elif repair.kind == "fresh-run":
        _submit(repair, snapshot, location)
    else:
        control.retry_task(location, snapshot.run_id, repair.node_id or "", repair.iteration)
    ensure_worker(location)


def _submit(repair: Repair, snapshot: Snapshot, location: Location) -> None:
    """Hand a fresh run of the same notebook to a worker, with the failed one as its parent."""
    from smithers_nb.engine import control
    from smithers_nb.engine.workers.client import enqueue

    run = snapshot.run
    if not run.workflow_path or not Path(run.workflow_path).is_file():
        raise _NotDone(f"the notebook {run.workflow_path} is not on this machine")
    cwd = as_object(run.config).get("cwd")
    folder = Path(cwd) if isinstance(cwd, str) and Path(cwd).is_dir() else None
    control.submit(location, run.workflow_path, repair.input or {}, run_id=repair.new_run_id, parent_run_id=run.run_id, cwd=folder)
    enqueue(location, repair.new_run_id)


def _watch(look: Callable[[], _Seen], started: _Started) -> _Seen:
    """Look again and again until the run has ended or parked, went on for a while, or did not begin."""
    begun = time.monotonic()
    went_on_at: float | None = None
    while True:
        ended = started.ended  # asked before the look, so that what it wrote last is seen
        seen, now = look(), time.monotonic()
        went_on_at = now if seen.went_on and went_on_at is None else went_on_at
        settled = seen.went_on and (is_terminal(seen.status) or seen.status.startswith("waiting-") or seen.status == "paused")
        late = now - (went_on_at or begun) > (_END_S if went_on_at else _BEGIN_S)
        if settled or ended or late:
            return seen
        time.sleep(_LOOK_S)


def _look(gathered: MonitorSnapshot, source: str | None, since: int, *, is_fresh: bool) -> _Seen:
    try:
        with opened(gathered, source) as snapshot:
            return _seen(snapshot, since, is_fresh=is_fresh)
    except RunNotFound:  # a fresh run that is not there yet
        return _Seen("", "not started", "stuck", went_on=False)


def _seen(snapshot: Snapshot, since: int, *, is_fresh: bool) -> _Seen:
    """Look at a run; a fresh one has begun once it was started, also when the first that it meets is a gate."""
    case = Case(snapshot, now_ms())
    signs = _WENT_ON | {"RunStarted"} if is_fresh else _WENT_ON
    went_on = any((event.at or 0) >= since and event.type in signs for event in snapshot.events)
    return _Seen(case.run.status, case.state, health(snapshot, case.now)[0], went_on)
