"""`autopsy --all-failed`: an autopsy of every failed run of a store, as a table or one row each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import CommandContext, Moment, Utf8
from smithers_nb.cli.output import Column, note, print_rows, short_ids, took
from smithers_nb.present.html.text import one_line, shown

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source
    from smithers_nb.workflows.batch.local import AutopsyRow

_BAR = 24
_FAILED = 1
_SUSPECTED = "smithers-bug"

batch_options = (
    click.option("--all-failed", is_flag=True, help="Every failed run of the store instead of one; child runs go with their parent."),
    click.option("--since", type=Moment(ago=True), help="With --all-failed: only runs that failed since then: 15m, 2h, 1d ago, or a time."),
    click.option(
        "--workers", type=click.IntRange(min=1), help="With --all-failed: notebooks at once.  [default: one more than processors]"
    ),
    click.option(
        "--database",
        type=Utf8(),
        metavar="URL",
        help="With --all-failed: leave the work to the workers of this shared database, postgresql://…, and wait for them.",
    ),
)


def autopsy_all(  # noqa: PLR0913  # the options of a command
    ask: CommandContext, *, since: int | None, workers: int | None, database: str | None, artifacts: str, provider: str | None = None
) -> int:
    """Run the autopsies, print a row for each, and give the exit code: 1 when an autopsy itself failed."""
    from smithers_nb.engine.artifacts.store import folder_of
    from smithers_nb.workflows.batch.local import failed_runs, run_autopsies

    with ask.project() as project:
        run_ids = failed_runs(project.source, since)
        queue = _queue(ask, project.source, run_ids, database) if database is not None and run_ids else None
    if not run_ids:
        print_rows((), ask.fmt, _columns({}), nothing="no failed runs" + (" since then" if since is not None else ""))
        return 0
    shared: dict[str, Any] = {"artifacts": artifacts, "now": ask.now, "provider": provider}
    with _progress() as progress:
        if queue is not None:
            rows = queue(progress=progress, **shared)
        else:
            rows = run_autopsies(run_ids, ask.source, workers=workers, progress=progress, **_given(shared))
    print_rows(rows, ask.fmt, _columns(short_ids(run_ids)), nothing="")
    if ask.fmt == "table":
        click.echo(f"\nNotebooks and reports  {shown(folder_of(artifacts, 'autopsy'))}" if queue is None else _places(artifacts))
    if queue is not None and any(row.failure_class == _SUSPECTED for row in rows):
        note("where the engine is suspected, a person decides whether it is reported; smithers-nb human inbox --database … lists them")
    stopped = [row for row in rows if row.error]
    if stopped:
        note(f"{len(stopped)} of {len(rows)} autopsies failed themselves")
    return _FAILED if stopped else 0


def verdicts_of_all(ask: CommandContext, *, since: int | None, provider: str | None = None) -> int:
    """Print the verdict of every failed run, newest first, without notebooks or reports; nothing is written."""
    from smithers_nb.workflows.batch.local import failed_runs

    with ask.project() as project:
        run_ids = failed_runs(project.source, since)
        rows = (project.run(run_id).autopsy(**_given({"provider": provider})) for run_id in run_ids)
        if ask.fmt == "markdown":
            from smithers_nb.present.markdown import verdict_card

            click.echo("\n".join(verdict_card(row) for row in rows), nl=False)
            return 0
        short = short_ids(run_ids)
        columns = (
            Column("RUN", lambda row: short.get(row.target_run_id, row.target_run_id)),
            Column("CLASS", lambda row: row.failure_class),
            Column("CONFIDENCE", lambda row: row.confidence, spare=2),
            Column("SUGGESTION", lambda row: row.suggestion),
            Column("SIGNATURE", lambda row: row.signature, spare=3),
            Column("ROOT CAUSE", lambda row: row.root_cause, grow=True),
        )
        print_rows(rows, ask.fmt, columns, nothing="no failed runs" + (" since then" if since is not None else ""))
    return 0


def _places(artifacts: str) -> str:
    from smithers_nb.engine.artifacts.store import folder_of
    from smithers_nb.workflows.triggers.launch import WORKFLOW

    return f"\nNotebooks  {shown(folder_of(artifacts, WORKFLOW))}\nReports    {shown(folder_of(artifacts, 'autopsy'))}"


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _queue(ask: CommandContext, source: Source, run_ids: list[str], database: str | None) -> Callable[..., list[AutopsyRow]]:
    """Name which autopsies of which project the workers of a shared database are to do."""
    from functools import partial
    from pathlib import Path

    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.batch.distributed import failures, for_workers, queue_autopsies

    folder = None if ask.source is None or "://" in ask.source else Path(ask.source)
    location = Location.of(folder.parent if folder is not None and folder.is_file() else folder, database=database)
    return partial(queue_autopsies, location, failures(source, run_ids), source=for_workers(source, ask.source, location))


def _columns(short: dict[str, str]) -> tuple[Column, ...]:
    return (
        Column("RUN", lambda row: short.get(row.run_id, row.run_id)),
        Column("CLASS", lambda row: row.failure_class or "(autopsy failed)"),
        Column("CONFIDENCE", lambda row: row.confidence, spare=2),
        Column("SUGGESTION", lambda row: row.suggestion),
        Column("SIGNATURE", lambda row: row.signature, spare=3),
        Column("TOOK", lambda row: took(row.duration_s), spare=4),
        Column("ROOT CAUSE", lambda row: row.error or row.root_cause, grow=True),
    )


@contextmanager
def _progress() -> Iterator[Callable[[int, int, AutopsyRow], None]]:
    """Show on a terminal how many are done; keep silent elsewhere."""
    quiet = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"

    def tell(done: int, whole: int, row: AutopsyRow) -> None:
        if not quiet:
            bar = "█" * (_BAR * done // whole)
            said = f"{row.run_id}: {row.failure_class or 'the autopsy failed'}"
            click.echo(f"\r\x1b[2K{bar:░<{_BAR}} {done}/{whole} {one_line(said, 40)}", nl=False, err=True, color=True)

    try:
        yield tell
    finally:
        if not quiet:
            click.echo("\r\x1b[2K", nl=False, err=True, color=True)
