"""How a run is executed from the command line, and what is said at its end.

`up`, `workflow run`, `resume` and `retry-task` end here: in the foreground with progress and an outcome, or handed to a worker.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE, WAITING
from smithers_nb.cli.investigate.autopsy import notebook_progress
from smithers_nb.cli.output import dump, note, print_address, print_finding
from smithers_nb.cli.run.own_notebooks import own_row
from smithers_nb.cli.run_options import where
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ControlRefused, ParameterError, SmithersNbError
from smithers_nb.model.vocabulary import exit_code, is_terminal

if TYPE_CHECKING:
    from smithers_nb.cli.options import CommandContext
    from smithers_nb.engine.control import Pending
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location

_EVERY_S = 1.0


def execute(  # noqa: PLR0913  # all but three are options by name
    ask: CommandContext,
    location: Location,
    run_id: str,
    *,
    detach: bool,
    no_post_failure: bool = False,
    serve: bool = False,
    report: Callable[[CommandContext, Location, Outcome], None] | None = None,
) -> int:
    """Execute a run that was made ready, here or by a worker, and say how it ended.

    Args:
        ask: Format of what is printed.
        location: Project and database of the run.
        run_id: The run.
        detach: Leave it to a worker.
        no_post_failure: Launch no autopsy when it fails.
        serve: Show the run on its own live page.
        report: Prints how it ended; `report_outcome` by default.

    Returns:
        The exit code.
    """
    if detach:
        return _detach(ask, location, run_id)
    from smithers_nb.engine.workers.foreground import run_here

    with _served(location, run_id, serve=serve), _interruptible():
        with notebook_progress() as progress:
            try:
                outcome = run_here(location, run_id, progress=progress)
            except KeyboardInterrupt:  # before it has begun, or while it ends
                outcome = _interrupted(location, run_id)
        status = _reported(ask, location, outcome, report or report_outcome, no_post_failure=no_post_failure)
        if serve and exit_code(status) == WAITING:
            status = _serve_until_done(location, run_id, status)
            if is_terminal(status):
                _report_end(ask, location, run_id, report or report_outcome)
    return exit_code(status)


def refuse_to_serve_detached(*, detach: bool, serve: bool) -> None:
    """Refuse, before a run is written, what can only be done where it is executed."""
    if detach and serve:
        raise ParameterError("--serve and --detach exclude each other", hint="watch a detached run with `smithers-nb logs RUN --follow`")


def _reported(
    ask: CommandContext,
    location: Location,
    outcome: Outcome,
    report: Callable[[CommandContext, Location, Outcome], None],
    *,
    no_post_failure: bool,
) -> str:
    """Describe how an execution ended, have a failure looked into, and give the status."""
    from smithers_nb.workflows.triggers.on_run_end import after_run, write_report

    run_id = outcome.run_id
    if outcome.status == "running":
        raise ControlRefused(
            f"run {run_id} is still running: another process executes it",
            code="RUN_STILL_RUNNING",
            hint=f"watch it: smithers-nb logs {run_id} --follow",
        )
    write_report(location, run_id)
    report(ask, location, outcome)
    if outcome.status == "failed":
        after_run(location, run_id, disabled=no_post_failure)
    return outcome.status


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a run end with its terminal, or with whoever stops the service that it is, as with Ctrl-C."""
    from smithers_nb.workflows.triggers.background import ending_signals

    ours = ending_signals()
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _interrupted(location: Location, run_id: str) -> Outcome:
    """Stop a run whose execution was interrupted before it could stop, and print its state."""
    from smithers_nb.engine.control import cancel
    from smithers_nb.engine.control.run_state import status_of
    from smithers_nb.engine.execution.outcome import Outcome

    with suppress(ControlRefused):  # it is over already
        cancel(location, run_id, by="Ctrl-C")
    status = status_of(location, run_id)
    return Outcome(run_id, "cancelled" if status == "running" else status)  # one that runs ends with this process


def _serve_until_done(location: Location, run_id: str, status: str) -> str:
    """Keep the live page while the run waits, until it is over or Ctrl-C."""
    from smithers_nb.engine.control.run_state import status_of

    note("the live page stays open until the run ends; Ctrl-C closes the page, and the run keeps waiting")
    with suppress(KeyboardInterrupt):
        while not is_terminal(status := status_of(location, run_id)):
            time.sleep(_EVERY_S)
    return status


def _report_end(ask: CommandContext, location: Location, run_id: str, report: Callable[[CommandContext, Location, Outcome], None]) -> None:
    """Report the end of a run that another process continued; JSON output was already printed when it parked."""
    from smithers_nb.engine.execution.outcome import outcome_of

    ended = outcome_of(location, run_id)
    note(f"run {run_id} continued in another process and is {ended.status}")
    if ask.fmt != "json":
        report(ask, location, ended)


