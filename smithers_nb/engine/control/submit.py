"""A new run: everything is checked first, then it is written down; whoever executes it comes later."""

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
    """Write down a run that is about to start; `engine.workers.foreground` or `engine.workers.client.enqueue` starts it.

    Args:
        location: Where its journal is.
        notebook: The notebook's file.
        parameters: Its parameters by name: JSON values, or `Words` of a command line.
        run_id: Its id; one that sorts by time by default.
        hot: Whether edits of cells that have not run yet apply.
        post_failure: Whether a failure is looked into by itself.
        artifacts: Folder or URL that gets what the run writes.
        cell_timeout_s: Seconds that one cell may take.
        total_timeout_s: Seconds that one execution may take, the start of the kernel included.
        kernel: Name of a kernel spec, instead of the one that the notebook names.
        parent_run_id: The run that it belongs to or is about.
        hidden: Whether it is one of the system's own, left out of listings.
        cwd: Folder that the notebook runs in; the current one by default.

    Returns:
        The run's id.

    Raises:
        ParameterError: The notebook, a parameter, a limit, the id or the place of artifacts is wrong; nothing was written.
        ControlRefused: `RUN_EXISTS`, a run has this id already.
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
    there = ControlRefused(
        f"there is a run {run.run_id} already",
        code="RUN_EXISTS",
        hint=f"give another id, or go on with it: smithers-nb resume {run.run_id}",
    )
    try:
        with journal.writing() as connection:
            if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run.run_id)).first():
                raise there
            create_run(connection, run)
    except sa.exc.IntegrityError:  # somebody else wrote one in this very moment
        raise there from None


def new_run_id(workflow: str) -> str:
    """Make an id that tells the workflow and sorts by time: `nightly-mb2k9x1p-4f7a0c`."""
    name = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:_MAX_NAME].rstrip("-") or "run"
    return f"{name}-{base36(now_ms())}-{''.join(secrets.choice(_DIGITS) for _ in range(6))}"


def checked_run_id(run_id: str) -> str:
    """Refuse an id that could not be typed, printed or used in a file's name.

    Raises:
        ParameterError: It has other characters than letters, digits, `.`, `_`, `:` and `-`, or too many.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ParameterError(
            f"{run_id[:60]!r} is no run id", hint="use up to 128 letters, digits and . _ : - , beginning with a letter or digit"
        )
    return run_id


def base36(number: int) -> str:
    """Write a number as ids have it: digits and small letters."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
