"""The group of all commands, and the one place where an error becomes a line and an exit code.

`smithers-nb --help` reads only `COMMANDS`; a command's module is imported when the command runs. Exit codes: 0 done, 1 failed,
2 cancelled, 3 waiting, 4 user error.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from smithers_nb._version import __version__
from smithers_nb.errors import BugReportError, ControlRefused, SmithersNbError

DONE, FAILED, CANCELLED, WAITING, USER_ERROR = range(5)

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Find out what went wrong": {
        "why": ("look.why", "Explain why a run failed or what it waits for, and what to do."),
        "monitor": ("investigate.monitor", "Show how one run is doing: notebook, report and output row."),
        "triage-run": ("investigate.triage", "Recommend one thing to do about a run: fix, rewind, retry or escalate."),
        "monitor-smithers": ("investigate.fleet", "Show how every run of several projects is doing, and what to do first."),
        "autopsy": ("investigate.autopsy", "Find out why a run failed: notebook, report and verdict row."),
        "report": ("investigate.report", "Write the HTML report of a run and print its path."),
        "failures": ("look.failures", "List kinds of failure with class and signature, of a run or the whole store."),
        "classify": ("look.classify", "Classify error messages: arguments, or lines of standard input."),
        "bug": ("investigate.bug", "Report a bug of Smithers, after showing what would be sent."),
        "incident": ("investigate.incident", "Follow an orchestrator's runbook: triage, classify, recover, escalate, close."),
        "verify": ("investigate.verify", "Check that a bundle of an incident or a delivery is what its manifest says."),
        "beads": ("investigate.beads", "Work items: why they failed, and which reasons a fleet loses."),
        "watch": ("investigate.watch", "Launch an autopsy for every run that fails in a Smithers project."),
        "demo": ("investigate.demo", "Autopsy a failed run of the bundled example store."),
    },
    "Look at runs": {
        "ps": ("look.runs", "List the runs of a store, newest first."),
        "ui": ("look.ui", "Open the live page of a run, or of every run of the project."),
        "inspect": ("look.runs", "Show one run: state, nodes, approvals, questions, defects."),
        "logs": ("look.logs", "Print what a run does: its log, and what its notebook shows."),
        "events": ("look.events", "Print a run's event log."),
        "node": ("look.nodes", "Show one node: attempts, errors, tools, tokens, output."),
        "output": ("look.nodes", "Print what a run's nodes produced."),
        "diff": ("look.nodes", "Print the file changes a run's nodes made."),
        "scores": ("look.nodes", "Print the scores of a run's nodes."),
        "mcp": ("look.mcp", "Serve read-only tools to an agent over the Model Context Protocol."),
        "schema": ("look.schema", "Print the JSON Schema of what a command prints."),
    },
    "Decide and answer": {
        "inbox": ("look.inbox", "List what needs a person now, over all stores and engines."),
        "addressed": ("look.inbox", "Mark a failure as dealt with."),
        "approve": ("run.decisions", "Approve what a run asks at a gate."),
        "deny": ("run.decisions", "Deny what a run asks at a gate."),
        "human": ("run.decisions", "See what waits for a person, and answer questions."),
    },
    "Run notebooks": {
        "smithering": ("run.smithering", "Take a request from one sentence to delivered work, with gates and evidence."),
        "up": ("run.up", "Run a notebook as a durable run."),
        "workflow": ("run.workflow", "Run an installed workflow by its name, or list them."),
        "init": ("run.init", "Install the workflow pack into a project."),
        "resume": ("run.control", "Resume a stopped run."),
        "retry-task": ("run.control", "Try a node of a run again, with what began after it."),
        "rewind": ("run.control", "Go back in a run to where a node was finished."),
        "cancel": ("run.control", "Stop a run."),
        "worker": ("run.worker", "Execute queued runs until stopped."),
    },
}
"""Heading in `--help` to its commands: name to the module below `smithers_nb.cli` and the line in `--help`."""

COMMANDS = {name: command for commands in GROUPS.values() for name, command in commands.items()}


_EPILOG = """\b
First steps:
  smithers-nb demo
  smithers-nb ps
  smithers-nb why RUN
  smithers-nb autopsy RUN

\b
Completion of commands and options in bash (zsh and fish likewise):
  eval "$(_SMITHERS_NB_COMPLETE=bash_source smithers-nb)"
"""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of `COMMANDS`."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"smithers_nb.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; the error for an unknown one suggests a similar name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        del ctx
        widest = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, (_, line) in commands.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_context
def app(ctx: click.Context, debug: bool) -> None:
    """Find out why an agent workflow run failed, from its store alone.

    A run is named by its id or any beginning of it that no other run shares. The store is searched for from the
    current folder upwards; every command takes another place with --source.

    Exit codes: 0 done, 1 failed, 2 cancelled, 3 waiting for a person or an event, 4 refused: a wrong argument or an impossible request.
    """
    if debug:
        ctx.meta["smithers_nb.debug"] = True
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Arguments without the program's name; defaults to those of the process.

    Returns:
        The exit code.
    """
    _make_streams_safe()
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    try:
        code = app.main(words, prog_name="smithers-nb", standalone_mode=False, color=_colour())
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # click turns the first into the second
        return _stop_quietly()
    except Exception as error:  # noqa: BLE001  # the one place where errors end
        return _print_error(error, debug=debug)
    except KeyboardInterrupt:
        return _print_line("interrupted", code=CANCELLED)
    return code if isinstance(code, int) else DONE


def _print_error(error: Exception, *, debug: bool) -> int:
    if isinstance(error, click.Abort):
        return _print_line("interrupted", code=CANCELLED)
    if isinstance(error, click.ClickException):
        usage = getattr(error, "ctx", None)
        hint = f"`{usage.command_path} --help` shows what it takes" if usage else ""
        return _print_line(error.format_message(), hint=hint, code=USER_ERROR)
    if isinstance(error, SmithersNbError):
        word = f" ({error.code})" if isinstance(error, BugReportError | ControlRefused) else ""
        return _print_line(f"{error}{word}", hint=error.hint, code=error.exit_code)
    if debug:
        raise error
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            _discard_output()
        where = "the output" if error.filename is None else os.fsdecode(error.filename)
        return _print_line(f"{where}: {error.strerror}", code=FAILED)
    kind = type(error).__name__
    return _print_line(
        f"unexpected {kind}: {error}", hint="add --debug for the traceback, and report it: this is a bug of smithers-nb", code=FAILED
    )


def _print_line(message: str, *, hint: str = "", code: int) -> int:
    from smithers_nb.present.html.text import one_line

    click.echo(f"{click.style('smithers-nb:', fg='red', bold=True)} {one_line(message, 2_000)}", err=True, color=_colour(sys.stderr))
    if hint:
        click.echo(f"hint: {one_line(hint, 2_000)}", err=True)
    return code


def _stop_quietly() -> int:
    """Return success when the reader of a pipe, such as `head`, has read enough."""
    _discard_output()
    return DONE


def _discard_output() -> None:
    """Point standard output at the null device, or the interpreter would fail to flush it on exit and change the exit code."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _colour(stream: object = None) -> bool:
    """Return whether to print in colour: on a terminal, never with NO_COLOR or TERM=dumb."""
    stream = sys.stdout if stream is None else stream
    quiet = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not quiet and bool(getattr(stream, "isatty", bool)())


def _make_streams_safe() -> None:
    """Replace missing standard streams by empty ones, and escape characters that the output cannot encode."""
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  # open as long as the process
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open as long as the process
    sys.stderr = sys.stderr or sys.stdout
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
