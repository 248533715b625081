"""`smithering`: a request from one sentence to delivered work, as a durable run of the smithering notebook."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from smithers_nb.cli.investigate.monitor import absolute
from smithers_nb.cli.options import CommandContext, Utf8, command
from smithers_nb.cli.run.execute import execute, refuse_to_serve_detached
from smithers_nb.cli.run.own_notebooks import print_outcome, start_notebook
from smithers_nb.cli.run.up import run_options
from smithers_nb.cli.run_options import given_parameters, location_of, runs_of
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ParameterError
from smithers_nb.present.html.text import shown

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.workflows.smithering.results.delivery import SmitheringRow

NOTEBOOK: Final = "notebooks/smithering.ipynb"
_SLACK_S: Final = 3_600.0
_MAX_FILES: Final = 12
_CHOSEN: Final = (
    "max_agent_calls",
    *("repo", "route", "review", "poc", "smoke_test", "base_branch", "max_monitor_hours", "provider", "book", "checks", "parallel", "push"),
    *("pull_request", "by", "on_behalf_of"),
)
"""Options that are parameters of the run."""

_positive = click.FloatRange(min=0, min_open=True)


@command(
    "smithering",
    click.argument("prompt", type=Utf8(), required=False),
    click.option("--repo", type=Utf8(), metavar="FOLDER", help="Repository to build in.  [default: the current folder]"),
    click.option("--route", type=click.Choice(["auto", "trivial", "complex", "full-build"]), help="How much process.  [default: auto]"),
    click.option("--review/--no-review", default=None, help="Wait at gates; --no-review is your decision for all of them.  [default: yes]"),
    click.option("--poc/--no-poc", default=None, help="Build a proof of concept first.  [default: no]"),
    click.option("--smoke-test/--no-smoke-test", default=None, help="Rehearse the generated workflow before its launch.  [default: yes]"),
    click.option("--base-branch", type=Utf8(), metavar="NAME", help="Branch that the work starts from.  [default: main]"),
    click.option("--max-monitor-hours", type=_positive, metavar="HOURS", help="How long a launched build is watched.  [default: 24]"),
    click.option("--provider", type=Utf8(), help="Who works: codex_exec or scripted.  [default: AGENT_PROVIDER, else codex_exec]"),
    click.option("--book", type=Utf8(), metavar="FILE", help="Answer book of the provider scripted, which this then is."),
    click.option(
        "--checks", type=Utf8(), metavar="COMMAND", help="What decides about work without a pipeline.  [default: found in the repository]"
    ),
    click.option("--parallel", type=click.IntRange(1, 64), help="Tickets worked on at a time.  [default: 2]"),
    click.option("--push", type=Utf8(), metavar="REMOTE", help="Push the branch after gate:delivery; nothing is pushed otherwise."),
    click.option("--pull-request", is_flag=True, default=None, help="Open a pull request after the push, with `gh`."),
    click.option("--by", type=Utf8(), metavar="NAME", help="Who asks for it.  [default: your login]"),
    click.option("--on-behalf-of", type=Utf8(), metavar="NAME", help="Person that an operating agent acts for; both are recorded."),
    click.option("--max-agent-calls", type=click.IntRange(1), metavar="N", help="Calls of agents in all of the run.  [default: 500]"),
    click.option("--again", type=Utf8(), metavar="RUN", help="Build again what has not landed in a run, and continue that run."),
    click.option("--demo", is_flag=True, help="Build a small repository from end to end with scripted answers, in a separate folder."),
    *run_options,
    example='smithers-nb smithering "Let the export command print JSON as well"\n'
    'smithers-nb smithering --route full-build "A command line for our price list" --repo ../prices\n'
    "smithers-nb smithering --again RUN\n"
    "smithers-nb smithering --demo",
)
def smithering(  # noqa: PLR0913  # the request, and three ways to name parameters
    ask: CommandContext,
    prompt: str | None,
    *,
    demo: bool,
    again: str | None,
    pairs: tuple[tuple[str, str], ...],
    parameters_file: Path | None,
    document: str | None,
    **options: Any,
) -> int:
    """Take a request from one sentence to delivered work: sized, planned, built from tickets, verified, reviewed, handed over on a branch.

    Without PROMPT you are asked for it. The run waits at gates (`approve`, `deny`) and questions (`human answer`); nothing passes a gate by
    itself. Exit codes: 0 it ended, with or without success; 3 it waits for you.
    """
    if demo:
        from smithers_nb.cli.run.smithering_demo import run_demo

        return run_demo(ask)
    from smithers_nb.workflows.smithering.landing.worktrees import hide_ours

    if again is not None:
        if prompt is not None:
            raise ParameterError("--again takes no PROMPT: the run has one", hint="leave PROMPT or --again out")
        return _again(ask, again, **options)
    chosen = _chosen({name: options.pop(name) for name in _CHOSEN} | {"prompt": prompt})
    parameters = given_parameters(pairs, parameters_file, document) | chosen
    for folder in {location_of(ask, options["database"]).root, Path(str(parameters.get("repo") or "."))}:
        hide_ours(folder)
    hours = parameters.get("max_monitor_hours", parameters.get("maxMonitorHours", 24))
    limit = float(str(hours)) * 3_600 + _SLACK_S
    options |= {name: options[name] or limit for name in ("cell_timeout", "timeout")}
    return start_notebook(ask, NOTEBOOK, parameters, print_outcome, **options)


def _again(  # noqa: PLR0913  # the options that mean something to it
    ask: CommandContext,
    run: str,
    *,
    max_agent_calls: int | None,
    detach: bool,
    serve: bool,
    no_post_failure: bool,
    database: str | None,
    **_: Any,
) -> int:
    from smithers_nb.workflows.smithering.launch.again import build_again

    refuse_to_serve_detached(detach=detach, serve=serve)
    location = runs_of(ask, database)
    run_id = build_again(location, run, agent_calls=max_agent_calls or 0, here=not detach)
    return execute(ask, location, run_id, detach=detach, no_post_failure=no_post_failure, serve=serve, report=print_outcome)


def page(row: SmitheringRow, outcome: Outcome | None) -> Iterable[str]:
    """Lay the row out for a terminal."""
    sheet = Sheet()
    mark = {"delivered": "finished", "cancelled": "cancelled"}.get(row.status, "failed")
    sheet.headline(mark, outcome.run_id if outcome else "", row.status)
    sheet.blank()
    sheet.prose("Now", row.summary)
    sheet.prose("Branch", row.branch or "")
    sheet.prose("Pull request", row.pr_url or "")
    sheet.prose("Changed", ", ".join(row.files_changed[:_MAX_FILES]))
    sheet.prose("To fix", f"{row.must_fix_count} issues of the reviews" if row.must_fix_count else "")
    sheet.blank()
    sheet.lines.append(f"Report    {shown(row.report_path or '')}")
    if outcome and outcome.notebook:
        sheet.lines.append(f"Notebook  {shown(outcome.notebook)}")
    return sheet.lines


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given as options."""
    from smithers_nb.engine.control import login

    by, repo, book = given.pop("by"), given["repo"], given["book"]
    given |= {
        "repo": repo and absolute(repo),
        "book": book and absolute(book),
        "provider": given["provider"] or ("scripted" if book else None),
        "started_by": by or login(),
    }
    return {name: value for name, value in given.items() if value is not None}
