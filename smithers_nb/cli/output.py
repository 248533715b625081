"""How rows and findings leave the command line.

JSON is exact (UTF-8, camelCase names, JSON columns nested as JSON), goes to standard output alone and has no secrets in it.
Tables show a chosen part of the same rows; text written by a run is neutralised before it reaches a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from unicodedata import combining, east_asian_width

import click
import orjson

from smithers_nb.errors import RunNotFound
from smithers_nb.model.finding import Finding, camel
from smithers_nb.model.timestamps import duration, span, when
from smithers_nb.present.html.states import Tone, look
from smithers_nb.present.html.text import one_line
from smithers_nb.redact import redact_value, surely_clean
from smithers_nb.sources.base import CHILD_MARK
from smithers_nb.sources.stores.json_text import loads

if TYPE_CHECKING:
    from smithers_nb.project import Project
    from smithers_nb.run import Run

Format = Literal["table", "json", "jsonl", "markdown"]
TONES: dict[Tone, str] = {"bad": "red", "good": "green", "warn": "yellow", "busy": "cyan", "quiet": "bright_black"}
"""Colour of a tone in a terminal."""

_LINK = " See https://smithers.sh/reference/"
_MAX_CELL = 2_000
_MAX_MESSAGE = 200
_UNLIMITED = 1_000_000
_MIN_READABLE = 32
_MIN_WIDTH = 16
_GAP = 2
_GAP_TEXT = " " * _GAP
_MIN_SAVING = 8


class Column(NamedTuple):
    """One column of a table for people.

    Attributes:
        title: Heading of the column.
        cell: Returns the value of a row.
        grow: Whether it takes the remaining width and is cut when there is too little; other columns are never cut.
        state: Whether the value is a state, to be shown with its icon and colour.
        spare: Order in which columns are dropped on a narrow terminal: the highest number first; 0 is never dropped.
    """

    title: str
    cell: Callable[[Any], object]
    grow: bool = False
    state: bool = False
    spare: int = 0


def record(row: Any) -> dict[str, Any]:
    """Turn a typed row into the object that is printed as JSON."""
    nested = _json_columns(cast("Hashable", type(row)))
    return {camel(name): parsed(value) if name in nested else value for name, value in zip(row._fields, row, strict=True)}


def dump(value: Any) -> Any:
    """Turn findings, rows and collections of them into plain JSON values."""
    if isinstance(value, Finding):
        return value.as_json()
    if hasattr(value, "_fields"):
        return record(value)
    if isinstance(value, dict):
        return {camel(key): dump(item) for key, item in value.items()}
    return [dump(item) for item in value] if isinstance(value, list | tuple) else value


def print_rows(rows: Iterable[Any], fmt: Format, columns: Sequence[Column], *, nothing: str) -> None:
    """Print rows: one JSON array, one JSON object per line, or a table.

    Args:
        rows: Typed rows or findings, consumed one by one for `jsonl`.
        fmt: Format of the output.
        columns: Columns of a table.
        nothing: Note printed to standard error when the table would be empty.
    """
    if fmt == "jsonl":
        for row in rows:
            write_json(dump(row), line=True)
    elif fmt == "json":
        write_json([dump(row) for row in rows])
    else:
        listed = list(rows)
        print_table(listed, columns) if listed else note(nothing)


def print_finding(finding: Finding | dict[str, Any], fmt: Format, page: Callable[[], Iterable[str]]) -> None:
    """Print one finding: as a JSON document, or as the lines of a page."""
    if fmt == "table":
        for line in page():
            click.echo(line)
    else:
        write_json(dump(finding), line=fmt == "jsonl")


def write_json(value: Any, *, line: bool = False) -> None:
    """Write one JSON value without secrets to standard output."""
    options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | (0 if line else orjson.OPT_INDENT_2)
    written = _written(value, options)
    if not surely_clean(written.decode()):
        written = _written(redact_value(value), options)
    sys.stdout.buffer.write(written)


def _written(value: Any, options: int) -> bytes:
    """Encode JSON; bytes of a path that are not valid UTF-8 are replaced, since JSON cannot hold them."""
    try:
        return orjson.dumps(value, option=options)
    except orjson.JSONEncodeError:
        return orjson.dumps(json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")), option=options)


def print_table(rows: Sequence[Any], columns: Sequence[Column]) -> None:
    """Print a table, fitted to the screen; piped output has whole cells, one row per line."""
    room = screen_width() or _UNLIMITED
    cells = {column: [_plain(column, row) for row in rows] for column in columns}
    wide = {column: max(map(width, [column.title, *texts])) for column, texts in cells.items()}
    fitting = _fitting(wide, room)
    left = room - sum(wide[column] + _GAP for column in fitting if not column.grow)
    growing = [column for column in fitting if column.grow]
    share = (left - _GAP * (len(growing) - 1)) // max(len(growing), 1)
    wide |= {column: min(wide[column], max(share, _MIN_WIDTH)) for column in growing}
    last = fitting[-1]
    click.echo(click.style(_GAP_TEXT.join(fit(column.title, wide[column]) for column in fitting).rstrip(), bold=True))
    for index, row in enumerate(rows):
        line = [_styled(fit(cells[column][index], wide[column], fill=column is not last), column, row) for column in fitting]
        click.echo(_GAP_TEXT.join(line))


def screen_width() -> int | None:
    """Return the number of columns to fit output to: the terminal's, or `COLUMNS` when it is set; None for other piped output."""
    fitted = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if fitted else None


