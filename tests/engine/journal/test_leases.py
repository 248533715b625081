"""Exactly one process executes a run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import leases, schema
from smithers_nb.engine.journal.leases import STALE_S, Worker, host, new_owner

RACE = """
owner = claims.new_owner()
claims.register(journal, owner)
meet()
with journal.writing('r1') as c:
    print(claims.take_lease(c, 'r1', owner), flush=True)
sys.stdin.readline()
"""


def owner_of(journal):
    """Read who has the run."""
    with journal.reading() as connection:
        return connection.execute(sa.select(schema.runs.c.runtime_owner_id)).scalar()


def take(journal, owner):
    """Try to take the run."""
    with journal.writing("r1") as connection:
        return leases.take_lease(connection, "r1", owner)


def announce(journal, owner, **values):
    """Write a worker's row."""
    leases.register(journal, owner)
    with journal.writing() as connection:
        connection.execute(schema.workers.update().where(schema.workers.c.owner == owner).values(**values))


@pytest.fixture
def gone():
    """Pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_owner_ids_are_those_of_smithers():
    """An owner id names the process and is never used twice."""
    one, other = new_owner(), new_owner()
    assert one.split(":")[:2] == ["pid", str(os.getpid())]
    assert one != other


def test_a_free_run_is_taken_once(journal, run):
    """The first gets it, and again when it asks again; a second one does not while the first is alive."""
    run(journal)
    mine, theirs = new_owner(), new_owner()
    for owner in (mine, theirs):
        leases.register(journal, owner)
    assert [take(journal, mine), take(journal, mine), take(journal, theirs)] == [True, True, False]
    assert owner_of(journal) == mine


def test_two_processes_claim_at_once(journal, run, elsewhere):
    """Of two processes that claim one run at the same moment exactly one has it."""
    run(journal)
    processes = [elsewhere(journal, RACE) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.stdout.readline() for process in processes) == ["False\n", "True\n"]


def test_the_run_of_a_dead_process_is_taken_over(journal, run, gone):
    """A claim of a process that is gone from this machine, or that deregistered, holds nobody up, whatever its heartbeat says."""
    run(journal)
    dead, mine = new_owner(), new_owner()
    announce(journal, dead, pid=gone)
    assert take(journal, dead)
    assert take(journal, mine)
    leases.register(journal, mine)
    leases.deregister(journal, mine)
    assert take(journal, new_owner())


def test_a_pid_that_was_given_out_again_is_nobody(journal, run):
    """A process with the pid of a worker, but started at another time, does not keep its runs: so it is in a restarted container."""
    run(journal)
    dead = new_owner()
    announce(journal, dead, process_start=1)
    assert take(journal, dead)
    assert take(journal, new_owner())


def test_a_stale_heartbeat_overrules_a_live_pid(journal, run):
    """A process that is there and has not been heard of for too long, such as a suspended one, loses its run."""
    run(journal)
    suspended = new_owner()
    announce(journal, suspended, heartbeat_at_ms=leases.now_ms() - round(STALE_S * 1000))
    assert take(journal, suspended)
    assert take(journal, new_owner())


def test_a_worker_is_announced_once(journal):
    """Of those who look for a worker at the same time one is to start it, until that one has registered or has ended."""
    announced = leases.announce(journal, "q")
    assert announced is not None
    assert leases.announce(journal, "q") is None
    mine = new_owner()
    leases.register(journal, mine, "q", announced_as=announced)
    with journal.reading() as connection:
        assert [worker.owner for worker in leases.known_workers(connection)] == [mine]
    leases.deregister(journal, mine)
    assert leases.announce(journal, "q") is not None


def test_an_announced_worker_that_died_is_replaced(journal, gone):
    """Nobody waits for a worker that ended before it could register."""
    announced = leases.announce(journal, "q")
    leases.started_as(journal, announced, gone)
    assert leases.announce(journal, "q") is not None


def test_a_lease_is_given_up_by_its_owner_only(journal, run):
    """A run that a process has and does not execute any more is free; somebody else's stays."""
    run(journal)
    mine = new_owner()
    leases.register(journal, mine)
    assert take(journal, mine)
    leases.release(journal, "r1", new_owner())
    assert owner_of(journal) == mine
    leases.release(journal, "r1", mine)
    assert owner_of(journal) is None


@pytest.mark.parametrize(("silent_s", "taken"), [(0, False), (STALE_S - 5, False), (STALE_S + 5, True), (-3600, False)])
def test_a_process_elsewhere_is_judged_by_its_heartbeat(journal, run, silent_s, taken):
    """On another machine a worker is dead when its heartbeat has stood still for long; a clock that is ahead kills nobody."""
    run(journal)
    there = new_owner()
    announce(journal, there, host="elsewhere:1:2", heartbeat_at_ms=leases.now_ms() - int(silent_s * 1000))
    assert take(journal, there)
    assert take(journal, new_owner()) is taken


def test_a_process_that_was_not_waited_for_is_dead():
    """A zombie does no work."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    with open(f"/proc/{process.pid}/stat") as stat:  # noqa: PTH123 - read until it has ended
        while stat.read().rpartition(")")[2].split()[0] != "Z":
            stat.seek(0)
    assert not Worker("pid:1:a", host(), process.pid, 0, None).is_alive(0)
    process.wait()


def test_a_sign_of_life_reaches_the_runs(journal, run):
    """A beat is written for the worker and for every run it has, and for no other."""
    run(journal)
    run(journal, "r2")
    mine = new_owner()
    announce(journal, mine, heartbeat_at_ms=1)
    take(journal, mine)
    with journal.writing() as connection:
        connection.execute(schema.runs.update().values(heartbeat_at_ms=1))
    leases.beat(journal, mine)
    with journal.reading() as connection:
        beats = dict(connection.execute(sa.select(schema.runs.c.run_id, schema.runs.c.heartbeat_at_ms)).all())
        (worker,) = leases.known_workers(connection)
    assert beats["r2"] == 1
    assert beats["r1"] == worker.heartbeat_at_ms > 1
