"""`incident`: the runbook of an orchestrator, followed on one run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.app import DONE, FAILED, WAITING
from smithers_nb.cli.investigate.verify import verify
from smithers_nb.cli.options import CommandContext, Utf8, command, group
from smithers_nb.cli.output import note, print_finding
from smithers_nb.cli.run_options import by_option, database_option, detach_option, location_of
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ControlRefused, ParameterError

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.lint.results import Linted
    from smithers_nb.workflows.incident.recover import Plan, Recovered
    from smithers_nb.workflows.incident.results import Classification

_LOG_LIMIT = 64_000_000
_ERRORS = 12

run_option = click.argument("run", type=Utf8(), metavar="RUN")
profile_option = click.option(
    "--profile", type=Utf8(), metavar="NAME|FILE", help="The orchestrator: a shipped profile or a .toml file.  [default: the one that fits]"
)
commands_option = click.option(
    "--commands", type=click.Path(path_type=Path), metavar="FILE", help="What was run on it, one JSON object per line."
)
place_options = (
    click.option(
        "--artifacts",
        type=click.Path(file_okay=False, path_type=Path),
        default="artifacts",
        show_default=True,
        help="Folder that gets incident/RUN: the copy and the log of every step.",
    ),
    click.option("--program", type=Utf8(), metavar="WORDS", help="How the orchestrator is called.  [default: as the profile says]"),
    click.option("--workdir", type=Utf8(), metavar="FOLDER", help="Folder that its commands run in.  [default: the current one]"),
)
with_option = click.option(
    "--with", "pairs", type=Utf8(), multiple=True, metavar="NAME=VALUE", help="A value that a step needs; repeatable. Never a key."
)


@command(
    "classify",
    run_option,
    commands_option,
    click.option("--details", type=click.Path(path_type=Path), metavar="FILE", help="The error's own details, as JSON."),
    profile_option,
    example="""smithers-nb incident classify runs/20261120-125835-nightly
smithers-nb incident classify runs/20261120-125835-nightly --commands commands.jsonl --format json
smithers-nb incident classify nightly-1 --profile notebooks
smithers-nb incident classify - < ci.log""",
    store=False,
)
def classify(ask: CommandContext, run: str, *, commands: Path | None, details: Path | None, profile: str | None) -> None:
    """Name which failure of the runbook a run has, and why.

    RUN is the run's directory, its id for a profile whose runs are no directories, or - for a log on standard input. Nothing is run and
    nothing is changed. A failure that no rule knows is unclassified; a cause that the evidence does not hold is unknown.
    """
    from smithers_nb.workflows.incident.target import open_target

    target = open_target(run, profile=profile, commands=commands, details=details, log=_standard_input() if run == "-" else None)
    found = target.classify()
    print_finding(found, ask.fmt, lambda: classification_page(found))


@command(
    "triage",
    run_option,
    commands_option,
    profile_option,
    *place_options,
    click.option("--apply", "apply_", is_flag=True, help="Ask whether to take the recovery, and take it then."),
    with_option,
    click.option("--run-id", type=Utf8(), metavar="ID", help="Id of the triage itself.  [default: one that sorts by time]"),
    detach_option,
    database_option,
    example="""smithers-nb incident triage runs/20261120-125835-nightly
