"""For processes that do not execute runs themselves: request an execution, and make sure that a worker exists."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import announce, started_as
from smithers_nb.engine.stages.context import JOURNAL, OWNER, ROOT, RUN
from smithers_nb.engine.workers.dbos import QUEUE
from smithers_nb.engine.workers.executor import ANNOUNCED

if TYPE_CHECKING:
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.location import Location


def enqueue(location: Location, run_id: str) -> Execution:
    """Request the next execution of a run by a worker.

    Raises:
        JournalUnusable: The journal cannot be written.
        RunNotFound: There is no such run.
    """
    with Journal.open(location) as journal, journal.writing(run_id) as connection:
        return executions.want(connection, run_id)


def ensure_worker(location: Location, program: Sequence[str]) -> bool:
    """Start a background worker unless one is alive; return whether one was started.

    Args:
        location: Project and database, passed to the worker in its environment (`stages.context.ROOT` and `JOURNAL`).
        program: Command of a worker that exits when idle; a parameter, since the engine does not know what follows a run's end.
    """
    with Journal.open(location) as journal:
        owner = announce(journal, QUEUE)
        if owner is None:
            return False
        process = _start(location, program, owner)
        started_as(journal, owner, process.pid)
    # a process that outlives the worker, such as a kernel, has to reap it
    threading.Thread(target=process.wait, name="worker", daemon=True).start()
    return True


def _start(location: Location, program: Sequence[str], owner: str) -> subprocess.Popen[bytes]:
    log = location.folder / "logs" / "worker.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    ours = {name: value for name, value in os.environ.items() if name not in (RUN, OWNER)}  # a kernel's run is not the worker's
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603  # our own program
            program,
            cwd=location.root,
            env={**ours, ROOT: str(location.root), JOURNAL: location.url, ANNOUNCED: owner},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
