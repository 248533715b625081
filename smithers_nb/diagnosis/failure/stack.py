"""Where an error was thrown, and in whose code.

Parses JavaScript and Python stacks, plain or as a notebook's kernel prints them, and tells the author's own frames from those of
Smithers, of installed packages and of the runtime. Paths that Smithers' overlay adds for hot reloads are left as recorded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smithers_nb.model.verdict import Link

_FRAME = re.compile(
    r"^[ \t]*(?:at (?:async )?(?:(?P<function>.+?) \()?|[^\s@]*@)"
    r"(?P<file>(?:file://)?(?:/|[A-Za-z]:[\\/]|\.{0,2}/)[^():\n]*?):(?P<line>\d+)(?::\d+)?\)?[ \t]*$",
    re.MULTILINE,
)
# The expressions for Python are compiled on first use: most runs of Smithers have no such stack, and `why` has to answer at once
_PYTHON_FRAME: Final = (
    r'(?m)^[ \t]*File "(?P<py_file>[^"\n]+)", line (?P<py_line>\d+)(?:, in (?P<py_function>\S+))?'
    r"|^[ \t]*(?P<cell>Cell In\[\d+\]), line (?P<cell_line>\d+)(?:, in (?P<cell_function>[^\s(]+))?"
    r"|^File (?P<np_file>(?:[A-Za-z]:)?[^\s\"][^\n\":]*):(?P<np_line>\d+)(?:, in (?P<np_function>[^\s(]+))?"
)
_PYTHON_SIGNS: Final = ("File ", "Cell In[")
_KINDS: Final = ("py", "cell", "np")
_ARROW: Final = r"(?m)^-+> ?\d+ (.*)$"
_CHAIN_SIGN: Final = " exception"
_CHAINED: Final = (
    r"\n+(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n+"
)
_ENGINE = re.compile(r"node_modules/(?:@smithers-orchestrator|@smthrs|smithers-orchestrator|effect|@effect)/")
_FOREIGN = re.compile(
    r"node_modules/|/site-packages/|/dist-packages/|/lib/python\d|[/\\]smithers_nb[/\\]\w|\.p(?:yx|xi|xd)$|^native|^node:|^<(?!ipython|stdin)"
)
_CELL: Final = r"Cell In(?P<number>\[\d+\])|[/\\]ipykernel_\d+[/\\]\d+\.py$|^<ipython-input-"


_GROUP_SIGN: Final = "Exception Group Traceback"
_GROUP_RULE: Final = r"(?m)^[ |]*\+-(?:\+-)?-{8,}(?: (?:\d+|\.\.\.) -+)?$"
"""The line between the exceptions of a group."""

TRACEBACK: Final = "Traceback (most recent call last)"
"""How a Python stack begins."""

_EXCEPTION = re.compile(r"^(?:[ \t]*(?:\|[ \t]*)+)?((?:\w+\.)*[A-Za-z_]\w*(?:: .*)?)[ \t]*$", re.MULTILINE)


class Frame(NamedTuple):
    """One line of a stack.

    Attributes:
        text: The line of source that the stack quotes; empty when it quotes none.
    """

    function: str
    file: str
    line: int
    text: str = ""

    @property
    def is_cell(self) -> bool:
        """Whether this is the code of a notebook's cell."""
        return bool(re.search(_CELL, self.file))

    @property
    def name(self) -> str:
        """File name without its folders; for a cell, the number that its kernel gave it."""
        if cell := re.search(_CELL, self.file):
            return f"cell {cell['number']}" if cell["number"] else "a cell"
        return self.file.replace("\\", "/").rpartition("/")[2]

    @property
    def place(self) -> str:
        """Position for people to read: `rollup.tsx:15`, `cell [3], line 2`."""
        return f"{self.name}, line {self.line}" if self.is_cell else f"{self.name}:{self.line}"

    @property
    def is_engine(self) -> bool:
        """Whether this is Smithers' own code, or the runtime library it is built on."""
        return bool(_ENGINE.search(self.file))

    @property
    def is_own(self) -> bool:
        """Whether this is code of the workflow's author."""
        return not _FOREIGN.search(self.file)


