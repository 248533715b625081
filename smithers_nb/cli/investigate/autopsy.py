"""`autopsy`: why a run failed, as an executed notebook, a report and the verdict row."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.investigate.autopsies import autopsy_all, batch_options, verdicts_of_all
from smithers_nb.cli.look.why import explanation_page
from smithers_nb.cli.options import CommandContext, Utf8, command, maybe_run_argument, now_option, workflow_option
from smithers_nb.cli.output import dump, moment, note, print_finding, run_or_newest, took
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import RunNotFailed
from smithers_nb.model.vocabulary import NOTEBOOK_ENDS, SESSION_ENDS
from smithers_nb.present.html.attribution import written_by
from smithers_nb.present.html.text import one_line, shown

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Recurrence, Verdict
    from smithers_nb.run import Run
    from smithers_nb.workflows.autopsy.notebook import AutopsyRecord

_QUOTES = 6


class Artifacts(Utf8):
    """Where artifacts go: a folder, or any URL that fsspec knows."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a file."""
        text: str = super().convert(value, param, ctx)
        if Path(text).is_file():
            self.fail(f"Directory '{one_line(text, 200)}' is a file.", param, ctx)
        return text


artifacts_option = click.option(
    "--artifacts",
    type=Artifacts(),
    default="artifacts",
    show_default=True,
    help="Folder to write to, or a URL such as s3://BUCKET/FOLDER.",
)
autopsy_options = (
    workflow_option,
    click.option(
        "--provider",
        type=Utf8(),
        help="Who investigates: internal needs no model and no key, remote_llm asks one, codex_exec runs an agent CLI."
        "  [default: AGENT_PROVIDER, else internal]",
    ),
    artifacts_option,
)
_NO_NOTEBOOK = click.option("--no-notebook", is_flag=True, help="The verdict row alone: no notebook, no report, nothing written.")


@command(
    "autopsy",
    maybe_run_argument,
    *autopsy_options,
    _NO_NOTEBOOK,
    *batch_options,
    now_option,
    example="""smithers-nb autopsy
smithers-nb autopsy 49315
smithers-nb autopsy 49315 --no-notebook --format json | jq -r '.commands[]'
smithers-nb autopsy 49315 --format markdown >> "$GITHUB_STEP_SUMMARY"
smithers-nb autopsy --all-failed --since 1d --format jsonl""",
    markdown=True,
)
def autopsy(  # noqa: PLR0913  # one per option of the command
    ask: CommandContext,
    run: str | None,
    *,
    no_notebook: bool,
    all_failed: bool,
    since: int | None,
    workers: int | None,
    database: str | None,
    artifacts: str,
    **options: Any,
) -> int | None:
    """Find out why a run failed, and write it down; without RUN the newest one, with --all-failed every one.

    Executes the autopsy notebook, makes one self-contained HTML page of it, and prints the verdict. The store is only read, nothing
    is sent anywhere and no command is run for you. Of a session or a notebook that stopped without failing it prints what `why` does,
    and writes the report.
    """
    _refuse_what_does_not_go_together(
        run, all_failed, batch=(since, workers, database), no_notebook=no_notebook, workflow_path=options.get("workflow_path")
    )
    if all_failed:
        del options["workflow_path"]
        if no_notebook:
            return verdicts_of_all(ask, since=since, **options)
        return autopsy_all(ask, since=since, workers=workers, database=database, artifacts=artifacts, **options)
    with ask.project() as project:
        found = run_or_newest(project, run, failed=True)
        try:
            if no_notebook:
                _print_verdict(found.autopsy(**options), ask)
                return None
            with notebook_progress() as progress:
                print_record(found.write_autopsy(artifacts, progress=progress, **options), ask)
        except RunNotFailed:
            if found.row.status not in NOTEBOOK_ENDS | SESSION_ENDS:
                raise
            _print_ending(found, ask, "" if no_notebook else found.write_report(artifacts))
    return None


