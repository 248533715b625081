"""Stacks lead to the author's own code."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.failure.stack import TRACEBACK, causes, own_frame, python_exception, reads_environment, stack_frames
from smithers_nb.model.verdict import Link

JS = """TypeError: undefined is not an object (evaluating 'a.b')
    at <parse> (:0)
    at parse (unknown)
    at summarise (/srv/app/.smithers/workflows/rollup.tsx:15:23)
    at async <anonymous> (/srv/app/node_modules/@smithers-orchestrator/engine/src/engine.js:5383:21)
    at run (node:async_hooks:144:29)"""
PYTHON = 'Traceback (most recent call last):\n  File "/srv/app/tools/stats.py", line 2, in <module>\nModuleNotFoundError: x'


def test_first_own_frame_is_found() -> None:
    """Frames of the runtime and of packages are passed over."""
    frame = own_frame([Link(message="m", stack=JS)])
    assert frame is not None
    assert (frame.name, frame.line, frame.function) == ("rollup.tsx", 15, "summarise")


def test_engine_frames_are_known() -> None:
    """A frame below the orchestrator's packages is the engine's."""
    assert [frame.is_engine for frame in stack_frames(JS)] == [False, True]


def test_python_traceback_is_read() -> None:
    """A helper script's traceback names its file too."""
    frame = own_frame([Link(message="m", stack=PYTHON)])
    assert frame is not None
    assert (frame.name, frame.line) == ("stats.py", 2)


def test_innermost_cause_wins() -> None:
    """The place where it began is nearer to the fault than the place that wrapped it."""
    inner = Link(message="inner", stack="Error: inner\n    at deep (/srv/app/lib/deep.ts:3:1)")
    frame = own_frame([Link(message="outer", stack=JS), inner])
    assert frame is not None
    assert frame.name == "deep.ts"


def test_no_own_code_is_no_frame() -> None:
    """An error from inside the engine points at nobody's workflow."""
    stack = "Error: x\n    at f (/srv/app/node_modules/effect/dist/internal/effect.js:667:24)"
    assert own_frame([Link(message="x", stack=stack)]) is None


def test_windows_and_file_urls_are_read() -> None:
    """Paths are recognised however the platform writes them."""
    stack = "Error: x\n    at f (file:///srv/a b/w.tsx:1:2)\n    at g (C:\\work\\w.tsx:3:4)"
    assert [frame.line for frame in stack_frames(stack)] == [1, 3]


def test_innermost_python_frame_comes_first() -> None:
    """Python prints the innermost call last; the JavaScript that started it stands further out."""
    stack = (
        f'Error: {TRACEBACK}:\n  File "/srv/app/a.py", line 9, in <module>\n    f()\n'
        '  File "/usr/lib/python3.12/json/__init__.py", line 3, in loads\n    x\n  File "/srv/app/b.py", line 6, in f\n    g()\n'
        "KeyError: 'x'\n\n    at children (/srv/app/wf.tsx:7:3)"
    )
    assert [frame.line for frame in stack_frames(stack)] == [6, 3, 9, 7]
    assert python_exception(stack) == "KeyError: 'x'"


def test_no_traceback_has_no_exception() -> None:
    """Text that only looks like an exception is none."""
    assert python_exception("KeyError: 'x'") == ""


NOTEBOOK = """---------------------------------------------------------------------------
KeyError                                  Traceback (most recent call last)
Cell In[2], line 3, in loaded(name)
      1 def loaded(name):
      2     return orders[
----> 3         name]

KeyError: 'total'

During handling of the above exception, another exception occurred:

ReportError                               Traceback (most recent call last)
Cell In[4], line 1
----> 1 helpers.report(loaded)

File ~/shop/helpers.py:12, in report(load)
     11 try:
---> 12     load("total")
     13 except KeyError:

File /venv/lib/python3.11/site-packages/pandas/core/frame.py:99, in get(self)
     98 x = 1
---> 99 raise ReportError("no report")

File pandas/_libs/index.pyx:7, in pandas._libs.index.get()

ReportError: no report
  in two lines"""
PLAIN = """Traceback (most recent call last):
  File "/tmp/ipykernel_123/456.py", line 2, in summed
    return total({})
  File "/srv/shop/helpers.py", line 4, in total
    return sum(order["lines"])
           ~~~^^^^^^^^^^^
KeyError: 'lines'
"""


def test_a_notebook_s_traceback_is_read_from_its_end() -> None:
    """Cells, files and compiled modules, the innermost first, each with the line that the traceback points to."""
    frames = list(stack_frames(NOTEBOOK))
    assert [(frame.place, frame.text, frame.is_own) for frame in frames] == [
        ("index.pyx:7", "", False),
        ("frame.py:99", 'raise ReportError("no report")', False),
        ("helpers.py:12", 'load("total")', True),
        ("cell [4], line 1", "helpers.report(loaded)", True),
        ("cell [2], line 3", "name]", True),
    ]
    assert [frame.is_cell for frame in frames] == [False, False, False, True, True]


def test_what_an_exception_came_of() -> None:
    """Each exception of a chain is told with its own part of the traceback, the one it ended with left out."""
    (cause,) = causes(NOTEBOOK)
    assert (cause.name, cause.message) == ("KeyError", "'total'")
    assert [frame.place for frame in stack_frames(cause.stack)] == ["cell [2], line 3"]
    assert python_exception(cause.stack) == "KeyError: 'total'"
    assert list(causes(PLAIN)) == []
    assert list(causes(JS)) == []


def test_plain_traceback_of_a_kernel() -> None:
    """A stage's traceback names the file that the kernel made of a cell; the line itself is what helps."""
    inner, outer = stack_frames(PLAIN)
    assert (inner.place, inner.text, inner.is_cell) == ("helpers.py:4", 'return sum(order["lines"])', False)
    assert (outer.place, outer.text, outer.is_cell, outer.is_own) == ("a cell, line 2", "return total({})", True, True)


def test_a_broken_cell() -> None:
    """A syntax error is told at its line, which the kernel indents."""
    (frame,) = stack_frames("  Cell In[1], line 2\n    print('a'\n         ^\nSyntaxError: '(' was never closed\n")
    assert (frame.place, frame.text) == ("cell [1], line 2", "print('a'")


@pytest.mark.parametrize(
    ("file", "is_it"), [("/usr/lib/python3.11/os.py:679", True), ("<frozen os>:679", True), ("/srv/shop/os_orders.py:6", False)]
)
def test_a_missing_variable_is_known_by_its_place(file: str, is_it: bool) -> None:
    """Python says only `KeyError: 'NAME'`; that the environment was asked is told by the innermost frame."""
    stack = f"Cell In[1], line 2\n----> 2 os.environ['X']\n\nFile {file}, in _Environ.__getitem__(self, key)\n\nKeyError: 'X'"
    assert reads_environment(stack) is is_it
