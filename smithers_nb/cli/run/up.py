"""`up`: run a notebook as a durable run, or hand a Smithers workflow to its own CLI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import CommandContext, Utf8, command
from smithers_nb.cli.run.execute import execute, refuse_to_serve_detached
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
    settings_of,
    settings_options,
    yes_option,
)
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    from smithers_nb.cli.run.own_notebooks import Report

_SMITHERS = {".tsx", ".ts", ".jsx", ".js"}
run_options = (
    *parameter_options,
    detach_option,
    click.option("--run-id", type=Utf8(), metavar="ID", help="The run's id.  [default: one that sorts by time]"),
    quiet_option,
    click.option("--serve", is_flag=True, help="Serve a live page of the run, on this machine only, until it ends."),
    database_option,
    *settings_options,
)


@command(
    "up",
    click.argument("file", type=click.Path(path_type=Path), metavar="FILE"),
    *run_options,
    click.option("--resume", is_flag=True, help="Resume the run of --run-id instead of starting one."),
    force_option,
    accept_option,
    yes_option,
    example="smithers-nb up nightly.ipynb -p day 2026-11-20\n"
    "smithers-nb up nightly.ipynb --detach --format json\nsmithers-nb up nightly.ipynb --run-id nightly-1 --resume",
)
def up(ask: CommandContext, file: Path, *, resume: bool, **options: Any) -> int:
    """Run a notebook durably; FILE.tsx goes to the Smithers CLI.

    Any papermill notebook will do: each code cell is a node of the run. What `stage` has finished is skipped when the run is executed
    again, and a gate parks it until somebody decides. Exit codes: 0 finished, 1 failed, 2 cancelled, 3 waiting, 4 refused.
    """
    if file.suffix in _SMITHERS:
        from smithers_nb.cli.run.smithers_cli import hand_over

        return hand_over(file, resume=resume, **options)
    if resume:
        return resume_run(ask, file, **options)
    for name in ("force", "accept_workflow_change", "yes"):
        if options.pop(name):
            raise ParameterError(f"--{name.replace('_', '-')} is about a run that is there already", hint="add --resume --run-id ID")
    return start(ask, file, **options)


def start(  # noqa: PLR0913  # the options of two commands
    ask: CommandContext,
    file: Path,
    *,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    detach: bool,
    run_id: str | None,
    serve: bool,
    database: str | None,
    no_post_failure: bool,
    **settings: Any,
) -> int:
    """Start a new run of a notebook and execute it."""
    from smithers_nb.engine.control import submit

    refuse_to_serve_detached(detach=detach, serve=serve)
    wanted = settings_of(no_post_failure=no_post_failure, **settings)
    location = location_of(ask, database)
    started = submit(
        location,
        file,
        given_parameters(pairs, parameters_file, document),
        run_id=run_id,
        **{name: value for name, value in wanted._asdict().items() if value is not None},
    )
    return execute(ask, location, started, detach=detach, no_post_failure=no_post_failure, serve=serve)


def resume_run(  # noqa: PLR0913  # the options of `up` that a resume has
    ask: CommandContext,
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
    report: Report | None = None,
    **settings: Any,
) -> int:
    """Resume a run of this notebook."""
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
        report=report,
        **settings,
    )
