"""Which run the code in this kernel belongs to.

Whoever executes a notebook durably tells its kernel by environment variables; `current` reads them. A notebook that a person runs cell
by cell, or that plain papermill runs, gets a run of its own on first use, one per kernel, from `lab_run`: its stages and gates are kept
in the journal of the folder's project like any others, and it ends with the kernel.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.engine.kernels.launcher import KERNEL
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages.parked import Parked, end_cell
from smithers_nb.errors import ParameterError, SmithersNbError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.store import Journal
    from smithers_nb.model.failure_reason import FailureReason

RUN: Final = "SMITHERS_NB_RUN_ID"
JOURNAL: Final = "SMITHERS_NB_JOURNAL"
OWNER: Final = "SMITHERS_NB_OWNER"
ROOT: Final = "SMITHERS_NB_ROOT"

_BEAT_S: Final = 10.0
"""Time between signs of life of a person's kernel, which may live for days."""


@dataclass
class ThisRun:
    """A run as its kernel sees it, in one of its executions.

    Attributes:
        run_id: Its id.
        owner: Lease that every write is conditional on.
        by_hand: Nobody executes it durably: a person runs cells, or plain papermill does.
        used: Node and iteration of what was called so far.
        reused: Stages whose kept output was given, and when that was made, epoch milliseconds.
        parked: Gates and questions that wait and were reached in this execution; the first one ends it.
        over: Set when the run has ended with its kernel.
    """

    run_id: str
    owner: str
    journal: Journal
    by_hand: bool = False
    used: set[tuple[str, int]] = field(default_factory=set)
    reused: dict[tuple[str, int], int | None] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Write about this run, all or nothing, while this kernel's execution owns it.

        Raises:
            LeaseLost: Another execution has taken the run over.
            JournalUnusable: The journal cannot be written.
        """
        with self.journal.writing(self.run_id, self.owner) as connection:
            yield connection

    def park(self, parked: Parked) -> Parked:
        """Let nothing more begin in this execution, in whatever thread or task; returns what the caller has to raise."""
        if not self.parked and not self.by_hand:
            end_cell(parked)
        self.parked.append(parked)
        return parked

    def refuse_when_parked(self) -> None:
        """Let nothing begin behind a gate that nobody has decided.

        Raises:
            Parked: This execution has parked. It ends there, so even a decision made meanwhile counts for the next one only.
        """
        if self.parked and not self.by_hand:
            raise self.parked[0].again()

    def refuse_behind_gate(self, connection: sa.Connection) -> None:
        """The same, where a stage is about to begin: by hand, a person's kernel goes on as soon as they have decided.

        Raises:
            Parked: A gate or a question that was reached before still waits.
        """
        self.refuse_when_parked()
        if not self.parked:
            return
        from smithers_nb.engine.journal.decisions import waits

        self.parked = [parked for parked in self.parked if waits(connection, parked.node)]
        if self.parked:
            raise self.parked[0].again()


_known: dict[tuple[int, str, str, str], ThisRun] = {}
_by_hand: dict[int, ThisRun] = {}  # by process, because a forked kernel is another one


def current() -> ThisRun | None:
    """Return the run that this kernel executes; None when nobody executes it durably.

    Raises:
        ParameterError: The environment names a run but not its journal or its owner, or this is not its kernel but a process that the
            kernel has started.
    """
    _refuse_fork()
    run_id = os.environ.get(RUN)
    if not run_id:
        return None
    if os.environ.get(KERNEL, "") not in {"", str(os.getpid())}:
        if _kernel() is None:  # nothing here could stop the cells behind it
            raise _refused("a process that the notebook has started")
        return None  # the kernel of a notebook that a cell executes, which is a run of its own
    url, owner = os.environ.get(JOURNAL, ""), os.environ.get(OWNER, "")
    if not url or not owner:
        raise ParameterError(f"{RUN} is set, but {JOURNAL} or {OWNER} is not", hint="these are set by `smithers-nb up`, not by hand")
    key = (os.getpid(), run_id, url, owner)
    if key not in _known:
        _known[key] = ThisRun(run_id, owner, _opened(_location(url)))
    return _known[key]


def lab_run() -> ThisRun:
    """Return the run of a kernel that nobody executes durably, made on first use: `lab-<time>-<process>`.

    Raises:
        JournalUnusable: The journal of the current folder's project cannot be written.
        ParameterError: This is a fork of the kernel.
    """
    _refuse_fork()
    pid = os.getpid()
    if pid not in _by_hand:
        _by_hand[pid] = _begin(_open(Location.of()))
    return _by_hand[pid]


def _refuse_fork() -> None:
    """Refuse to work in a fork of the kernel: it has the locks of threads that it does not have, and may wait for them for ever."""
    kernel = _kernel()
    if kernel is not None and kernel.session.pid != os.getpid():
        raise _refused("a forked process")


def _refused(where: str) -> ParameterError:
    return ParameterError(
        f"stage, gate and ask cannot be called in {where}",
        hint="call them in the notebook, and start processes inside of a stage's function",
    )


def _kernel() -> Any:
    """Return the kernel that this process is or was forked from; None when it is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None)


