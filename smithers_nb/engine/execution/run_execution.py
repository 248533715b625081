"""One execution of a run's notebook: acquire the lease, execute the cells, record the outcome.

Stages write their own rows from inside the kernel. This side, in the process that started the kernel, records the cells, detects a
cancellation or takeover (`watchdog`), and converts the end to a status (`outcome`). Every failure ends with a failure reason.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb.engine.execution.cells import CellRecorder
from smithers_nb.engine.execution.lease import acquire
from smithers_nb.engine.execution.outcome import Ending, Lease, Outcome, notebook_of
from smithers_nb.engine.execution.watchdog import Watchdog
from smithers_nb.engine.journal import executions
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.kernels.launcher import PRELOAD
from smithers_nb.engine.notebook.executor import Setting, execute
from smithers_nb.engine.notebook.failure_reasons import reason_of
from smithers_nb.engine.stages.context import JOURNAL, OWNER, REFUSED, ROOT, RUN, end_with_kernel
from smithers_nb.errors import JournalUnusable, LeaseLost, NotebookError
from smithers_nb.model.failure_reason import FailureReason
from smithers_nb.sources.stores.json_text import as_object as json_object

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.executions import Execution
    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.notebook.executor import Observer
    from smithers_nb.engine.notebook.papermill_engine import Progress

_CELL_S, _TOTAL_S = 600.0, 1800.0

_IMPORTS: Final = re.compile(rb"(?:from|import) (smithers_nb\b[\w.]*)(?: import (\w+(?:, *\w+)*))?")
_FIRST_STAGE: Final = "smithers_nb.engine.stages.cache"
"""A module that the first stage of a notebook imports as well."""


def execute_run(
    journal: Journal, execution: Execution, owner: str, *, kernels: KernelPool | None = None, progress: Progress | None = None
) -> Outcome:
    """Execute a run's notebook once, from its beginning; finished stages return their stored output.

    Args:
        journal: The journal of the run.
        execution: The execution.
        owner: Owner id of this process, registered with `leases.register`.
        kernels: Prewarmed kernels.
        progress: Called before each cell.

    Returns:
        The outcome. Nothing is done when the execution has ended, or another process holds the run.

    Raises:
        JournalUnusable: The journal can no longer be written; recovery starts the execution again.
    """
    try:
        lease = acquire(journal, execution, owner)
        return lease if isinstance(lease, Outcome) else _Running(journal, lease).run(kernels, progress)
    except LeaseLost:
        return Outcome(execution.run_id, "running")


def abandon(journal: Journal, execution: Execution) -> None:
    """End an execution that DBOS does not know and whose process is dead; request another one, unless it was interactive."""
    with journal.writing(execution.run_id) as connection:
        if executions.is_over(connection, execution):
            return  # it has ended meanwhile
        run = connection.execute(sa.select(runs.c.status, runs.c.config_json).where(runs.c.run_id == execution.run_id)).one()
        if json_object(run.config_json).get("lab"):
            end_with_kernel(connection, execution.run_id)
        elif execution.number < executions.newest(connection, execution.run_id):
            executions.end(connection, execution, "superseded")
        else:
            executions.end(connection, execution, "lost")
            executions.want(connection, execution.run_id)


class _Running:
    """An execution that has started."""

    def __init__(self, journal: Journal, lease: Lease) -> None:
        self._journal, self._lease = journal, lease
        self._run_id = lease.execution.run_id
        self._cell_s = lease.limit("cellTimeoutS", _CELL_S)
        self._recorder = CellRecorder(journal, self._run_id, lease.owner, lease.since, self._cell_s)
        self._refused = notebook_of(journal.location, self._run_id).with_name("refused.txt")
        self._recorder.silent = _settings(lease.path).get("nodes") == "stages"  # its stages are its nodes, rather than its cells

    def run(self, kernels: KernelPool | None, progress: Progress | None) -> Outcome:
        """Execute the cells and record the outcome."""
        ending = Ending(self._journal, self._lease, self._recorder)
        try:
            changed = self._changed_source()
            if changed is not None:
                return ending.paused(changed)
            with Watchdog(self._journal, self._run_id, self._lease.owner) as watchdog:
                self._execute(watchdog, kernels, progress)
        except NotebookError as error:
            return ending.stopped(error)
        except (LeaseLost, JournalUnusable):
            raise
        except Exception as error:  # noqa: BLE001  # no path may be silent
            return ending.failed(reason_of(error, source="engine"), None)
        return ending.finished()

    def _execute(self, watchdog: Watchdog, kernels: KernelPool | None, progress: Progress | None) -> None:
        lease = self._lease
        with suppress(OSError):  # saving the notebook there will say why
            self._refused.parent.mkdir(parents=True, exist_ok=True)
            self._refused.unlink(missing_ok=True)
        try:
            execute(
                lease.path,
                notebook_of(self._journal.location, self._run_id),
                lease.parameters,
                cell_timeout_s=self._cell_s,
                total_timeout_s=lease.limit("totalTimeoutS", _TOTAL_S),
                progress=progress,
                kernels=kernels,
                setting=Setting(lease.cwd, self._environment(), self._observer(), watchdog.stop, lease.kernel, self._refused),
            )
        finally:
            if watchdog.lost:
                raise LeaseLost(f"run {self._run_id} is executed by another process now")

    def _observer(self) -> Observer:
        if not self._lease.config.get("hot"):
            return self._recorder
        from smithers_nb.engine.execution.hot_reload import HotObserver

        return HotObserver(self._recorder, self._journal, self._run_id, self._lease.owner, self._lease.path)

    def _environment(self) -> dict[str, str]:
        location, preload = self._journal.location, _preload(self._lease.path)
        ours = {RUN: self._run_id, JOURNAL: location.url, OWNER: self._lease.owner, ROOT: str(location.root), REFUSED: str(self._refused)}
        return ours if preload is None else {**ours, PRELOAD: preload}

    def _changed_source(self) -> FailureReason | None:
        """Return the reason to pause when the notebook was edited since the run began; None if it was not, or may be."""
        if not self._lease.again or self._lease.config.get("hot"):
            return None
        from smithers_nb.engine.notebook.source_hash import mismatches, source_of

        mismatched = mismatches(self._lease.workflow_hash, source_of(self._lease.path, self._lease.cwd))
        if not mismatched:
            return None
        return FailureReason(
            code="RESUME_METADATA_MISMATCH",
            message=f"the workflow was edited since the run began: {', '.join(mismatched)}",
            source="engine",
            details={"mismatches": list(mismatched)},
        )


def _settings(path: Path) -> dict[str, Any]:
    """Return the `smithers_nb` metadata of a notebook; empty when it has none or cannot be read."""
    with suppress(OSError):
        settings = json_object(path.read_bytes()).get("metadata", {}).get("smithers_nb", {})
        return settings if isinstance(settings, dict) else {}
    return {}


def _preload(path: Path) -> str | None:
    """Return what the kernel should import before its first cell: the notebook's imports from us; None for the kernel spec's list."""
    if _settings(path).get("preload") == "kernel":
        return None
    with suppress(OSError):
        imported = {
            f"{module.decode()}:{name}" if name else module.decode()
            for module, names in _IMPORTS.findall(path.read_bytes())
            for name in (names.decode().replace(",", " ").split() or [""])
        }
        return " ".join(sorted(imported) + ([_FIRST_STAGE] if imported else []))
    return ""
