"""`ui`: live pages in the browser, until Ctrl-C."""

from __future__ import annotations

import threading

import click

from smithers_nb.cli.app import DONE
from smithers_nb.cli.options import CommandContext, command, maybe_run_argument
from smithers_nb.cli.output import note, print_address
from smithers_nb.cli.run_options import database_option, location_of
from smithers_nb.errors import ParameterError


@command(
    "ui",
    maybe_run_argument,
    click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port on this machine.  [default: any free one]"),
    click.option("--no-open", is_flag=True, help="Only print the address."),
    database_option,
    example="smithers-nb ui\nsmithers-nb ui 49315\nsmithers-nb ui --port 8123 --no-open",
)
def ui(ask: CommandContext, run: str | None, *, port: int, no_open: bool, database: str | None) -> int:
    """Open the live page of RUN; without it, of every run of the project found from here, with what needs a person first.

    The page follows its store by itself, and the gates and questions of notebook runs are decided on it. It is served on this machine
    only, to whoever has the printed address; from another device, go through a tunnel such as `ssh -L`. Ctrl-C ends it.
    """
    from smithers_nb.workflows.live.served_runs import ServedRuns
    from smithers_nb.workflows.live.server import serving

    # Of a store named by its URL nobody knows that it is a journal, and opening it as one would write to it: --database says so.
    here = CommandContext() if ask.source and "://" in ask.source else ask
    location = location_of(here, database)
    runs = ServedRuns(location, ask.source) if ask.source else ServedRuns.of(location)
    run_id = None
    if run is not None:
        with ask.project() as project:
            run_id = project.run(run).id

    def ready(address: str) -> None:
        print_address(address)
        if not no_open:
            click.launch(address)

    try:
        with serving(runs, ready, run_id=run_id, port=port):
            threading.Event().wait()
    except OSError as error:
        raise ParameterError(f"port {port} cannot be used: {error.strerror}", hint="leave --port out to take a free one") from None
    except KeyboardInterrupt:
        note("closed")
    return DONE
