"""Which run the code in this kernel belongs to.

Whoever executes a notebook durably tells its kernel by environment variables; `current` reads them. A notebook that a person runs cell
by cell, or that plain papermill runs, gets a run of its own on first use, one per kernel, from `lab_run`: its stages and gates are kept
in the journal of the folder's project like any others, and it ends with the kernel.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.place import Place
from smithers_nb.errors import ParameterError, SmithersNbError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.journal.store import Journal

RUN: Final = "SMITHERS_NB_RUN_ID"
JOURNAL: Final = "SMITHERS_NB_JOURNAL"
OWNER: Final = "SMITHERS_NB_OWNER"
ROOT: Final = "SMITHERS_NB_ROOT"


@dataclass
class ThisRun:
    """A run as its kernel sees it, in one of its executions.

    Attributes:
        run_id: Its id.
        owner: Claim that every write is conditional on.
        by_hand: Nobody executes it durably: a person runs cells, or plain papermill does.
        used: Node and iteration of what was called so far.
        reused: Stages whose kept output was given, and when that was made, epoch milliseconds.
    """

    run_id: str
    owner: str
    journal: Journal
    by_hand: bool = False
    used: set[tuple[str, int]] = field(default_factory=set)
    reused: dict[tuple[str, int], int | None] = field(default_factory=dict)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Write about this run, all or nothing, while this kernel's execution owns it.

        Raises:
            ClaimLost: Another execution has taken the run over.
            JournalUnusable: The journal cannot be written.
        """
        with self.journal.writing(self.run_id, self.owner) as connection:
            yield connection


_known: dict[tuple[int, str, str, str], ThisRun] = {}
_by_hand: dict[int, ThisRun] = {}  # by process, because a forked kernel is another one


def current() -> ThisRun | None:
    """Give the run that this kernel executes; None when nobody executes it durably.

    Raises:
        ParameterError: The environment names a run but not its journal or its owner.
    """
    run_id = os.environ.get(RUN)
    if not run_id:
        return None
    url, owner = os.environ.get(JOURNAL, ""), os.environ.get(OWNER, "")
    if not url or not owner:
        raise ParameterError(f"{RUN} is set, but {JOURNAL} or {OWNER} is not", hint="these are set by `smithers-nb up`, not by hand")
    key = (os.getpid(), run_id, url, owner)
    if key not in _known:
        _known[key] = ThisRun(run_id, owner, _opened(_place(url)))
    return _known[key]


def lab_run() -> ThisRun:
    """Give the run of a kernel that nobody executes durably, made on first use: `lab-<time>-<process>`.

    Raises:
        JournalUnusable: The journal of the current folder's project cannot be written.
    """
    pid = os.getpid()
    if pid not in _by_hand:
        _by_hand[pid] = _begin(_open(Place.of()))
    return _by_hand[pid]


def _place(url: str) -> Place:
    root = os.environ.get(ROOT)
    return Place(Path(root), url) if root else Place.of(url)


def _opened(place: Place) -> Journal:
    """Give the journal that whoever executes this run has opened and brought up to date."""
    from smithers_nb.engine.journal.store import Journal

    return Journal(place)


def _open(place: Place) -> Journal:
    from smithers_nb.engine.journal.store import Journal

    return Journal.open(place)


def _begin(journal: Journal) -> ThisRun:
    from smithers_nb.engine.journal import claims, executions, records, status
    from smithers_nb.model.moment import now_ms

    owner, run_id = claims.new_owner(), f"lab-{now_ms():x}-{os.getpid()}"
    file = _notebook()
    config = {"rootDir": str(journal.place.root), "cwd": str(Path.cwd()), "lab": True}
    new = records.NewRun(run_id, file.stem if file else "notebook", str(file) if file else None, None, {}, config)
    claims.register(journal, owner)
    with journal.writing() as connection:
        records.create_run(connection, new)
        claims.claim(connection, run_id, owner)
        executions.begin(connection, executions.want(connection, run_id, queued=True), owner)
        status.set_status(connection, run_id, "running")
    run = ThisRun(run_id, owner, journal, by_hand=True)
    atexit.register(_end, run, os.getpid())
    return run


def _end(run: ThisRun, pid: int) -> None:
    """Close a run that ends with its kernel: finished when nothing in it failed or waits."""
    if os.getpid() != pid:
        return
    import sqlalchemy as sa

    from smithers_nb.engine.journal import claims, executions, schema, status

    nodes = schema.nodes.c
    open_ones = sa.select(nodes.node_id).where(nodes.run_id == run.run_id, nodes.state != "finished")
    with suppress(SmithersNbError):  # at the end of a process nobody listens any more
        with run.writing() as connection:
            over = connection.execute(open_ones).first() is None
            executions.end(connection, executions.Execution(run.run_id, 1), "finished" if over else "cancelled")
            status.set_status(connection, run.run_id, "finished" if over else "cancelled")
        claims.deregister(run.journal, run.owner)


def _notebook() -> Path | None:
    """Find the notebook that a Jupyter server has opened this kernel for; papermill does not say."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    file = Path(name).absolute()
    return file if name.endswith(".ipynb") and file.is_file() else None
