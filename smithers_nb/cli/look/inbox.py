"""`inbox` and `addressed`: what needs a person now, in every store, and what a person put aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE, FAILED
from smithers_nb.cli.options import CommandContext, Moment, Utf8, command, now_option, run_argument
from smithers_nb.cli.output import dump, moment, note, print_finding, write_json
from smithers_nb.cli.run_options import by_option, database_option, has_runs, location_of
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import RunNotFound, SourceError
from smithers_nb.model.timestamps import now_ms, span

if TYPE_CHECKING:
    from smithers_nb.engine.journal.attention import Mark
    from smithers_nb.engine.location import Location
    from smithers_nb.project import Project
    from smithers_nb.workflows.monitor.attention import Need

_MAX_OTHERS = 4


class Later(Moment):
    """A duration from now such as 30m, 4h or 2d, or a time."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert a duration to the epoch millisecond at which it ends."""
        now = now_ms()
        at = Moment(ago=True).convert(value, param, ctx)
        return 2 * now - at if str(value).strip()[-1:].isalpha() and at <= now else at


@command(
    "inbox",
    click.argument("places", type=Utf8(), metavar="[PLACE]...", nargs=-1),
    click.option("--since", type=Moment(ago=True), default="7d", show_default=True, help="Leave out failures before this time."),
    click.option("--all", "everything", is_flag=True, help="Include what is put aside: snoozed, addressed, succeeded since."),
    click.option(
        "--snooze", type=(Utf8(), Later()), metavar="RUN DURATION", help="Leave RUN out for this long (30m, 4h, 2d), and print the rest."
    ),
    click.option("--note", type=Utf8(), help="Why, with --snooze."),
    click.option(
        "--notify", type=Utf8(), metavar="URL", help="Also send one line about what is new, once per cause, to an apprise address."
    ),
    by_option,
    database_option,
    now_option,
    example="smithers-nb inbox\nsmithers-nb inbox ~/shop ~/billing --format json | jq -r '.[].kind'\n"
    "smithers-nb inbox --snooze nightly-1 4h",
)
def inbox(  # noqa: PLR0913  # its options
    ask: CommandContext,
    places: tuple[str, ...],
    *,
    since: int,
    everything: bool,
    snooze: tuple[str, int] | None,
    note: str | None,
    notify: str | None,
    by: str | None,
    database: str | None,
) -> int:
    """List what needs a person now, in any engine: questions, gates, and failures that are not dealt with.

    PLACE is a project folder, a store or a URL; it defaults to the current folder. Runs that failed for the same cause are one entry. A
    failure is put aside when the workflow later succeeded with the same input, or when a person marked it with `addressed`. Such marks
    are written to the journal of the current project, never to the store that has the run.
    """
    location = location_of(CommandContext(), database)
    asked = [CommandContext(source=place, now=ask.now, fmt=ask.fmt) for place in places] or [ask]
    if snooze is not None:
        _put_aside(asked, location, snooze[0], action="snoozed", until=snooze[1], note=note, by=by)
    found = _needs_of_all(asked, location, since)
    shown = [need for need in found if everything or not need.put_aside]
    if ask.fmt == "table":
        for line in _page(shown, len(found) - len(shown), since):
            click.echo(line)
    elif ask.fmt == "json":
        write_json([dump(need) for need in shown])
    else:
        for need in shown:
            write_json(dump(need), line=True)
    return DONE if notify is None or _notify(notify, found, location, by) else FAILED


@command(
    "addressed",
    run_argument,
    click.option("--note", type=Utf8(), required=True, help="What was done about it."),
    by_option,
    database_option,
    example='smithers-nb addressed 49315 --note "rotated the key"',
)
def addressed(ask: CommandContext, run: str, *, note: str, by: str | None, database: str | None) -> int:
    """Mark a failure as dealt with, which hides it from the inbox until it happens again.

    This also covers every earlier run that failed for the same cause. The mark is written to the journal of the current project, with
    who and when.
    """
    location = location_of(CommandContext(), database)
    mark = _put_aside([ask], location, run, action="addressed", until=None, note=note, by=by)
    print_finding(mark._asdict(), ask.fmt, lambda: [f"{mark.run_id} is addressed: {note}"])
    return DONE


