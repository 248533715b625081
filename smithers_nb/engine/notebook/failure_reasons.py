"""Failure reasons for what ends a notebook: an error that a cell raised, and what befell it from outside.

`CODES` is the one table of our own codes; an exception of the user's is told by its class, as Smithers tells a thrown error.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.engine.kernels.evidence import captured
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.notebooks.streams import failed_unnoticed

if TYPE_CHECKING:
    from smithers_nb.errors import NotebookError, Stop

KERNEL_DIED: Final = "KERNEL_DIED"
CODES: Final = {
    "Timeout": "TASK_TIMEOUT",
    "CellTimeoutError": "TASK_TIMEOUT",
    "DeadKernelError": KERNEL_DIED,
    "Cancelled": "RUN_CANCELLED",
    "EndedEarly": "ENDED_EARLY",
}
"""Name of what stopped a notebook from outside to the code of its reason; Smithers' own code where it has one."""

PARKED: Final = "Parked"
"""Name of the exception with which a gate or a question ends an execution; what parks is no failure."""

NOT_STARTED: Final = "NOTEBOOK_NOT_STARTED"
NOT_SAVED: Final = "NOTEBOOK_NOT_SAVED"
GAVE_UP: Final = "AUTO_RESUME_GAVE_UP"

_MESSAGE, _STACK = 20_000, 40_000
"""Characters kept of an error; a message of megabytes helps nobody."""

_PRINTED: Final = 8_000
_OF_A_PROGRAM: Final = frozenset({"CalledProcessError", "TimeoutExpired"})
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def reason_of_stop(error: NotebookError, source: str) -> FailureReason:
    """Explain why a notebook stopped, from where it stopped.

    Args:
        error: What `notebooks.execute` raised.
        source: Reference of the row that failed, such as `node:load`.
    """
    stop = error.stop
    if stop is None:
        code = NOT_SAVED if error.unsaved else NOT_STARTED
        return FailureReason(code=code, message=_cut(str(error), _MESSAGE), source="engine")
    stack = stop.stack or "\n".join(_last_error(stop.cell).get("traceback", ()))
    details: dict[str, Any] = {"name": stop.name, "notebook": str(error.notebook), **_printed(stop)}
    if stack:
        details["stack"] = _cut(_COLOUR.sub("", stack), _STACK)
    message = _cut(stop.message, _MESSAGE) or f"{stop.name} without a message"
    return FailureReason(code=CODES.get(stop.name, stop.name) or "Error", message=message, source=source, details=details)


def reason_of(error: BaseException, source: str) -> FailureReason:
    """Describe what an exception of this process means for the run it happened to."""
    code = getattr(error, "code", None)
    name = type(error).__name__
    stack = "".join(traceback.format_exception(error))
    return FailureReason(
        code=code if isinstance(code, str) and code else name,
        message=_cut(str(error), _MESSAGE) or f"{name} without a message",
        source=source,
        details={"name": name, "stack": _cut(stack, _STACK), **({"stderr": printed} if (printed := captured(error)) else {})},
    )


def _printed(stop: Stop) -> dict[str, str]:
    """Keep what programs said that the notebook ran: in the cell that failed because of one, and where one failed before it unnoticed."""
    found = {}
    if stop.name in _OF_A_PROGRAM:
        streams = {name: _stream(stop.cell, name) for name in ("stderr", "stdout")}
        found = next(({name: text[-_PRINTED:]} for name, text in streams.items() if text), {})
    return {**found, **_complaint_before(stop)}


def _complaint_before(stop: Stop) -> dict[str, str]:
    """Find the last program whose failure did not stop the notebook: `!pip install` raises nothing."""
    for cell in reversed(stop.notebook.cells if stop.notebook is not None else ()):
        if cell.get("cell_type") != "code" or (cell is stop.cell and stop.name in _OF_A_PROGRAM):
            continue
        printed = "\n".join(_stream(cell, name) for name in ("stdout", "stderr"))
        if found := failed_unnoticed(str(cell.get("source", "")), printed):
            return {"program": found[0], "programSaid": found[1]}
    return {}


def _stream(cell: Any, name: str) -> str:
    outputs = cell.get("outputs", ()) if cell is not None else ()
    texts = (output.get("text", "") for output in outputs if output.get("output_type") == "stream" and output.get("name") == name)
    return _COLOUR.sub("", "".join(texts)).strip()


def _last_error(cell: Any) -> dict[str, Any]:
    outputs = cell.get("outputs", ()) if cell is not None else ()
    return next((output for output in reversed(outputs) if output.get("output_type") == "error"), {})


def _cut(text: str, most: int) -> str:
    """Keep both ends: a traceback says at its end what happened, a message at its beginning."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - most:,} characters left out …\n{text[-half:]}"
