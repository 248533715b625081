"""The result rows of `incident lint`."""

from __future__ import annotations

from typing import Literal

from smithers_nb.model.finding import Finding


class Checked(Finding):
    """One documented step.

    Attributes:
        outcome: `works`, `fails`, or `not tried here`.
        where: The capture that shows it, `sandbox of` one, or `made here` for a run made for the trial.
        output: The last line the command printed, or what was found; redacted.
        at: When it was last shown; empty when it was not.
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
    """The result of checking a runbook.

    Attributes:
        drift: At least one step does not work in the state it is meant for.
        proved_on: When a step was last shown to work or to fail; empty when none was.
    """

    summary: str
    profile: str
    drift: bool
    proved_on: str
    steps: tuple[Checked, ...]
