"""`report`: the autopsy of a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smithers_nb.cli.investigate.autopsy import autopsy_options, notebook_progress
from smithers_nb.cli.options import CommandContext, command, maybe_run_argument, now_option
from smithers_nb.cli.output import run_or_newest, write_json
from smithers_nb.engine.artifacts.store import is_url
from smithers_nb.errors import RunNotFailed
from smithers_nb.present.html.text import shown

_OPEN = click.option("--open", "opened", is_flag=True, help="Also open it in the browser.")


@command(
    "report", maybe_run_argument, *autopsy_options, _OPEN, now_option, example="smithers-nb report 49315\nsmithers-nb report 49315 --open"
)
def report(ask: CommandContext, run: str | None, *, opened: bool, artifacts: str, **options: Any) -> None:
    """Write the HTML report of a run and print its path; without RUN, of the newest run with a problem, else of the newest run.

    One file that needs no network. Of a failed run it is the autopsy: what failed and why, the timeline, what changed, how often this
    happened, and the evidence. Of any other run: its state, what it waits for, questions and answers, gates, outputs, changes.
    """
    with ask.project() as project, notebook_progress() as progress:
        found = run_or_newest(project, run, healthy=True)
        try:
            record = found.write_autopsy(artifacts, progress=progress, **options)
        except RunNotFailed:
            report, notebook = found.write_report(artifacts), None
        else:
            report, notebook = str(record.report), str(record.notebook)
    if ask.fmt == "table":
        click.echo(shown(report))
    else:
        write_json({"targetRunId": found.id, "report": report, "notebook": notebook}, line=ask.fmt == "jsonl")
    if opened:
        click.launch(report if is_url(report) else Path(report).absolute().as_uri())
