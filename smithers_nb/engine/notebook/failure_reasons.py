"""Failure reasons for a notebook that stopped: an error raised by a cell, or an external cause.

`CODES` is the table of our own codes; a user's exception uses its class name as the code, as Smithers does for thrown errors.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.engine.kernels.evidence import captured
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.notebooks.streams import failed_unnoticed, said_before_exit

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
"""Failure codes of external causes, by their name; Smithers' own code where it has one."""

PARKED: Final = "Parked"
"""Name of the exception with which a gate or question ends an execution; parking is not a failure."""

NOT_STARTED: Final = "NOTEBOOK_NOT_STARTED"
NOT_SAVED: Final = "NOTEBOOK_NOT_SAVED"
GAVE_UP: Final = "AUTO_RESUME_GAVE_UP"

_MAX_MESSAGE, _MAX_STACK = 20_000, 40_000
"""Maximum length of a stored message and stack, in characters."""

_MAX_PRINTED: Final = 8_000
_PROGRAM_ERRORS: Final = frozenset({"CalledProcessError", "TimeoutExpired"})
_EXIT_STATUS: Final = re.compile(r"\bsys\.exit\([1-9]\d*\)$")
"""An exit with a number, as that of `argparse`, says why on stderr; one with a text says it itself."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def reason_of_stop(error: NotebookError, source: str) -> FailureReason:
    """Return the failure reason of a notebook that stopped.

    Args:
        error: The error raised by `executor.execute`.
        source: Reference of the row that failed, such as `node:load`.
    """
    stop = error.stop
    if stop is None:
        code = NOT_SAVED if error.unsaved else NOT_STARTED
        return FailureReason(code=code, message=_cut(str(error), _MAX_MESSAGE), source="engine")
    stack = stop.stack or "\n".join(_last_error(stop.cell).get("traceback", ()))
    details: dict[str, Any] = {"name": stop.name, "notebook": str(error.notebook), **_program_output(stop)}
    if stack:
        details["stack"] = _cut(_COLOUR.sub("", stack), _MAX_STACK)
    message = _cut(stop.message, _MAX_MESSAGE) or f"{stop.name} without a message"
    return FailureReason(code=CODES.get(stop.name, stop.name) or "Error", message=message, source=source, details=details)


def reason_of(error: BaseException, source: str) -> FailureReason:
    """Return the failure reason for an exception in this process."""
    code = getattr(error, "code", None)
    name = type(error).__name__
    stack = "".join(traceback.format_exception(error))
    return FailureReason(
        code=code if isinstance(code, str) and code else name,
        message=_cut(str(error), _MAX_MESSAGE) or f"{name} without a message",
        source=source,
        details={"name": name, "stack": _cut(stack, _MAX_STACK), **({"stderr": printed} if (printed := captured(error)) else {})},
    )


def _program_output(stop: Stop) -> dict[str, str]:
    """Return the output of a program that failed: in the failing cell, and of one that failed earlier without stopping the notebook."""
    found = {}
    if stop.name == "SystemExit" and _EXIT_STATUS.search(stop.message):
        found = {"stderr": said[-_MAX_PRINTED:]} if (said := said_before_exit(_stream(stop.cell, "stderr"))) else {}
    elif stop.name in _PROGRAM_ERRORS:
        streams = {name: _stream(stop.cell, name) for name in ("stderr", "stdout")}
        found = next(({name: text[-_MAX_PRINTED:]} for name, text in streams.items() if text), {})
    return {**found, **_complaint_before(stop)}


def _complaint_before(stop: Stop) -> dict[str, str]:
    """Find the last program whose failure did not stop the notebook, such as `!pip install`, which raises nothing."""
    for cell in reversed(stop.notebook.cells if stop.notebook is not None else ()):
        if cell.get("cell_type") != "code" or (cell is stop.cell and stop.name in _PROGRAM_ERRORS):
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
    """Shorten a text but keep both ends: a traceback ends with the error, a message begins with it."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - most:,} characters left out …\n{text[-half:]}"