smithers-nb incident triage runs/20261120-125835-nightly --program 'python3 ../curriculum/scripts/orchestration.py'""",
)
def triage(  # noqa: PLR0913  # its options
    ask: CommandContext,
    run: str,
    *,
    commands: Path | None,
    apply_: bool,
    pairs: tuple[str, ...],
    run_id: str | None,
    detach: bool,
    database: str | None,
    artifacts: Path,
    **options: Any,
) -> int:
    """Walk a run through its orchestrator's first triage, as a durable notebook.

    The run's directory is copied before anything is run. Then come the commands of the profile's flow, up to the first that fails;
    there the triage waits until somebody approves that it is fixed, and runs that command again. What would mend the run is planned; with
    --apply a gate asks whether to take it. Exit codes: 0 done, 3 waiting for a person.
    """
    from smithers_nb.cli.run.execute import execute
    from smithers_nb.engine.control import submit
    from smithers_nb.resources import resource
    from smithers_nb.workflows.incident.casefile import open_case

    given = {"commands": _whole(commands), "artifacts": str(artifacts.absolute()), **options}
    case = open_case(run, **given)
    case.require_program()
    location = location_of(ask, database)
    given |= {"run": str(case.run.root), "apply": apply_, "given": _values(pairs) or None}
    values = {name: value for name, value in given.items() if value is not None}
    started = submit(location, resource("notebooks/incident.ipynb"), values, run_id=run_id, post_failure=False)
    code = execute(ask, location, started, detach=detach, no_post_failure=True)
    if ask.fmt == "table" and not detach:
        click.echo("\n".join(("", *classification_page(case.classify()))))
    return code


@command(
    "recover",
    run_option,
    commands_option,
    profile_option,
    *place_options,
    with_option,
    click.option("--baseline", type=click.Path(exists=True, path_type=Path), help="An earlier copy of the run, folder or tar."),
    click.option("--apply", "apply_", is_flag=True, help="Take the steps; without it nothing is changed."),
    click.option("--yes", "-y", is_flag=True, help="Do not ask before taking them."),
    by_option,
    example="""smithers-nb incident recover runs/20261120-125835-nightly --commands commands.jsonl
smithers-nb incident recover runs/20261120-125835-nightly --with scope_file=scope.md --apply --yes""",
    store=False,
)
def recover(  # noqa: PLR0913  # its options
    ask: CommandContext,
    run: str,
    *,
    commands: Path | None,
    artifacts: Path,
    pairs: tuple[str, ...],
    baseline: Path | None,
    apply_: bool,
    yes: bool,
    by: str | None,
    **options: Any,
) -> int:
    """Plan the recovery of a run, and take it with --apply.

    Only the steps that fit the failure and its cause are taken, after the run was copied; the first that does not succeed ends it, and what
    was mended is classified again. Keys are never asked for, shown or kept. Exit codes: 0 recovered or only planned, 1 not recovered,
    3 waiting for a person.
    """
    from smithers_nb.engine.control import login
    from smithers_nb.workflows.incident.casefile import open_case
    from smithers_nb.workflows.incident.recover import plan_recovery, recover

    case = open_case(run, commands=commands, artifacts=artifacts, **options)
    found, values = case.classify(), _values(pairs)
    plan = plan_recovery(case, found, values, baseline=baseline)
    if not apply_:
        print_finding(plan, ask.fmt, lambda: plan_page(plan, found))
        return DONE
    if not yes:
        _confirm(plan, found)
    done = recover(case, found, values, agreed_by=by or login())
    print_finding(done, ask.fmt, lambda: recovered_page(done))
    return {"recovered": DONE, "waiting": WAITING}.get(done.outcome, FAILED)


def _values(pairs: tuple[str, ...]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ParameterError(f"--with {wrong[0]} has no value", hint="write --with NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _confirm(plan: Plan, found: Classification) -> None:
    if not sys.stdin.isatty():
        raise ControlRefused("confirmation required (not a terminal)", code="CONFIRMATION_REQUIRED", hint="add --yes")
    click.echo("\n".join(plan_page(plan, found)), err=True)
    click.confirm("Take these steps?", abort=True, err=True)


def plan_page(plan: Plan, found: Classification) -> Iterable[str]:
    """Lay out a recovery that nobody has taken yet."""
    sheet = Sheet()
    sheet.headline(found.state, plan.run_id, f"signature {plan.signature}" if plan.signature else "")
    sheet.blank()
    sheet.prose("What", found.summary)
    sheet.prose("Plan", plan.summary)
    for step in plan.steps:
        mark = "•" if step.needed else "○"
        sheet.prose("", f"{mark} {step.title}" + ("" if step.needed else f" (not needed: {step.because})"))
        if step.needed and step.shows:
            sheet.commands("", [f"             {step.shows}"])
    if plan.staleness:
        sheet.prose("Stale", f"{plan.staleness.verdict}: {plan.staleness.because}")
    return sheet.lines


def recovered_page(done: Recovered) -> Iterable[str]:
    """Lay out what a recovery came to."""
    sheet = Sheet()
    sheet.headline({"recovered": "finished", "waiting": "waiting"}.get(done.outcome, "failed"), done.run_id)
    sheet.blank()
    sheet.prose("What", done.summary)
    sheet.prose("Steps", *(f"{step.id}: {step.outcome}, {step.because}" for step in done.steps))
    if done.staleness:
        sheet.prose("Stale", f"{done.staleness.verdict}: {done.staleness.because}")
    return sheet.lines


@command(
    "escalate",
    run_option,
    commands_option,
    profile_option,
    *place_options,
    click.option("--to", type=Utf8(), metavar="WHERE", help="Folder or URL to file the bundle at.  [default: the incident's folder]"),
    click.option("--notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The executed notebook of the triage."),
    click.option("--force", is_flag=True, help="Also when no condition of the runbook holds."),
    example="""smithers-nb incident escalate runs/20261120-125835-nightly --commands commands.jsonl
