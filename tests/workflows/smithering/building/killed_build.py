"""A build that is killed: run as `python killed_build.py REPO ARTIFACTS LOG POINT`; POINT 0 lets it live.

The process kills itself with SIGKILL right before or right after it starts its n-th subprocess, or right before or after its n-th file is
put in place: every effect of a build is one of the two. The sign of POINT says before or after.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import signal
import subprocess
import sys
from pathlib import Path

from smithers_nb.workflows.smithering.building.build import build
from smithers_nb.workflows.smithering.landing.queue import Policy
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.workforce.base import WorkDone

NEEDS = {"a": (), "b": (), "c": ("a",), "d": ("a", "b"), "e": ()}


def tickets() -> list[Ticket]:
    """Five tickets: one is red once, two conflict."""
    return [
        Ticket(
            id=name,
            title=f"Make {name}",
            depends_on=needs,
            verification=(Verification(kind="command", details=f"grep -q right {name}.txt && git rev-parse HEAD"),),
        )
        for name, needs in NEEDS.items()
    ]


class Hands:
    """Writes the ticket's file and a line of a shared one; says so in a log."""

    name, families = "hands", ("one",)

    def __init__(self, log: Path) -> None:
        self.log = log

    def implement(self, order) -> WorkDone:
        with self.log.open("a") as log:
            log.write(f"{order.ticket.id}\n")
        text = "wrong" if order.ticket.id == "b" and order.attempt == 1 else "right"
        (order.folder / f"{order.ticket.id}.txt").write_text(text)
        shared = order.folder / "README.md"
        lines = [line for line in shared.read_text().splitlines() if line[:7] not in {"<<<<<<<", "=======", ">>>>>>>"}]
        if order.ticket.id in {"a", "e"} and order.ticket.id not in lines:
            shared.write_text("\n".join([*lines, order.ticket.id, ""]))
        elif order.attempt > 1:
            shared.write_text("\n".join([*lines, ""]))
        return WorkDone(summary="done")

    def answer(self, _request) -> dict:
        return {"approved": True}


def die_at(point: int) -> None:
    """Arm the process."""
    count = itertools.count(1)

    def armed(call):
        def called(*args, **kwargs):
            number = next(count)
            if number == point:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **kwargs)
            if number == -point:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return called

    subprocess.Popen.__init__ = armed(subprocess.Popen.__init__)
    pathlib.Path.replace = armed(pathlib.Path.replace)


def main() -> None:
    repo, artifacts, log = map(Path, sys.argv[1:4])
    if point := int(sys.argv[4]):
        die_at(point)
    options = {"run_id": "run-1", "base_branch": "main", "artifacts": artifacts, "workforce": Hands(log)}
    result = build(repo, tickets(), policy=Policy(timeout_s=60), **options)
    assert not result.failed, result.failed


if __name__ == "__main__":
    main()
