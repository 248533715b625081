"""Who executes a run: one process at a time, and what happens to the runs of one that has died.

A worker is a process with an owner id, `pid:PID:UUID` as Smithers writes it, and a heartbeat. An execution leases its run by
compare-and-set; every later write of it goes through `Journal.writing(run_id, owner)`, which refuses when the lease is gone. A worker is
dead when its heartbeat has stood still for too long, whatever process has its pid now, or when its process is provably gone: a pid alone
proves nothing, since a restarted container gives out the same ones.
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
STALE_S: Final = 30.0
"""A worker that has not been heard of for so long is taken for dead: fifteen heartbeats, three of a person's kernel."""


class Worker(NamedTuple):
    """A process that executes notebooks.

    Attributes:
        process_start: When it was started, in ticks since the machine was booted; None where a system does not say.
    """

    owner: str
    host: str
    pid: int
    heartbeat_at_ms: int
    queue: str | None
    process_start: int | None = None

    def is_alive(self, now: int) -> bool:
        """Return whether it can still be working, at an epoch millisecond."""
        return not self.is_stale(now) and not self.is_gone()

    def is_stale(self, now: int) -> bool:
        """Return whether its lease has run out: it has not been heard of for too long."""
        return now - self.heartbeat_at_ms >= STALE_S * 1000

    def is_gone(self) -> bool:
        """Return whether its process has provably ended; of one on another machine nobody can tell."""
        if self.host != host() or os.name != "posix":  # on Windows to ask for a process is to interrupt it
            return False
        return not _is_running(self.pid) or (self.process_start is not None and process_start(self.pid) != self.process_start)


def new_owner() -> str:
    """Make the owner id of this process."""
    return f"pid:{os.getpid()}:{uuid.uuid4()}"


def host() -> str:
    """Name this machine, in this boot and process namespace, so that a pid and its start mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{boot}:{space}"


def process_start(pid: int) -> int | None:
    """Read when a process was started, in ticks since the machine was booted; None when it is gone or the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def register(journal: Journal, owner: str, queue: str | None = None, *, announced_as: str | None = None) -> None:
    """Announce this process as one that executes notebooks.

    Args:
        journal: Where.
        owner: Its id.
        queue: Where it takes work of others from; None for nowhere.
        announced_as: Owner id under which whoever started it has announced it (`announce`); that row goes.
    """
    with journal.writing() as connection:
        if announced_as is not None:
            connection.execute(workers.delete().where(workers.c.owner == announced_as))
        connection.execute(workers.delete().where(workers.c.owner == owner))  # it may have introduced itself
        _insert(connection, owner, os.getpid(), queue)


def announce(journal: Journal, queue: str) -> str | None:
    """Announce a worker that this process is about to start, unless one takes from the queue already or is about to.

    Both are one transaction, so that of many who look for a worker at once one starts it.

    Returns:
        The owner id it is announced as; None when there is a worker.
    """
    with journal.writing() as connection:
        if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            connection.execute(sa.text(f"LOCK TABLE {workers.name} IN EXCLUSIVE MODE"))
        if any(worker.queue == queue and worker.is_alive(now_ms()) for worker in known_workers(connection)):
            return None
        owner = new_owner()
        _insert(connection, owner, os.getpid(), queue)
    return owner


def introduce(connection: sa.Connection) -> str:
    """Announce this process as one that is about to execute a run, in the transaction that says so; returns its owner id."""
    owner = new_owner()
    _insert(connection, owner, os.getpid(), None)
    return owner


def started_as(journal: Journal, owner: str, pid: int) -> None:
    """Write which process an announced worker is; when it ends before it registers, nobody waits for it."""
    with journal.writing() as connection:
        values = {"pid": pid, "process_start": process_start(pid), "heartbeat_at_ms": now_ms()}
        connection.execute(workers.update().where(workers.c.owner == owner).values(values))


def _insert(connection: sa.Connection, owner: str, pid: int, queue: str | None) -> None:
    at = now_ms()
    row = {"owner": owner, "host": host(), "pid": pid, "process_start": process_start(pid), "queue": queue}
    connection.execute(workers.insert().values(row | {"started_at_ms": at, "heartbeat_at_ms": at}))


def beat(journal: Journal, owner: str) -> None:
    """Write the heartbeat of a process and of every run it executes."""
    at = now_ms()
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(heartbeat_at_ms=at))
        connection.execute(runs.update().where(runs.c.runtime_owner_id == owner).values(heartbeat_at_ms=at))


def beat_until(journal: Journal, owner: str, over: threading.Event, every_s: float = BEAT_S) -> None:
    """Write heartbeats until told to stop; the target of a thread."""
    while not over.wait(every_s):
        with suppress(JournalUnusable):  # a database that is away for a moment comes back
            beat(journal, owner)


def deregister(journal: Journal, owner: str) -> None:
    """Record that a process has ended in good order."""
    with journal.writing() as connection:
        connection.execute(workers.delete().where(workers.c.owner == owner))


def take_from(journal: Journal, owner: str, queue: str | None) -> None:
    """Name which queue a process takes work from from now on; None for none."""
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(queue=queue))


def known_workers(connection: sa.Connection) -> list[Worker]:
    """List the processes that have announced themselves and not yet gone in good order."""
    columns = (workers.c[name] for name in Worker._fields)
    return [Worker(*row) for row in connection.execute(sa.select(*columns).order_by(workers.c.started_at_ms))]


def take_lease(connection: sa.Connection, run_id: str, owner: str) -> bool:
    """Take a run for one execution, in a transaction of `Journal.writing(run_id)`; False when a process that is alive has it already."""
    held = connection.execute(sa.select(runs.c.runtime_owner_id).where(runs.c.run_id == run_id)).scalar()
    if held is not None and held != owner:
        holder = next((worker for worker in known_workers(connection) if worker.owner == held), None)
        if holder is not None and holder.is_alive(now_ms()):
            return False
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(runtime_owner_id=owner, heartbeat_at_ms=now_ms()))
    return True


def release(journal: Journal, run_id: str, owner: str) -> None:
    """Give up the lease of a run that a process has and does not execute any more."""
    with journal.writing() as connection:
        held = (runs.c.run_id == run_id, runs.c.runtime_owner_id == owner)
        connection.execute(runs.update().where(*held).values(runtime_owner_id=None))


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
