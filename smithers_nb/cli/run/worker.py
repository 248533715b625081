"""`worker`: a process that executes what is queued; as many of them as there is work for."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import Asked, command
from smithers_nb.cli.output import note, write_json
from smithers_nb.cli.run.execute import ending_signals
from smithers_nb.cli.run_options import database_option, location_of

if TYPE_CHECKING:
    from smithers_nb.engine.execution.run_execution import Outcome


@command(
    "worker",
    database_option,
    click.option("--concurrency", "-c", type=click.IntRange(min=1), help="Notebooks at once.  [default: one per processor]"),
    click.option("--until-idle", is_flag=True, help="End when there has been nothing to do for some seconds."),
    example="smithers-nb worker\nsmithers-nb worker --database postgresql://runs@db/runs --concurrency 4",
)
def worker(ask: Asked, *, database: str | None, concurrency: int | None, until_idle: bool) -> int:
    """Execute what is queued, until Ctrl-C.

    Detached runs and runs that somebody decided about are queued; a worker on any machine that reaches the database may take them.
    A worker that dies loses nothing: the next one takes over what it had begun.
    """
    from smithers_nb.engine.workers.worker import work
    from smithers_nb.workflows.triggers.on_run_end import on_outcome

    location, stop = location_of(ask, database), threading.Event()
    follow = on_outcome(location)

    def ended(outcome: Outcome) -> None:
        _tell(ask.fmt, outcome)
        follow(outcome)

    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, lambda *_: stop.set())
    note(f"takes runs of {location.shown}; Ctrl-C ends it")
    work(location, concurrency=concurrency, until_idle=until_idle, on_outcome=ended, stop=stop)
    return DONE


def _tell(fmt: str, outcome: Outcome) -> None:
    found: dict[str, Any] = {"runId": outcome.run_id, "status": outcome.status}
    if fmt == "table":
        reason = f"  {outcome.reason.message}" if outcome.reason else ""
        note(f"{outcome.run_id}  {outcome.status}{reason}")
    else:
        write_json(found | {"reason": outcome.reason.message if outcome.reason else None}, line=True)
