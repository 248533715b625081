"""What a name in a workflow's source stands for: `const rows = d["load"].rows` makes `rows` a way to write `load.rows`.

Gets names as an expression has them and the text of the file; gives the names that lead to a task or to the input. Nothing is run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.expression import PATH, names_in, uncast

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_SOURCE: Final = 200_000
_STEPS: Final = 4
"""How many names may stand for each other in a row."""

_DECLARED: Final = re.compile(r"\b(?:const|let|var)\s+([\w$]{1,60})(?:\s*:[^=;\n]{1,80})?\s*=\s*(?:await\s+)?([^;\n]{1,300})")
_TAKEN_APART: Final = re.compile(r"\b(?:const|let|var)\s+\{([^{}=;]{1,200})\}(?:\s*:[^=;\n]{1,80})?\s*=\s*(?:await\s+)?([^;\n]{1,300})")
_OUTPUT: Final = re.compile(r"ctx\.(?:output|outputMaybe|latest)\([^()]*?[\"'`]([\w:.-]{1,120})[\"'`]\s*,?\s*\}?\s*\)!?")
_WHOLE: Final = re.compile(rf"({PATH})\s*(?:as\b|\?\?|\|\||$|[,)}}])")


def resolved(names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Replace the first of some names by what it was declared as, as long as that is a path.

    Args:
        names: Names such as `("rows", "length")`.
        source: Text of the file up to and with the line that uses them; of several declarations of one name the last counts.
    """
    declared = dict(_declarations(uncast(source[-_MAX_SOURCE:]))) if names and source else {}
    for _ in range(_STEPS):
        meant = declared.get(names[0]) if names else None
        if meant is None or meant[0] == names[0]:
            break
        names = (*meant, *names[1:])
    return names


def _declarations(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for match in _DECLARED.finditer(source):
        if meant := _meant(match[2]):
            yield match[1], meant
    for match in _TAKEN_APART.finditer(source):
        if meant := _meant(match[2]):
            yield from ((name.partition(":")[2].strip() or name, (*meant, name.partition(":")[0].strip())) for name in _split(match[1]))


def _meant(expression: str) -> tuple[str, ...]:
    """Read what a name is declared as: the output of a task, or a path; empty for anything that is worked out."""
    if output := _OUTPUT.match(expression):
        return (output[1],)
    path = _WHOLE.match(expression)
    return names_in(path[1]) if path and "(" not in path[1] else ()


def _split(names: str) -> Iterator[str]:
    yield from (name for part in names.split(",") if (name := part.strip()) and not name.startswith("..."))
