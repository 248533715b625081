"""Stacks lead to the author's own code."""

from __future__ import annotations

from smithers_nb.diagnosis.stack import TRACEBACK, own_frame, python_exception, stack_frames
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
