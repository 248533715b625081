"""Reads a failure from a command's output: the typed error, the traceback, the validator's error lines.

Accepts output from a terminal, a CI log or a recorder; prefixes that those add to a line (colours, times, `##[error]`) are stripped first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.model.finding import Finding
from smithers_nb.present.html.text import without_ansi

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.profile_parts import Errors, Report

_PREFIX: Final = re.compile(
    r"^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\s(?:\d\d[OE]\+?\s?)?|##\[error\]|\[\d\d:\d\d:\d\d(?:[.,]\d+)?\]\s)+"
)
_FRAME: Final = re.compile(r'^\s*File "(?P<file>[^"\n]+)", line \d+(?:, in (?P<function>\S+))?')
_EXCEPTION: Final = re.compile(r"^(?P<type>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (?P<message>.*))?$")
_TRACEBACK: Final = "Traceback (most recent call last)"
_MAX_LINE: Final = 20_000


class TypedError(NamedTuple):
    """A typed error line; `line` counts from 1."""

    code: str
    message: str
    line: int
    text: str


class Traceback(NamedTuple):
    """The last traceback of an output.

    Attributes:
        exception: Class of the exception as printed.
        frames: `file:function`, outermost first.
        line: Line of the exception, from 1.
    """

    exception: str
    message: str
    frames: tuple[str, ...]
    line: int
    text: str


class ReportLine(Finding):
    """One error line of the validator.

    Attributes:
        line: Line number in its text, starting at 1.
        text: The error.
        error_class: Its class; empty when the profile has none for it.
        secondary: It follows from another error about the same subject.
        fix: What usually fixes errors of this class.
    """

    line: int
    text: str
    error_class: str = ""
    secondary: bool = False
    fix: str = ""


def clean_lines(text: str) -> list[str]:
    """Split an output into lines, without colours and CI prefixes."""
    return [_PREFIX.sub("", line[:_MAX_LINE]) for line in without_ansi(text).splitlines()]


def typed_error(lines: list[str], errors: Errors) -> TypedError | None:
    """Find the last typed error."""
    pattern = re.compile(errors.typed)
    for number in range(len(lines), 0, -1):
        if found := pattern.match(lines[number - 1]):
            return TypedError(found["code"], found["message"].strip(), number, lines[number - 1])
    return None


def last_traceback(lines: list[str]) -> Traceback | None:
    """Return the last Python traceback in an output; in a chain that is the one that ended the program."""
    starts = [i for i, line in enumerate(lines) if _TRACEBACK in line]
    if not starts:
        return None
    frames: list[str] = []
    for i in range(starts[-1] + 1, len(lines)):
        if found := _FRAME.match(lines[i]):
            frames.append(f"{found['file']}:{found['function'] or '<module>'}")
        elif (found := _EXCEPTION.match(lines[i])) and frames:
            return Traceback(found["type"], found["message"] or "", tuple(frames), i + 1, lines[i])
    return None


def report_lines(lines: list[str], report: Report) -> tuple[ReportLine, ...]:
    """Return the validator's error lines, each with its class.

    An error of a class that is `secondary_to` another is secondary when that other class has an error about the same subject.
    """
    pattern = re.compile(report.error)
    found = [(number, match[1].strip()) for number, line in enumerate(lines, 1) if (match := pattern.match(line))]
    classed = [(number, text, _class_of(text, report)) for number, text in found]
    about: defaultdict[str, set[str]] = defaultdict(set)
    for _, text, name in classed:
        about[name].update(_subjects(text, report))
    classes = {item.name: item for item in report.classes}
    rows = []
    for number, text, name in classed:
        of = classes.get(name)
        secondary = bool(of and of.same and (subject := re.search(of.same, text)) and subject[1] in about[of.secondary_to])
        rows.append(ReportLine(line=number, text=text, error_class=name, secondary=secondary, fix=of.fix if of else ""))
    return tuple(rows)


def _class_of(text: str, report: Report) -> str:
    return next((item.name for item in report.classes if any(re.search(pattern, text) for pattern in item.match)), "")


def _subjects(text: str, report: Report) -> set[str]:
    return {found[1] for item in report.classes if item.same and (found := re.search(item.same, text))}
