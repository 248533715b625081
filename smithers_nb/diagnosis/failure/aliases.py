"""What a name in a workflow's source stands for: after `const rows = d["load"].rows`, `rows` means `load.rows`.

Resolves the names in an expression to names that lead to a task or to the input, by reading the source. Nothing is run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.expression import PATH, names_in, uncast

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_SOURCE: Final = 200_000
_MAX_STEPS: Final = 4
"""Maximum number of declarations to follow in a row."""

_DECLARED: Final = re.compile(r"\b(?:const|let|var)\s+([\w$]{1,60})(?:\s*:[^=;\n]{1,80})?\s*=\s*(?:await\s+)?([^;\n]{1,300})")
_DESTRUCTURED: Final = re.compile(r"\b(?:const|let|var)\s+\{([^{}=;]{1,200})\}(?:\s*:[^=;\n]{1,80})?\s*=\s*(?:await\s+)?([^;\n]{1,300})")
_OUTPUT: Final = re.compile(r"ctx\.(?:output|outputMaybe|latest)\([^()]*?[\"'`]([\w:.-]{1,120})[\"'`]\s*,?\s*\}?\s*\)!?")
_WHOLE: Final = re.compile(rf"({PATH})\s*(?:as\b|\?\?|\|\||$|[,)}}])")


def resolved(names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return a path with its first name replaced by the path that it was declared as.

    Args:
        names: Names such as `("rows", "length")`.
        source: Text of the file up to and including the line that uses them; the last of several declarations of a name counts.
    """
    declared = dict(_declarations(uncast(source[-_MAX_SOURCE:]))) if names and source else {}
    for _ in range(_MAX_STEPS):
        target = declared.get(names[0]) if names else None
        if target is None or target[0] == names[0]:
            break
        names = (*target, *names[1:])
    return names


def _declarations(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for match in _DECLARED.finditer(source):
        if target := _target(match[2]):
            yield match[1], target
    for match in _DESTRUCTURED.finditer(source):
        if target := _target(match[2]):
            yield from ((name.partition(":")[2].strip() or name, (*target, name.partition(":")[0].strip())) for name in _split(match[1]))


def _target(expression: str) -> tuple[str, ...]:
    """Return the path that a name is declared as, which may be the output of a task; empty for a computed value."""
    if output := _OUTPUT.match(expression):
        return (output[1],)
    path = _WHOLE.match(expression)
    return names_in(path[1]) if path and "(" not in path[1] else ()


def _split(names: str) -> Iterator[str]:
    yield from (name for part in names.split(",") if (name := part.strip()) and not name.startswith("..."))
