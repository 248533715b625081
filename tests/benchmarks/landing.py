"""What is measured of landing: a build with workers that take no time, and the same git commands in a loop."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import tell

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.tickets import TicketGraph
    from smithers_nb.workflows.smithering.workforce.base import WorkDone

PARALLEL = 2
_GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "gc.auto=0", "-c", "core.hooksPath=/dev/null")


def landing_build(folder: str, count: str) -> None:
    """Build tickets; tell how many landed."""
    from smithers_nb.workflows.smithering.building.build import build  # every job's process reads this module, so its imports are late

    repo, graph = _repository(Path(folder)), _graph(int(count))
    began = time.perf_counter()
    options = {"run_id": "run", "base_branch": "main", "artifacts": Path(folder) / "artifacts", "parallel": PARALLEL}
    result = build(repo, graph, workforce=_Instant(), **options)
    tell(seconds=time.perf_counter() - began, landed=len(result.landed))


def landing_bare(folder: str, count: str) -> None:
    """Do what landing cannot do without, ticket by ticket, and check nothing."""
    repo, graph = _repository(Path(folder)), _graph(int(count))
    tip = _git(repo, "rev-parse", "HEAD")
    verify = Path(folder) / "verify"
    _git(repo, "worktree", "add", "--quiet", "--detach", str(verify), tip)
    calls = 0
    began = time.perf_counter()
    for ticket in graph:
        path, branch, command = Path(folder) / "trees" / ticket.id, f"t/{ticket.id}", ticket.verification[0].details
        before = _Counted.calls
        _git(repo, "worktree", "add", "--quiet", "-b", branch, str(path), tip)
        _verified(verify, tip, command)
        (path / f"{ticket.id}.txt").write_text("x")
        _git(path, "add", "--all")
        _git(path, "commit", "--quiet", "--message", ticket.title)
        tree = _git(repo, "merge-tree", "--write-tree", tip, branch)
        head = _git(repo, "commit-tree", tree, "-p", tip, "-m", f"{ticket.title}\n\nsmithering-land: {ticket.id}")
        _git(repo, "diff-tree", "-r", "-p", tip, head)
        _verified(verify, head, command)
        _git(repo, "update-ref", "refs/heads/integration", head)
        _git(repo, "worktree", "remove", "--force", str(path))
        _git(repo, "update-ref", "-d", f"refs/heads/{branch}")
        tip, calls = head, _Counted.calls - before
    tell(seconds=time.perf_counter() - began, calls=calls)


class _Counted:
    calls = 0


class _Instant:
    name, families = "instant", ("instant",)

    def implement(self, order) -> WorkDone:
        (order.folder / f"{order.ticket.id}.txt").write_text("x")
        from smithers_nb.workflows.smithering.workforce.base import WorkDone

        return WorkDone(summary="done")

    def answer(self, _request) -> dict:
        return {"approved": True}


def _verified(folder: Path, commit: str, command: str) -> None:
    _git(folder, "checkout", "--quiet", "--force", "--detach", commit)
    _git(folder, "clean", "-ffdxq")
    subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False)


def _git(folder: Path, *words: str) -> str:
    _Counted.calls += 1
    return subprocess.run([*_GIT, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _repository(folder: Path) -> Path:
    repo = folder / "repo"
    repo.mkdir(parents=True)
    _git(repo, "init", "--quiet", "--initial-branch=main")
    (repo / "README.md").write_text("hello\n")
    _git(repo, "add", "--all")
    _git(repo, "commit", "--quiet", "--message", "Begin")
    return repo


def _graph(count: int) -> TicketGraph:
    """Return a random graph, the same each time."""
    from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph, Verification

    chosen = random.Random(7)
    names = [f"t-{number}" for number in range(count)]
    return TicketGraph(
        Ticket(
            id=name,
            title=name,
            depends_on=tuple(chosen.sample(names[max(0, at - 20) : at], min(at, chosen.randint(0, 2)))),
            verification=(Verification(kind="command", details="ls *.txt README.md"),),
        )
        for at, name in enumerate(names)
    )


JOBS = (landing_build, landing_bare)
