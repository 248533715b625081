"""Which model provider a run used: an orchestrator may silently use another one than configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.workflows.incident.results import ProviderUse
from smithers_nb.workflows.incident.signatures.run_state import dig

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.workflows.incident.signatures.run_state import RunState


def provider_of(state: RunState, command: CommandRecord | None) -> ProviderUse | None:
    """Compare the provider a command was configured to use with the one named in the run's own record.

    Args:
        state: The run.
        command: The command in question; None when only files are known.

    Returns:
        None when the profile has no providers, or neither is known.
    """
    spec = state.profile.provider
    if not spec.configured:
        return None
    effective = _effective(state)
    if command is None:
        return ProviderUse(configured="", effective=effective) if effective else None
    asked = command.env.get(spec.configured, "").strip() or spec.default
    meant = spec.aliases.get(asked, asked)
    runs = meant if meant in spec.known else spec.unknown_runs
    note = "" if meant in spec.known else f"{spec.configured}={asked} is not a provider, so {runs} runs instead and nothing says so"
    if not note and effective and effective != runs:
        note = f"{spec.configured} asks for {runs}; the last answer in {state.profile.path(spec.file)} came from {effective}"
    return ProviderUse(configured=asked, effective=effective, note=note)


def _effective(state: RunState) -> str | None:
    spec = state.profile.provider
    if state.run is None or not spec.file:
        return None
    try:
        value = dig(state.run.json(state.profile.path(spec.file)), spec.field)
    except (ValueError, OSError):
        return None
    return value if isinstance(value, str) else None