def end_with_kernel(connection: sa.Connection, run_id: str) -> None:
    """End a run that nobody executes durably with its kernel, however that ended; a run that is over stays as it is.

    It fails when the kernel ended in the middle of a stage, is finished when nothing in it failed or waits, and cancelled otherwise.
    """
    import sqlalchemy as sa

    from smithers_nb.engine.journal import executions, status
    from smithers_nb.engine.journal.schema import nodes, runs
    from smithers_nb.model.vocabulary import TERMINAL_STATUSES

    how: str = connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id)).scalar_one()
    if how not in TERMINAL_STATUSES:
        reason = _fail_open(connection, run_id)
        unfinished = sa.select(nodes.c.node_id).where(nodes.c.run_id == run_id, nodes.c.state != "finished")
        how = "failed" if reason else "finished" if connection.execute(unfinished).first() is None else "cancelled"
        status.set_status(connection, run_id, how, reason)  # type: ignore[call-overload]  # a pair of the two is checked there
    executions.end_all(connection, run_id, how)


def _fail_open(connection: sa.Connection, run_id: str) -> FailureReason | None:
    """Fail the stages that the kernel ended in the middle of, and give the reason of the innermost."""
    from smithers_nb.engine.journal.records import fail_attempt, open_attempts
    from smithers_nb.engine.notebook.failure_reasons import KERNEL_DIED
    from smithers_nb.model.failure_reason import FailureReason

    reason = None
    for node, attempt, _ in open_attempts(connection, run_id):
        message = f"the kernel ended in the middle of {node.node_id!r}"
        reason = FailureReason(code=KERNEL_DIED, message=message, source=f"node:{node.node_id}")
        fail_attempt(connection, node, attempt, reason)
    return reason


def _location(url: str) -> Location:
    root = os.environ.get(ROOT)
    return Location(Path(root), url) if root else Location.of(url)


def _opened(location: Location) -> Journal:
    """Return the journal that whoever executes this run has opened and brought up to date."""
    from smithers_nb.engine.journal.store import Journal

    return Journal(location)


def _open(location: Location) -> Journal:
    from smithers_nb.engine.journal.store import Journal

    return Journal.open(location)


def _begin(journal: Journal) -> ThisRun:
    from smithers_nb.engine.journal import executions, leases, records, status
    from smithers_nb.model.timestamps import now_ms

    owner, run_id = leases.new_owner(), f"lab-{now_ms():x}-{os.getpid()}"
    file = _notebook()
    config = {"rootDir": str(journal.location.root), "cwd": str(Path.cwd()), "lab": True}
    new = records.NewRun(run_id, file.stem if file else "notebook", str(file) if file else None, None, {}, config)
    leases.register(journal, owner)
    with journal.writing() as connection:
        records.create_run(connection, new)
        leases.take_lease(connection, run_id, owner)
        executions.begin(connection, executions.want(connection, run_id, queued=True), owner)
        status.set_status(connection, run_id, "running")
    run = ThisRun(run_id, owner, journal, by_hand=True)
    threading.Thread(target=leases.beat_until, args=(journal, owner, run.over, _BEAT_S), name=f"heartbeat of {run_id}", daemon=True).start()
    atexit.register(_end, run, os.getpid())
    return run


def _end(run: ThisRun, pid: int) -> None:
    """Close a run with its kernel."""
    if os.getpid() != pid:
        return
    from smithers_nb.engine.journal import leases

    run.over.set()
    with suppress(SmithersNbError):  # at the end of a process nobody listens any more
        with run.writing() as connection:
            end_with_kernel(connection, run.run_id)
        leases.deregister(run.journal, run.owner)


def _notebook() -> Path | None:
    """Find the notebook that a Jupyter server has opened this kernel for; papermill does not say."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    file = Path(name).absolute()
    return file if name.endswith(".ipynb") and file.is_file() else None
