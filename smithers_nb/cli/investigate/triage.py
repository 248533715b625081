"""`triage-run`: one recommendation for one run, with what it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from smithers_nb.cli.options import CommandContext, command, now_option, run_argument
from smithers_nb.cli.output import print_finding
from smithers_nb.cli.text_page import Sheet
from smithers_nb.model.timestamps import now_ms

if TYPE_CHECKING:
    from smithers_nb.workflows.monitor.results import TriageRow


@command(
    "triage-run",
    run_argument,
    click.option(
        "--stale-minutes",
        type=click.FloatRange(min=0, min_open=True),
        default=15.0,
        show_default=True,
        help="Idle for longer is stuck.",
    ),
    now_option,
    example="smithers-nb triage-run 49315\nsmithers-nb triage-run 49315 --format json | jq -r .recommendedAction",
)
def triage_run(ask: CommandContext, run: str, *, stale_minutes: float) -> None:
    """Recommend one thing to do about a run of any engine: fix, rewind, retry or escalate.

    The first rule that fits decides: what a person has to decide is escalated, what would fail again is fixed, what failed by chance
    and repeats nothing outside of the run is retried, and a rewind needs evidence that names the frame. When the cause is not sure, the
    command only looks. Nothing is changed. Exit code 0 for a run in any state; a missing run is reported in the row.
    """
    from smithers_nb.workflows.monitor.triage import triage

    row = triage(run, ask.source, now=now_ms() if ask.now is None else ask.now, stale_minutes=stale_minutes)
    print_finding(row, ask.fmt, lambda: _page(row))


def _page(row: TriageRow) -> Iterable[str]:
    sheet = Sheet()
    sheet.headline(row.state, row.target_run_id, row.recommended_action)
    sheet.blank()
    sheet.prose("Cause", row.root_cause or row.summary)
    sheet.prose("Confidence", f"{row.confidence}{f', class {row.failure_class}' if row.failure_class else ''}")
    sheet.prose("Why so", row.rationale)
    sheet.commands("Do", [row.command])
    sheet.verbatim("Evidence", [f"{item.ref}: {item.quote}" for item in row.evidence])
    sheet.prose("Not readable", *row.problems)
    return sheet.lines