def stack_frames(stack: str) -> Iterator[Frame]:
    """Yield the frames of a stack that name a file, innermost first; Python prints the innermost last, JavaScript first."""
    python = _python_frames(stack)
    ends = [*(match.start() for match in python), len(stack)][1:]
    yield from reversed([_python_frame(match, stack[match.end() : end]) for match, end in zip(python, ends, strict=False)])
    for match in _FRAME.finditer(stack):
        yield Frame(match["function"] or "", match["file"].removeprefix("file://"), int(match["line"]))


def python_exception(text: str) -> str:
    """Return the line that ends a Python traceback and names the exception; empty without a traceback."""
    line = _last_line(text)
    return line[1] if line else ""


class Thrown(NamedTuple):
    """One exception of a chain, with its own part of the traceback."""

    name: str
    message: str
    stack: str


def causes(stack: str) -> Iterator[Thrown]:
    """Yield the exceptions that led to the one at the end of a Python traceback, nearest first."""
    for part in reversed(re.split(_CHAINED, stack)[:-1] if _CHAIN_SIGN in stack else ()):
        if line := _last_line(part):
            name, _, message = part[line.start(1) :].strip().partition(": ")
            yield Thrown(name.rpartition(".")[2], message, part)


def group_members(stack: str) -> tuple[Thrown, ...]:
    """Return the exceptions of an exception group and of groups inside it, without duplicates, in the order they are printed."""
    if _GROUP_SIGN not in stack:
        return ()
    parts = (re.sub(r"(?m)^[ ]*(?:\|[ ]?)+", "", part) for part in re.split(_GROUP_RULE, stack)[1:])
    members: dict[tuple[str, str], Thrown] = {}
    for part in parts:
        line = python_exception(part) or next((text for text in reversed(part.splitlines()) if _EXCEPTION.fullmatch(text)), "")
        name, _, message = line.strip().partition(": ")
        if line and not name.endswith("ExceptionGroup"):
            members.setdefault((name, message), Thrown(name.rpartition(".")[2], message, part))
    return tuple(members.values())


def _python_frames(text: str) -> list[re.Match[str]]:
    return list(re.finditer(_PYTHON_FRAME, text)) if any(sign in text for sign in _PYTHON_SIGNS) else []


def _python_frame(match: re.Match[str], below: str) -> Frame:
    kind = next(kind for kind in _KINDS if match[f"{kind}_line"])
    arrow = re.search(_ARROW, below)
    text = arrow[1] if arrow else next((line for line in below.split("\n")[1:2] if line.startswith("    ")), "")
    file = match["cell"] or match["py_file"] or match["np_file"]
    return Frame(match[f"{kind}_function"] or "", file, int(match[f"{kind}_line"]), text.strip())


def _last_line(text: str) -> re.Match[str] | None:
    ends = [match.end() for match in _python_frames(text)]
    return _EXCEPTION.search(text, text.find("\n", ends[-1])) if ends and "\n" in text[ends[-1] :] else None


def reads_environment(stack: str) -> bool:
    """Return whether a stack ends where Python looks up environment variables; `KeyError: 'NAME'` itself does not say so."""
    innermost = next(stack_frames(stack), None)
    return innermost is not None and innermost.name in {"os.py", "<frozen os>"} and innermost.function.endswith("__getitem__")


def own_frame(chain: Iterable[Link]) -> Frame | None:
    """Return the frame in the author's code that an error chain leads to: that of the innermost cause with one."""
    innermost = None
    for link in chain:
        innermost = next((frame for frame in stack_frames(link.stack) if frame.is_own), innermost)
    return innermost
