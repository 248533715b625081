"""What follows when a run of the journal ends: an autopsy of one that failed, a report of an autopsy.

The command line calls `after_run` for what it has run itself; a worker is given `on_outcome`. Nothing in here raises: what went wrong
before stays what the caller tells. As a program (`python -m smithers_nb.workflows.triggers.on_run_end RUN`) it executes one autopsy;
that is what a launch starts.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.model.vocabulary import exit_code
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.workflows.triggers.launch import WORKFLOW, Failed, Launched, Reason, Skipped, launch

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location

TRIGGERED: Final = "PostFailureTriggered"
"""Event of a failed run: which autopsy was launched, or what a person can do instead."""

_SILENT: Final[frozenset[Reason]] = frozenset({"no-run-id", "flag-disabled", "env-disabled", "ops-workflow", "looked-into"})


def after_run(
    location: Location,
    run_id: str | None,
    *,
    disabled: bool = False,
    smithers: Path | None = None,
    write: Callable[[str], Any] | None = None,
) -> Launched | Skipped:
    """Launch the autopsy of a run that has just failed, and say so in one line.

    Args:
        location: The project.
        run_id: The run; None when it is not known.
        disabled: `--no-post-failure` was given.
        smithers: Folder of the Smithers project whose store has the run, when the journal of `location` has not.
        write: Takes the line; standard error by default.

    Returns:
        What was launched, or why nothing was; never an exception.
    """
    try:
        if smithers is not None and run_id and not disabled:
            from smithers_nb.workflows.triggers.watch import looked_into

            failed, done = looked_into(location, smithers, run_id)
        else:
            failed, declined = _failed(location, run_id)
            done = launch(location, failed, disabled=disabled or declined)
    except Exception as error:  # noqa: BLE001  # the failure that this is about must never be masked
        failed, done = Failed(run_id), Skipped("spawn-failed", f"{type(error).__name__}: {error}")
    line = line_of(location, failed, done)
    if line:
        _say(line, write)
        if smithers is None and run_id:  # who ran it in the background reads this in its log
            with suppress(Exception):
                _note(location, run_id, TRIGGERED, {"text": line.partition("] ")[2].replace("Run failed. ", ""), **_outcome(done)})
    return done


def _outcome(done: Launched | Skipped) -> dict[str, str]:
    return {"autopsyRunId": done.autopsy_run_id} if isinstance(done, Launched) else {"skipped": done.reason}


def line_of(location: Location, failed: Failed, done: Launched | Skipped) -> str:
    """Describe what was launched, or what a person can do instead; empty when there is nothing to say."""
    if isinstance(done, Launched):
        run_id = done.autopsy_run_id
        return (
            f"[smithers-nb] Run failed. Post-failure autopsy launched: {run_id}. Watch it with `smithers-nb inspect {run_id}` "
            "(opt out with --no-post-failure or SMITHERS_POST_FAILURE=0)."
        )
    if done.reason in _SILENT:
        return ""
    by_hand = _by_hand(failed)
    if done.reason == "not-installed":
        why = "the post-failure workflow is not installed; `smithers-nb init` there installs it for automatic autopsies"
        return f"[smithers-nb] Run failed. Investigate it in {shlex.quote(str(location.root))} with: {by_hand} ({why})"
    return f"[smithers-nb] Run failed, and its autopsy could not be launched: {done.detail}. Try: {by_hand}"


def _by_hand(failed: Failed) -> str:
    """Write the command that looks into a failure, also in a project without the pack."""
    given = {"targetRunId": failed.run_id or ""} | ({"source": failed.source} if failed.source else {})
    return shlex.join(["smithers-nb", "workflow", "run", WORKFLOW, "--input", orjson.dumps(given).decode()])


def on_outcome(location: Location) -> Callable[[Outcome], None]:
    """Make what a worker calls when an execution has ended: look into a failure, write the report of an autopsy."""

    def follow(outcome: Outcome) -> None:
        write_report(location, outcome.run_id)
        if outcome.status == "failed":
            after_run(location, outcome.run_id)

    return follow


def write_report(location: Location, run_id: str) -> str | None:
    """Make the HTML report of a post-failure run of its notebook as far as it got.

    Returns:
        Its path or URL; None when the run is no autopsy, has no notebook yet, or the report could not be written (standard error says why).
    """
    from smithers_nb.engine.artifacts.delivery import NOT_WRITTEN, WRITTEN, artifacts_of
    from smithers_nb.engine.execution.outcome import notebook_of

    try:
        target = _target_of(location, run_id)
        notebook = notebook_of(location, run_id)
        if target is None or not notebook.is_file():
            return None
        artifacts = artifacts_of(orjson.loads(_row(location, run_id).config_json or "{}"))
        report = _render(location, run_id, notebook, artifacts or str(location.root / "artifacts"), target)
        _note(location, run_id, WRITTEN, {"artifact": report})
    except Exception as error:  # noqa: BLE001  # a report that cannot be written takes nothing from the verdict
        _say(f"[smithers-nb] The report of {run_id} could not be written: {error}", None)
        with suppress(Exception):
            _note(location, run_id, NOT_WRITTEN, {"artifact": "report.html", "error": str(error)})
        return None
    return report


def main(arguments: list[str] | None = None) -> int:
    """Execute one autopsy in this process, and write its report."""
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.stages.context import JOURNAL, ROOT
    from smithers_nb.engine.workers.foreground import run_here

    (run_id,) = sys.argv[1:] if arguments is None else arguments
    location = Location(Path(os.environ.pop(ROOT)), os.environ.pop(JOURNAL))
    outcome = run_here(location, run_id)
    write_report(location, run_id)
    sys.stdout.write(f"{run_id}: {outcome.status}\n")
    return exit_code(outcome.status)


def _failed(location: Location, run_id: str | None) -> tuple[Failed, bool]:
    """Describe what the journal knows of a run, and whether it was started without a trigger."""
    row = _row(location, run_id) if run_id else None
    if row is None:
        return Failed(run_id), False
    config = orjson.loads(row.config_json or "{}")
    return Failed(run_id, row.workflow_name, row.workflow_path), config.get("postFailure") is False


def _row(location: Location, run_id: str) -> Any:
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import runs

    with Journal.open(location) as journal, journal.reading() as connection:
        return connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()


def _note(location: Location, run_id: str, event: str, payload: dict[str, Any]) -> None:
    """Write into the log of a run what became of its report."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import append_event

    with Journal.open(location) as journal, journal.writing(run_id) as connection:
        append_event(connection, run_id, event, payload)


