"""`%load_ext smithers_nb`: `%runs` lists runs, `%autopsy RUN` says why one failed, both complete what can be completed.

A magic is one call of the library; what it returns displays itself.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from smithers_nb.errors import ParameterError, SmithersNbError
from smithers_nb.project import autopsy, connect

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

    from smithers_nb.present.html.markup import Card

_AUTOPSY_OPTIONS = ("--source", "--workflow-path", "--now")
_RUNS_OPTIONS = ("--source", "--status", "--limit")
_RUNS_COLUMNS = ["run_id", "workflow", "status", "state", "started_at", "duration_s", "error_message"]


class _Parser(ArgumentParser):
    """A parser whose complaints are this package's errors, so that a cell shows one line."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"%{self.prog}: {message}", hint=self.format_usage().strip())


def register(shell: InteractiveShell) -> None:
    """Give a shell the magics, their completions, and errors without a traceback."""
    shell.register_magic_function(_friendly(_runs), "line", "runs")
    shell.register_magic_function(_friendly(_autopsy), "line", "autopsy")
    for magic in ("%autopsy", "%runs"):
        shell.set_hook("complete_command", _complete, str_key=magic)


def _autopsy(line: str) -> Card:
    """Explain why a run failed: %autopsy RUN [--source WHERE] [--workflow-path FILE] [--now TIME]."""
    from smithers_nb.present.html.cards import verdict_card

    parser = _Parser("autopsy", add_help=False)
    parser.add_argument("run")
    parser.add_argument("--source", "-s")
    parser.add_argument("--workflow-path")
    parser.add_argument("--now")
    given = parser.parse_args(_words(line))
    options = {"workflow_path": given.workflow_path} if given.workflow_path else {}
    return verdict_card(autopsy(given.run, given.source, now=_moment(given.now), **options))


def _runs(line: str) -> pd.DataFrame:
    """List the newest runs: %runs [--source WHERE] [--status STATE] [--limit N]; `connect().runs()` has all columns."""
    parser = _Parser("runs", add_help=False)
    parser.add_argument("--source", "-s")
    parser.add_argument("--status", action="append")
    parser.add_argument("--limit", "-l", type=int, default=20)
    given = parser.parse_args(_words(line))
    with connect(given.source) as project:
        return project.runs(status=given.status, limit=given.limit)[_RUNS_COLUMNS]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ParameterError(f"cannot read {line!r}: {error}", hint="close the quotes") from None


def _moment(text: str | None) -> int | None:
    from smithers_nb.model.timestamps import epoch_ms

    if text is None:
        return None
    moment = epoch_ms(text)
    if moment is None:
        raise ParameterError(f"--now: {text!r} is not a time", hint="give epoch milliseconds or an ISO time such as 2026-11-20T12:00:00Z")
    return moment


def _friendly(magic: Any) -> Any:
    """Show an expected error as its line and hint; a traceback of ours would tell a person nothing."""

    def run(line: str) -> Any:
        from smithers_nb.present.html.parts import note

        try:
            return magic(line)
        except SmithersNbError as error:
            return note(f"{error}{f' ({error.hint})' if error.hint else ''}", state="problem")

    run.__doc__ = magic.__doc__
    return run


def _complete(_shell: Any, event: Any) -> list[str]:
    """Complete options, and the run id where one belongs."""
    words = event.line.split()
    magic = words[0].lstrip("%") if words else ""
    typed: str = event.symbol
    options = _AUTOPSY_OPTIONS if magic == "autopsy" else _RUNS_OPTIONS
    if typed.startswith("-"):
        return [option for option in options if option.startswith(typed)]
    if magic != "autopsy":
        return []
    source = next((after for before, after in pairwise(words) if before in {"--source", "-s"}), None)
    with suppress(SmithersNbError), connect(source) as project:
        return [run_id for run_id in project.run_ids(typed) if run_id.startswith(typed)]
    return []
