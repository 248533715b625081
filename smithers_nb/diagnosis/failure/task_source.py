"""The part of a workflow's text that belongs to one task, and what the task calls the outputs it gets.

Gets the text that ran and the id of a task; a task whose id is made up at run time has no part of its own. Nothing is run.
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
    """Cut the element of a task out of the workflow's text, up to the next element; empty when no element has its id."""
    if not source or not node_id:
        return ""
    found = re.search(rf"\bid=[\"'{{`]+{re.escape(logical_id(node_id))}[\"'}}`]+", source)
    if found is None:
        return ""
    end = _ELEMENT.search(source, found.end())
    return source[max(source.rfind("<", 0, found.start()), 0) : end.start() if end else None]


def needs_of(text: str) -> dict[str, str]:
    """Read `needs={{ page: "load-page" }}` off a task's element: the names of its dependencies to the tasks that they are."""
    return {name: node for needs in _NEEDS.findall(text) for name, node in _NEED.findall(needs)}


def loop_condition(source: str, loop_id: str) -> str:
    """Read `until={…}` off the element of a loop; empty when no element has its id."""
    found = re.search(r"\buntil=\{", text := task_text(source, loop_id))
    if found is None:
        return ""
    depth, start = 1, found.end()
    for at in range(start, min(len(text), start + _MAX_CONDITION)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return " ".join(text[start:at].split())
    return ""


def is_declared(name: str, source: str) -> bool:
    """Return whether a workflow's text itself declares a name, so that it is no parameter of a task's function."""
    return bool(re.search(rf"\b(?:const|let|var|function|class|import)\b[^=;()\n]{{0,200}}(?<![\w$.]){re.escape(name)}(?![\w$])", source))
