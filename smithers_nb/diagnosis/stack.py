"""Where in whose code an error was thrown.

Reads JavaScript and Python stacks and tells the author's own frames from those of Smithers, of installed packages and of the
runtime. Paths that Smithers' overlay adds for hot reloads are left as they are recorded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smithers_nb.model.verdict import Link

_FRAME = re.compile(
    r"^[ \t]*(?:at (?:async )?(?:(?P<function>.+?) \()?|[^\s@]*@)"
    r"(?P<file>(?:file://)?(?:/|[A-Za-z]:[\\/]|\.{0,2}/)[^():\n]*?):(?P<line>\d+)(?::\d+)?\)?[ \t]*$"
    r'|^[ \t]*File "(?P<py_file>[^"\n]+)", line (?P<py_line>\d+)(?:, in (?P<py_function>\S+))?',
    re.MULTILINE,
)
_ENGINE = re.compile(r"node_modules/(?:@smithers-orchestrator|@smthrs|smithers-orchestrator|effect|@effect)/")
_FOREIGN = re.compile(r"node_modules/|/site-packages/|/dist-packages/|/lib/python\d|^native|^node:")


TRACEBACK: Final = "Traceback (most recent call last)"
"""What a Python stack begins with."""

_EXCEPTION = re.compile(r"^(?:[ \t]*\|[ \t]*)?((?:\w+\.)*[A-Za-z_]\w*(?:: .*)?)[ \t]*$", re.MULTILINE)


class Frame(NamedTuple):
    """One line of a stack."""

    function: str
    file: str
    line: int

    @property
    def name(self) -> str:
        """File name without its folders."""
        return self.file.replace("\\", "/").rpartition("/")[2]

    @property
    def is_engine(self) -> bool:
        """Smithers' own code, or the runtime library it is built on."""
        return bool(_ENGINE.search(self.file))

    @property
    def is_own(self) -> bool:
        """Code of the workflow's author."""
        return not _FOREIGN.search(self.file)


def stack_frames(stack: str) -> Iterator[Frame]:
    """Yield the frames of a stack that name a file, innermost first: Python prints them last, JavaScript first."""
    matches = list(_FRAME.finditer(stack))
    python = [match for match in matches if match["py_file"]]
    for match in (*reversed(python), *(match for match in matches if not match["py_file"])):
        file = match["file"] or match["py_file"]
        number = match["line"] or match["py_line"]
        yield Frame(match["function"] or match["py_function"] or "", file.removeprefix("file://"), int(number))


def python_exception(text: str) -> str:
    """Find the line that a Python traceback ends with, which names the exception; empty without one."""
    frames = [match.end() for match in _FRAME.finditer(text) if match["py_file"]]
    found = _EXCEPTION.search(text, text.find("\n", frames[-1])) if frames and "\n" in text[frames[-1] :] else None
    return found[1] if found else ""


def own_frame(chain: Iterable[Link]) -> Frame | None:
    """Find the place in the author's code that an error chain leads to: the innermost cause that names one."""
    found = None
    for link in chain:
        found = next((frame for frame in stack_frames(link.stack) if frame.is_own), found)
    return found
