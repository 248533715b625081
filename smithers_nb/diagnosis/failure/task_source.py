"""The part of a workflow's text that belongs to one task, and the names that the task gives to its dependencies.

A task whose id is made at run time has no such part. Nothing is run.
"""

from __future__ import annotations

import re
from typing import Final

from smithers_nb.model.vocabulary import logical_id

_ELEMENT: Final = re.compile(r"<(?:[A-Z]\w*\.)?(?:Task|Subflow|Approval|HumanTask|Signal|WaitForEvent|Timer|Loop|Parallel|Sequence)\b|</")
_MAX_CONDITION: Final = 400
_NEEDS: Final = re.compile(r"\bneeds=\{\{([^{}]{1,400})\}\}")
_NEED: Final = re.compile(r"[\"'`]?([\w$-]{1,60})[\"'`]?\s*:\s*[\"'`]([^\"'`\n]{1,120})[\"'`]")


def task_text(source: str, node_id: str | None) -> str:
    """Return the element of a task in the workflow's text, up to the next element; empty when no element has its id."""
    if not source or not node_id:
        return ""
    named = re.search(rf"\bid=[\"'{{`]+{re.escape(logical_id(node_id))}[\"'}}`]+", source)
    if named is None:
        return ""
    end = _ELEMENT.search(source, named.end())
    return source[max(source.rfind("<", 0, named.start()), 0) : end.start() if end else None]


def needs_of(text: str) -> dict[str, str]:
    """Return the tasks that an element depends on by the names it gives them, from `needs={{ page: "load-page" }}`."""
    return {name: node for needs in _NEEDS.findall(text) for name, node in _NEED.findall(needs)}


def loop_condition(source: str, loop_id: str) -> str:
    """Return the condition in `until={…}` of a loop's element; empty when no element has its id."""
    until = re.search(r"\buntil=\{", text := task_text(source, loop_id))
    if until is None:
        return ""
    depth, start = 1, until.end()
    for at in range(start, min(len(text), start + _MAX_CONDITION)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return " ".join(text[start:at].split())
    return ""


def is_declared(name: str, source: str) -> bool:
    """Return whether a workflow's text declares a name itself, so that it is not a parameter of a task's function."""
    return bool(re.search(rf"\b(?:const|let|var|function|class|import)\b[^=;()\n]{{0,200}}(?<![\w$.]){re.escape(name)}(?![\w$])", source))
