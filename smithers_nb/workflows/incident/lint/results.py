"""What trying a runbook came to, as rows."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import Finding


class Checked(Finding):
    """One documented step.

    Attributes:
        outcome: `works`, `fails`, or `not tried here`.
        where: The capture that shows it, `sandbox of` one, or `made here` for a run that was made to try it.
        output: What the command printed last, or what was found; without secrets.
        at: When it was last shown, as recorded; empty when it was not.
    """

    id: str
    says: str
    state: str
    outcome: Literal["works", "fails", "not tried here"]
    where: str = ""
    output: str = ""
    at: str = ""
    instead: str = ""


class Linted(Finding):
    """What trying a runbook came to.

    Attributes:
        drift: At least one step cannot work where it is meant to.
        proved_on: When a step was last shown to work or to fail; empty when none was.
    """

    summary: str
    profile: str
    drift: bool
    proved_on: str
    steps: tuple[Checked, ...]