def needs_of(ask: CommandContext, location: Location, since: int) -> list[Need]:
    """Return the needs of one place.

    Raises:
        SourceError: The place cannot be read.
    """
    from smithers_nb.workflows.monitor.attention import needs

    with ask.project() as project:
        stores = {project.source.location, *(store.location for store in getattr(project.source, "members", ()))}
        found = needs(project.source, project.now, since_ms=since, marks=_marks(location, stores))
        for problem in project.problems:
            note(f"not readable: {problem.where}: {problem.what}")
        return found


def _needs_of_all(asked: Sequence[CommandContext], location: Location, since: int) -> list[Need]:
    """Return the needs of every place that can be read; an empty list must not stand for places that nobody could read.

    Raises:
        SourceError: None of the places can be read.
    """
    found: list[Need] = []
    unread: list[SourceError] = []
    for ask in asked:
        try:
            found += needs_of(ask, location, since)
        except SourceError as error:
            unread.append(error)
    if len(unread) == len(asked):
        raise unread[0]
    for problem in unread:
        note(f"left out: {problem}")
    return found


def _notify(url: str, found: list[Need], location: Location, by: str | None) -> bool:
    """Send what was not announced yet, and remember it once it was accepted."""
    from smithers_nb.engine.control import login
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.attention import add_mark
    from smithers_nb.workflows.monitor.notify import marks_for, send, unannounced

    fresh = unannounced(found, _marks(location, {need.store for need in found}))
    if not fresh:
        return True
    if not send(url, fresh):
        note("no notification was sent: the address of --notify did not accept the message")
        return False
    with Journal.open(location) as journal, journal.writing() as connection:
        for mark in marks_for(fresh, by=by or login(), now=now_ms()):
            add_mark(connection, mark)
    return True


def _marks(location: Location, stores: Iterable[str]) -> list[Mark]:
    if not has_runs(location):
        return []
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.attention import marks_of

    with Journal.open(location) as journal, journal.reading() as connection:
        return marks_of(connection, stores)


def _put_aside(  # noqa: PLR0913  # one per field of the mark
    asked: Iterable[CommandContext], location: Location, run: str, *, action: Any, until: int | None, note: str | None, by: str | None
) -> Mark:
    from smithers_nb.engine.control import login
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.attention import Mark, add_mark

    with _store_with(asked, run) as (project, run_id):
        store = project.run(run_id).snapshot.source.location
        mark = Mark(store, run_id, now_ms(), action, by or login(), until, note)
    with Journal.open(location) as journal, journal.writing() as connection:
        add_mark(connection, mark)
    return mark


@contextmanager
def _store_with(asked: Iterable[CommandContext], run: str) -> Iterator[tuple[Project, str]]:
    missing: Exception | None = None
    for ask in asked:
        with ask.project() as project:
            try:
                run_id = project.run(run).id
            except RunNotFound as error:
                missing = error
                continue
            yield project, run_id
            return
    raise missing or RunNotFound(f"no run {run!r}")


def _page(found: list[Need], put_aside: int, since: int) -> Iterator[str]:
    sheet = Sheet()
    for need in found:
        sheet.blank()
        age = "" if need.age_ms is None else f"for {span(need.age_ms)}"
        sheet.heading(f"{need.kind}  {need.workflow or 'workflow'} {need.run_id}", need.node_id or "", age, need.engine)
        sheet.prose("", need.what)
        sheet.prose("Then", need.consequence)
        sheet.prose("Until", f"{moment(need.deadline)} UTC" if need.deadline is not None else "")
        sheet.prose("Put aside", need.put_aside)
        sheet.commands("", need.commands)
        sheet.commands("Or" if need.alternatives else "", need.alternatives)
        others = need.run_ids[1 : _MAX_OTHERS + 1]
        sheet.verbatim("Also", [f"{', '.join(others)}{' …' if need.runs > _MAX_OTHERS + 1 else ''}"] if others else [])
    sheet.blank()
    sheet.prose("Where", *dict.fromkeys(need.folder for need in found if need.folder))
    yield from sheet.lines
    if not found:
        yield f"Nothing needs you. Failures before {moment(since)} UTC are not listed; --since sets another time."
    if put_aside:
        yield f"{put_aside} more put aside; --all lists them."
