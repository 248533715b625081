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
_ASSIGNMENT: Final = r"(?m)^\s*(?:[\w\s,.*()]*,\s*)?\(?{0}\)?\s*(?:,[\w\s,*()]*)?(?::[^=\n]+)?(?:=(?!=)|<-|\+=|:=)"
_DEFINITION: Final = (
    r"\b(?:def|class|function|val|var|let|const|fun|func)\s+{0}\b|\bimport\b[^\n]*\b{0}\b|\bas\s+{0}\b"
    r"|\bfor\s+[\w\s,()]*\b{0}\b[\w\s,()]*\bin\b"
)


def undefined_name(message: str) -> str:
    """Return the name that an error says is not defined; empty for any other error."""
    found = _UNDEFINED.search(message)
    return next((name for name in found.groups() if name), "") if found else ""


def defines(cell: Cell, name: str) -> bool:
    """Return whether the code of a cell gives a name its value."""
    escaped = re.escape(name)
    return name in cell.source and bool(
        re.search(_ASSIGNMENT.format(escaped), cell.source) or re.search(_DEFINITION.format(escaped), cell.source)
    )


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
