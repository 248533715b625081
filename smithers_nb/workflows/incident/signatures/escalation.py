"""The escalation conditions of the runbook, as functions over what failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from smithers_nb.workflows.incident.results import Escalated, Fault

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.workflows.incident.profile_parts import Escalation
    from smithers_nb.workflows.incident.signatures.failure_text import ReportLine
    from smithers_nb.workflows.incident.signatures.run_state import RunState

Failures = Sequence[tuple["CommandRecord", Fault, tuple["ReportLine", ...]]]
"""Each command that failed, with its classification and the validator's error lines in its output."""


def escalations(state: RunState, failures: Failures) -> tuple[Escalated, ...]:
    """Return the conditions of the profile that are met, in its order."""
    checked = ((rule, _CONDITIONS[rule.kind](rule, state, failures)) for rule in state.profile.escalation)
    return tuple(Escalated(id=rule.id, title=rule.title, because=because) for rule, because in checked if because)


def _repeated(rule: Escalation, state: RunState, failures: Failures) -> str:
    """Count the failures of one group, and the distinct settings they had."""
    del state
    counted = [command for command, fault, _ in failures if fault.group == rule.group]
    settings = {tuple(command.env.get(name, "") for name in rule.settings) for command in counted}
    if len(counted) < rule.at_least or len(settings) < rule.at_least_settings:
        return ""
    return f"{len(counted)} failures under {len(settings)} different settings of {', '.join(rule.settings)}"


def _same_errors(rule: Escalation, state: RunState, failures: Failures) -> str:
    """Check for the same set of validator errors, repeated after validation had passed once."""
    passed_before = next((step.at for step in state.history if re.search(rule.baseline, step.message)), None)
    sets = [(command, frozenset(line.text for line in lines)) for command, _, lines in failures if lines]
    if not sets:
        return ""
    last = sets[-1][1]
    times = [command for command, errors in sets if errors == last]
    passed = state.profile.report.passed
    printed = any(command.n < times[0].n and re.search(passed, command.stdout, re.MULTILINE) for command in state.commands)
    if len(times) < rule.at_least or not (printed or passed_before):
        return ""
    return f"the same {len(last)} errors {len(times)} times, after validation had passed"


def _unparsable(rule: Escalation, state: RunState, failures: Failures) -> str:
    """Check for a core file that cannot be parsed, or a validator that says so."""
    del rule
    core = [name for name, file in state.profile.files.items() if file.core]
    broken = [problem.detail for name in core if (problem := state.problems.get(name)) and problem.problem in _UNPARSABLE]
    said = [line.text for _, _, lines in failures for line in lines if line.error_class == "parse"]
    return "; ".join(broken or said[:1])


_UNPARSABLE: Final = frozenset({"invalid-json", "not-an-object"})
_CONDITIONS: Final[Mapping[str, Callable[[Escalation, RunState, Failures], str]]] = {
    "repeated": _repeated,
    "same-errors": _same_errors,
    "unparsable": _unparsable,
}
