"""Kill an incident with SIGKILL at points where it is about to write, to rename or to start a program, and go on with it afterwards.

Run as `python incident_kills.py FOLDER PROGRAM POINTS`: FOLDER holds `runs/RUN` as it broke; POINTS is how many points are tried. Each
point has a fork of this process, so that packages are loaded once. Prints one JSON line per point.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.archive import read_archive
from smithers_nb.workflows.incident.bundle import write_bundle
from smithers_nb.workflows.incident.casefile import CaseFile, open_case
from smithers_nb.workflows.incident.recover import recover
from smithers_nb.workflows.incident.triage import snapshot, triage

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OTHERS = {"os.rename", "os.mkdir", "os.remove", "subprocess.Popen"}


def case_in(folder: Path, program: str) -> CaseFile:
    run = next(path for path in sorted((folder / "runs").iterdir()) if not path.name.endswith("-fresh"))
    return open_case(run, program=program, artifacts=folder / "artifacts", workdir=folder)


def go_through(case: CaseFile) -> str:
    """Take an incident from its copy to its bundle."""
    snapshot(case)
    triage(case)
    found = case.classify()
    mended = found.signature is None or found.resolved  # the triage's own commands make outputs anew
    outcome = "recovered" if mended else recover(case, found, agreed_by="me").outcome
    write_bundle(case, case.classify())
    return outcome


def in_fork(work: Callable[[], None]) -> int:
    """Do something in a fork; gives the status it ended with."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  # a fork ends here, whatever happens
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitpid(child, 0)[1]


def kill_at(point: int) -> Callable[[], int]:
    """Kill this process at the n-th write; gives what counts them."""
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in OTHERS or (event == "open" and isinstance(given[2], int) and given[2] & WRITES):
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(hook)
    return lambda: seen


def contents(run: Path) -> dict[str, str]:
    directory = RunDirectory(run)
    return {entry.path: directory.sha256(entry.path) or "" for entry in directory.entries if entry.kind == "file"}


def after(folder: Path, program: str, before: dict[str, str]) -> dict[str, Any]:
    """Go on with a killed incident; gives what it came to and what is wrong."""
    case = case_in(folder, program)
    outcome = go_through(case)
    archive = read_archive(case.before)
    kept = {item.path: item.sha256 for item in archive.files if item.kind == "file"} if archive else None
    bundles = sorted(path.name for path in case.folder.glob("escalation-*") if not verify_bundle(path).ok)
    numbers = [step["n"] for step in case.log.steps()]
    wrong = {
        "the copy is not what the run was": kept != before,
        f"{bundles} are not whole": bool(bundles),
        "the log has gaps": numbers != list(range(1, len(numbers) + 1)),
    }
    return {"outcome": outcome, "wrong": [name for name, holds in wrong.items() if holds]}


def main(folder: Path, program: str, points: int) -> None:
    before = contents(next((folder / "runs").iterdir()))

    def copy(name: str) -> Path:
        shutil.copytree(folder / "runs", folder / name / "runs")
        return folder / name

    def count() -> None:
        whole = copy("whole")
        seen = kill_at(-1)
        go_through(case_in(whole, program))
        (folder / "count").write_text(str(seen()))

    assert in_fork(count) == 0
    total = int((folder / "count").read_text())
    for number in range(min(points, total)):
        point = number * total // min(points, total)
        place = copy(f"at-{point}")

        def killed(place: Path = place, point: int = point) -> None:
            kill_at(point)
            go_through(case_in(place, program))

        def resumed(place: Path = place) -> None:
            (place / "told").write_text(json.dumps(after(place, program, before)))

        ended = in_fork(killed)
        again = in_fork(resumed)
        told = json.loads((place / "told").read_text()) if again == 0 else {"outcome": "broke", "wrong": ["it did not go on"]}
        sys.stdout.write(json.dumps({"point": point, "of": total, "killed": os.WIFSIGNALED(ended), **told}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
