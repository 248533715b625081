"""`autopsy`: why a run failed, as an executed notebook, a report and the verdict row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import Asked, Utf8, command, now_option, run_argument
from smithers_nb.cli.output import moment, print_finding, took
from smithers_nb.cli.sheet import Sheet

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Recurrence, Verdict

SEEN_ON = {"workflow-bug": "failed", "smithers-bug": "failed", "environment": "stale", "agent-flake": "stale", "unknown": "unclear"}
"""Failure class to the state whose icon and colour its headline has."""

_QUOTES = 6
_OPTIONS = (
    click.option(
        "--workflow-path", "-w", type=click.Path(path_type=Path), help="The workflow's file, when it is not where the run was started."
    ),
    click.option(
        "--provider", type=Utf8(), default="internal", show_default=True, help="Who investigates; `internal` needs no model and no key."
    ),
    click.option("--no-notebook", is_flag=True, help="The verdict row alone: no notebook, no report, nothing written."),
    click.option(
        "--artifacts", type=click.Path(path_type=Path, file_okay=False), default="artifacts", show_default=True, help="Folder to write to."
    ),
)


@command(
    "autopsy",
    run_argument,
    *_OPTIONS,
    now_option,
    example="smithers-nb autopsy 49315\nsmithers-nb autopsy 49315 --no-notebook --format json | jq -r .commands[]",
)
def autopsy(ask: Asked, run: str, *, no_notebook: bool, artifacts: Path, **options: Any) -> None:
    """Find out why a run failed, and write it down.

    Executes the autopsy notebook, makes one self-contained HTML page of it, and prints the verdict. The store is only read, nothing
    is sent anywhere and no command is run for you.
    """
    with ask.project() as project:
        found = project.run(run)
        if no_notebook:
            row = found.autopsy(**options)
            print_finding(row, ask.fmt, lambda: verdict_page(row))


def verdict_page(row: Verdict) -> Iterable[str]:
    """Lay out a verdict."""
    sheet = Sheet()
    sheet.headline(SEEN_ON[row.failure_class], f"{row.failure_class}, confidence {row.confidence}", row.target_run_id)
    sheet.blank()
    sheet.prose("Root cause", row.root_cause)
    sheet.blank()
    sheet.prose("Suggestion", row.suggestion, row.suggestion_detail)
    sheet.commands("Commands", row.commands)
    sheet.blank()
    sheet.verbatim("Evidence", [f"{item.ref}  {item.quote}" for item in row.evidence[:_QUOTES]])
    sheet.prose("Seen before", _seen_before(row.recurrence))
    if row.last_good_run:
        good = row.last_good_run
        sheet.prose("Last good", f"{good.run_id}, finished {moment(good.finished_at)} UTC")
    sheet.verbatim("Changed", [f"{change.what}: {change.before or '-'} → {change.after or '-'}" for change in row.changed_since])
    sheet.prose("Noticed", *(defect.summary for defect in row.defects))
    sheet.prose("Not readable", *row.problems)
    return sheet.lines


def _seen_before(seen: Recurrence) -> str:
    if seen.runs <= 1:
        return seen.repair_loop
    cost = f", {took(seen.wall_s)} and {seen.tokens:,} tokens spent on it" if seen.tokens else f", {took(seen.wall_s)} spent on it"
    since = f" since {moment(seen.first_at)} UTC" if seen.first_at else ""
    return f"{seen.count} failed attempts in {seen.runs} runs{since}{cost}. {seen.repair_loop}".strip()
