"""Resumes a run: from its beginning, skipping everything that is finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.control.edit_check import check_sources
from smithers_nb.engine.control.parameters import checked
from smithers_nb.engine.control.run_state import refuse_while_executed, resolve, run_row
from smithers_nb.engine.control.settings import Settings, change
from smithers_nb.engine.journal import Journal, executions, leases
from smithers_nb.engine.journal.records import INPUT, QUEUED, Node, append_event, read_output
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.journal.status import set_status
from smithers_nb.engine.notebook.file import read_notebook
from smithers_nb.errors import ControlRefused

if TYPE_CHECKING:
    import sqlalchemy as sa

    from smithers_nb.engine.location import Location

_NOTHING_LEFT: Final = "finished"
_MOVED: Final = "continued"


class Resumption(NamedTuple):
    """The result of a resume.

    Attributes:
        run_id: The run.
        status: Its status before.
        continues: Whether another execution follows; False for a finished run.
    """

    run_id: str
    status: str
    continues: bool


def resume(  # noqa: PLR0913  # all but two are options by name
    location: Location,
    run_id: str,
    *,
    notebook: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    accept_workflow_change: bool = False,
    force: bool = False,
    here: bool = False,
    settings: Settings | None = None,
) -> Resumption:
    """Request another execution of a run that failed, was cancelled, waits, is paused, or whose process died.

    Args:
        location: The project and its journal.
        run_id: Its id; a unique beginning is enough.
        notebook: The notebook to expect; refused if the run has another one.
        parameters: The parameters to expect; refused if the run has others.
        accept_workflow_change: Continue although the notebook or its modules were edited.
        force: Take over from a process that is about to execute it but has not begun.
        here: The caller executes it itself, with `engine.workers.foreground.run_here`; otherwise a worker does.
        settings: New limits and other start options.

    Raises:
        RunNotFound: There is no such run.
        ParameterError: A setting cannot be used.
        ControlRefused: `RUN_OWNER_ALIVE`, `RUN_STILL_RUNNING`, `RUN_NOT_RESUMABLE`, `RESUME_METADATA_MISMATCH` or `RESUME_INPUT_MISMATCH`.
        JournalUnusable: The journal cannot be written.
    """
    if settings is not None:
        settings.checked()
    with Journal.open(location) as journal:
        found = resolve(journal, run_id)
        with journal.writing(found) as connection:
            row = run_row(connection, found)
            if row.status == _MOVED:
                raise ControlRefused(f"run {found} was continued as another run", code="RUN_NOT_RESUMABLE", hint="resume that one")
            _same_notebook(row, notebook)
            _same_input(connection, row, parameters, location)
            if row.status == _NOTHING_LEFT:
                return Resumption(found, row.status, continues=False)
            refuse_while_executed(connection, row, force=force)
            check_sources(connection, row, accept=accept_workflow_change)
            change(connection, found, settings)
            request_execution(connection, row, here=here)
            return Resumption(found, row.status, continues=True)


def request_execution(connection: sa.Connection, row: sa.Row[Any], *, here: bool) -> None:
    """Request the next execution of a run, in the transaction that checked it."""
    if row.cancel_requested_at_ms is not None:
        connection.execute(runs.update().where(runs.c.run_id == row.run_id).values(cancel_requested_at_ms=None))
    execution = executions.want(connection, row.run_id, queued=here, starter=leases.introduce(connection) if here else None)
    set_status(connection, row.run_id, QUEUED)
    append_event(connection, row.run_id, "RunResumeRequested", {"execution": execution.number, "status": row.status})


def _same_notebook(row: sa.Row[Any], notebook: str | Path | None) -> None:
    if notebook is None or Path(notebook).expanduser().absolute() == Path(row.workflow_path or ""):
        return
    raise ControlRefused(
        f"run {row.run_id} is not a run of {notebook}: workflow path changed",
        code="RESUME_METADATA_MISMATCH",
        hint=f"it is a run of {row.workflow_path}; start a new run for another notebook",
    )


def _same_input(connection: sa.Connection, row: sa.Row[Any], parameters: Mapping[str, Any] | None, location: Location) -> None:
    if not parameters:
        return
    had = read_output(connection, Node(row.run_id, INPUT)) or {}
    given = checked(read_notebook(row.workflow_path), parameters, location.root)
    others = [name for name, value in given.items() if had.get(name, _ABSENT) != value]
    if others:
        raise ControlRefused(
            f"run {row.run_id} began with other parameters: {', '.join(others)}",
            code="RESUME_INPUT_MISMATCH",
            hint="leave them out to keep those it has, or start a new run",
        )


_ABSENT: Final = object()
