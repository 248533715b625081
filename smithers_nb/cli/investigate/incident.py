"""`incident`: the runbook of an orchestrator, followed on one run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import Asked, Utf8, command, group
from smithers_nb.cli.output import note, print_finding
from smithers_nb.cli.text_page import Sheet
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
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


@command(
    "classify",
    run_option,
    commands_option,
    click.option("--details", type=click.Path(path_type=Path), metavar="FILE", help="The error's own details, as JSON."),
    profile_option,
    example="""smithers-nb incident classify runs/20261120-125835-nightly
smithers-nb incident classify runs/20261120-125835-nightly --commands commands.jsonl --format json
smithers-nb incident classify - < ci.log""",
    store=False,
)
def classify(ask: Asked, run: str, *, commands: Path | None, details: Path | None, profile: str | None) -> None:
    """Say which failure of the runbook a run has, and why.

    RUN is the run's directory, its id for a profile whose runs are no directories, or - for a log on standard input. Nothing is run and
    nothing is changed. A failure that no rule knows is unclassified; a cause that the evidence does not hold is unknown.
    """
    from smithers_nb.workflows.incident.target import open_target

    target = open_target(run, profile=profile, commands=commands, details=details, log=_standard_input() if run == "-" else None)
    found = target.classify()
    print_finding(found, ask.fmt, lambda: classification_page(found))


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
    sheet.headline(_state_of(found), found.run_id or found.profile, f"signature {found.signature}" if found.signature else "")
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


def _state_of(found: Classification) -> str:
    return "finished" if found.rule == "none" else "resolved" if found.resolved else "failed"


_COMMANDS: tuple[Any, ...] = (classify,)
incident = group("incident", *_COMMANDS, help="Follow an orchestrator's runbook on one run: triage, classify, recover, escalate.")
