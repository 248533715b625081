"""What a task, a stage or a cell is called in a sentence.

A cell has an id that a machine made up and nobody knows; it is called by the line that failed, else by its first line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.excerpt import abridged
from smithers_nb.diagnosis.failure.stack import own_frame
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure

_MADE_UP: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f-]{27})?|cell-\d+|[0-9a-f]{12,}|(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9_-]{12}")
"""Ids that nbformat, editors and we give to cells."""

_PROMPT: Final = re.compile(r":\s*(?=['\"])")
"""The end of a prompt, which reads like an assignment: what follows `Password:` in our own sentence would be taken for a secret."""

_MAGIC: Final = re.compile(
    r"get_ipython\(\)\.(?:run_(?P<kind>cell|line)_magic\('(?P<name>\w+)', '(?P<line>[^']*)'"
    r"|(?P<run>system|getoutput)\(['\"](?P<command>.*)['\"]\))"
)
"""What IPython makes of a magic or of a `!command` before it is run."""

_MAX: Final = 60


def name_of(failure: Failure) -> str:
    """Name the cell, stage or task that failed, without the word for what it is; empty when it is the run itself."""
    if failure.task_kind == "notebook-cell" and failure.label:
        return f"“{abridged(redact(failure.label), _MAX)}”"
    if failure.task_kind != "cell" or failure.node_id is None:
        return failure.node_id or ""
    frame = own_frame(failure.chain)
    written = _as_written((frame.text if frame and frame.is_cell else "") or failure.label or "")
    line = " ".join(_PROMPT.sub("", written).split())
    own = "" if line and _MADE_UP.fullmatch(failure.node_id) else failure.node_id
    return " ".join(filter(None, (own, f"“{abridged(line, _MAX)}”" if line else "")))


def _as_written(line: str) -> str:
    """Return a line of a cell back the form in which its author wrote it, without secrets."""
    found = _MAGIC.match(line)
    if found is None:
        return redact(line)
    if found["run"]:
        return redact(f"!{found['command']}")
    return redact(f"{'%%' if found['kind'] == 'cell' else '%'}{found['name']} {found['line']}".strip())
