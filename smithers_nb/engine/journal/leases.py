"""Who executes a run: one process at a time, and what happens to the runs of one that has died.

A worker is a process with an owner id, `pid:PID:UUID` as Smithers writes it, and a heartbeat. An execution claims its run by
compare-and-set; every later write of it goes through `Journal.writing(run_id, owner)`, which refuses when the claim is gone. A worker is
dead when its process is provably gone on this machine, or when its heartbeat has stood still for too long on another.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import sqlalchemy as sa

from smithers_nb.engine.journal.schema import runs, workers
from smithers_nb.errors import JournalUnusable
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.engine.journal.store import Journal

BEAT_S: Final = 2.0
STALE_S: Final = 20.0
"""A worker elsewhere that has not been heard of for so long is taken for dead."""


class Worker(NamedTuple):
    """A process that executes notebooks."""

    owner: str
    host: str
    pid: int
    heartbeat_at_ms: int
    queue: str | None

    def is_alive(self, now: int) -> bool:
        """Tell whether it can still be working, at an epoch millisecond."""
        if self.host == host() and os.name == "posix":  # elsewhere to ask for a process is to interrupt it
            return _is_running(self.pid)
        return now - self.heartbeat_at_ms < STALE_S * 1000


def new_owner() -> str:
    """Make the owner id of this process."""
    return f"pid:{os.getpid()}:{uuid.uuid4()}"


def host() -> str:
    """Name this machine, in this boot and process namespace, so that a pid means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{boot}:{space}"


def register(journal: Journal, owner: str, queue: str | None = None) -> None:
    """Announce a process that executes notebooks; `queue` is None for one that does not take work from others."""
    at = now_ms()
    row = {"owner": owner, "host": host(), "pid": os.getpid(), "started_at_ms": at, "heartbeat_at_ms": at, "queue": queue}
    with journal.writing() as connection:
        connection.execute(workers.insert().values(row))


def beat(journal: Journal, owner: str) -> None:
    """Give a sign of life for a process and every run it executes."""
    at = now_ms()
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(heartbeat_at_ms=at))
        connection.execute(runs.update().where(runs.c.runtime_owner_id == owner).values(heartbeat_at_ms=at))


def beat_until(journal: Journal, owner: str, over: threading.Event, every_s: float = BEAT_S) -> None:
    """Give signs of life until told to stop; what a thread is for."""
    while not over.wait(every_s):
        with suppress(JournalUnusable):  # a database that is away for a moment comes back
            beat(journal, owner)


def deregister(journal: Journal, owner: str) -> None:
    """Say that a process has ended in good order."""
    with journal.writing() as connection:
        connection.execute(workers.delete().where(workers.c.owner == owner))


def take_from(journal: Journal, owner: str, queue: str | None) -> None:
    """Say which queue a process takes work from from now on; None for none."""
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(queue=queue))


def known_workers(connection: sa.Connection) -> list[Worker]:
    """List the processes that have announced themselves and not yet gone in good order."""
    columns = (workers.c[name] for name in Worker._fields)
    return [Worker(*row) for row in connection.execute(sa.select(*columns).order_by(workers.c.started_at_ms))]


def claim(connection: sa.Connection, run_id: str, owner: str) -> bool:
    """Take a run for one execution, in a transaction of `Journal.writing(run_id)`; False when a process that is alive has it already."""
    held = connection.execute(sa.select(runs.c.runtime_owner_id).where(runs.c.run_id == run_id)).scalar()
    if held is not None and held != owner:
        holder = next((worker for worker in known_workers(connection) if worker.owner == held), None)
        if holder is not None and holder.is_alive(now_ms()):
            return False
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(runtime_owner_id=owner, heartbeat_at_ms=now_ms()))
    return True


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that has ended and that nobody has waited for is dead all the same
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
