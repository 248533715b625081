"""A page for a person in a terminal: a headline, then labelled sections.

Prose is wrapped to the width of the terminal, at most 110 columns; commands, quotes and code are never wrapped, so that they can be
copied. Everything that a run wrote is neutralised and redacted here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import orjson

from smithers_nb.cli.output import TONES, fit, screen_width, styled_state, width
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line, shown
from smithers_nb.redact import redact_value

_MAX_WIDTH = 110
_LABEL_WIDTH = 13
_MAX_COMMAND = 20_000


class Sheet:
    """Collects the lines of one page."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._cut = screen_width() is not None
        self._width = max(min(screen_width() or _MAX_WIDTH, _MAX_WIDTH), 40)

    def headline(self, state: str, *parts: str | None) -> None:
        """Add the first line of the page: a state, then what is in that state."""
        head, *rest = [one_line(part) for part in parts if part] or ["(no name)"]
        self.lines.append("  ".join((styled_state(state), click.style(head, bold=True), *rest)))

    def heading(self, title: str, *parts: str) -> None:
        """Add the heading of a part that has no state."""
        self.lines.append(
            "  ".join((click.style(one_line(title), bold=True), *(click.style(one_line(part), dim=True) for part in parts if part)))
        )

    def fields(self, values: Mapping[str, Any]) -> None:
        """Add one section per field of a JSON object: text wrapped, other values as JSON."""
        wide = max(_LABEL_WIDTH, *(min(len(name) + 2, 30) for name in values)) if values else _LABEL_WIDTH
        for name, value in redact_value(dict(values)).items():
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            lines = self._wrapped(shown(text, _MAX_COMMAND), wide + 2) or [""]
            label = click.style(one_line(name, 60).ljust(wide), fg="cyan")
            self.lines += [f"  {label if i == 0 else ' ' * wide}{line}" for i, line in enumerate(lines)]

    def prose(self, label: str, *paragraphs: object) -> None:
        """Add a section of wrapped text; empty paragraphs are left out, and so is a section without text."""
        lines = [line for text in paragraphs if text for line in self._wrapped(shown(text))]
        self._section(label, lines)

    def verbatim(self, label: str, items: Iterable[object]) -> None:
        """Add a section of lines that must not be wrapped: quotes, ids, code."""
        self._section(label, [one_line(item, 600) for item in items])

    def source(self, label: str, lines: Iterable[str]) -> None:
        """Add lines of code with their indentation."""
        self._section(label, [shown(line, 600).replace("\n", "␊") for line in lines])

    def commands(self, label: str, commands: Iterable[str]) -> None:
        """Add commands, each whole and on its own line."""
        listed = [click.style(shown(command, _MAX_COMMAND).replace("\n", "␊"), fg="cyan") for command in commands]
        if listed:
            if label:
                self.blank()
                self.lines.append(click.style(label, bold=True))
            self.lines += [f"  {command}" for command in listed]

    def states(self, label: str, rows: Sequence[tuple[str, ...]]) -> None:
        """Add aligned rows whose first cell is a state; on a terminal the last cell is cut at the end of the line."""
        cells = [(*(one_line(cell, 60) for cell in row[1:-1]), one_line(row[-1], 400)) for row in rows]
        shapes = [look(row[0]) for row in rows]
        marks = [f"{shape.icon} {one_line(shape.word, 24)}" for shape in shapes]
        wide = [max(map(width, column)) for column in zip(*cells, strict=True)]
        mark_wide = max(map(width, marks), default=0)
        room = max(self._width - _LABEL_WIDTH - mark_wide - 2, 20) if self._cut else _MAX_COMMAND
        lines = []
        for shape, mark, row in zip(shapes, marks, cells, strict=True):
            text = "  ".join(fit(cell, size) for cell, size in zip(row, wide, strict=True)).rstrip()
            lines.append(f"{click.style(fit(mark, mark_wide), fg=TONES[shape.tone])}  {fit(text, room, fill=False)}")
        self._section(label, lines)

    def blank(self) -> None:
        """Add an empty line, unless there is one already."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def _section(self, label: str, lines: list[str]) -> None:
        for i, line in enumerate(lines):
            self.lines.append((click.style(label.ljust(_LABEL_WIDTH), bold=True) if i == 0 else " " * _LABEL_WIDTH) + line)

    def _wrapped(self, text: str, indent: int = _LABEL_WIDTH) -> list[str]:
        room = self._width - indent
        return [
            piece
            for line in text.expandtabs(2).splitlines()
            for piece in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
        ]
