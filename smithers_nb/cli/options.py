"""Shared parts of commands: options, the types of their values, and the decorator that makes a command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from smithers_nb.errors import RunNotFound, SourceNotFound
from smithers_nb.model.timestamps import epoch_ms, now_ms
from smithers_nb.project import Project, connect
from smithers_nb.sources.files import is_notebook, run_id_of
from smithers_nb.sources.sessions.files import is_session

if TYPE_CHECKING:
    from smithers_nb.cli.output import Format

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

FORMATS = ("table", "json", "jsonl")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class Utf8(click.ParamType[str]):
    """Text in valid UTF-8, which is all that a store can hold."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse bytes that are not UTF-8 before they reach a store."""
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail("is not valid UTF-8", param, ctx)
        return str(value)


class Moment(click.ParamType[int]):
    """A time: epoch milliseconds, or ISO 8601 (UTC when it names no zone); with `ago`, also a duration before now such as 2h."""

    name = "time"

    def __init__(self, *, ago: bool = False) -> None:
        self.ago = ago

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert any of the notations to epoch milliseconds."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        back = _DURATION.fullmatch(text) if self.ago else None
        if back:
            return now_ms() - round(float(back[1]) * _UNIT_MS[back[2]])
        moment = epoch_ms(text)
        if moment is None:
            also = ", or a time back from now like 15m, 2h, 1d" if self.ago else ""
            self.fail(f"{text!r} is neither epoch milliseconds nor an ISO time like 2026-11-20T12:00:00Z{also}", param, ctx)
        return moment


run_argument = click.argument("run", type=Utf8(), metavar="RUN")
node_argument = click.argument("node", type=Utf8(), metavar="NODE")
maybe_run_argument = click.argument("run", type=Utf8(), metavar="[RUN]", required=False)
maybe_node_argument = click.argument("node", type=Utf8(), metavar="[NODE]", required=False)
now_option = click.option(
    "--now",
    type=Moment(),
    help="Judge states as of this time: epoch milliseconds or ISO 8601 (UTC).  [default: the clock]",
)
workflow_option = click.option(
    "--workflow-path",
    "-w",
    type=click.Path(exists=True, dir_okay=False, readable=False, path_type=Path),
    help="The workflow's file, when it is not where the run was started.",
)
iteration_option = click.option("--iteration", type=click.IntRange(min=0), help="Only this loop iteration, from 0.")
source_option = click.option(
    "--source",
    "-s",
    "source",
    type=str,
    metavar="WHERE",
    help="Store to read: a file, a folder, or a URL like sqlite:///PATH.  [default: search upwards from here]",
)
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an unexpected error.")


def _format_option(default: Format, *, markdown: bool) -> Decorator:
    card = ", markdown for a pull request, a chat or a CI summary" if markdown else ""
    return click.option(
        "--format",
        "-f",
        "fmt",
        type=click.Choice((*FORMATS, "markdown") if markdown else FORMATS),
        default=default,
        show_default=True,
        help=f"table for people, json for one document, jsonl for one row per line{card}.",
    )


@dataclass(frozen=True, kw_only=True)
class CommandContext:
    """Options that every command has, besides its own arguments.

    Attributes:
        source: Location of the store; defaults to a search from the current folder upwards.
        now: Time as of which states are judged, in epoch milliseconds; defaults to the clock.
        fmt: Format of the output.
    """

    source: str | None = None
    now: int | None = None
    fmt: Format = "table"

    def project(self) -> Project:
        """Open the store."""
        return connect(self.source, now=self.now)


def command(
    name: str, *arguments: Decorator, example: str, store: bool = True, default_format: Format = "table", markdown: bool = False
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function that takes a `CommandContext`, and its own arguments by name.

    Args:
        name: Name on the command line.
        arguments: Arguments and options as decorators, in the order in which the help lists them.
        example: Command lines for the end of the help, one per line.
        store: Whether the command reads a store, and so takes --source.
        default_format: Format without --format.
        markdown: Whether the command can also print a Markdown card.
    """
    shared = (*arguments, *((source_option,) if store else ()), _format_option(default_format, markdown=markdown), debug_option)
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in example.splitlines())

    def wrap(function: Callable[..., int | None]) -> click.Command:
        @wraps(function)
        def run(*, fmt: Format, source: str | None = None, now: int | None = None, **own: Any) -> int | None:
            given = own.get("run") if store else None
            if given is not None:
                source, own["run"] = place_of(source, given)
            try:
                return function(CommandContext(source=source, now=now, fmt=fmt), **own)
            except (RunNotFound, SourceNotFound):
                if source is not None or given is None or not os.path.exists(given):  # noqa: PTH110  # a Path refuses names that are too long
                    raise
                hint = f"list its runs with: smithers-nb ps --source {shlex.quote(given)}"
                raise RunNotFound(f"{given} is a {'folder' if Path(given).is_dir() else 'file'}, not a run", hint=hint) from None

        for option in reversed(shared):
            option(run)
        return click.command(name, epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})(run)

    return wrap


def place_of(source: str | None, run: str) -> tuple[str | None, str]:
    """Return the source and the id of a run; an executed notebook or a session log named as the run is its own source."""
    return (run, run_id_of(run)) if source is None and (is_notebook(run) or is_session(run)) else (source, run)


def group(name: str, *commands: click.Command, help: str) -> click.Group:  # noqa: A002  # click calls it so
    """Make a group of commands; called without a command it prints its help."""

    def show(ctx: click.Context) -> None:
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())

    callback = click.pass_context(show)
    settings = {"help_option_names": ["-h", "--help"]}
    return click.Group(name, commands=list(commands), help=help, callback=callback, invoke_without_command=True, context_settings=settings)
