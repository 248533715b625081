"""Whose code threw an error, by the frames of its stack."""

from __future__ import annotations

import time

import pytest

from smithers_nb.diagnosis.failure.origin import waits_for, where_thrown

ENGINE = "    at decide (/srv/node_modules/@smithers-orchestrator/engine/src/engine.js:5:1)"
OWN = "    at children (/srv/ws/shop/.smithers/workflows/shop.tsx:15:23)"
LIBRARY = "    at parse (/srv/ws/shop/node_modules/zod/index.js:9:1)"
PLUMBING = "    at run (node:async_hooks:144:29)\n    at parse (unknown)\n    at <parse> (:0)\n    at f (native:7:39)"
EFFECT = "    at runLoop (/srv/node_modules/effect/dist/internal/effect.js:462:98)"


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        ([OWN, ENGINE], "workflow"),
        ([ENGINE, OWN], "engine"),
        ([PLUMBING, EFFECT, ENGINE], "engine"),
        ([LIBRARY, OWN], "workflow"),
        ([LIBRARY, ENGINE], "library"),
        ([PLUMBING], ""),
        ([], ""),
        (["run@/srv/ws/shop/shop.tsx:3:4"], "workflow"),
        (["handle@/srv/node_modules/@smthrs/cli/src/index.js:640:16"], "engine"),
        (["    at async <anonymous> (/srv/ws/shop/shop.tsx:8:97)"], "workflow"),
        (["    at file:///srv/ws/shop/shop.mjs:8:97"], "workflow"),
        (["    at main (C:\\work\\shop\\shop.tsx:8:97)"], "workflow"),
    ],
)
def test_first_frame_that_tells(frames, where):
    """Frames of the runtime say nothing; the first other one decides, a library only where nobody's own code follows."""
    assert where_thrown("\n".join(["TypeError: see /srv/node_modules/@smithers-orchestrator/x.js for more", *frames])) == where


def test_python_prints_the_innermost_last():
    """In a Python traceback the last frame is where it was thrown."""
    own, library = '  File "/srv/ws/etl.py", line 3, in main', '  File "/usr/lib/python3/site-packages/pandas/core.py", line 9, in get'
    head = "Traceback (most recent call last):"
    assert where_thrown(f"{head}\n{own}\n{library}\nKeyError: 'x'") == "workflow"
    assert where_thrown(f"{head}\n{library}\nKeyError: 'x'") == "library"


def test_many_lines_cost_little():
    """A stack of empty lines is read in the time of one."""
    started = time.process_time()
    where_thrown("\n" * 1_000_000)
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(("line", "code"), [("data = link.recv(4096)", "WAITS_FOR_NETWORK"), ("total = rows.receive(4)", "")])
def test_a_method_of_a_socket_leaves_no_frame(line, code):
    """What a socket waits for is seen only in the line of the code that called it."""
    stack = f'Traceback (most recent call last):\n  File "/tmp/ipykernel_7/1.py", line 3, in <module>\n    {line}'
    assert waits_for(stack) == code
