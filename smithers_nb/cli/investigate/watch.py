"""`watch`: an autopsy for every run that fails in a Smithers project, whoever started it."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smithers_nb.cli.options import CommandContext, Moment, command
from smithers_nb.cli.output import moment, note, print_finding
from smithers_nb.errors import JournalUnusable, ParameterError, SourceError
from smithers_nb.model.timestamps import now_ms
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.triggers.watch import Seen, Watcher

_LEAST_S = 0.2
_OPTIONS = (
    click.argument("project", required=False, type=click.Path(path_type=Path), metavar="[PROJECT]"),
    click.option("--once", is_flag=True, help="Look once, launch an autopsy of each failure found, and end."),
    click.option(
        "--interval", type=click.FloatRange(min=_LEAST_S), default=2.0, show_default=True, metavar="SECONDS", help="Time between looks."
    ),
    click.option(
        "--since",
        type=Moment(ago=True),
        help="Also failures since this time: epoch milliseconds, ISO 8601, or 15m, 2h, 1d ago.  [default: now]",
    ),
)


@command(
    "watch",
    *_OPTIONS,
    example="smithers-nb watch ~/shop\nsmithers-nb watch --once --since 1d --format jsonl",
)
def watch(ask: CommandContext, project: Path | None, *, once: bool, interval: float, since: int | None) -> None:
    """Launch an autopsy for every run that fails in a Smithers project.

    The store is only read. Each failure is looked into once, also with several watchers and after a restart; a run that is tried
    again and fails again is a new failure. Ctrl-C stops watching; autopsies already started continue.
    """
    watcher = watcher_of(project or Path(ask.source or "."), now_ms() if since is None else since)
    if watcher is None:
        return
    if ask.fmt == "table":
        note(f"watching {watcher.folder}")
    _look_once(watcher, ask) if once else _look_for_ever(watcher, ask, interval)


def watcher_of(project: Path, since_ms: int) -> Watcher | None:
    """Make the watcher of a Smithers project; None when launching is turned off.

    Raises:
        ParameterError: It is no Smithers project, or our pack is not installed there.
    """
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.pack.install_smithers import smithers_root
    from smithers_nb.workflows.triggers.watch import Watcher

    folder = smithers_root(_folder(project))
    location = Location.of(folder)
    return Watcher(location, folder, since_ms=since_ms) if _may_launch(location) else None


def _folder(named: Path) -> Path:
    found = named.expanduser().absolute()
    if not found.exists():
        raise ParameterError(f"there is no {named}", hint="name the folder of a Smithers project")
    return found if found.is_dir() else found.parent


def _may_launch(location: Location) -> bool:
    from smithers_nb.workflows.triggers.launch import OPT_OUT, WORKFLOW, Failed, installed_at, refusal

    reason = refusal(location, Failed("any"))
    if reason == "not-installed":
        raise ParameterError(
            f"the {WORKFLOW} workflow is not installed: there is no {installed_at(location)}",
            hint=f"run `smithers-nb init` in {location.root} first",
        )
    if reason == "env-disabled":
        note(f"{OPT_OUT}=0: no autopsies are launched, so there is nothing to watch for")
    return reason is None


def _look_once(watcher: Watcher, ask: CommandContext) -> None:
    while True:
        _print_seen(watcher.look(), ask)
        if watcher.settled:
            return
        time.sleep(_LEAST_S)


def _look_for_ever(watcher: Watcher, ask: CommandContext, interval: float) -> None:
    trouble = ""
    while True:
        try:
            _print_seen(watcher.look(), ask)
            said = ""
        except (SourceError, JournalUnusable, OSError) as error:
            said = str(error)
        if said != trouble:
            note(f"{said}; still watching" if said else "the store can be read again")
        trouble = said
        time.sleep(interval)


def _print_seen(seen: list[Seen], ask: CommandContext) -> None:
    for one in seen:
        print_finding(one._asdict(), ask.fmt, partial(_page, one))
    sys.stdout.flush()  # whoever reads a pipe waits for each line


def _page(seen: Seen) -> list[str]:
    what = f"{moment(seen.failed_at)}  {one_line(seen.workflow or 'run')} {one_line(seen.run_id)} failed"
    if seen.autopsy_run_id is None:
        return [f"{what}; no autopsy could be launched: {one_line(seen.problem)}"]
    return [f"{what}; autopsy {seen.autopsy_run_id}: watch it with `smithers-nb inspect {seen.autopsy_run_id}`"]