def report_outcome(ask: CommandContext, location: Location, outcome: Outcome) -> None:
    """Print how an execution ended, and what can be done next; of our own notebooks the row that they end with."""
    from smithers_nb.engine.control import pending

    asked = pending(location, outcome.run_id) if outcome.status.startswith("waiting-") else []
    ended = own_row(location, outcome)
    found = {
        "run_id": outcome.run_id,
        "status": outcome.status,
        "notebook": str(outcome.notebook) if outcome.notebook else None,
        "reason": outcome.reason.model_dump(exclude={"details"}) if outcome.reason else None,
        "waiting_for": [dump(item) for item in asked],
        **({"row": dump(ended.row)} if ended else {}),
    }
    print_finding(found, ask.fmt, lambda: ended.page(ended.row, outcome) if ended else _page(ask, location, outcome, asked))


def commands_for(item: Pending, options: str = "") -> list[str]:
    """Write the commands that decide a gate or answer a question; where the answer is a person's own, it is left to fill in."""
    from smithers_nb.diagnosis.engines.base import FILL_IN
    from smithers_nb.diagnosis.engines.notebooks import NotebookCommands

    ours = NotebookCommands()
    if item.request_id is None:
        gate = (item.run_id, item.node_id, item.iteration)
        lines = [ours.approve(*gate), ours.deny(*gate)]
    else:
        choices = ["true", "false"] if item.kind == "confirm" else item.options or [FILL_IN]
        lines = [ours.answer(item.request_id, choice) for choice in choices]
    return [f"{line}{options}" for line in lines]


def show_request(sheet: Sheet, details: Mapping[str, Any], earlier: Mapping[str, Any] | None, changes: Iterable[Mapping[str, Any]]) -> None:
    """Add what a decision is about, and the version that was decided before, beside the one that is asked now."""
    from smithers_nb.present.html.decision_cards import again, as_text

    if earlier is not None:
        sheet.prose("", again(as_text(earlier["said"]), earlier["by"], earlier["at"]))
        for change in changes:
            for label, value in (("Before", change["before"]), ("Now", change["now"])):
                sheet.prose(label, f"{change['name']}: {'nothing' if value is None else as_text(value)}")
    shown = {name: value for name, value in details.items() if not isinstance(value, dict | list)}
    sheet.prose("", *(f"{name}: {value}" for name, value in shown.items()))


def _page(ask: CommandContext, location: Location, outcome: Outcome, asked: list[Pending]) -> Iterable[str]:
    options = where(ask, location)
    sheet = Sheet()
    sheet.headline(outcome.status, outcome.run_id)
    if outcome.reason is not None:
        from smithers_nb.diagnosis.failure.excerpt import telling  # not before something went wrong

        label = "Failed at" if outcome.status == "failed" else "Because"
        sheet.prose(label, f"{_what_failed(location, outcome.run_id) or outcome.reason.source}: {telling(outcome.reason.message)}")
    for item in asked:
        sheet.prose("Asks", f"{item.node_id}: {item.prompt}", item.summary)
        show_request(sheet, item.details, item.earlier and item.earlier._asdict(), (change._asdict() for change in item.changes))
    sheet.verbatim("Notebook", [outcome.notebook] if outcome.notebook else [])
    for item in asked:
        sheet.commands("", commands_for(item, options))
    sheet.commands("", _next(ask, location, outcome))
    return sheet.lines


def _what_failed(location: Location, run_id: str) -> str:
    """Name the cell or stage that failed, as `why` does; empty when it is the run itself, or the journal cannot be read."""
    from smithers_nb.diagnosis.failure.naming import name_of
    from smithers_nb.diagnosis.failure.root_failure import find_failure
    from smithers_nb.project import connect

    with suppress(SmithersNbError), connect(location.file or location.url) as project:
        return name_of(find_failure(project.run(run_id).snapshot))
    return ""


def _next(ask: CommandContext, location: Location, outcome: Outcome) -> list[str]:
    run, options = shlex.quote(outcome.run_id), where(ask, location)
    if outcome.status == "failed":
        return [f"smithers-nb why {run}{where(ask, location, flag='--source')}"]
    if outcome.status == "cancelled":
        return [f"smithers-nb resume {run}{options}"]
    if outcome.status == "paused":
        edited = outcome.reason is not None and outcome.reason.code == "RESUME_METADATA_MISMATCH"
        return [f"smithers-nb resume {run}{' --accept-workflow-change' if edited else ''}{options}"]
    return []


def _detach(ask: CommandContext, location: Location, run_id: str) -> int:
    from smithers_nb.engine.control.run_state import status_of
    from smithers_nb.engine.execution.outcome import notebook_of
    from smithers_nb.engine.workers.client import enqueue
    from smithers_nb.workflows.triggers.background import ensure_worker

    enqueue(location, run_id)
    ensure_worker(location)
    if ask.fmt == "table":
        click.echo(run_id)
        note(f"in the background; watch it with `smithers-nb logs {shlex.quote(run_id)} --follow{where(ask, location)}`")
    else:
        found = {"run_id": run_id, "status": status_of(location, run_id), "notebook": str(notebook_of(location, run_id)), "detached": True}
        print_finding(found, ask.fmt, tuple)
    return DONE


def _served(location: Location, run_id: str, *, serve: bool) -> Any:
    if not serve:
        return nullcontext()
    from smithers_nb.workflows.live.served_runs import ServedRuns
    from smithers_nb.workflows.live.server import serving

    return serving(ServedRuns.of(location), print_address, run_id=run_id)
