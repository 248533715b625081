"""`worker`: a process that executes what is queued; as many of them as there is work for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, command
from smithers_nb.cli.output import note, write_json
from smithers_nb.cli.run_options import database_option, location_of

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome


@command(
    "worker",
    database_option,
    click.option("--concurrency", "-c", type=click.IntRange(min=1), help="Notebooks at once.  [default: one per processor]"),
    click.option("--until-idle", is_flag=True, help="End when there has been nothing to do for some seconds."),
    example="smithers-nb worker\nsmithers-nb worker --database postgresql://runs@db/runs --concurrency 4",
)
def worker(ask: CommandContext, *, database: str | None, concurrency: int | None, until_idle: bool) -> int:
    """Execute what is queued, until Ctrl-C.

    Detached runs and runs that somebody decided about are queued; a worker on any machine that reaches the database may take them.
    A worker that dies loses nothing: the next one takes over what it had begun.
    """
    from smithers_nb.workflows.triggers.background import line_of, serve

    location = location_of(ask, database)

    def report(outcome: Outcome) -> None:
        if ask.fmt == "table":
            note(line_of(outcome))
        else:
            reason = outcome.reason.message if outcome.reason else None
            write_json({"runId": outcome.run_id, "status": outcome.status, "reason": reason}, line=True)

    note(f"takes runs of {location.shown}; Ctrl-C ends it")
    serve(location, report, concurrency=concurrency, until_idle=until_idle)
    return DONE
