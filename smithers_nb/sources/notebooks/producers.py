"""Who executed a notebook, when, with which parameters: what its metadata says besides the outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from smithers_nb.sources.notebooks.document import DATABRICKS, Cell, Document, mapping

_SIGNS: Final = (
    (DATABRICKS, "Databricks"),
    ("kaggle", "Kaggle"),
    ("instance_type", "SageMaker"),
    ("availableInstances", "SageMaker"),
    ("colab", "Colab"),
    ("polyglot_notebook", ".NET Interactive"),
    ("vscode", "VS Code"),
)
"""Key of the notebook's metadata, and what leaves it there."""

_STARTED: Final = ("iopub.execute_input", "iopub.status.busy")
_ENDED: Final = ("shell.execute_reply", "iopub.status.idle")
_EXTENSION: Final = re.compile(r"\.ipynb$", re.IGNORECASE)
_DECORATION: Final = re.compile(
    r"(?:[-_. ]*(?:\d{4}[-_]?\d\d[-_]?\d\d(?:[T_ -]?\d\d[:_-]?\d\d(?:[:_-]?\d\d)?(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d{10,}|[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|(?:out|output|executed|result|run)(?:[-_ ]?\d+)?))+$",
    re.IGNORECASE,
)
"""What tells the runs of one notebook apart in the names of their files."""


class Producer(NamedTuple):
    """Who executed a notebook.

    Attributes:
        name: For people: `papermill 2.7.0`, `Databricks`, `nbconvert or jupyter execute`, `Jupyter`.
        is_batch: One program ran the cells from the first to the last and stopped, or was told to go on, at an error.
        can_rerun: A notebook of this kind can be executed by papermill.
        input_path: Notebook that was executed.
        output_path: File that was written.
        parameters: What it was given.
    """

    name: str
    is_batch: bool
    can_rerun: bool
    input_path: str | None
    output_path: str | None
    parameters: dict[str, Any]


def producer_of(document: Document) -> Producer:
    """Return who executed a notebook."""
    block = document.papermill
    if block:
        version = block.get("version")
        extra = next((name for key, name in _SIGNS if key in document.metadata), "")
        name = f"papermill {version}" if isinstance(version, str) and version else "papermill"
        return Producer(
            f"{name} on {extra}" if extra in {"Kaggle", "SageMaker"} else name,
            True,
            True,
            _text(block.get("input_path")),
            _text(block.get("output_path")),
            dict(mapping(block.get("parameters"))),
        )
    if DATABRICKS in document.metadata:
        return Producer("Databricks", False, False, None, None, {})
    if any("ploomber" in cell.metadata for cell in document.cells):
        return Producer("ploomber-engine", True, True, None, None, {})
    if is_batch_run(document):
        return Producer("nbconvert or jupyter execute", True, True, None, None, {})
    return Producer(next((name for key, name in _SIGNS if key in document.metadata), "Jupyter"), False, True, None, None, {})


def is_batch_run(document: Document) -> bool:
    """Return whether nbclient noted the times of every cell that ran, one after the other."""
    ran = [cell for cell in document.work if cell.count is not None or cell.outputs]
    if not all(cell.execution or cell.papermill for cell in ran):
        return False
    starts = [started_at(cell) or 0 for cell in ran]
    return bool(ran) and all(starts) and starts == sorted(starts)


def started_at(cell: Cell) -> int | None:
    """Return when a cell began, epoch milliseconds."""
    if not cell.execution and not cell.papermill:
        return None
    return next(_moments([*(cell.execution.get(key) for key in _STARTED), cell.papermill.get("start_time")]), None)


def ended_at(cell: Cell) -> int | None:
    """Return when a cell ended, epoch milliseconds."""
    if not cell.execution and not cell.papermill:
        return None
    return next(_moments([*(cell.execution.get(key) for key in _ENDED), cell.papermill.get("end_time")]), None)


def run_times(document: Document) -> tuple[int | None, int | None]:
    """Return when the run began and ended, epoch milliseconds, as far as the file says."""
    block = document.papermill
    starts = [*_moments([block.get("start_time")])] or [at for cell in document.cells if (at := started_at(cell)) is not None]
    ends = [*_moments([block.get("end_time")])] or [at for cell in document.cells if (at := ended_at(cell)) is not None]
    return min(starts, default=None), max(ends, default=None)


def workflow_name(run_id: str, producer: Producer) -> str:
    """Name the notebook whose runs belong together: the input of papermill, else the file's name without date or number."""
    path = producer.input_path or run_id
    stem = _EXTENSION.sub("", path.replace("\\", "/").partition("?")[0].rpartition("/")[2])
    return stem if producer.input_path else (_DECORATION.sub("", stem) or stem)


def _moments(values: list[Any]) -> Iterator[int]:
    """Read times; papermill wrote UTC without saying so before version 2.4."""
    for value in values:
        if isinstance(value, str) and value:
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                continue
            yield round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value and value != "-" else None
