"""Which errors of a notebook only follow from another one: a name that a failed cell should have defined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smithers_nb.sources.notebooks.document import Cell

_UNDEFINED: Final = re.compile(
    r"name ['\"](?P<python>\w+)['\"] is not defined|(?:UndefVarError: )?`?(?P<julia>\w+)`? not defined"
    r"|object ['\u2018](?P<r>[\w.]+)['\u2019] not found"
    r"|(?P<js>\w+) is not defined|not found: value (?P<scala>\w+)|undeclared name: (?P<go>\w+)"
)
_SIGNS: Final = ("not defined", "not found", "undeclared name")
_MAX_MESSAGE: Final = 2_000
_ASSIGNMENT: Final = re.compile(r"^\s*(?P<targets>[\w\s,.*()\[\]'\"]+?)(?::[^=]+)?(?:=(?!=)|<-|\+=|:=)")
_NAME: Final = re.compile(r"(?<![.\w'\"])\w+(?![\w.(\['\"])")
_DEFINITION: Final = re.compile(
    r"\b(?:def|class|function|val|var|let|const|fun|func|as)\s+(?P<name>\w+)|\bimport\s+(?P<imported>.+)|\bfor\s+(?P<loop>[\w\s,()]+?)\s+in\b"
)


def undefined_name(message: str) -> str:
    """Return the name that an error says is not defined; empty for any other error."""
    if not any(sign in message for sign in _SIGNS):
        return ""
    found = _UNDEFINED.search(message[:_MAX_MESSAGE])
    return next((name for name in found.groups() if name), "") if found else ""


def defines(cell: Cell, name: str) -> bool:
    """Return whether the code of a cell gives a name its value."""
    if name not in cell.source:
        return False
    return any(name in line and name in _defined_in(line) for line in cell.source.splitlines())


def _defined_in(line: str) -> list[str]:
    """List the names that a line of code gives a value; attributes and items are none."""
    assigned = _ASSIGNMENT.match(line)
    found = _NAME.findall(assigned["targets"]) if assigned else []
    for match in _DEFINITION.finditer(line):
        found += [match["name"]] if match["name"] else _NAME.findall(match["imported"] or match["loop"])
    return found


def definers(cells: Iterable[Cell], name: str) -> list[Cell]:
    """List the cells whose code gives a name its value."""
    return [cell for cell in cells if defines(cell, name)]


def followers(failed: Sequence[tuple[Cell, str]]) -> dict[int, int]:
    """Find the errors that follow from an earlier one.

    Args:
        failed: Cells with the message of their error, in order of time.

    Returns:
        Index of a cell to the index of the cell that it follows from.
    """
    found: dict[int, int] = {}
    for place, (cell, message) in enumerate(failed):
        name = undefined_name(message)
        cause = next((earlier for earlier, _ in failed[:place] if name and defines(earlier, name)), None)
        if cause is not None and cause.index != cell.index:
            found[cell.index] = cause.index
    return found
