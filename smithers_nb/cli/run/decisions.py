"""`approve`, `deny` and `human`: what people say to runs that wait for them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, Utf8, command, group, run_argument
from smithers_nb.cli.output import print_finding
from smithers_nb.cli.run.inbox import inbox, refuse_when_foreign
from smithers_nb.cli.run_options import behalf_option, by_option, database_option, refuse_unfilled, runs_of, where
from smithers_nb.errors import ParameterError, RunNotFound
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.engine.control import DecisionResult, Pending
    from smithers_nb.engine.location import Location

_STAY = click.option("--no-continue", is_flag=True, help="Record the decision without resuming; `resume` continues the run later.")
_OPTIONS = (
    run_argument,
    click.option("--node", type=Utf8(), help="The gate.  [default: the one that waits]"),
    click.option("--iteration", type=click.IntRange(min=0), help="Loop iteration, starting at 0."),
    click.option("--note", type=Utf8(), help="Comment recorded with the decision."),
    click.option("--digest", type=Utf8(), help="Decide only what has this digest, which `human inbox --format json` prints."),
    by_option,
    behalf_option,
    _STAY,
    database_option,
)


@command(
    "approve", *_OPTIONS, example='smithers-nb approve nightly-1\nsmithers-nb approve nightly-1 --node publish --note "numbers checked"'
)
def approve(ask: CommandContext, run: str, **options: Any) -> int:
    """Approve what a run asks at a gate, and resume it."""
    return _decide(ask, run, approved=True, **options)


@command("deny", *_OPTIONS, example='smithers-nb deny nightly-1 --note "not this week"')
def deny(ask: CommandContext, run: str, **options: Any) -> int:
    """Deny what a run asks at a gate, and resume it."""
    return _decide(ask, run, approved=False, **options)


def _decide(  # noqa: PLR0913  # the options of two commands
    ask: CommandContext,
    run: str,
    *,
    approved: bool,
    node: str | None,
    iteration: int | None,
    note: str | None,
    digest: str | None,
    by: str | None,
    on_behalf_of: str | None,
    no_continue: bool,
    database: str | None,
) -> int:
    from smithers_nb.engine.control import acting, decide, login

    location = _deciding(ask, database, run)
    said = decide(
        location,
        run,
        node,
        approved=approved,
        by=acting(by or login(), on_behalf_of),
        note=note,
        iteration=iteration,
        resume=not no_continue,
        seen=digest,
    )
    _follow(ask, location, said, "approved" if approved else "denied")
    return DONE


@command(
    "answer",
    click.argument("request", type=Utf8(), metavar="REQUEST|RUN"),
    click.option(
        "--value",
        "-v",
        type=Utf8(),
        metavar="ANSWER",
        help="The answer: one of the choices, text, or JSON; - is standard input.  [default: ask on the terminal]",
    ),
    by_option,
    behalf_option,
    _STAY,
    database_option,
    example="smithers-nb human answer nightly-1 --value eu\nsmithers-nb human answer human:nightly-1:region:0 --value eu",
)
def answer(  # noqa: PLR0913  # its options
    ask: CommandContext,
    request: str,
    *,
    value: str | None,
    by: str | None,
    on_behalf_of: str | None,
    no_continue: bool,
    database: str | None,
) -> int:
    """Answer a question, given its id or the id of a run with only one, and resume the run.

    What does not fit the question is refused before anything is written.
    """
    from smithers_nb.engine.control import acting, login, question_of
    from smithers_nb.engine.control import answer as say

    location = _deciding(ask, database, request)
    asked = question_of(location, request)
    if asked is None:
        refuse_when_foreign(ask, request)
    named = request if asked is None or asked.request_id is None else asked.request_id
    said = say(location, named, _value(asked, value), by=acting(by or login(), on_behalf_of), resume=not no_continue)
    _follow(ask, location, said, "answered")
    return DONE


human = group("human", inbox, answer, help="See what waits for a person, and answer questions.")


def _follow(ask: CommandContext, location: Location, said: DecisionResult, word: str) -> None:
    """Describe what was written, and have somebody continue the run."""
    run_id, node_id, iteration = said.node
    then = (
        f"; it continues in the background: smithers-nb logs {shlex.quote(run_id)} --follow{where(ask, location)}" if said.continues else ""
    )
    if said.continues:
        from smithers_nb.engine.control.edit_check import is_edited
        from smithers_nb.workflows.triggers.background import ensure_worker

        ensure_worker(location)
        if is_edited(location, run_id):
            command = f"smithers-nb resume {shlex.quote(run_id)} --accept-workflow-change{where(ask, location)}"
            then = f"; the notebook was edited since the run began, so the run is paused; to resume it with the edited notebook: {command}"
    found = {"run_id": run_id, "node_id": node_id, "iteration": iteration, "result": word, "continues": said.continues}
    print_finding(found, ask.fmt, lambda: [f"{node_id} of {run_id} is {word}{then}"])


def _deciding(ask: CommandContext, database: str | None, named: str) -> Location:
    """Find the project whose run a person decides about; a run of another engine is decided by that engine's own command line.

    Raises:
        RunNotFound: There is no such run.
        ControlRefused: `RUN_OF_ANOTHER_ENGINE`, with the commands that decide it.
    """
    from smithers_nb.engine.control.decisions import QUESTION
    from smithers_nb.engine.control.run_state import resolved

    try:
        location = runs_of(ask, database)
        if not named.startswith(QUESTION):
            resolved(location, named)
    except RunNotFound:
        refuse_when_foreign(ask, named)
        raise
    return location


def _value(asked: Pending | None, given: str | None) -> Any:
    """Read the answer: as given, from standard input, or from the person at the terminal."""
    if given is None:
        if not sys.stdin.isatty():
            raise ParameterError("no answer is given", hint="give it: --value ANSWER, or --value - to read it from standard input")
        if asked is None:
            return None  # the question no longer exists; recording the answer will report that
        choices = f" ({', '.join(asked.options)})" if asked.options else ""
        given = str(click.prompt(one_line(f"{asked.prompt}{choices}", 1_000), err=True))
    elif given == "-":
        given = sys.stdin.read().removesuffix("\n")
    return _read(asked, given)


def _read(asked: Pending | None, text: str) -> Any:
    """Take a choice and text as they are typed, with or without the quotes of JSON; anything else is JSON."""
    import orjson

    if asked is None:
        return text
    if asked.options and text in asked.options:
        return text
    refuse_unfilled(text, "the answer")
    is_text = asked.kind in {"ask", "select"}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if is_text:
            return text
        quoted = orjson.dumps(text).decode()
        raise ParameterError(f"--value is not valid JSON: {error}", hint=f"text needs quotes within quotes: --value '{quoted}'") from None
    refuse_unfilled(value, "the answer")
    return value if isinstance(value, str) or not is_text else text
