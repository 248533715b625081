"""Whose code threw an error: the workflow's, the engine's or a library's, read off the first frame of its stack that tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smithers_nb.diagnosis.rules import Where

_STACK_CHARS: Final = 20_000

# JavaScript (`at f (/p/a.tsx:3:4)`, `at /p/a.tsx:3:4`), JavaScriptCore (`f@/p/a.js:3:4`), Python (`File "/p/a.py", line 3`)
_FRAME: Final = re.compile(
    r"^[ \t]*(?:at\s.*?|\S*@)?\(?"
    r"((?:file://|webpack-internal://)?(?:/|\.{0,2}/|[A-Za-z]:[\\/]|node:|bun:|native|unknown)[^\s()]*?):\d+(?::\d+)?\)?[ \t]*$"
    r'|^[ \t]*File "([^"\n]+)", line \d+',
    re.MULTILINE,
)
_ENGINE: Final = re.compile(r"node_modules[\\/]@(?:smithers-orchestrator|smthrs)[\\/]|[\\/]smithers_nb[\\/]")
_LIBRARY: Final = re.compile(r"node_modules[\\/]|(?:site|dist)-packages[\\/]|[\\/]lib[\\/]python3|<frozen |^<")
_PLUMBING: Final = re.compile(r"^(?:node|bun):|^(?:native|unknown)$|node_modules[\\/]effect[\\/]")


def where_thrown(stack: str) -> Where:
    """Tell whose code threw; `workflow` also when a library was called by it, empty without a frame that tells."""
    found: Where = ""
    for path in _paths(stack[:_STACK_CHARS]):
        if _PLUMBING.search(path):
            continue
        if _ENGINE.search(path):
            return found or "engine"
        if not _LIBRARY.search(path):
            return "workflow"
        found = "library"
    return found


def _paths(stack: str) -> Iterator[str]:
    paths = [match[1] or match[2] for match in _FRAME.finditer(stack)]
    # Python prints the innermost call last
    return reversed(paths) if "Traceback (most recent call last)" in stack else iter(paths)
