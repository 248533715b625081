"""`monitor`: how one run is doing, as a durable run of the monitor's notebook, a report and the output row."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, Utf8, command, now_option, place_of
from smithers_nb.cli.output import print_finding
from smithers_nb.cli.run.own_notebooks import print_outcome, start_notebook
from smithers_nb.cli.run.up import resume_run, run_options
from smithers_nb.cli.run_options import accept_option, force_option, given_parameters
from smithers_nb.cli.text_page import Sheet
from smithers_nb.model.vocabulary import sign_of
from smithers_nb.present.html.text import shown
from smithers_nb.sources.urls import lent

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.workflows.monitor.results import MonitorRow

_NOTEBOOK = "notebooks/monitor.ipynb"
_MORE = 8


@command(
    "monitor",
    click.argument("target", type=Utf8(), metavar="[RUN]", required=False),
    click.option("--autofix/--no-autofix", default=None, help="Apply the smallest safe repair, if there is one.  [default: no]"),
    click.option(
        "--require-approval/--no-require-approval", default=None, help="With --autofix, ask a person before a repair.  [default: yes]"
    ),
    click.option("--stale-minutes", type=click.FloatRange(min=0, min_open=True), help="Idle for longer is stuck.  [default: 15]"),
    click.option("--title", type=Utf8(), help="Title of the report."),
    click.option(
        "--provider", type=Utf8(), help="Who adds words to a failure, as for `autopsy`.  [default: AGENT_PROVIDER, else internal]"
    ),
    click.option("--no-ui", is_flag=True, help="Do not open the monitored run's own page."),
    click.option("--no-notebook", is_flag=True, help="Print only the row: no notebook, no report, no monitor run, nothing written."),
    *run_options,
    click.option("--resume", is_flag=True, help="Resume the monitor of --run-id instead of starting one."),
    force_option,
    accept_option,
    now_option,
    example="smithers-nb monitor\nsmithers-nb monitor 49315 --format json | jq -r .health\nsmithers-nb monitor 49315 --autofix",
)
def monitor(  # noqa: PLR0913  # one per option of the command
    ask: CommandContext,
    target: str | None,
    *,
    no_ui: bool,
    no_notebook: bool,
    resume: bool,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    autofix: bool | None,
    require_approval: bool | None,
    stale_minutes: float | None,
    title: str | None,
    provider: str | None,
    **options: Any,
) -> int:
    """Describe how a run is doing, and answer what an operator always asks; without RUN, of the most recent active one.

    The run may be of any engine. It is only read, unless --autofix is given: then the monitor may resume a run that lost its process,
    or try a task again that failed by chance, after a person agreed. Exit codes: 0 the report was made, for a healthy or unhealthy run;
    3 the monitor waits at approve-fix.
    """
    place, target = place_of(ask.source, target) if target is not None else (ask.source, None)
    ask = replace(ask, source=place)
    chosen = {
        "target_run_id": target,
        "source": place and absolute(place),
        "now": ask.now,
        "autofix": autofix,
        "require_approval": require_approval,
        "stale_minutes": stale_minutes,
        "title": title,
        "provider": provider,
    }
    parameters = given_parameters(pairs, parameters_file, document) | {name: value for name, value in chosen.items() if value is not None}
    tell = partial(print_outcome, key="monitorRunId")
    here = CommandContext(fmt=ask.fmt)  # the monitor is a run of the project it is started in, wherever its target lives
    if resume:
        from smithers_nb.resources import resource

        notebook = Path(str(resource(_NOTEBOOK)))
        return resume_run(here, notebook, pairs=(), parameters_file=None, document=None, yes=False, report=tell, **options)
    if no_notebook:
        _row_alone(ask, parameters)
        return DONE
    code = start_notebook(here, _NOTEBOOK, parameters, tell, **options)
    if not no_ui and ask.fmt == "table" and target is not None and sys.stdout.isatty():
        from smithers_nb.workflows.monitor.smithers_program import open_page

        open_page(target, ask.source)
    return code


def _row_alone(ask: CommandContext, parameters: dict[str, Any]) -> None:
    from smithers_nb.engine.control.parameters import Words, plain_value
    from smithers_nb.engine.notebook.executor import validated
    from smithers_nb.model.timestamps import now_ms
    from smithers_nb.workflows.monitor.parameters import MonitorParameters
    from smithers_nb.workflows.monitor.stages import look, row_of

    plain = {name: plain_value(value) if isinstance(value, Words) else value for name, value in parameters.items()}
    chosen = validated(MonitorParameters, plain)
    moment = now_ms() if chosen.now is None else chosen.now
    row = row_of(*look(chosen.target_run_id, chosen.source, now=moment, stale_minutes=chosen.stale_minutes))
    print_finding(row, ask.fmt, lambda: page(row, None))


def page(row: MonitorRow, outcome: Outcome | None) -> Iterable[str]:
    """Lay the row out for a terminal."""
    sheet = Sheet()
    sign = sign_of(row.health, row.state)
    sheet.headline(sign, row.target_run_id, row.state if row.state != sign else None)
    sheet.blank()
    sheet.prose("Now", "" if row.root_cause else row.summary)
    sheet.prose("Why", row.root_cause)
    sheet.prose("Waits for", row.waiting_on)
    sheet.prose("In trouble", ", ".join(row.in_trouble))
    sheet.prose("Doubtful", *(concern.summary for concern in row.concerns))
    sheet.states(
        "Questions",
        [("pending" if q.pending else q.status, q.node_id, q.answered_by or "", f"{q.prompt} → {_short(q.answer)}") for q in row.questions],
    )
    words = {True: "approved", False: "denied", None: "pending"}
    sheet.states("Gates", [(words[g.approved], g.node_id, g.decided_by or "", g.note or g.title) for g in row.approvals])
    sheet.prose("Outputs", *[f"{item.node_id}: {item.summary}" for item in row.key_outputs[:_MORE]])
    sheet.verbatim("Changes", [f"{item.node_id}: {item.summary}" for item in row.diffs[:_MORE]])
    sheet.verbatim("Scores", [f"{item.node_id} {item.name}: {item.score}" for item in row.scores[:_MORE]])
    sheet.prose("Fix", row.fix.summary if row.fix else "", row.fix.still_needs_human if row.fix else "")
    for action in row.recommended_actions:
        sheet.blank()
        sheet.prose("autofix can" if action.self_fixable else "To do", action.problem)
        sheet.commands("", [action.command] if action.command else [])
    sheet.prose("Not readable", *row.problems)
    if row.report_path:
        sheet.blank()
        sheet.lines.append(f"Report    {shown(row.report_path)}")
    if outcome is not None and outcome.notebook:
        sheet.lines.append(f"Notebook  {shown(outcome.notebook)}")
    return sheet.lines


def _short(answer: Any) -> str:
    import orjson

    return "" if answer is None else answer if isinstance(answer, str) else orjson.dumps(answer).decode()


def absolute(source: str) -> str:
    """Write a source so that a kernel elsewhere opens the same, with a password handed on in the environment."""
    place = Path(source).expanduser()
    try:
        return str(place.absolute()) if place.exists() else lent(source)
    except OSError:  # a text too long for a path
        return source
