"""Leases: which process executes a run, and when its owner counts as dead.

A worker is a process with an owner id, `pid:PID:UUID` as in Smithers, and a heartbeat. An execution takes the lease of its run by
compare-and-set; its later writes go through `Journal.writing(run_id, owner)`, which refuses when the lease is lost. A worker is dead when
its heartbeat is stale, whatever process has its pid now, or when its process has provably ended. A pid alone proves nothing, since a
restarted container reuses the same ones.
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
"""Age in seconds at which a heartbeat is stale: fifteen missed beats of a worker, three of an interactive kernel."""


class Worker(NamedTuple):
    """A process that executes notebooks.

    Attributes:
        process_start: Start time in ticks since boot; None where the system does not provide it.
    """

    owner: str
    host: str
    pid: int
    heartbeat_at_ms: int
    queue: str | None
    process_start: int | None = None

    def is_alive(self, now: int) -> bool:
        """Return whether it may still be working, at an epoch millisecond."""
        return not self.is_stale(now) and not self.is_gone()

    def is_stale(self, now: int) -> bool:
        """Return whether its lease has expired, because its heartbeat is too old."""
        return now - self.heartbeat_at_ms >= STALE_S * 1000

    def is_gone(self) -> bool:
        """Return whether its process has provably ended; always False for another machine."""
        if self.host != host() or os.name != "posix":  # on Windows os.kill(pid, 0) would terminate the process
            return False
        return not _is_running(self.pid) or (self.process_start is not None and process_start(self.pid) != self.process_start)


def new_owner() -> str:
    """Return a new owner id for this process."""
    return f"pid:{os.getpid()}:{uuid.uuid4()}"


def host() -> str:
    """Return the identity of this machine, boot and pid namespace, within which a pid and its start time are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{boot}:{space}"


def process_start(pid: int) -> int | None:
    """Return the start time of a process in ticks since boot; None when it is gone or the system does not provide it."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def register(journal: Journal, owner: str, queue: str | None = None, *, announced_as: str | None = None) -> None:
    """Register this process as a worker.

    Args:
        journal: The journal.
        owner: Its owner id.
        queue: The queue it takes work from; None for none.
        announced_as: Owner id under which its starter has announced it (`announce`); that row is removed.
    """
    with journal.writing() as connection:
        if announced_as is not None:
            connection.execute(workers.delete().where(workers.c.owner == announced_as))
        connection.execute(workers.delete().where(workers.c.owner == owner))  # it may have registered with `introduce`
        _insert(connection, owner, os.getpid(), queue)


def announce(journal: Journal, queue: str) -> str | None:
    """Announce a worker that this process is about to start, unless the queue has a worker or an announced one.

    The check and the announcement are one transaction, so that only one of several processes starts a worker.

    Returns:
        The owner id of the announcement; None when there is a worker.
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
    """Register this process as about to execute a run, in the caller's transaction; return its owner id."""
    owner = new_owner()
    _insert(connection, owner, os.getpid(), None)
    return owner


def started_as(journal: Journal, owner: str, pid: int) -> None:
    """Record the pid of an announced worker, so that it does not count as alive if it dies before it registers."""
    with journal.writing() as connection:
        values = {"pid": pid, "process_start": process_start(pid), "heartbeat_at_ms": now_ms()}
        connection.execute(workers.update().where(workers.c.owner == owner).values(values))


def _insert(connection: sa.Connection, owner: str, pid: int, queue: str | None) -> None:
    at = now_ms()
    row = {"owner": owner, "host": host(), "pid": pid, "process_start": process_start(pid), "queue": queue}
    connection.execute(workers.insert().values(row | {"started_at_ms": at, "heartbeat_at_ms": at}))


def beat(journal: Journal, owner: str) -> None:
    """Update the heartbeat of a worker and of every run it executes."""
    at = now_ms()
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(heartbeat_at_ms=at))
        connection.execute(runs.update().where(runs.c.runtime_owner_id == owner).values(heartbeat_at_ms=at))


def beat_until(journal: Journal, owner: str, over: threading.Event, every_s: float = BEAT_S) -> None:
    """Update heartbeats until `over` is set; the target of a thread."""
    while not over.wait(every_s):
        with suppress(JournalUnusable):  # a database may be unavailable for a moment
            beat(journal, owner)


def deregister(journal: Journal, owner: str) -> None:
    """Remove a worker that ends in an orderly way."""
    with journal.writing() as connection:
        connection.execute(workers.delete().where(workers.c.owner == owner))


def take_from(journal: Journal, owner: str, queue: str | None) -> None:
    """Set the queue that a worker takes work from; None for none."""
    with journal.writing() as connection:
        connection.execute(workers.update().where(workers.c.owner == owner).values(queue=queue))


def known_workers(connection: sa.Connection) -> list[Worker]:
    """Return the registered workers, including dead ones that did not deregister."""
    columns = (workers.c[name] for name in Worker._fields)
    return [Worker(*row) for row in connection.execute(sa.select(*columns).order_by(workers.c.started_at_ms))]


def take_lease(connection: sa.Connection, run_id: str, owner: str) -> bool:
    """Take the lease of a run, in a transaction of `Journal.writing(run_id)`; False when a live worker holds it."""
    held = connection.execute(sa.select(runs.c.runtime_owner_id).where(runs.c.run_id == run_id)).scalar()
    if held is not None and held != owner:
        holder = next((worker for worker in known_workers(connection) if worker.owner == held), None)
        if holder is not None and holder.is_alive(now_ms()):
            return False
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(runtime_owner_id=owner, heartbeat_at_ms=now_ms()))
    return True


def release(journal: Journal, run_id: str, owner: str) -> None:
    """Give up the lease of a run, if this owner holds it."""
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
    try:  # a zombie process has ended, although its pid still exists
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
