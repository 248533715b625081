"""`logs`: the log of a run and the text of its notebook, while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.look.events import line_of
from smithers_nb.cli.options import CommandContext, command, run_argument
from smithers_nb.cli.output import dump, note, record, write_json
from smithers_nb.cli.run.execute import commands_for
from smithers_nb.cli.run_options import database_option, runs_of, where
from smithers_nb.model.vocabulary import exit_code, is_suspended, is_terminal
from smithers_nb.present.html.text import shown, without_ansi

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.model.rows import EventRow

_POLL_S = 0.5
_MAX_TEXT = 20_000


@command(
    "logs",
    run_argument,
    click.option("--follow", "-F", is_flag=True, help="Go on until the run has ended; the exit code is the run's."),
    click.option("--lines", "-n", type=click.IntRange(min=0), help="Begin with this many of the newest lines of the log."),
    click.option("--no-output", is_flag=True, help="Only the log, not what the notebook shows."),
    database_option,
    example="smithers-nb logs nightly-1 -n 20\nsmithers-nb logs nightly-1 --follow",
)
def logs(  # noqa: PLR0913  # its options
    ask: CommandContext, run: str, *, follow: bool, lines: int | None, no_output: bool, database: str | None
) -> int:
    """Print what a run does: its log, and the text that its notebook shows."""
    from smithers_nb.engine.control.log import read_log
    from smithers_nb.engine.control.run_state import resolve
    from smithers_nb.engine.execution.outcome import notebook_of
    from smithers_nb.engine.journal import Journal

    location = runs_of(ask, database)
    with Journal.open(location) as journal:
        run_id = resolve(journal, run)
        printer = _Printer(ask.fmt, None if no_output else notebook_of(location, run_id))
        seen = read_log(journal, run_id)
        printer.log(seen.events[-lines:] if lines else [] if lines == 0 else seen.events)
        printer.shown(silently=lines == 0)
        told = ""
        while follow and not is_terminal(seen.status):
            if is_suspended(seen.status) and told != seen.status:
                told = seen.status
                _print_pending(ask, location, run_id, seen.status)
            time.sleep(_POLL_S)
            newest = seen.events[-1].seq if seen.events else -1
            fresh = read_log(journal, run_id, newest)
            printer.log(fresh.events)
            printer.shown()
            seen = fresh if fresh.events else seen._replace(status=fresh.status)
    printer.close()
    return exit_code(seen.status) if follow else DONE


class _Printer:
    """Prints each line of the log and each text of the notebook once."""

    def __init__(self, fmt: str, notebook: Path | None) -> None:
        self._fmt = fmt
        self._notebook = notebook
        self._stamp = 0
        self._printed: dict[str, str] = {}
        self._rows: list[Any] = []

    def log(self, events: list[EventRow]) -> None:
        """Print lines of the log."""
        for event in events:
            self._put(record(event), line_of(event))

    def shown(self, *, silently: bool = False) -> None:
        """Print the text that is new in the notebook; with `silently`, only remember it."""
        for cell, text in self._texts():
            before = self._printed.get(cell, "")
            new = text.removeprefix(before)
            self._printed[cell] = text
            if new.strip() and not silently:
                self._put({"cell": cell, "text": new}, *(f"        {line}" for line in shown(without_ansi(new), _MAX_TEXT).splitlines()))

    def close(self) -> None:
        """Print everything as one document, for `--format json`."""
        if self._fmt == "json":
            write_json(self._rows)

    def _put(self, row: dict[str, Any], *lines: str) -> None:
        if self._fmt == "table":
            for line in lines:
                click.echo(line)
        elif self._fmt == "jsonl":
            write_json(dump(row), line=True)
        else:
            self._rows.append(dump(row))

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield cell id and text outputs of each cell, when the notebook was saved since the last call."""
        import orjson

        try:
            stamp = self._notebook.stat().st_mtime_ns if self._notebook else 0
            if self._notebook is None or stamp == self._stamp:
                return
            self._stamp = stamp
            cells = orjson.loads(self._notebook.read_bytes())["cells"]
        except (OSError, orjson.JSONDecodeError, KeyError):  # not saved yet, or just now
            return
        for number, cell in enumerate(cells):
            if cell.get("cell_type") == "code":
                yield str(cell.get("id") or number), "".join(map(_text, cell.get("outputs", [])))


def _text(output: dict[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}\n"
    found = output.get("text") or output.get("data", {}).get("text/plain") or ""
    text = "".join(found) if isinstance(found, list) else str(found)
    return text if text.endswith("\n") else f"{text}\n"


def _print_pending(ask: CommandContext, location: Location, run_id: str, status: str) -> None:
    from smithers_nb.engine.control import pending

    note(f"run {run_id} is {status}")
    for item in pending(location, run_id):
        note(f"{item.node_id}: {item.prompt}")
        for line in commands_for(item, where(ask, location)):
            note(f"  {line}")
