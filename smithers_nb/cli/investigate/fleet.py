"""`monitor-smithers`: how every run of several projects is doing, as a durable run of the fleet's notebook, a report and tables."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.investigate.monitor import absolute
from smithers_nb.cli.investigate.watch import watcher_of
from smithers_nb.cli.options import CommandContext, Moment, Utf8, command, now_option
from smithers_nb.cli.output import note, print_finding
from smithers_nb.cli.run.own_notebooks import print_outcome, start_notebook
from smithers_nb.cli.run.up import run_options
from smithers_nb.cli.run_options import given_parameters, location_of
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import JournalUnusable, ParameterError, SourceError
from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import span
from smithers_nb.present.html.text import shown

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.workflows.fleet.results import FleetRow
    from smithers_nb.workflows.triggers.watch import Watcher

_NOTEBOOK = "notebooks/monitor-smithers.ipynb"
_ACTIONS, _KINDS = 12, 5
_MINUTE_S = 60
_SCHEDULE = "monitor-smithers"


@command(
    "monitor-smithers",
    click.argument("projects", type=Utf8(), metavar="[PROJECT]...", nargs=-1),
    click.option("--stale-minutes", type=click.FloatRange(min=0, min_open=True), help="Idle for longer is stuck.  [default: 15]"),
    click.option("--iterations", type=click.IntRange(min=1), default=1, show_default=True, help="How often to look."),
    click.option(
        "--interval-minutes", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True, help="Time between two looks."
    ),
    click.option(
        "--autopsies",
        type=Moment(ago=True),
        metavar="SINCE",
        help="Launch an autopsy of every failure since then that has none, as `watch` does: 1d, 2h, a time.  [default: none]",
    ),
    click.option(
        "--schedule",
        type=Utf8(),
        metavar="CRON",
        help="Look at these times, five fields in UTC, instead of now: workers of this project start each look. `off` ends it.",
    ),
    *run_options,
    now_option,
    example="smithers-nb monitor-smithers\nsmithers-nb monitor-smithers ~/shop ~/billing --format json | jq .buckets\n"
    "smithers-nb monitor-smithers --iterations 12 --interval-minutes 10\nsmithers-nb monitor-smithers --schedule '*/15 * * * *'",
)
def monitor_smithers(  # noqa: PLR0913  # one per option of the command
    ask: CommandContext,
    projects: tuple[str, ...],
    *,
    stale_minutes: float | None,
    iterations: int,
    interval_minutes: float,
    autopsies: int | None,
    schedule: str | None,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    **options: Any,
) -> int:
    """Put every run of several projects into a bucket, find what recurs, and propose what to do first.

    PROJECT is a folder, a store or a URL; without any, the current folder and every project at home. Each store is read once, as a whole.
    Nothing is changed anywhere: what to do is only proposed, and autopsies are launched only with --autopsies.
    Exit code 0 when the report was made, even if runs need attention.
    """
    if iterations > 1 and options["run_id"] is not None:
        raise ParameterError("each look is a separate run, so --run-id cannot be used with several", hint="omit --run-id or --iterations")
    places = [absolute(place) for place in (*projects, *([ask.source] if ask.source else []))]
    chosen = {"projects": places or None, "now": ask.now, "stale_minutes": stale_minutes}
    parameters = given_parameters(pairs, parameters_file, document) | {name: value for name, value in chosen.items() if value is not None}
    if schedule is not None:
        return _on_schedule(ask, schedule, parameters, once=iterations == 1 and autopsies is None and ask.now is None, **options)
    watchers = _watchers(places or ["."], autopsies) if autopsies is not None else []
    code = DONE
    for look in range(iterations):
        if look:
            time.sleep(interval_minutes * _MINUTE_S)
        for watcher in watchers:
            _launch(watcher)
        code = start_notebook(CommandContext(fmt=ask.fmt), _NOTEBOOK, parameters, partial(print_outcome, key="monitorRunId"), **options)
    return code


def _on_schedule(ask: CommandContext, times: str, parameters: dict[str, Any], *, once: bool, **options: Any) -> int:
    """Write down when the workers of this project take a look, or that they take none any more."""
    from smithers_nb.engine.control.parameters import Words, plain_value
    from smithers_nb.engine.workers.dbos import Schedule
    from smithers_nb.engine.workers.schedules import schedule, unschedule
    from smithers_nb.resources import resource

    if not once or options["detach"] or options["serve"] or options["run_id"] is not None:
        raise ParameterError(
            "--schedule starts a separate run at each of its times",
            hint="leave --iterations, --autopsies, --now, --detach, --serve and --run-id out",
        )
    location = location_of(CommandContext(), options["database"])
    if times == "off":
        was = unschedule(location, _SCHEDULE)
        print_finding({"schedule": None}, ask.fmt, lambda: ["no look is taken any more" if was else "there was no schedule"])
        return DONE
    start = {
        "notebook": str(resource(_NOTEBOOK)),
        "parameters": {name: plain_value(value) if isinstance(value, Words) else value for name, value in parameters.items()},
        "cwd": str(Path.cwd()),
        "hot": bool(options["hot"]),
        "post_failure": not options["no_post_failure"],
        "artifacts": options["artifacts"],
        "kernel": options["kernel"],
        "cell_timeout_s": options["cell_timeout"],
        "total_timeout_s": options["timeout"],
    }
    schedule(location, Schedule(_SCHEDULE, times, start))
    print_finding({"schedule": times}, ask.fmt, lambda: [f"a look at {times} (UTC), taken by any `smithers-nb worker` of {location.shown}"])
    return DONE


def _watchers(places: Iterable[str], since: int) -> list[Watcher]:
    """Make a watcher of each place that is a Smithers project with our pack; of the others it is said why there is none."""
    found = []
    for place in places:
        try:
            watcher = watcher_of(Path(place), since)
        except ParameterError as error:
            note(f"no autopsies are launched in {place}: {error}")
            continue
        found += [watcher] if watcher else []
    return found


def _launch(watcher: Watcher) -> None:
    """Launch what has failed and has no autopsy; a store that cannot be read now is read at the next look."""
    try:
        launched = watcher.look()
    except (SourceError, JournalUnusable, OSError) as error:
        note(f"{watcher.folder}: {error}")
        return
    for seen in launched:
        note(f"{seen.run_id} failed; {f'autopsy {seen.autopsy_run_id}' if seen.autopsy_run_id else f'no autopsy: {seen.problem}'}")


def page(row: FleetRow, outcome: Outcome) -> Iterable[str]:
    """Lay the row out for a terminal."""
    from smithers_nb.workflows.fleet.views import named

    sheet = Sheet()
    sheet.headline("healthy" if row.verdict == "healthy" else "problem", row.verdict)
    sheet.blank()
    sheet.prose("Now", row.summary)
    sheet.states("Buckets", [(bucket, str(len(ids)), "") for bucket, ids in row.buckets.items() if ids])
    for action in row.actions[:_ACTIONS]:
        sheet.blank()
        sheet.heading(named(action))
        sheet.prose("", action.recommended_action)
        sheet.commands("", [action.command] if action.command else [])
    sheet.blank()
    sheet.prose("Not shown", f"{len(row.actions) - _ACTIONS} more actions" if len(row.actions) > _ACTIONS else "")
    sheet.verbatim(
        "Waits",
        [
            f"{item.prompt} ({item.run_id}, for {span(round((item.waited_minutes or 0) * _MINUTE_S * 1_000))})"
            for item in row.waiting[:_KINDS]
        ],
    )
    sheet.verbatim("Recurs", [f"{plural(kind.runs, 'run')}, {kind.failure_class}: {kind.message}" for kind in row.recurring[:_KINDS]])
    sheet.verbatim("Flaky", [f"{task.node_id}: recovered in {task.recovered_runs} of {task.runs} runs" for task in row.flaky[:_KINDS]])
    sheet.prose("Not readable", *row.problems)
    sheet.blank()
    sheet.lines.append(f"Report    {shown(row.report_path)}")
    sheet.lines.append(f"Notebook  {shown(outcome.notebook)}")
    return sheet.lines
