"""Our own notebooks from the command line: started like any run, and reported by their final row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from smithers_nb.cli.output import dump, print_finding

if TYPE_CHECKING:
    from smithers_nb.cli.options import CommandContext
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location
    from smithers_nb.model.finding import Finding

Report: TypeAlias = "Callable[[CommandContext, Location, Outcome], None]"
"""Prints how an execution ended."""

_OUTPUT: Final = "output"
_ROWS: Final = {
    "MonitorRow": ("smithers_nb.workflows.monitor.results", "smithers_nb.cli.investigate.monitor"),
    "FleetRow": ("smithers_nb.workflows.fleet.results", "smithers_nb.cli.investigate.fleet"),
    "SmitheringRow": ("smithers_nb.workflows.smithering.results.delivery", "smithers_nb.cli.run.smithering"),
}
"""Class of a row to the module that has it, and the one whose `page` lays it out."""


class OwnRow(NamedTuple):
    """The row that a run of one of our notebooks ended with, and what lays it out."""

    row: Finding
    page: Callable[[Any, Outcome | None], Iterable[str]]


def own_row(location: Location, outcome: Outcome) -> OwnRow | None:
    """Return the row that a run ended with; None when it has not finished, or its notebook is not one of these."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import outputs

    if outcome.status != "finished":
        return None
    query = sa.select(outputs.c.schema_name).where(outputs.c.run_id == outcome.run_id, outputs.c.node_id == _OUTPUT)
    with Journal.open(location) as journal, journal.reading() as connection:
        name = connection.execute(query).scalar()
    if name not in _ROWS:
        return None
    results, pages = (import_module(module) for module in _ROWS[name])
    try:
        return OwnRow(getattr(results, name).read(output_of(location, outcome.run_id)), pages.page)
    except ValueError:  # somebody else's class of that name
        return None


def output_of(location: Location, run_id: str, node_id: str = _OUTPUT) -> dict[str, Any] | None:
    """Read what a stage of a run of ours produced."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import Node, read_output

    with Journal.open(location) as journal, journal.reading() as connection:
        return read_output(connection, Node(run_id, node_id))


def start_notebook(ask: CommandContext, notebook: str, parameters: dict[str, Any], report: Report, **options: Any) -> int:
    """Start a run of one of our own notebooks and execute it, or leave it to a worker.

    Args:
        ask: Format of what is printed.
        notebook: Name of the notebook's file in the installation.
        parameters: What it is given.
        report: Prints how it ended.
        options: The options of `up`.
    """
    from smithers_nb.cli.run.execute import execute, refuse_to_serve_detached
    from smithers_nb.cli.run_options import location_of
    from smithers_nb.engine.control import submit
    from smithers_nb.resources import resource

    refuse_to_serve_detached(detach=options["detach"], serve=options["serve"])
    location, quiet = location_of(ask, options["database"]), options["no_post_failure"]
    run_id = submit(
        location,
        Path(str(resource(notebook))),
        parameters,
        run_id=options["run_id"],
        hot=bool(options["hot"]),
        post_failure=not quiet,
        artifacts=options["artifacts"],
        cell_timeout_s=options["cell_timeout"],
        total_timeout_s=options["timeout"],
        kernel=options["kernel"],
    )
    return execute(ask, location, run_id, detach=options["detach"], no_post_failure=quiet, serve=options["serve"], report=report)


def print_outcome(ask: CommandContext, location: Location, outcome: Outcome, *, key: str = "runId") -> None:
    """Print the row; for a run that waits or failed, print its state.

    Args:
        ask: Format of what is printed.
        location: Project and database of the run.
        outcome: How its execution ended.
        key: Name of the run's own id in the JSON document.
    """
    from smithers_nb.cli.run.execute import report_outcome

    found = own_row(location, outcome)
    if found is None or ask.fmt == "table":
        report_outcome(ask, location, outcome)
    else:
        print_finding({**dump(found.row), key: outcome.run_id, "notebook": str(outcome.notebook)}, ask.fmt, tuple)
