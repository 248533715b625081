"""`resume`, `cancel`, `retry-task`, `rewind`: what people do to a run that does not go as it should."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, command, node_argument, run_argument
from smithers_nb.cli.output import note, print_finding
from smithers_nb.cli.run.execute import execute, refuse_to_serve_detached
from smithers_nb.cli.run_options import (
    accept_option,
    by_option,
    database_option,
    detach_option,
    force_option,
    quiet_option,
    runs_of,
    settings_of,
    settings_options,
    where,
    yes_option,
)
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ControlRefused

if TYPE_CHECKING:
    from smithers_nb.cli.run.own_notebooks import Report
    from smithers_nb.engine.control.event_order import Frame
    from smithers_nb.engine.control.reset import ResetItem
    from smithers_nb.engine.location import Location

_NAMED = 5
_FRAME = click.argument("frame", metavar="[FRAME|NODE]", required=False)


@command(
    "resume",
    run_argument,
    detach_option,
    force_option,
    accept_option,
    yes_option,
    quiet_option,
    *settings_options,
    database_option,
    example="smithers-nb resume nightly-1\nsmithers-nb resume nightly-1 --cell-timeout 3600\n"
    "smithers-nb resume nightly-1 --accept-workflow-change --detach",
)
def resume(ask: CommandContext, run: str, *, database: str | None, **options: Any) -> int:
    """Resume a run that failed, was cancelled, is paused, waits, or lost its process.

    Its notebook is executed from the beginning; stages that are finished give what they gave before. A run whose notebook was edited
    since is refused, unless --accept-workflow-change says that this is meant; when the edit gives up what was finished or decided, it
    says so and asks first.
    """
    return resumed(ask, runs_of(ask, database), run, **options)


def resumed(  # noqa: PLR0913  # the options of two commands
    ask: CommandContext,
    location: Location,
    run: str,
    *,
    detach: bool,
    no_post_failure: bool,
    force: bool,
    accept_workflow_change: bool,
    yes: bool = False,
    notebook: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    serve: bool = False,
    report: Report | None = None,
    **settings: Any,
) -> int:
    """Resume a run and execute it; `report` prints how it ended, also of a run that is over already."""
    from smithers_nb.engine.control import left_behind
    from smithers_nb.engine.control import resume as resume_run
    from smithers_nb.engine.control.run_state import resolved
    from smithers_nb.engine.execution.outcome import Outcome, notebook_of

    refuse_to_serve_detached(detach=detach, serve=serve)
    if accept_workflow_change:
        run = resolved(location, run)
        _confirm("The edited notebook no longer has", left_behind(location, run, notebook_of(location, run)), yes=yes)
    found = resume_run(
        location,
        run,
        notebook=notebook,
        parameters=parameters,
        accept_workflow_change=accept_workflow_change,
        force=force,
        here=not detach,
        settings=settings_of(no_post_failure=no_post_failure, **settings),
    )
    if not found.continues and report is not None:
        report(ask, location, Outcome(found.run_id, found.status, notebook_of(location, found.run_id)))
        return DONE
    if not found.continues:
        print_finding({"run_id": found.run_id, "status": found.status, "reason": None}, ask.fmt, tuple)
        if ask.fmt == "table":
            note(f"run {found.run_id} is {found.status}: there is nothing left to do")
        return DONE
    return execute(ask, location, found.run_id, detach=detach, no_post_failure=no_post_failure, serve=serve, report=report)


@command("cancel", run_argument, by_option, database_option, example="smithers-nb cancel nightly-1")
def cancel(ask: CommandContext, run: str, *, by: str | None, database: str | None) -> int:
    """Stop a run: a live one within a second, one that waits at once."""
    from smithers_nb.engine.control import cancel as stop
    from smithers_nb.engine.control import login

    done = stop(runs_of(ask, database), run, by=by or login())
    outcome = {"requested": "was asked to stop", "cancelled": "is cancelled"}[done.result]
    print_finding(done._asdict(), ask.fmt, lambda: [f"{done.run_id} {outcome}"])
    return DONE


@command(
    "retry-task",
    run_argument,
    node_argument,
    click.option("--iteration", type=click.IntRange(min=0), default=0, help="Loop iteration, starting at 0."),
    click.option("--no-deps", is_flag=True, help="Only this node, not what began after it."),
    yes_option,
    detach_option,
    force_option,
    accept_option,
    quiet_option,
    *settings_options,
    database_option,
    example="smithers-nb retry-task nightly-1 load\nsmithers-nb retry-task nightly-1 load --yes --detach",
)
def retry_task(  # noqa: PLR0913  # its options
    ask: CommandContext,
    run: str,
    node: str,
    *,
    iteration: int,
    no_deps: bool,
    yes: bool,
    detach: bool,
    force: bool,
    accept_workflow_change: bool,
    no_post_failure: bool,
    database: str | None,
    **settings: Any,
) -> int:
    """Try a node again, with everything that began after it.

    Shows first what will be reset: outputs are dropped, and decisions made after the node began are asked again. On a terminal it asks
    before it does so; elsewhere it needs --yes where anything that was finished or decided would be lost.
    """
    from smithers_nb.engine import control

    location = runs_of(ask, database)
    plan = control.reset_plan(location, run, node, iteration, deps=not no_deps)
    _confirm("This resets", plan.items, yes=yes)
    done = control.retry_task(
        location,
        plan.run_id,
        node,
        iteration,
        deps=not no_deps,
        accept_workflow_change=accept_workflow_change,
        force=force,
        here=not detach,
        settings=settings_of(no_post_failure=no_post_failure, **settings),
    )
    return execute(ask, location, done.run_id, detach=detach, no_post_failure=no_post_failure)


@command(
    "rewind",
    run_argument,
    _FRAME,
    yes_option,
    force_option,
    database_option,
    example="smithers-nb rewind nightly-1\nsmithers-nb rewind nightly-1 load --yes",
)
def rewind(  # noqa: PLR0913  # its options
    ask: CommandContext, run: str, frame: str | None, *, yes: bool, force: bool, database: str | None
) -> int:
    """Go back to the state right after a node was finished; without one, list the states there are.

    What came later is taken out of the run, its log stays whole. The run is paused then; `resume` continues it.
    """
    from smithers_nb.engine import control

    location = runs_of(ask, database)
    if frame is None:
        _print_frames(ask, control.frames_of(location, run))
        return DONE
    plan = control.rewind_plan(location, run, frame)
    _confirm(f"This goes back from frame {plan.came_from} to {plan.goes_to} and takes out", plan.items, yes=yes, always=True)
    done = control.rewind(location, plan.run_id, frame, caller=control.login(), force=force)
    found = {"run_id": done.run_id, "from_frame_no": done.came_from, "to_frame_no": done.goes_to, "removed_nodes": _rows(done.items)}
    command = f"smithers-nb resume {shlex.quote(done.run_id)}{where(ask, location)}"
    print_finding(found, ask.fmt, lambda: [f"{done.run_id} is back at frame {done.goes_to}; resume with: {command}"])
    return DONE


def _print_frames(ask: CommandContext, frames: list[Frame]) -> None:
    from smithers_nb.cli.output import Column, print_rows

    columns = (
        Column("FRAME", lambda row: row["frame"]),
        Column("AFTER", lambda row: row["node_id"] + (f"#{row['iteration']}" if row["iteration"] else ""), grow=True),
    )
    rows = [{"frame": frame.number, "node_id": frame.node.node_id, "iteration": frame.node.iteration} for frame in frames]
    print_rows(rows, ask.fmt, columns, nothing="nothing is finished in this run; frame 0 is its beginning")


def _confirm(what: str, items: Sequence[ResetItem], *, yes: bool, always: bool = False) -> None:
    """Show what is taken back and what is lost with it, and ask; where nobody can answer, a loss needs --yes.

    Raises:
        ControlRefused: `CONFIRMATION_REQUIRED`; nothing was changed.
    """
    if not items and not always:
        return
    sheet = Sheet()
    sheet.heading(what)
    sheet.states("", [(item.state, item.node.node_id, item.loss) for item in items])
    for line in sheet.lines:
        click.echo(line, err=True)
    if yes:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Continue?", abort=True, err=True)
        return
    lost = [f"{item.node.node_id} ({item.loss})" for item in items if item.loss]
    if lost or always:
        names = "; ".join(lost[:_NAMED]) + (f"; and {len(lost) - _NAMED} more" if len(lost) > _NAMED else "")
        warning = f"this loses {names}: " if lost else ""
        raise ControlRefused(f"{warning}confirmation required (not a terminal)", code="CONFIRMATION_REQUIRED", hint="pass --yes to do it")


def _rows(items: Iterable[ResetItem]) -> list[dict[str, Any]]:
    return [{"node_id": item.node.node_id, "iteration": item.node.iteration, "state": item.state} for item in items]
