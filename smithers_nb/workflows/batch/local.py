"""Runs many autopsies in parallel: an executed notebook and a report for each run, on prewarmed kernels and all processors.

`run_autopsies` takes run ids and returns one row per run, in the same order, including those whose autopsy failed. Each kernel is its own
process; nbclient and the report, in the process that drives it, are about a third of the work. So one process drives three notebooks at
once, and `processes` starts as many as are needed.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Self, TypeAlias

from smithers_nb.engine.artifacts import store
from smithers_nb.engine.notebook.executor import validated
from smithers_nb.errors import NotebookError, SmithersNbError
from smithers_nb.model.rows import Key, Real, RunRow, Text
from smithers_nb.sources.base import CHILD_MARK
from smithers_nb.workflows.autopsy.parameters import AutopsyParameters

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.sources.base import Source

PER_PROCESS: Final = 3
"""How many notebooks one process can drive at once."""

_SPARE: Final = 1
"""How many notebooks to run beyond the number of processors, since each is sometimes idle."""

_REHEARSAL: Final = "smithers_nb.workflows.autopsy.warm_up:rehearse"


class AutopsyRow(NamedTuple):
    """The result of one autopsy of a batch. Key: `run_id`."""

    run_id: Annotated[Key, "run that was looked at"]
    failure_class: Annotated[Text, "whose fault it is; NA when the autopsy itself failed"]
    confidence: Annotated[Text, "low, medium or high"]
    suggestion: Annotated[Text, "what to do: retry, resume, rewind, …"]
    signature: Annotated[Text, "fingerprint of the error, equal for the same failure"]
    root_cause: Annotated[Text, "what happened, in plain words"]
    notebook: Annotated[Text, "file or URL of the executed notebook"]
    report: Annotated[Text, "file or URL of the report"]
    duration_s: Annotated[Real, "seconds that the autopsy took"]
    error: Annotated[Text, "why the autopsy itself failed; NA when it did not"]


BatchProgress: TypeAlias = Callable[[int, int, AutopsyRow], None]
"""Called after each autopsy with the number done, the total, and its row."""


def run_autopsies(  # noqa: PLR0913  # all but the runs and their place are options by name
    run_ids: Sequence[str],
    source: str | Path | None = None,
    *,
    artifacts: str | Path = "artifacts",
    now: int | str | None = None,
    provider: str = "internal",
    workers: int | None = None,
    cell_timeout_s: float = 600.0,
    total_timeout_s: float = 1800.0,
    progress: BatchProgress | None = None,
) -> list[AutopsyRow]:
    """Run the autopsy notebook on many runs.

    Args:
        run_ids: Ids of the runs; duplicates are ignored.
        source: Their store: a path, a URL, or None for the current folder.
        artifacts: Folder or URL for `autopsy/RUN.ipynb` and `autopsy/RUN.html` of each.
        now: Judge as of this time, epoch milliseconds or ISO; defaults to the clock.
        provider: The provider that investigates.
        workers: How many notebooks to run at once; defaults to the number of processors plus one.
        cell_timeout_s: Time limit of one stage in seconds.
        total_timeout_s: Time limit of one notebook in seconds.
        progress: Called after each autopsy, in the calling thread.

    Returns:
        One row per run in the order of `run_ids`. An autopsy that fails has the reason in `error` and does not stop the others.

    Raises:
        ParameterError: Artifacts cannot be written there, or a shared parameter is wrong.
        KeyboardInterrupt: Autopsies in progress were stopped; finished ones are complete.
    """
    validated(AutopsyParameters, {"target_run_id": "any", "source": source, "now": now, "provider": provider})
    store.check(artifacts)
    todo = list(dict.fromkeys(run_ids))
    options = {
        "source": source if source is None else str(source),
        "artifacts": str(artifacts),
        "now": now,
        "provider": provider,
        "cell_timeout_s": cell_timeout_s,
        "total_timeout_s": total_timeout_s,
    }
    rows: dict[int, AutopsyRow] = {}
    for index, row in _run_all(todo, options, min(workers or default_workers(), len(todo))):
        rows[index] = row
        if progress is not None:
            progress(len(rows), len(todo), row)
    return [rows[index] for index in range(len(todo))]


def batch_frame(rows: Sequence[AutopsyRow]) -> pd.DataFrame:
    """Return the rows of a batch as a frame with the columns of `AutopsyRow`."""
    from smithers_nb.frames import frame_from_rows

    return frame_from_rows(AutopsyRow, rows)


def failed_runs(source: Source, since_ms: int | None = None) -> list[str]:
    """Return the ids of the failed runs of a store, newest first.

    A child run whose parent failed as well is left out: the parent's autopsy covers it.

    Args:
        source: The store.
        since_ms: Only runs that ended at or after this epoch millisecond.
    """
    failed = {run.run_id: run for run in source.rows(RunRow, only={"status": ["failed"]})}
    ended = {run_id: run.finished_at or run.started_at or run.created_at or 0 for run_id, run in failed.items()}
    own = [run_id for run_id, run in failed.items() if not (CHILD_MARK in run_id and run.parent_run_id in failed)]
    return sorted((run_id for run_id in own if ended[run_id] >= (since_ms or 0)), key=lambda run_id: (-ended[run_id], run_id))


def default_workers() -> int:
    """Return how many notebooks to run at once by default."""
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + _SPARE


def _run_all(todo: Sequence[str], options: dict[str, Any], workers: int) -> Iterator[tuple[int, AutopsyRow]]:
    if not todo:
        return iter(())
    if workers <= PER_PROCESS:
        return in_this_process(todo, options, workers)
    from smithers_nb.workflows.batch.processes import in_processes

    return in_processes(todo, options, workers)


def in_this_process(todo: Sequence[str], options: dict[str, Any], workers: int) -> Iterator[tuple[int, AutopsyRow]]:
    """Run the autopsies in threads of this process; yields each row with its index in `todo` as soon as it is done."""
    with AutopsyPool(options, workers) as bench:
        futures = {bench.submit(run_id): index for index, run_id in enumerate(todo)}
        for future in as_completed(futures):
            yield futures[future], future.result()


class AutopsyPool:
    """Threads that execute notebooks on the kernels of one zygote; leaving the block early stops autopsies in progress."""

    def __init__(self, options: dict[str, Any], workers: int) -> None:
        from smithers_nb.engine.kernels.pool import KernelPool

        self._options = options
        self._stop = threading.Event()
        self._kernels: KernelPool = KernelPool([_REHEARSAL])
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="autopsy")

    def __enter__(self) -> Self:
        self._kernels.start()
        _import_what_all_need()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
        self._kernels.close()

    def submit(self, run_id: str) -> Future[AutopsyRow]:
        """Queue one autopsy and return the future of its row."""
        return self._threads.submit(self._autopsy, run_id)

    def _autopsy(self, run_id: str) -> AutopsyRow:
        from smithers_nb.workflows.autopsy.notebook import run_autopsy_notebook

        begun = time.monotonic()
        try:
            record = run_autopsy_notebook(run_id, kernels=self._kernels, cancelled=self._stop, **self._options)
        except Exception as error:  # noqa: BLE001  # one failed autopsy must not stop the batch; its row says why
            return row_of_error(run_id, error, time.monotonic() - begun)
        found = record.verdict
        return AutopsyRow(
            found.target_run_id,
            found.failure_class,
            found.confidence,
            found.suggestion,
            found.signature,
            found.root_cause,
            str(record.notebook),
            str(record.report),
            round(time.monotonic() - begun, 3),
            None,
        )


def row_of_error(run_id: str, error: Exception, took: float) -> AutopsyRow:
    """Return the row of an autopsy that failed, with the files that it wrote before."""
    files = (error.notebook, error.report) if isinstance(error, NotebookError) else (None, None)
    notebook, report = (None if file is None else str(file) for file in files)
    said = str(error) if isinstance(error, SmithersNbError) else f"unexpected {type(error).__name__}: {error}"
    return AutopsyRow(run_id, None, None, None, None, None, notebook, report, round(took, 3), said)


def _import_what_all_need() -> None:
    """Import the heavy modules once, while the zygote starts, instead of in several threads at once."""
    from smithers_nb.engine.kernels.launcher import without_slow_imports
    from smithers_nb.present.report.report import warm_up

    with without_slow_imports(), suppress(ImportError):
        importlib.import_module("smithers_nb.engine.notebook.papermill_engine")
    warm_up()