smithers-nb incident escalate runs/20261120-125835-nightly --to s3://incidents/nightly --force""",
    store=False,
)
def escalate(  # noqa: PLR0913  # its options
    ask: CommandContext,
    run: str,
    *,
    commands: Path | None,
    artifacts: Path,
    to: str | None,
    notebook: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Bundle the evidence of an incident for the people that the runbook says to notify.

    One file, without secrets, with the same bytes for the same evidence: command, run id, provider and environment, exact error and
    artifacts first, then the run as it was before anything was run. Exit codes: 0 filed, 1 no condition holds.
    """
    from smithers_nb.workflows.incident.bundle import write_bundle
    from smithers_nb.workflows.incident.casefile import open_case

    case = open_case(run, commands=commands, artifacts=artifacts, **options)
    found = case.classify()
    if not (found.escalate or force):
        print_finding(found, ask.fmt, lambda: classification_page(found))
        note("not escalated: no condition of the runbook holds; --force files it all the same")
        return FAILED
    filed = write_bundle(case, found, to=to, notebook=notebook)
    print_finding(filed, ask.fmt, lambda: [filed.summary])
    return DONE


@command(
    "close",
    run_option,
    commands_option,
    profile_option,
    *place_options,
    click.option("--cause", type=Utf8(), metavar="TEXT", default="", help="Root cause.  [default: what it was classified as]"),
    click.option("--prevention", type=Utf8(), metavar="TEXT", default="", help="What keeps it from happening again."),
    click.option("--docs", type=Utf8(), metavar="TEXT", default="", help="Which documentation changed, or why none needs to."),
    click.option("--code-defect", is_flag=True, help="The cause is a defect in code: write a regression test that replays the run."),
    click.option("--no-gate", is_flag=True, help="Do not run the gate command."),
    example="""smithers-nb incident close runs/20261120-125835-nightly --prevention 'check the key at start' --docs 'runbook D'""",
    store=False,
)
def close(  # noqa: PLR0913  # its options
    ask: CommandContext,
    run: str,
    *,
    commands: Path | None,
    artifacts: Path,
    cause: str,
    prevention: str,
    docs: str,
    code_defect: bool,
    no_gate: bool,
    **options: Any,
) -> int:
    """Close an incident that is mended: regression test or operational cause, documentation, gate, and a summary for the pull request.

    The summary names systems and conditions, not people. Exit codes: 0 closed, 1 the gate failed, 3 an answer is still missing.
    """
    from smithers_nb.workflows.incident.casefile import open_case
    from smithers_nb.workflows.incident.close import ClosingAnswers, close

    case = open_case(run, commands=commands, artifacts=artifacts, **options)
    answers = ClosingAnswers(cause=cause, prevention=prevention, docs=docs, code_defect=code_defect, gate=not no_gate)
    done = close(case, case.classify(), answers)
    print_finding(done, ask.fmt, lambda: [done.summary, *done.notes, "", *done.markdown.splitlines()])
    return {"closed": DONE, "open": WAITING}.get(done.outcome, FAILED)


@command(
    "lint",
    click.argument("profile", type=Utf8(), metavar="PROFILE"),
    click.option("--captures", type=click.Path(path_type=Path), help="Folder of captured runs."),
    click.option("--program", type=Utf8(), metavar="WORDS", help="How the orchestrator is called here: steps are tried in copies."),
    example="""smithers-nb incident lint notebooks
smithers-nb incident lint curriculum-builder --captures captures
smithers-nb incident lint ours.toml --captures captures --program 'python3 scripts/ours.py'""",
    store=False,
)
def lint(ask: CommandContext, profile: str, *, captures: Path | None, program: str | None) -> int:
    """Find the steps of a runbook that cannot work in the state they are meant for.

    Steps are tried in copies of captured runs where the orchestrator is installed; where it is not, captured commands are replayed.
    Runs that are rows are made in an empty folder, and mended there. Nothing is found without a run or a capture. Exit codes: 0 no drift,
    1 at least one step cannot work.
    """
    from smithers_nb.workflows.incident.lint.check import lint
    from smithers_nb.workflows.incident.profile import load_profile

    found = lint(load_profile(profile), captures, program=program)
    print_finding(found, ask.fmt, lambda: linted_page(found))
    return FAILED if found.drift else DONE


def linted_page(found: Linted) -> Iterable[str]:
    """Lay out what trying a runbook came to."""
    sheet = Sheet()
    state = "failed" if found.drift else "finished" if any(row.outcome == "works" for row in found.steps) else "unclear"
    sheet.headline(state, found.profile, f"last proved on {found.proved_on or 'no day'}")
    sheet.blank()
    sheet.prose("What", found.summary)
    states = {"works": "finished", "fails": "failed", "not tried here": "pending"}
    sheet.states(
        "Steps", [(states[row.outcome], row.id, row.outcome, f"{row.says}  {row.where}  {row.output}".rstrip()) for row in found.steps]
    )
    for row in found.steps:
        sheet.prose("Instead" if row.instead else "", f"{row.id}: {row.instead}" if row.instead else "")
    return sheet.lines


def _whole(file: Path | None) -> str | None:
    return str(file.absolute()) if file is not None else None


def _standard_input() -> str:
    if sys.stdin.isatty():
        note("reading a log; Ctrl-D ends it")
    content = sys.stdin.buffer.read(_LOG_LIMIT + 1)
    if len(content) > _LOG_LIMIT:
        raise ParameterError(f"the log has more than {_LOG_LIMIT // 1_000_000} MB", hint="give its end: tail -c 10M LOG | …")
    return content.decode("utf-8", "replace")


def classification_page(found: Classification) -> Iterable[str]:
    """Lay out a classification."""
    sheet = Sheet()
    sheet.headline(found.state, found.run_id or found.profile, f"signature {found.signature}" if found.signature else "")
    sheet.blank()
    sheet.prose("What", found.summary)
    sheet.prose("Rule", f"{found.rule}, confidence {found.confidence}")
    sheet.prose("Subcause", found.subcause)
    sheet.verbatim("Failed", [f"{' '.join(found.failing)}  (exit {found.exit})"] if found.failing else [])
    sheet.verbatim("Evidence", [f"{item.ref}  {item.quote}" for item in found.evidence if not found.errors])
    primary = [line for line in found.errors if not line.secondary]
    sheet.verbatim("Errors", [f"{line.error_class or 'unknown'}: {line.text}" for line in primary[:_ERRORS]])
    sheet.prose("", f"{len(primary) - _ERRORS} more" if len(primary) > _ERRORS else "")
    sheet.prose("Fix", *dict.fromkeys(line.fix for line in primary))
    sheet.prose("Provider", found.provider.note if found.provider else "")
    sheet.prose("Escalate", *(f"{item.id}: {item.title}: {item.because}" for item in found.escalation))
    sheet.prose("Note", *found.problems)
    return sheet.lines


_COMMANDS: tuple[Any, ...] = (triage, classify, recover, escalate, verify, close, lint)
incident = group("incident", *_COMMANDS, help="Follow an orchestrator's runbook on one run: triage, classify, recover, escalate.")
