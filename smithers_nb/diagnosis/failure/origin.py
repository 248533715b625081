"""Whose code threw an error: the workflow's, the engine's or a library's, read off the first frame of its stack that tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.stack import stack_frames

if TYPE_CHECKING:
    from smithers_nb.diagnosis.classify.rules import Where

_STACK_CHARS: Final = 20_000


def where_thrown(stack: str) -> Where:
    """Tell whose code threw; `workflow` also when a library was called by it, empty without a frame that tells."""
    found: Where = ""
    for frame in stack_frames(stack[:_STACK_CHARS]):
        if "/effect/" in frame.file:
            continue  # every task runs inside this library, whoever threw
        if frame.is_engine:
            return found or "engine"
        if frame.is_own:
            return "workflow"
        found = "library"
    return found
