"""`approve`, `deny` and `human`: what people say to runs that wait for them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import Asked, Utf8, command, group, maybe_run_argument, run_argument
from smithers_nb.cli.output import moment, note, print_finding, write_json
from smithers_nb.cli.run.execute import commands_for, show_request
from smithers_nb.cli.run_options import by_option, database_option, has_runs, location_of, runs_of, where
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ParameterError
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.engine.control import Pending, Said
    from smithers_nb.engine.location import Location

_STAY = click.option("--no-continue", is_flag=True, help="Only write it down; `resume` continues the run later.")
_OPTIONS = (
    run_argument,
    click.option("--node", type=Utf8(), help="The gate.  [default: the one that waits]"),
    click.option("--iteration", type=click.IntRange(min=0), help="Its round of a loop, from 0."),
    click.option("--note", type=Utf8(), help="In what words."),
    by_option,
    _STAY,
    database_option,
)


@command(
    "approve", *_OPTIONS, example='smithers-nb approve nightly-1\nsmithers-nb approve nightly-1 --node publish --note "numbers checked"'
)
def approve(ask: Asked, run: str, **options: Any) -> int:
    """Approve what a run asks at a gate, and let it go on."""
    return _decide(ask, run, approved=True, **options)


@command("deny", *_OPTIONS, example='smithers-nb deny nightly-1 --note "not this week"')
def deny(ask: Asked, run: str, **options: Any) -> int:
    """Deny what a run asks at a gate, and let it go on from there."""
    return _decide(ask, run, approved=False, **options)


def _decide(  # noqa: PLR0913  # the options of two commands
    ask: Asked,
    run: str,
    *,
    approved: bool,
    node: str | None,
    iteration: int | None,
    note: str | None,
    by: str | None,
    no_continue: bool,
    database: str | None,
) -> int:
    from smithers_nb.engine.control import decide, login

    location = runs_of(ask, database)
    said = decide(location, run, node, approved=approved, by=by or login(), note=note, iteration=iteration, go_on=not no_continue)
    _follow(ask, location, said, "approved" if approved else "denied")
    return DONE


@command(
    "inbox",
    maybe_run_argument,
    database_option,
    example="smithers-nb human inbox\nsmithers-nb human inbox --format json | jq -r '.[].prompt'",
)
def inbox(ask: Asked, run: str | None, *, database: str | None) -> int:
    """List the gates and questions of notebook runs that wait for a person, oldest first, of one run or of all."""
    from smithers_nb.engine.control import pending

    location = location_of(ask, database)
    found = pending(location, run) if has_runs(location) else []
    if ask.fmt == "json":
        write_json([_row(item) for item in found])
    elif ask.fmt == "jsonl":
        for item in found:
            write_json(_row(item), line=True)
    else:
        for line in _page(found, where(ask, location)):
            click.echo(line)
        if not found:
            note("no notebook run waits for a person")
    return DONE


@command(
    "answer",
    click.argument("request", type=Utf8(), metavar="REQUEST"),
    click.option(
        "--value",
        "-v",
        type=Utf8(),
        metavar="JSON",
        help="The answer as JSON; - is standard input.  [default: ask on the terminal]",
    ),
    by_option,
    _STAY,
    database_option,
    example="""smithers-nb human answer human:nightly-1:region:0 --value '"eu"'""",
)
def answer(  # noqa: PLR0913  # its options
    ask: Asked, request: str, *, value: str | None, by: str | None, no_continue: bool, database: str | None
) -> int:
    """Answer a question of a run, and let it go on. What does not fit the question is refused before anything is written."""
    from smithers_nb.engine.control import answer as say
    from smithers_nb.engine.control import login

    location = runs_of(ask, database)
    said = say(location, request, _value(location, request, value), by=by or login(), go_on=not no_continue)
    _follow(ask, location, said, "answered")
    return DONE


human = group("human", inbox, answer, help="See what waits for a person, and answer questions.")


def _follow(ask: Asked, location: Location, said: Said, word: str) -> None:
    """Say what was written, and have somebody continue the run."""
    run_id, node_id, iteration = said.node
    then = f"; it goes on in the background: smithers-nb logs {shlex.quote(run_id)} --follow{where(ask, location)}" if said.goes_on else ""
    if said.goes_on:
        from smithers_nb.engine.control.edit_check import is_edited
        from smithers_nb.workflows.triggers.background import ensure_worker

        ensure_worker(location)
        if is_edited(location, run_id):
            command = f"smithers-nb resume {shlex.quote(run_id)} --accept-workflow-change{where(ask, location)}"
            then = f"; the notebook was edited since the run began, so the run is paused; go on with it as it is now: {command}"
    found = {"run_id": run_id, "node_id": node_id, "iteration": iteration, "result": word, "continues": said.goes_on}
    print_finding(found, ask.fmt, lambda: [f"{node_id} of {run_id} is {word}{then}"])


def _page(found: list[Pending], options: str) -> list[str]:
    sheet = Sheet()
    for item in found:
        sheet.blank()
        sheet.heading(item.prompt, f"{item.kind} {item.node_id}", f"{item.workflow} {item.run_id}")
        sheet.prose("Asked", f"{moment(item.requested_at)} UTC")
        sheet.prose("About", item.summary)
        show_request(sheet, item)
        sheet.prose("Choices", ", ".join(map(str, item.options or ())) if item.request_id else "")
        sheet.commands("", commands_for(item, options))
    return sheet.lines


def _row(item: Pending) -> dict[str, Any]:
    from smithers_nb.cli.output import dump

    return dump(item._asdict())  # type: ignore[no-any-return]  # a dict gives a dict


def _value(location: Location, request: str, given: str | None) -> Any:
    """Read the answer: as given, from standard input, or from the person at the terminal."""
    if given is not None:
        return _json(sys.stdin.read() if given == "-" else given)
    if not sys.stdin.isatty():
        raise ParameterError("no answer is given", hint="give it as JSON: --value JSON, or --value - to read it from standard input")
    from smithers_nb.engine.control import pending

    asked = next((item for item in pending(location) if item.request_id == request), None)
    if asked is None:
        return None  # there is no such question any more, which the answer will be told
    choices = f" ({', '.join(asked.options)})" if asked.options else ""
    typed: str = click.prompt(one_line(f"{asked.prompt}{choices}", 1_000), err=True)
    return typed if asked.kind in ("ask", "select") else _json(typed)


def _json(text: str) -> Any:
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        quoted = orjson.dumps(text).decode()
        raise ParameterError(f"--value is no JSON: {error}", hint=f"text needs quotes within quotes: --value '{quoted}'") from None
