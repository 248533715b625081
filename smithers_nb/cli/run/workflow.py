"""`workflow run` and `workflow list`: the installed workflows, by name."""

from __future__ import annotations

from typing import Any

import click

from smithers_nb.cli.options import CommandContext, Utf8, command, group
from smithers_nb.cli.output import Column, print_rows
from smithers_nb.cli.run.up import run_options, start
from smithers_nb.cli.run_options import location_of


@command(
    "run",
    click.argument("workflow", type=Utf8(), metavar="WORKFLOW"),
    *run_options,
    example="smithers-nb workflow run release-check -p release 1.4\nsmithers-nb workflow run post-failure -p target_run_id 49315",
)
def run(ask: CommandContext, workflow: str, **options: Any) -> int:
    """Run an installed workflow by its name, as `up` runs a file."""
    from smithers_nb.workflows.pack.install import workflow_file

    return start(ask, workflow_file(location_of(ask, options["database"]), workflow), **options)


@command(
    "list",
    click.option("--system", is_flag=True, help="Include those that are launched automatically."),
    example="smithers-nb workflow list\nsmithers-nb workflow list --system --format json",
)
def listed(ask: CommandContext, *, system: bool) -> None:
    """List the installed workflows, with what they take."""
    from smithers_nb.workflows.pack.install import installed_workflows

    location = location_of(ask)
    columns = (
        Column("WORKFLOW", lambda row: row["id"]),
        Column("WHAT IT DOES", lambda row: row["title"], grow=True),
        Column("PARAMETERS", lambda row: ", ".join(row["parameters"]), spare=1),
    )
    rows = [{**found._asdict(), "file": str(found.file)} for found in installed_workflows(location, system=system)]
    print_rows(rows, ask.fmt, columns, nothing=f"no workflows in {location.workflows}; `smithers-nb init` installs the pack")


workflow = group("workflow", run, listed, help="Run an installed workflow by its name, or list them.")
