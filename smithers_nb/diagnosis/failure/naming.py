"""How a sentence names a task, a stage or a cell.

The id of a cell is generated and means nothing to a reader, so a cell is named by the line that failed, or else by its first line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.excerpt import abridged
from smithers_nb.diagnosis.failure.stack import own_frame
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure

_GENERATED_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f-]{27})?|cell-\d+|[0-9a-f]{12,}|(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9_-]{12}")
"""Ids that nbformat, editors and this package generate for cells."""

_PROMPT: Final = re.compile(r":\s*(?=['\"])")
"""The end of a prompt, which reads like an assignment: in our sentence, what follows `Password:` would be taken for a secret."""

_MAGIC: Final = re.compile(
    r"get_ipython\(\)\.(?:run_(?P<kind>cell|line)_magic\('(?P<name>\w+)', '(?P<line>[^']*)'"
    r"|(?P<run>system|getoutput)\(['\"](?P<command>.*)['\"]\))"
)
"""What IPython turns a magic or a `!command` into before it runs it."""

_MAX_NAME: Final = 60


def name_of(failure: Failure) -> str:
    """Return the name of the cell, stage or task that failed, without the word for its kind; empty when the run itself failed."""
    if failure.task_kind == "notebook-cell" and failure.label:
        return f"“{abridged(redact(failure.label), _MAX_NAME)}”"
    if failure.task_kind != "cell" or failure.node_id is None:
        return failure.node_id or ""
    frame = own_frame(failure.chain)
    written = _as_written((frame.text if frame and frame.is_cell else "") or failure.label or "")
    line = " ".join(_PROMPT.sub("", written).split())
    own = "" if line and _GENERATED_ID.fullmatch(failure.node_id) else failure.node_id
    return " ".join(filter(None, (own, f"“{abridged(line, _MAX_NAME)}”" if line else "")))


def _as_written(line: str) -> str:
    """Return a line of a cell as its author wrote it, without secrets."""
    magic = _MAGIC.match(line)
    if magic is None:
        return redact(line)
    if magic["run"]:
        return redact(f"!{magic['command']}")
    return redact(f"{'%%' if magic['kind'] == 'cell' else '%'}{magic['name']} {magic['line']}".strip())
