"""`init`: put the workflow pack into a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, command
from smithers_nb.cli.output import dump, note, print_finding
from smithers_nb.present.html.text import shown

_WORDS = {
    "installed": "installed",
    "written": "installed",
    "renewed": "renewed (nobody had edited it)",
    "replaced": "replaced, with --force",
    "unchanged": "is there already",
    "kept": "kept: it was edited; --force replaces it",
}


@command(
    "init",
    click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False, metavar="[FOLDER]"),
    click.option("--force", is_flag=True, help="Also replace files that were edited."),
    click.option(
        "--smithers",
        is_flag=True,
        help="Into a Smithers project: post-failure for its own trigger, monitor, monitor-smithers and triage-run to run by name.",
    ),
    example="smithers-nb init\nsmithers-nb init --force\nsmithers-nb init --smithers",
)
def init(ask: CommandContext, folder: Path | None, *, force: bool, smithers: bool) -> int:
    """Install the workflow pack into a project; doing it again changes nothing.

    Without FOLDER it is the project that the current folder belongs to, else the current folder.

    Workflows go to `.smithers_nb/workflows`. One that was edited is never overwritten without --force.
    """
    named = folder or (Path(ask.source) if ask.source else None)
    done = _smithers(named or Path(), force=force) if smithers else _ours(named or _project(), force=force)
    print_finding({"files": [dump(row) for row in done]}, ask.fmt, lambda: [f"{shown(row['file'])}  {_WORDS[row['done']]}" for row in done])
    if ask.fmt == "table":
        for text in dict.fromkeys(row["note"] for row in done if row.get("note")):
            note(text)
    return DONE


def _project() -> Path:
    """Find the project as every other command does, so that they use what is installed."""
    from smithers_nb.engine.location import Location

    return Location.of().root


def _ours(root: Path, *, force: bool) -> list[dict[str, Any]]:
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.pack.install import install

    folder = root.expanduser().absolute()
    return [{"file": str(item.file), "done": item.done} for item in install(Location(folder, Location.of(folder).url), force=force)]


def _smithers(root: Path, *, force: bool) -> list[dict[str, Any]]:
    from smithers_nb.workflows.pack.install_smithers import install_all

    return [
        {"file": str(item.path), "done": item.done, "note": item.note, "backup": str(item.backup) if item.backup else None}
        for item in install_all(root, force=force)
    ]
