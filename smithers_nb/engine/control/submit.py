"""Submits a new run: everything is checked first, then the run is recorded; it is executed later."""

from __future__ import annotations

import platform
import re
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smithers_nb._version import __version__
from smithers_nb.engine.control.edit_check import folder_of, stamp
from smithers_nb.engine.control.parameters import checked
from smithers_nb.engine.control.settings import Settings
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import NewRun, create_run
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.notebook.file import read_notebook
from smithers_nb.engine.notebook.source_hash import source_of
from smithers_nb.errors import ControlRefused, ParameterError
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

CELL_TIMEOUT_S: Final = 600.0
TOTAL_TIMEOUT_S: Final = 1800.0

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_DIGITS: Final = string.digits + string.ascii_lowercase
_MAX_NAME: Final = 40


def submit(  # noqa: PLR0913  # all but three are options by name
    location: Location,
    notebook: str | Path,
    parameters: Mapping[str, Any],
    *,
    run_id: str | None = None,
    hot: bool = False,
    post_failure: bool = True,
    artifacts: str | None = None,
    cell_timeout_s: float = CELL_TIMEOUT_S,
    total_timeout_s: float = TOTAL_TIMEOUT_S,
    kernel: str | None = None,
    parent_run_id: str | None = None,
    hidden: bool = False,
    cwd: Path | None = None,
) -> str:
    """Record a new run; `engine.workers.foreground` or `engine.workers.client.enqueue` starts it.

    Args:
        location: The project and its journal.
        notebook: The notebook's file.
        parameters: Its parameters by name: JSON values, or `Words` of a command line.
        run_id: Its id; defaults to a new one that sorts by time.
        hot: Whether edits of cells that have not run yet apply.
        post_failure: Whether a failure launches an autopsy.
        artifacts: Folder or URL for its artifacts.
        cell_timeout_s: Time limit of one cell in seconds.
        total_timeout_s: Time limit of one execution in seconds, including kernel start.
        kernel: Name of a kernel spec, overriding the notebook's.
        parent_run_id: The run that it belongs to or is about.
        hidden: Whether listings omit it, as one of our own.
        cwd: Working directory of the notebook; defaults to the current one.

    Returns:
        The run's id.

    Raises:
        ParameterError: The notebook, a parameter, a limit, the id or the artifact folder is invalid; nothing was written.
        ControlRefused: `RUN_EXISTS`, the run id is taken.
        JournalUnusable: The journal cannot be written.
    """
    found = read_notebook(notebook)
    values = checked(found, parameters, location.root)
    settings = Settings(cell_timeout_s, total_timeout_s, kernel, hot, post_failure, artifacts).checked()
    chosen = new_run_id(found.workflow) if run_id is None else checked_run_id(run_id)
    folder = (cwd or Path.cwd()).absolute()
    config = {
        "rootDir": str(location.root),
        "cwd": str(folder),
        "artifacts": None,
        "versions": {"engine": f"smithers-nb {__version__}", "python": platform.python_version()},
        "hidden": hidden or found.settings.get("hidden") is True,
    }
    config = settings.applied_to(config, folder)
    source = source_of(found.path, folder_of(config))
    run = NewRun(chosen, found.workflow, str(found.path), source.hash, values, stamp(config, source), parent_run_id)
    with Journal.open(location) as journal:
        _write(journal, run)
    return chosen


def _write(journal: Journal, run: NewRun) -> None:
    taken = ControlRefused(
        f"run {run.run_id} exists already",
        code="RUN_EXISTS",
        hint=f"give another id, or resume it: smithers-nb resume {run.run_id}",
    )
    try:
        with journal.writing() as connection:
            if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run.run_id)).first():
                raise taken
            create_run(connection, run)
    except sa.exc.IntegrityError:  # another process created it at the same moment
        raise taken from None


def new_run_id(workflow: str) -> str:
    """Return an id that names the workflow and sorts by time: `nightly-mb2k9x1p-4f7a0c`."""
    name = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:_MAX_NAME].rstrip("-") or "run"
    return f"{name}-{base36(now_ms())}-{''.join(secrets.choice(_DIGITS) for _ in range(6))}"


def checked_run_id(run_id: str) -> str:
    """Check that an id can be typed, printed and used in a file name.

    Raises:
        ParameterError: It has characters other than letters, digits, `.`, `_`, `:` and `-`, or is too long.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ParameterError(
            f"{run_id[:60]!r} is not a valid run id", hint="use up to 128 letters, digits and . _ : - , beginning with a letter or digit"
        )
    return run_id


def base36(number: int) -> str:
    """Return a number in base 36, as used in ids."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
