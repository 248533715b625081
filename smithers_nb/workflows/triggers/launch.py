"""Launches the autopsy of a failed run, unless a guard says otherwise.

The guards are data, in Smithers' order; the first that holds is the reason for not launching. A launch submits the autopsy as a durable
run, then starts a process for it that outlives this one. A failure that several processes may see, such as two `watch` commands, is claimed
first, so that it is investigated once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

from smithers_nb.artifacts import safe_name
from smithers_nb.engine.control.submit import new_run_id, submit
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.seen_failures import SeenFailure, mark_launched, notice
from smithers_nb.engine.stages.context import JOURNAL, ROOT
from smithers_nb.errors import ControlRefused

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

Reason: TypeAlias = Literal["no-run-id", "flag-disabled", "env-disabled", "ops-workflow", "not-installed", "looked-into", "spawn-failed"]
REASONS: Final = get_args(Reason)

WORKFLOW: Final = "post-failure"
OPT_OUT: Final = "SMITHERS_POST_FAILURE"
OPS_WORKFLOWS: Final = frozenset({WORKFLOW, "triage-run", "monitor", "monitor-smithers", "init"})
"""Workflows that investigate runs; their own failures are never investigated, so that autopsies do not recurse."""


@dataclass(frozen=True)
class Failed:
    """A failed run, as far as the caller knows it.

    Attributes:
        run_id: None when the failure happened before a run existed.
        workflow: Name of its workflow.
        workflow_path: Its file.
        source: Its store, as `sources.locate.open_source` takes it.
    """

    run_id: str | None
    workflow: str | None = None
    workflow_path: str | None = None
    source: str | None = None

    @property
    def is_ops(self) -> bool:
        """Return whether its workflow is one of the ops workflows, by its name or by the name of its file."""
        stem = Path(self.workflow_path).name.partition(".")[0] if self.workflow_path else ""
        return not OPS_WORKFLOWS.isdisjoint({self.workflow or "", stem})


class Launched(NamedTuple):
    """An autopsy was launched.

    Attributes:
        log_file: Output of its process.
    """

    autopsy_run_id: str
    log_file: Path


class Skipped(NamedTuple):
    """No autopsy was launched.

    Attributes:
        detail: More about the reason; empty when the reason is enough.
    """

    reason: Reason
    detail: str = ""


_PROGRAM: Final = "smithers_nb.workflows.triggers.on_run_end"
"""Module that executes one autopsy as a program; it imports this module, so it is named rather than imported."""

_started: list[subprocess.Popen[bytes]] = []


class _Case(NamedTuple):
    failed: Failed
    disabled: bool
    environment: Mapping[str, str]
    notebook: Path


_GUARDS: Final[tuple[tuple[Reason, Callable[[_Case], bool]], ...]] = (
    ("no-run-id", lambda case: not case.failed.run_id),
    ("flag-disabled", lambda case: case.disabled),
    ("env-disabled", lambda case: case.environment.get(OPT_OUT, "").strip() == "0"),
    ("ops-workflow", lambda case: case.failed.is_ops),
    ("not-installed", lambda case: not case.notebook.is_file()),
)


def installed_at(location: Location) -> Path:
    """Return the notebook to launch, which `smithers-nb init` installs into the project."""
    return location.workflows / f"{WORKFLOW}.ipynb"


def refusal(location: Location, failed: Failed, *, disabled: bool = False, environment: Mapping[str, str] | None = None) -> Reason | None:
    """Return why no autopsy is launched; None when one is."""
    case = _Case(failed, disabled, os.environ if environment is None else environment, installed_at(location))
    return next((reason for reason, holds in _GUARDS if holds(case)), None)


def launch(
    location: Location,
    failed: Failed,
    *,
    disabled: bool = False,
    environment: Mapping[str, str] | None = None,
    autopsy_run_id: str | None = None,
) -> Launched | Skipped:
    """Launch the autopsy of a failed run: a durable run of the installed notebook, in its own process. Never raises.

    Args:
        location: The project whose workflow is launched and whose journal records it.
        failed: The run.
        disabled: The user asked for no autopsy.
        environment: Environment to check for the opt-out and to pass on; defaults to that of this process.
        autopsy_run_id: Id of the autopsy. Launching it again under the same id changes nothing, so an interrupted launch can be repeated.

    Returns:
        The autopsy, or why there is none.
    """
    environment = dict(os.environ if environment is None else environment)
    reason = refusal(location, failed, disabled=disabled, environment=environment)
    if reason is not None:
        return Skipped(reason)
    run_id = autopsy_run_id or new_run_id(WORKFLOW)
    try:
        _submit(location, failed, run_id)
        return Launched(run_id, _start(location, run_id, environment))
    except Exception as error:  # noqa: BLE001  # an error here must never mask the failure itself
        return Skipped("spawn-failed", f"{type(error).__name__}: {error}")


def launch_once(location: Location, failed: Failed, store: str, failed_at_ms: int) -> tuple[Launched | Skipped, bool]:
    """Launch the autopsy of a failure in another store, unless it was claimed before.

    Args:
        location: The project.
        failed: The run.
        store: Identity of its store.
        failed_at_ms: When it failed, epoch milliseconds; a run that fails again has a new time.

    Returns:
        The autopsy, and whether this call launched it.

    Raises:
        JournalUnusable: The claim cannot be recorded, so nothing is launched.
    """
    reason = refusal(location, failed)
    if reason is not None or failed.run_id is None:
        return Skipped(reason or "no-run-id"), False
    failure = SeenFailure(store, failed.run_id, failed_at_ms)
    with Journal.open(location) as journal:
        with journal.writing() as connection:
            run_id, is_mine = notice(connection, failure, new_run_id(WORKFLOW))
        if not is_mine:
            return Launched(run_id, _log_of(location, run_id)), False
        done = launch(location, failed, autopsy_run_id=run_id)
        if isinstance(done, Launched):
            with journal.writing() as connection:
                mark_launched(connection, failure)
        return done, isinstance(done, Launched)


def under_way() -> int:
    """Return how many autopsies started by this process are still running."""
    _started[:] = [child for child in _started if child.poll() is None]  # poll() also reaps the children
    return len(_started)


def _submit(location: Location, failed: Failed, run_id: str) -> None:
    ours = str(location.file) if location.file else f"env:{JOURNAL}"  # its kernel has the URL, with the password, in this variable
    parameters: dict[str, Any] = {"target_run_id": failed.run_id, "source": failed.source or ours}
    if failed.workflow_path and os.path.isfile(failed.workflow_path):  # noqa: PTH113  # unlike Path.is_file, this does not raise when the text is too long for a path
        parameters["workflow_path"] = str(Path(failed.workflow_path).absolute())
    try:
        submit(location, installed_at(location), parameters, run_id=run_id, post_failure=False, hidden=True, cwd=location.root)
    except ControlRefused as error:
        if error.code != "RUN_EXISTS":
            raise


def _start(location: Location, run_id: str, environment: Mapping[str, str]) -> Path:
    """Start the process in its own session, so that signals that end this one do not reach it."""
    log_file = _log_of(location, run_id)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    under_way()
    with log_file.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  # our own module and interpreter
            [sys.executable, "-P", "-m", _PROGRAM, run_id],
            cwd=location.root,
            env={**environment, OPT_OUT: "0", ROOT: str(location.root), JOURNAL: location.url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started.append(child)
    return log_file


def _log_of(location: Location, run_id: str) -> Path:
    return location.folder / "logs" / f"{safe_name(run_id)}.log"
