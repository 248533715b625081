"""`smithering --demo`: a small real repository built from end to end, once denied and once delivered, with written answers.

Nobody sits before it, so its decisions are scripted. They go through the same functions as a person's, are made by `smithering-demo` on
behalf of whoever started it, and say so wherever they are shown.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from smithers_nb.cli.app import DONE, FAILED
from smithers_nb.cli.output import note, print_finding
from smithers_nb.cli.run.own_notebooks import output_of

if TYPE_CHECKING:
    from smithers_nb.cli.options import CommandContext
    from smithers_nb.engine.location import Location

BY: Final = "smithering-demo"
_PROMPT: Final = "Build a command line that totals our price list, with discount and tax"
_NOTE: Final = "scripted decision of the demo"
_MAX_EXECUTIONS: Final = 12


def run_demo(ask: CommandContext) -> int:
    """Make the repository, run the pipeline twice, and print where the evidence is."""
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.smithering.results.delivery import SmitheringRow

    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="smithering-demo-"))
    book = _make(folder)
    location = Location.of(str(folder))
    note(f"a repository was made at {folder}")
    rows = {}
    for run_id, denied in (("denied", "gate:prd"), ("delivered", "")):
        _run(location, run_id, book, denied)
        rows[run_id] = SmitheringRow.read(output_of(location, run_id) or {})
        note(f"{run_id}: {rows[run_id].status}, {rows[run_id].summary}")
    last = rows["delivered"]
    seconds = round(time.monotonic() - began, 1)
    found = {"folder": str(folder), "denied": rows["denied"].status, "delivered": last.status, "branch": last.branch, "seconds": seconds}
    if ask.fmt == "table":
        click.echo(f"{seconds} s; look at the work: git -C {folder} log --oneline main..{last.branch}")
        click.echo(f"The folder stays for you to look at; remove it with: rm -r {folder}")
        click.echo(last.report_path)
    else:
        print_finding({**found, "reportPath": last.report_path}, ask.fmt, tuple)
    return DONE if (rows["denied"].status, last.status) == ("cancelled", "delivered") else FAILED


def _make(folder: Path) -> Path:
    """Make the demo's repository and put the answer book beside its history; returns the book."""
    from smithers_nb.resources import resource
    from smithers_nb.workflows.smithering.landing.git import git

    source = Path(str(resource("templates/smithering/demo")))
    shutil.copytree(source / "repo", folder, dirs_exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A price list")
    (folder / ".smithers_nb").mkdir(exist_ok=True)
    return source / "book.yaml"


def _run(location: Location, run_id: str, book: Path, denied: str) -> None:
    """Execute a run to its end, deciding every gate and question; one gate may be denied."""
    from smithers_nb.cli.run.smithering import NOTEBOOK
    from smithers_nb.engine.control import answer, decide, login, pending, submit
    from smithers_nb.engine.control.decisions import acting
    from smithers_nb.engine.workers.foreground import run_here
    from smithers_nb.errors import NotebookError
    from smithers_nb.resources import resource

    who = acting(BY, login())
    given = {
        "prompt": _PROMPT,
        "repo": str(location.root),
        "route": "full-build",
        "provider": "scripted",
        "book": str(book),
        "started_by": BY,
        "on_behalf_of": login(),
        "monitor_minutes": 0.1,
        "max_monitor_hours": 1,
    }
    submit(location, Path(str(resource(NOTEBOOK))), given, run_id=run_id, post_failure=False, cwd=location.root)
    for _ in range(_MAX_EXECUTIONS):
        outcome = run_here(location, run_id)
        if not outcome.status.startswith("waiting-"):
            break
        for item in pending(location, run_id):
            if item.request_id is not None:
                answer(location, item.request_id, {}, by=who, resume=False, seen=item.digest)
                note(f"{run_id}: {item.node_id} is answered as recommended")
                continue
            approved = item.node_id != denied
            decide(location, run_id, item.node_id, approved=approved, by=who, note=_NOTE, resume=False, seen=item.digest)
            note(f"{run_id}: {item.node_id} is {'approved' if approved else 'denied'}")
    if outcome.status != "finished":
        said = outcome.reason.message if outcome.reason else ""
        raise NotebookError(
            f"the demo's run {run_id} is {outcome.status}: {said}", hint=f"smithers-nb why {run_id} --source {location.root}"
        )