def _target_of(location: Location, run_id: str) -> str | None:
    """Name the run that an autopsy is about: what it found, else what it was asked for; None when it is no autopsy."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import INPUT, Node, read_output

    row = _row(location, run_id)
    if row is None or row.workflow_name != WORKFLOW:
        return None
    from smithers_nb.workflows.autopsy.durable import GATHER  # a run that is no autopsy does without a hundred modules

    with Journal.open(location) as journal, journal.reading() as connection:
        gathered = read_output(connection, Node(run_id, GATHER)) or {}
        asked = read_output(connection, Node(run_id, INPUT)) or {}
    target = gathered.get("targetRunId") or asked.get("target_run_id")
    return str(target) if target else None


def _render(location: Location, run_id: str, notebook: Path, artifacts: str, target: str) -> str:
    """Write the report and name it: of the run that failed once there is a verdict, until then of the autopsy.

    So a report with a verdict is never replaced by one that still waits for a person, or stopped.
    """
    import nbformat

    from smithers_nb.engine.artifacts.store import discard, put
    from smithers_nb.present.report.report import write_report as write
    from smithers_nb.workflows.autopsy.durable import KIND

    lead, is_complete = _lead(location, run_id)
    with PrivateFolder() as folder:
        page = write(nbformat.read(notebook, as_version=4), folder / "r.html", title=f"Autopsy of {target}", lead=lead)
        written = put(artifacts, KIND, target if is_complete else run_id, ".html", page.read_bytes())
    if is_complete:
        discard(artifacts, KIND, run_id, ".html")
    return written


def _lead(location: Location, run_id: str) -> tuple[Any, bool]:
    """State at the top of the report how the autopsy ended, or what it found so far and waits for; and whether it has its verdict."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import Node, read_output
    from smithers_nb.present.html.cards import banner, stack
    from smithers_nb.workflows.autopsy.durable import APPROVE, INVESTIGATE, OUTPUT, PostFailureRow
    from smithers_nb.workflows.autopsy.results import GateCard, Investigation
    from smithers_nb.workflows.autopsy.stages import verdict
    from smithers_nb.workflows.autopsy.views import headline_of

    with Journal.open(location) as journal, journal.reading() as connection:
        row = read_output(connection, Node(run_id, OUTPUT))
        found = read_output(connection, Node(run_id, INVESTIGATE))
    if row is not None:
        return headline_of(PostFailureRow.read(row)), True
    status = _row(location, run_id).status
    if status == "waiting-approval":
        how = f"`smithers-nb approve {run_id} --node {APPROVE}` sends the report, `smithers-nb deny` keeps the verdict and sends nothing."
        stands = banner("The engine itself is suspected", "A person decides whether it is reported.", state=status, hint=how)
    else:
        hint = "What it has found until then follows."
        stands = banner("The autopsy has not reached its end", f"It is {status}.", state=status, hint=hint)
    if found is None:
        return stands, False
    undecided = GateCard(target_run_id=str(found["targetRunId"]), needed=False, reason="")
    return stack(stands, headline_of(verdict(Investigation.read(found), undecided))), False


def _say(line: str, write: Callable[[str], Any] | None) -> None:
    with suppress(Exception):  # a closed standard error is no reason to fail either
        (sys.stderr.write if write is None else write)(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