def _print_ending(run: Run, ask: CommandContext, report: str) -> None:
    """Print how something ended that neither failed nor finished: what is known of it, in the document of `why`."""
    why = run.why()
    note(f"{run.id} did not fail: it is {why.state}")
    if ask.fmt == "markdown":
        from smithers_nb.present.markdown import explanation_card

        click.echo(explanation_card(why), nl=False)
    elif ask.fmt == "table":
        print_finding(why, ask.fmt, lambda: explanation_page(why, run.row, run.project.now))
        click.echo(f"\nReport    {shown(report)}" if report else "", nl=bool(report))
    else:
        print_finding({**dump(why), "report": report or None}, ask.fmt, tuple)


def _refuse_what_does_not_go_together(
    run: str | None, all_failed: bool, *, batch: tuple[object, ...], no_notebook: bool, workflow_path: Path | None
) -> None:
    if run is not None and all_failed:
        raise click.UsageError("name one run or ask for --all-failed, not both")
    if not all_failed and any(given is not None for given in batch):
        raise click.UsageError("--since, --workers and --database go with --all-failed")
    if all(given is not None for given in batch[1:]):
        raise click.UsageError("--workers is for this process; with --database start `smithers-nb worker` as often as you like")
    if all_failed and workflow_path is not None:
        raise click.UsageError("--workflow-path is for a single run")
    if no_notebook and any(given is not None for given in batch[1:]):
        raise click.UsageError("--workers and --database are for notebooks; --no-notebook makes none")


def _print_verdict(row: Verdict, ask: CommandContext, report: str = "") -> None:
    if ask.fmt == "markdown":
        from smithers_nb.present.markdown import verdict_card

        click.echo(verdict_card(row, report), nl=False)
    else:
        print_finding(row, ask.fmt, lambda: verdict_page(row))


def print_record(record: AutopsyRecord, ask: CommandContext) -> None:
    """Print the verdict, and where notebook and report are."""
    if ask.fmt == "markdown":
        _print_verdict(record.verdict, ask, str(record.report))
        return
    if ask.fmt == "table":
        print_finding(record.verdict, ask.fmt, lambda: (*verdict_page(record.verdict), ""))
        click.echo(f"Notebook  {shown(record.notebook)}")
        click.echo(f"Report    {shown(record.report)}")
        return
    print_finding({**dump(record.verdict), "notebook": str(record.notebook), "report": str(record.report)}, ask.fmt, tuple)


@contextmanager
def notebook_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Show on a terminal which stage of a notebook runs; keep silent elsewhere."""
    quiet = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"

    def tell(done: int, cells: int, heading: str) -> None:
        if not quiet:
            bar = "█" * done + "░" * (cells - done)
            click.echo(f"\r\x1b[2K{bar} {done}/{cells} {one_line(heading, 50)}", nl=False, err=True, color=True)

    try:
        yield tell
    finally:
        if not quiet:
            click.echo("\r\x1b[2K", nl=False, err=True, color=True)


def verdict_page(row: Verdict) -> Iterable[str]:
    """Lay out a verdict."""
    sheet = Sheet()
    sheet.headline("interrupted" if row.rule == "interrupted" else "failed", row.target_run_id)
    sheet.blank()
    sheet.prose("Class", f"{row.failure_class}, confidence {row.confidence} (rule {row.rule})")
    sheet.prose("Root cause", row.root_cause)
    sheet.prose("Summary", row.error_summary)
    sheet.prose("Written by", written_by(row.authors))
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
    sheet.prose("Also noticed", *(defect.summary for defect in row.defects))
    sheet.prose("Provider", *row.provider_notes)
    sheet.prose("Not readable", *row.problems)
    return sheet.lines


def _seen_before(seen: Recurrence) -> str:
    if seen.runs <= 1:
        return seen.repair_loop
    cost = f", {took(seen.wall_s)} and {seen.tokens:,} tokens spent on it" if seen.tokens else f", {took(seen.wall_s)} spent on it"
    since = f" since {moment(seen.first_at)} UTC" if seen.first_at else ""
    return f"{seen.count} failed attempts in {seen.runs} runs{since}{cost}. {seen.repair_loop}".strip()
