"""`verify`: whether a bundle of evidence is what its manifest says; also offered as `incident verify`."""

from __future__ import annotations

from pathlib import Path

import click

from smithers_nb.cli.app import DONE, FAILED
from smithers_nb.cli.options import CommandContext, command
from smithers_nb.cli.output import print_finding


@command(
    "verify",
    click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE"),
    example="""smithers-nb verify escalation-20261120-125835-nightly-20261120125900.tar
smithers-nb incident verify escalation-20261120-125835-nightly-20261120125900.tar""",
    store=False,
)
def verify(ask: CommandContext, bundle: Path) -> int:
    """Check that a bundle is what its manifest says. Exit codes: 0 it is, 1 it is not."""
    from smithers_nb.workflows.bundle import verify_bundle

    found = verify_bundle(bundle)
    print_finding(found, ask.fmt, lambda: [found.summary, *(f"  {problem}" for problem in found.problems)])
    return DONE if found.ok else FAILED
