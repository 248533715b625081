"""The run that the code in this kernel belongs to.

A durable execution passes its run to the kernel in environment variables, which `current` reads. A notebook that a person runs cell by
cell, or that plain papermill runs, gets its own run on first use, one per kernel, from `lab_run`: its stages and gates are stored in the
journal of the current project like any others, and it ends with the kernel.
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
REFUSED: Final = "SMITHERS_NB_REFUSED"
"""File in which another process than the kernel leaves why its call was refused, because the kernel does not see what it raises."""

_BEAT_S: Final = 10.0
"""Seconds between heartbeats of an interactive kernel, which may live for days."""


@dataclass
class RunContext:
    """A run as seen from its kernel, during one execution.

    Attributes:
        run_id: Its id.
        owner: Owner id of the lease that every write requires.
        by_hand: It is not executed durably: a person runs cells, or plain papermill does.
        used: Node id and iteration of every call so far.
        reused: Stages whose stored output was returned, and when that was made, epoch milliseconds.
        parked: Undecided gates and questions reached in this execution; the first one ends it.
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
        """Yield a write transaction about this run, as long as this execution holds its lease.

        Raises:
            LeaseLost: Another execution has taken over the run.
            JournalUnusable: The journal cannot be written.
        """
        with self.journal.writing(self.run_id, self.owner) as connection:
            yield connection

    def park(self, parked: Parked) -> Parked:
        """Stop any further call in this execution, in every thread and task; return the exception to raise."""
        if not self.parked and not self.by_hand:
            end_cell(parked)
        self.parked.append(parked)
        return parked

    def refuse_when_parked(self) -> None:
        """Refuse every call after an undecided gate.

        Raises:
            Parked: This execution has parked. It ends there; a decision made meanwhile counts only for the next one.
        """
        if self.parked and not self.by_hand:
            raise self.parked[0].again()

    def refuse_behind_gate(self, connection: sa.Connection) -> None:
        """Refuse to start a stage after an undecided gate; an interactive kernel may go on once the person has decided.

        Raises:
            Parked: A gate or question reached before is still undecided.
        """
        self.refuse_when_parked()
        if not self.parked:
            return
        from smithers_nb.engine.journal.decisions import waits

        self.parked = [parked for parked in self.parked if waits(connection, parked.node)]
        if self.parked:
            raise self.parked[0].again()


_known: dict[tuple[int, str, str, str], RunContext] = {}
_by_hand: dict[int, RunContext] = {}  # by pid, because a forked kernel is another process


def current() -> RunContext | None:
    """Return the run that this kernel executes; None when it is not executed durably.

    Raises:
        ParameterError: The environment names a run without its journal or owner, or this is not the kernel but a process it started.
    """
    _refuse_fork()
    run_id = os.environ.get(RUN)
    if not run_id:
        return None
    if os.environ.get(KERNEL, "") not in {"", str(os.getpid())}:
        if _kernel() is None:  # nothing here could stop the following cells
            raise _refused("a process started by the notebook")
        return None  # the kernel of a notebook executed by a cell, which is a separate run
    url, owner = os.environ.get(JOURNAL, ""), os.environ.get(OWNER, "")
    if not url or not owner:
        raise ParameterError(f"{RUN} is set, but {JOURNAL} or {OWNER} is not", hint="these are set by `smithers-nb up`, not by hand")
    key = (os.getpid(), run_id, url, owner)
    if key not in _known:
        _known[key] = RunContext(run_id, owner, _opened(_location(url)))
    return _known[key]


def lab_run() -> RunContext:
    """Return the run of an interactive kernel, created on first use: `lab-<time>-<process>`.

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
    """Refuse to work in a fork of the kernel: it inherits locks of threads it does not have, and may wait for them for ever."""
    kernel = _kernel()
    if kernel is not None and kernel.session.pid != os.getpid():
        raise _refused("a forked process")


def _refused(where: str) -> ParameterError:
    message = f"stage, gate and ask cannot be called in {where}"
    with suppress(KeyError, OSError):  # without the file, the caller's exception is all there is
        Path(os.environ[REFUSED]).write_text(message, encoding="utf-8")
    return ParameterError(
        message,
        hint="call them in the notebook, and start processes inside a stage's function",
    )


def _kernel() -> Any:
    """Return the kernel that this process is, or was forked from; None when it is not a kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None)


def end_with_kernel(connection: sa.Connection, run_id: str) -> None:
    """End an interactive run with its kernel; a run that has ended already stays as it is.

    It fails when the kernel ended in the middle of a stage, finishes when nothing in it failed or waits, and is cancelled otherwise.
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
    """Fail the stages that were running when the kernel ended; return the reason of the innermost."""
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
    """Return the journal, which the executing process has already migrated."""
    from smithers_nb.engine.journal.store import Journal

    return Journal(location)


def _open(location: Location) -> Journal:
    from smithers_nb.engine.journal.store import Journal

    return Journal.open(location)


def _begin(journal: Journal) -> RunContext:
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
    run = RunContext(run_id, owner, journal, by_hand=True)
    threading.Thread(target=leases.beat_until, args=(journal, owner, run.over, _BEAT_S), name=f"heartbeat of {run_id}", daemon=True).start()
    atexit.register(_end, run, os.getpid())
    return run


def _end(run: RunContext, pid: int) -> None:
    """End the run when its kernel exits."""
    if os.getpid() != pid:
        return
    from smithers_nb.engine.journal import leases

    run.over.set()
    with suppress(SmithersNbError):  # at process exit there is nobody to report to
        with run.writing() as connection:
            end_with_kernel(connection, run.run_id)
        leases.deregister(run.journal, run.owner)


def _notebook() -> Path | None:
    """Return the notebook for which a Jupyter server started this kernel; None under papermill, which does not say."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    file = Path(name).absolute()
    return file if name.endswith(".ipynb") and file.is_file() else None