def width(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else not combining(char) for char in text)


def fit(text: str, room: int, *, fill: bool = True) -> str:
    """Cut a text that is too wide, and pad one that is too narrow."""
    used = width(text)
    if used <= room:
        return text + " " * (room - used) if fill else text
    text = text[: room - 1]
    while width(text) > room - 1:
        text = text[:-1]
    return f"{text}…"


def _fitting(wide: dict[Column, int], room: int) -> list[Column]:
    """Drop spare columns until the others fit."""
    dropped = iter(sorted((column for column in wide if column.spare), key=lambda column: -column.spare))
    kept = list(wide)
    while sum((min(wide[column], _MIN_READABLE) if column.grow else wide[column]) + _GAP for column in kept) > room + _GAP:
        column = next(dropped, None)
        if column is None:
            break
        kept.remove(column)
    return kept


def run_or_newest(project: Project, run: str | None, *, failed: bool = False, healthy: bool = False) -> Run:
    """Find the named run; without a name, the newest one with a problem, whose id goes to standard error.

    Args:
        project: Where to look.
        run: Its id or the beginning of it.
        failed: Only accept a run that failed.
        healthy: Take the newest run when none has a problem.

    Raises:
        RunNotFound: No run was named, and none qualifies.
    """
    if run is not None:
        return project.run(run)
    if found := project.newest_problem(failed=failed):
        note(f"the newest {'failed run' if failed else 'run with a problem'} is {found.id}")
        return found
    from smithers_nb.diagnosis.failure.order import is_own_run

    newest = next((row.run_id for row in project.run_rows() if is_own_run(row)), None) if healthy else None
    if newest is None:
        missing = "there are no runs" if healthy else f"no run {'failed' if failed else 'has a problem'}"
        raise RunNotFound(f"{missing} in {project.source.location}", hint="name a run; `smithers-nb ps` lists them")
    note(f"no run has a problem; the newest run is {newest}")
    return project.run(newest)


def print_address(address: str) -> None:
    """Print the address of a live page to standard error; its token is not redacted, because the person who started it needs it."""
    click.echo(f"live page: {address}", err=True)


def note(message: str) -> None:
    """Print a message for the person to standard error, apart from the data."""
    click.echo(one_line(message, 1_000), err=True)


def styled_state(state: str) -> str:
    """Format a state with its icon and colour."""
    shape = look(state)
    return click.style(f"{shape.icon} {one_line(shape.word)}", fg=TONES[shape.tone])


def message(text: str | None, limit: int = _MAX_MESSAGE) -> str:
    """Return the most telling line of an error message, without the link that the engine adds to every message."""
    from smithers_nb.diagnosis.failure.excerpt import telling  # not needed for JSON

    line = one_line(telling((text or "").partition(_LINK)[0], limit), _MAX_CELL)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def moment(ms: int | None) -> str:
    """Format a time for a table: UTC, to the second."""
    return when(ms).removesuffix(" UTC") or "-"


def took(seconds: float | None) -> str:
    """Format a duration for a table."""
    return duration(seconds) or "-"


def age(ms: int | None, now: int) -> str:
    """Format how long ago something happened, in its largest unit."""
    return "-" if ms is None else " ".join(span(now - ms).split()[:2])


def node_name(row: Any) -> str:
    """Return a node's id, with the iteration when it is in a loop."""
    node = str(row.node_id or "(run)")
    return f"{node}#{row.iteration}" if row.iteration else node


def short_ids(ids: Iterable[str], least: int = 8) -> dict[str, str]:
    """Shorten each id to a beginning that no other id shares, which commands accept.

    A word that is nearly complete is not cut. Ids of child runs and notebooks stay whole.
    """
    ordered = sorted({run_id for run_id in ids if CHILD_MARK not in run_id and not run_id.endswith(".ipynb")})
    shared = [0, *(_common(a, b) for a, b in pairwise(ordered)), 0]
    enough = [_word_end(run_id, max(least, shared[i] + 1, shared[i + 1] + 1)) for i, run_id in enumerate(ordered)]
    return {
        run_id: run_id[:length] if length + _MIN_SAVING <= len(run_id) else run_id for run_id, length in zip(ordered, enough, strict=True)
    }


def _word_end(text: str, at: int) -> int:
    """Return where the word at a position ends, or the position where the word goes on for long, as in a hash."""
    rest = next((i for i, char in enumerate(text[at : at + _MIN_SAVING]) if not char.isalnum()), None)
    return at if rest is None else at + rest


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _styled(text: str, column: Column, row: Any) -> str:
    return click.style(text, fg=TONES[look(str(column.cell(row))).tone]) if column.state else text


def _plain(column: Column, row: Any) -> str:
    value = column.cell(row)
    if column.state:
        shape = look(str(value))
        return f"{shape.icon} {one_line(shape.word, 40)}"
    return one_line(value, _MAX_CELL) or "-"


def parsed(value: Any) -> Any:
    """Parse the text of a JSON column; text that is not valid JSON stays text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except orjson.JSONDecodeError:
        return value.encode("utf-8", "replace").decode()


@cache
def _json_columns(row_class: Hashable) -> frozenset[str]:
    """Return the names of the columns that the row class declares as `Json`."""
    hints = getattr(row_class, "__annotations__", {})
    return frozenset(name for name, hint in hints.items() if "Annotated[Json," in str(hint))
