"""`up`: run a notebook as a durable run, or hand a Smithers workflow to its own CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smithers_nb.cli.options import Asked, Utf8, command
from smithers_nb.cli.run.execute import execute
from smithers_nb.cli.run_options import (
    accept_option,
    database_option,
    detach_option,
    force_option,
    given_parameters,
    location_of,
    parameter_options,
    quiet_option,
    runs_of,
    yes_option,
)
from smithers_nb.errors import ParameterError

_SMITHERS = {".tsx", ".ts", ".jsx", ".js"}
_SECONDS = click.FloatRange(min=0, min_open=True)
run_options = (
    *parameter_options,
    detach_option,
    click.option("--run-id", type=Utf8(), metavar="ID", help="The run's id.  [default: one that sorts by time]"),
    click.option("--hot", is_flag=True, help="Edits of cells that have not run yet apply to the live run."),
    quiet_option,
    click.option("--serve", is_flag=True, help="Show the run live on a page of its own, on this machine only, until it ends."),
    click.option("--artifacts", type=Utf8(), metavar="URL", help="Folder, or URL such as s3://…, for what the run writes."),
    database_option,
    click.option("--timeout", type=_SECONDS, default=1800.0, show_default=True, metavar="SECONDS", help="Limit of one execution."),
    click.option("--cell-timeout", type=_SECONDS, default=600.0, show_default=True, metavar="SECONDS", help="Limit of one cell."),
)


@command(
    "up",
    click.argument("file", type=click.Path(path_type=Path), metavar="FILE"),
    *run_options,
    click.option("--resume", is_flag=True, help="Go on with the run of --run-id instead of starting one."),
    force_option,
    accept_option,
    yes_option,
    example="smithers-nb up nightly.ipynb -p day 2026-11-20\n"
    "smithers-nb up nightly.ipynb --detach --format json\nsmithers-nb up nightly.ipynb --run-id nightly-1 --resume",
)
def up(ask: Asked, file: Path, *, resume: bool, **options: Any) -> int:
    """Run a notebook durably; FILE.tsx goes to the Smithers CLI.

    Any papermill notebook will do: each code cell is a node of the run. What `stage` has finished is skipped when the run is executed
    again, and a gate parks it until somebody decides. Exit codes: 0 finished, 1 failed, 2 cancelled, 3 waiting, 4 refused.
    """
    if file.suffix in _SMITHERS:
        from smithers_nb.cli.run.smithers_cli import hand_over

        return hand_over(file, resume=resume, **options)
    return go_on(ask, file, **options) if resume else start(ask, file, **options)


def start(  # noqa: PLR0913  # the options of two commands
    ask: Asked,
    file: Path,
    *,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    detach: bool,
    run_id: str | None,
    hot: bool,
    no_post_failure: bool,
    serve: bool,
    artifacts: str | None,
    database: str | None,
    timeout: float,  # of a notebook
    cell_timeout: float,
    **_resume_only: Any,
) -> int:
    """Start a new run of a notebook and execute it."""
    from smithers_nb.engine.control import submit

    location = location_of(ask, database)
    started = submit(
        location,
        file,
        given_parameters(pairs, parameters_file, document),
        run_id=run_id,
        hot=hot,
        post_failure=not no_post_failure,
        artifacts=artifacts,
        cell_timeout_s=cell_timeout,
        total_timeout_s=timeout,
    )
    return execute(ask, location, started, detach=detach, no_post_failure=no_post_failure, serve=serve)


def go_on(  # noqa: PLR0913  # the options of `up` that a resume has
    ask: Asked,
    file: Path,
    *,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    detach: bool,
    run_id: str | None,
    no_post_failure: bool,
    serve: bool,
    database: str | None,
    force: bool,
    accept_workflow_change: bool,
    yes: bool,
    **_start_only: Any,
) -> int:
    """Go on with a run of this notebook."""
    from smithers_nb.cli.run.control import resumed

    if run_id is None:
        raise ParameterError("--resume needs the run", hint="name it: --run-id ID, or use `smithers-nb resume ID`")
    return resumed(
        ask,
        runs_of(ask, database),
        run_id,
        notebook=file,
        parameters=given_parameters(pairs, parameters_file, document),
        force=force,
        accept_workflow_change=accept_workflow_change,
        yes=yes,
        detach=detach,
        no_post_failure=no_post_failure,
        serve=serve,
    )
