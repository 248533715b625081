"""Kill -9 between stages and in the middle of the build: nothing is done twice, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import nodes
from tests.workflows.smithering.conftest import run_git
from tests.workflows.smithering.pipeline import Request, book

pytestmark = pytest.mark.slow

_EXECUTE = """
import sys
from smithers_nb.engine.control import resume
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.foreground import run_here
location = Location.of(sys.argv[1])
if sys.argv[3] == "again":
    resume(location, sys.argv[2], here=True)
run_here(location, sys.argv[2])
"""
_PATIENCE_S = 240.0


def done(request: Request) -> dict[tuple[str, int], int]:
    """Return the finished nodes of a run, each with its round and the number of its last attempt."""
    columns = (nodes.c.node_id, nodes.c.iteration, nodes.c.last_attempt)
    query = sa.select(*columns).where(nodes.c.run_id == request.run_id, nodes.c.state == "finished")
    with Journal.open(request.location) as journal, journal.reading() as connection:
        return {(name, number): attempt for name, number, attempt in connection.execute(query)}


def landed(repo: Path) -> list[str]:
    """Return the tickets of the land commits, the newest first; empty before there is a branch."""
    branch = "smithering/r1/integration"
    if not run_git(repo, "branch", "--list", branch):
        return []
    trailer = "--format=%(trailers:key=smithering-land,valueonly,separator=%x20)"
    return run_git(repo, "log", trailer, f"main..{branch}").split()


def execute_until(request: Request, milestone: str, mode: str) -> bool:
    """Execute a run in a process of its own, and kill that once a node is finished or a ticket has landed; return whether it was killed."""
    process = subprocess.Popen([sys.executable, "-c", _EXECUTE, str(request.repo), request.run_id, mode], cwd=request.repo)
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{milestone} was never reached"
        ticket = milestone.removeprefix("land ")
        reached = ticket in landed(request.repo) if ticket != milestone else (milestone, 0) in done(request)
        if milestone and reached:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


def test_kills_at_stage_boundaries_and_while_landing_repeat_nothing(repo: Path) -> None:
    """After three kills a run is delivered, every ticket landed once, no finished stage ran again, base branch and tree are as before."""
    before = run_git(repo, "rev-parse", "main")
    request = Request(repo, book(), review=False)
    seen: dict[tuple[str, int], int] = {}
    mode = "first"
    for milestone in ("tickets", "land greet", "review:synthesis"):
        assert execute_until(request, milestone, mode), f"it ended before {milestone}"
        now = done(request)
        assert {name: now.get(name) for name in seen} == seen
        seen, mode = now, "again"
    assert not execute_until(request, "", mode)
    ended = done(request)
    assert {name: ended[name] for name in seen} == seen
    assert request.row.status == "delivered"
    assert landed(repo) == ["leave", "greet"]
    assert request.final_reports() == ["report:final"]
    assert (run_git(repo, "rev-parse", "main"), run_git(repo, "status", "--porcelain")) == (before, "")
    assert len(run_git(repo, "worktree", "list").splitlines()) == 1
    assert run_git(repo, "branch", "--list", "--format=%(refname:short)").split() == ["main", "smithering/r1/integration"]
