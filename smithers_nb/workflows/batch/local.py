"""Many autopsies at once: an executed notebook and a report for each run, on prewarmed kernels and all processors.

`run_autopsies` gets run ids and gives one row per run, in their order, whatever happened to each. A kernel works in a process of its own;
what remains for the process that executes it (nbclient, the report) is a third of the work, so one process serves three
notebooks at once and there are as many processes as that takes (`pool`).
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
"""Notebooks at once that one process can keep going."""

_SPARE: Final = 1
"""Notebooks at once beyond the number of processors, because each waits now and then."""

_REHEARSAL: Final = "smithers_nb.workflows.autopsy.warm_up:rehearse"


class AutopsyRow(NamedTuple):
    """What one autopsy of a batch came to. Key: `run_id`."""

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
"""Called after each autopsy with the number of those done, the number of all, and its row."""


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
        run_ids: Their ids; each of them once.
        source: Where they live: a path, a URL, or None for the current folder.
        artifacts: Folder or URL that gets `autopsy/RUN.ipynb` and `autopsy/RUN.html` for each.
        now: Judge as of this time, epoch milliseconds or ISO; the clock by default.
        provider: Who investigates.
        workers: Notebooks at once; one more than there are processors by default.
        cell_timeout_s: Seconds that one stage may take.
        total_timeout_s: Seconds that one notebook may take.
        progress: Told after each autopsy, in the thread that called.

    Returns:
        One row per run in the order of `run_ids`. An autopsy that fails says why in `error` and stops no other.

    Raises:
        ParameterError: Artifacts cannot go there.
        ParameterError: What all of them share is wrong.
        KeyboardInterrupt: Those under way were ended; what was finished is whole.
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
    for index, row in _worked_off(todo, options, min(workers or default_workers(), len(todo))):
        rows[index] = row
        if progress is not None:
            progress(len(rows), len(todo), row)
    return [rows[index] for index in range(len(todo))]


def batch_frame(rows: Sequence[AutopsyRow]) -> pd.DataFrame:
    """Turn the rows of a batch into a frame; its columns are those of `AutopsyRow`."""
    from smithers_nb.frames import frame_from_rows

    return frame_from_rows(AutopsyRow, rows)


def failed_runs(source: Source, since_ms: int | None = None) -> list[str]:
    """Name every failed run of a store, newest first.

    Args:
        source: The store.
        since_ms: Only those that ended at or after this epoch millisecond.

    Returns:
        Their ids. A child run whose parent failed as well is part of the parent's autopsy and left out.
    """
    failed = {run.run_id: run for run in source.rows(RunRow, only={"status": ["failed"]})}
    ended = {run_id: run.finished_at or run.started_at or run.created_at or 0 for run_id, run in failed.items()}
    own = [run_id for run_id, run in failed.items() if not (CHILD_MARK in run_id and run.parent_run_id in failed)]
    return sorted((run_id for run_id in own if ended[run_id] >= (since_ms or 0)), key=lambda run_id: (-ended[run_id], run_id))


def default_workers() -> int:
    """Return how many notebooks are run at once when nobody says."""
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + _SPARE


def _worked_off(todo: Sequence[str], options: dict[str, Any], workers: int) -> Iterator[tuple[int, AutopsyRow]]:
    if not todo:
        return iter(())
    if workers <= PER_PROCESS:
        return in_this_process(todo, options, workers)
    from smithers_nb.workflows.batch.processes import in_processes

    return in_processes(todo, options, workers)


def in_this_process(todo: Sequence[str], options: dict[str, Any], workers: int) -> Iterator[tuple[int, AutopsyRow]]:
    """Do the autopsies in threads of this process; gives each row with its place in `todo` as soon as there is one."""
    with AutopsyPool(options, workers) as bench:
        futures = {bench.submit(run_id): index for index, run_id in enumerate(todo)}
        for future in as_completed(futures):
            yield futures[future], future.result()


class AutopsyPool:
    """Threads that execute notebooks on the kernels of one zygote; leaving the block early ends what is under way."""

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
        """Queue one autopsy; gives the future of its row."""
        return self._threads.submit(self._autopsy, run_id)

    def _autopsy(self, run_id: str) -> AutopsyRow:
        from smithers_nb.workflows.autopsy.notebook import run_autopsy_notebook

        begun = time.monotonic()
        try:
            record = run_autopsy_notebook(run_id, kernels=self._kernels, cancelled=self._stop, **self._options)
        except Exception as error:  # noqa: BLE001  # one of many; its row says so
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
    """Summarise in a row why an autopsy failed, and what was written all the same."""
    files = (error.notebook, error.report) if isinstance(error, NotebookError) else (None, None)
    notebook, report = (None if file is None else str(file) for file in files)
    said = str(error) if isinstance(error, SmithersNbError) else f"unexpected {type(error).__name__}: {error}"
    return AutopsyRow(run_id, None, None, None, None, None, notebook, report, round(took, 3), said)


def _import_what_all_need() -> None:
    """Import once, while the zygote prepares itself, instead of in several threads at once."""
    from smithers_nb.engine.kernels.launcher import without_slow_imports
    from smithers_nb.present.report.report import warm_up

    with without_slow_imports(), suppress(ImportError):
        importlib.import_module("smithers_nb.engine.notebook.papermill_engine")
    warm_up()
