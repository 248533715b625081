"""Whether a resume would be refused because the workflow's file changed after the run was started.

Smithers 0.32 stores the SHA-256 of the entry file's text at launch and compares it again at each resume. Only that hash is reproduced
here, so a change in an imported module is not detected.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow

_SOURCE_SUFFIXES: Final = frozenset({".tsx", ".ts", ".jsx", ".js", ".mts", ".cts", ".mjs", ".cjs"})
_MAX_SIZE: Final = 5_000_000


def recorded_hash(run: RunRow) -> str | None:
    """Return the hash of the entry file at launch; None if the store has none."""
    stamp = as_object(run.config).get("__smithersDurability")
    recorded = stamp.get("entryWorkflowHash") if isinstance(stamp, dict) else None
    return recorded if isinstance(recorded, str) else None


def workflow_file(run: RunRow, given: Path | None = None) -> Path | None:
    """Return the entry file on this machine, given or else recorded; None unless it is a source file of readable size."""
    path = given or (Path(run.workflow_path) if run.workflow_path else None)
    if path is None or path.suffix not in _SOURCE_SUFFIXES:
        return None
    try:
        return path if path.is_file() and path.stat().st_size <= _MAX_SIZE else None
    except (OSError, ValueError):
        return None


def current_hash(path: Path) -> str | None:
    """Return the hash of an entry file as the engine computes it; None when it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return sha256(text.encode()).hexdigest()


def was_edited(run: RunRow, given: Path | None = None) -> bool | None:
    """Return whether the entry file changed after launch; None when that is unknown on this machine."""
    path, recorded = workflow_file(run, given), recorded_hash(run)
    current = current_hash(path) if path and recorded else None
    return None if current is None else current != recorded
