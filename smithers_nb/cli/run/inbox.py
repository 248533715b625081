"""`human inbox`: every gate and question of every source that a project has, with what follows and the commands that decide it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, command, maybe_run_argument
from smithers_nb.cli.output import dump, moment, note, write_json
from smithers_nb.cli.run.execute import commands_for, show_request
from smithers_nb.cli.run_options import database_option, has_runs, location_of, where
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ControlRefused, SourceError, SourceNotFound
from smithers_nb.model.timestamps import now_ms, span

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.inbox import Request
    from smithers_nb.engine.control import Pending
    from smithers_nb.engine.location import Location


@command(
    "inbox",
    maybe_run_argument,
    database_option,
    example="smithers-nb human inbox\nsmithers-nb human inbox --format json | jq -r '.[].prompt'",
)
def inbox(ask: CommandContext, run: str | None, *, database: str | None) -> int:
    """List the gates and questions that wait for a person, oldest first, of one run or of all.

    Runs of Smithers are listed beside notebook runs, each with its engine's commands.
    """
    location = location_of(ask, database)
    found = waiting(ask, location, run)
    if ask.fmt == "json":
        write_json([dump(item) for item in found])
    elif ask.fmt == "jsonl":
        for item in found:
            write_json(dump(item), line=True)
    else:
        for line in _page(found):
            click.echo(line)
        if not found:
            note(f"no run waits for a person in {location.root}" if run is None else f"run {run} waits for nobody")
    return DONE


def waiting(ask: CommandContext, location: Location, run: str | None = None) -> list[Request]:
    """List what waits for a person, in our journal and in every other store of the place, oldest first.

    Raises:
        SourceError: A store that was named cannot be read.
        JournalUnusable: The journal cannot be read.
    """
    from smithers_nb.engine.control import pending

    now = now_ms()
    ours = [_ours(item, location, where(ask, location), now) for item in (pending(location) if has_runs(location) else [])]
    theirs: list[Request] = []
    try:
        theirs = _of_sources(ask)
    except SourceNotFound:
        if ask.source is not None and not has_runs(location):
            raise
    known = {(item.run_id, item.node_id, item.iteration) for item in ours}
    others = (item for item in theirs if (item.run_id, item.node_id, item.iteration) not in known)
    fitting = [item for item in (*ours, *others) if run is None or item.run_id.startswith(run)]
    return sorted(fitting, key=lambda item: (item.requested_at or 0, item.run_id, item.node_id))


def refuse_when_foreign(ask: CommandContext, named: str) -> None:
    """Refuse to decide what another engine asks, and print how its own command line decides it.

    Raises:
        ControlRefused: `RUN_OF_ANOTHER_ENGINE`.
    """
    found: Request | None = None
    with suppress(SourceError):
        found = next((item for item in _of_sources(ask) if named == item.request_id or item.run_id.startswith(named)), None)
    if found is not None and found.source != "journal":
        lines = " or ".join(f"`{line}`" for line in found.commands[:2])
        then = f", then `{found.then[0]}`" if found.then else ""
        raise ControlRefused(
            f"run {found.run_id} is one of {found.source.capitalize()}, which takes decisions by its own command line",
            code="RUN_OF_ANOTHER_ENGINE",
            hint=f"{lines}{then}. {found.folder}",
        )


def _of_sources(ask: CommandContext) -> list[Request]:
    from smithers_nb.diagnosis.state.inbox import requests

    with ask.project() as project:
        return requests(project.source, project.now)


def _ours(item: Pending, location: Location, options: str, now: int) -> Request:
    from smithers_nb.diagnosis.state.inbox import DENIED, Request

    said = ("Answer: the run continues with it",) if item.request_id else ("Approve: the run continues", f"Deny: {DENIED[item.on_deny]}")
    about = {name: value for name, value in item._asdict().items() if name in Request.__dataclass_fields__}
    about["earlier"] = item.earlier._asdict() if item.earlier else None
    about["changes"] = tuple(change._asdict() for change in item.changes)
    age = None if item.requested_at is None else max(now - item.requested_at, 0)
    lines = tuple(commands_for(item, options))
    folder = f"Run the commands in {location.root}."
    return Request(**about, source="journal", waited_ms=age, consequences=said, commands=lines, folder=folder)


def _page(found: list[Request]) -> list[str]:
    sheet = Sheet()
    for item in found:
        sheet.blank()
        sheet.heading(item.prompt, f"{item.kind} {item.node_id}", f"{item.workflow} {item.run_id}", item.source)
        age = "" if item.waited_ms is None else f", {span(item.waited_ms)} ago"
        sheet.prose("Asked", f"{moment(item.requested_at)} UTC{age}" if item.requested_at is not None else "")
        sheet.prose("About", item.summary)
        show_request(sheet, item.details, item.earlier, item.changes)
        sheet.prose("Choices", ", ".join(map(str, item.options or ())) if item.request_id else "")
        sheet.prose("Then", *item.consequences)
        sheet.commands("", item.commands)
        sheet.commands("Afterwards" if item.then else "", item.then)
    folders = list(dict.fromkeys(item.folder for item in found if item.folder))
    sheet.blank()
    sheet.prose("Where", *folders)
    return sheet.lines
