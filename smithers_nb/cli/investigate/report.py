"""`report`: the autopsy of a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smithers_nb.cli.investigate.autopsy import autopsy_options, notebook_progress
from smithers_nb.cli.options import Asked, command, maybe_run_argument, now_option
from smithers_nb.cli.output import run_or_newest, write_json
from smithers_nb.engine.artifacts.store import is_url
from smithers_nb.present.html.text import shown

_OPEN = click.option("--open", "opened", is_flag=True, help="Also open it in the browser.")


@command(
    "report", maybe_run_argument, *autopsy_options, _OPEN, now_option, example="smithers-nb report 49315\nsmithers-nb report 49315 --open"
)
def report(ask: Asked, run: str | None, *, opened: bool, artifacts: str, **options: Any) -> None:
    """Write the HTML report of a failed run, of the newest one without RUN, and print its path.

    One file that needs no network and holds everything: what failed, the timeline, what changed, how often this happened, the
    evidence and the verdict.
    """
    with ask.project() as project, notebook_progress() as progress:
        record = run_or_newest(project, run, failed=True).write_autopsy(artifacts, progress=progress, **options)
    if ask.fmt == "table":
        click.echo(shown(record.report))
    else:
        write_json(
            {"targetRunId": record.verdict.target_run_id, "report": str(record.report), "notebook": str(record.notebook)},
            line=ask.fmt == "jsonl",
        )
    if opened:
        report = str(record.report)
        click.launch(report if is_url(report) else Path(report).absolute().as_uri())
