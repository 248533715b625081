"""What happens when a run of the journal ends: an autopsy of a failed run, a report of an autopsy.

The command line calls `after_run` for the runs it executes; a worker is given `on_outcome`. Nothing here raises, so that the original
failure is what the caller reports. As a program (`python -m smithers_nb.workflows.triggers.on_run_end RUN`) it executes one autopsy;
`launch` starts it that way.
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
"""Event type on a failed run: which autopsy was launched, or what a person can do instead."""

_SILENT: Final[frozenset[Reason]] = frozenset({"no-run-id", "flag-disabled", "env-disabled", "ops-workflow", "looked-into"})


def after_run(
    location: Location,
    run_id: str | None,
    *,
    disabled: bool = False,
    smithers: Path | None = None,
    write: Callable[[str], Any] | None = None,
) -> Launched | Skipped:
    """Launch the autopsy of a run that has just failed, and print one line about it. Never raises.

    Args:
        location: The project.
        run_id: The run; None when it is not known.
        disabled: `--no-post-failure` was given.
        smithers: Folder of the Smithers project whose store has the run, when it is not in the journal of `location`.
        write: Receives the line; defaults to standard error.

    Returns:
        What was launched, or why nothing was.
    """
    try:
        if smithers is not None and run_id and not disabled:
            from smithers_nb.workflows.triggers.watch import looked_into

            failed, done = looked_into(location, smithers, run_id)
        else:
            failed, declined = _failed(location, run_id)
            done = launch(location, failed, disabled=disabled or declined)
    except Exception as error:  # noqa: BLE001  # an error here must never mask the failure itself
        failed, done = Failed(run_id), Skipped("spawn-failed", f"{type(error).__name__}: {error}")
    line = line_of(location, failed, done)
    if line:
        _say(line, write)
        if smithers is None and run_id:  # a person who ran it in the background finds this in its log
            with suppress(Exception):
                _note(location, run_id, TRIGGERED, {"text": line.partition("] ")[2].replace("Run failed. ", ""), **_outcome(done)})
    return done


def _outcome(done: Launched | Skipped) -> dict[str, str]:
    return {"autopsyRunId": done.autopsy_run_id} if isinstance(done, Launched) else {"skipped": done.reason}


def line_of(location: Location, failed: Failed, done: Launched | Skipped) -> str:
    """Return the line about what was launched, or what a person can do instead; empty when there is nothing to say."""
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
    """Return the command that investigates a failure by hand; it also works without the installed workflows."""
    given = {"targetRunId": failed.run_id or ""} | ({"source": failed.source} if failed.source else {})
    return shlex.join(["smithers-nb", "workflow", "run", WORKFLOW, "--input", orjson.dumps(given).decode()])


def on_outcome(location: Location) -> Callable[[Outcome], None]:
    """Return a callback for the end of an execution, which launches autopsies and writes their reports."""

    def follow(outcome: Outcome) -> None:
        write_report(location, outcome.run_id)
        if outcome.status == "failed":
            after_run(location, outcome.run_id)

    return follow


def write_report(location: Location, run_id: str) -> str | None:
    """Write the HTML report of an autopsy from its notebook, as far as that was executed.

    Returns:
        Its path or URL; None when the run is not an autopsy, has no notebook yet, or the report failed (see standard error).
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
    except Exception as error:  # noqa: BLE001  # the verdict stands even if its report cannot be written
        _say(f"[smithers-nb] The report of {run_id} could not be written: {error}", None)
        with suppress(Exception):
            _note(location, run_id, NOT_WRITTEN, {"artifact": "report.html", "error": str(error)})
        return None
    return report


def main(arguments: list[str] | None = None) -> int:
    """Execute one autopsy in this process and write its report."""
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
    """Return what the journal knows about a run, and whether it was started with `--no-post-failure`."""
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
    """Append an event to the log of a run."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import append_event

    with Journal.open(location) as journal, journal.writing(run_id) as connection:
        append_event(connection, run_id, event, payload)


def _target_of(location: Location, run_id: str) -> str | None:
    """Return the run that an autopsy investigates: the resolved one, else the requested one; None when it is not an autopsy."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import INPUT, Node, read_output

    row = _row(location, run_id)
    if row is None or row.workflow_name != WORKFLOW:
        return None
    from smithers_nb.workflows.autopsy.durable import GATHER  # importing this late saves other runs about a hundred modules

    with Journal.open(location) as journal, journal.reading() as connection:
        gathered = read_output(connection, Node(run_id, GATHER)) or {}
        asked = read_output(connection, Node(run_id, INPUT)) or {}
    target = gathered.get("targetRunId") or asked.get("target_run_id")
    return str(target) if target else None


def _render(location: Location, run_id: str, notebook: Path, artifacts: str, target: str) -> str:
    """Write the report, named after the failed run once there is a verdict, and after the autopsy until then.

    So a complete report is never replaced by one of an autopsy that still waits or was stopped.
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
    """Return the top of the report (the verdict, or what was found so far and what it waits for), and whether it is complete."""
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
        hint = "What it found so far follows."
        stands = banner("The autopsy is not complete", f"It is {status}.", state=status, hint=hint)
    if found is None:
        return stands, False
    undecided = GateCard(target_run_id=str(found["targetRunId"]), needed=False, reason="")
    return stack(stands, headline_of(verdict(Investigation.read(found), undecided))), False


def _say(line: str, write: Callable[[str], Any] | None) -> None:
    with suppress(Exception):  # a closed standard error must not fail the run
        (sys.stderr.write if write is None else write)(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
