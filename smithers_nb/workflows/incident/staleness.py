"""Decides whether a run that looks stale really is, by the content of its files rather than their modification times.

Orchestrators that compare modification times call a run stale when its files were only touched or copied. Here contents are compared with
an earlier copy of the run (from an earlier incident, or one that a person names). Without a copy the verdict is `unknown`. Once the outputs
have been rebuilt, outputs equal to the old ones show a false alarm.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from smithers_nb.errors import ParameterError
from smithers_nb.model.finding import Finding
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.archive import read_archive
from smithers_nb.workflows.incident.signatures.run_state import RunState

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.casefile import CaseFile


class NewerInput(Finding):
    """An input that is newer than an output made from it.

    Attributes:
        changed: Whether its content differs from the earlier copy; None without a copy.
    """

    input: str
    output: str
    newer_by_s: float
    changed: bool | None = None


class Staleness(Finding):
    """Whether outputs are out of date.

    Attributes:
        verdict: `real`, an input's content changed; `false-alarm`, none did; `unknown`, no earlier content is known; `current`, no input
            is newer.
        because: Which edit caused it, in a sentence.
    """

    verdict: Literal["real", "false-alarm", "unknown", "current"]
    because: str
    newer: tuple[NewerInput, ...] = ()


def staleness_of(case: CaseFile, baseline: Path | None = None) -> Staleness:
    """Decide by content whether the outputs of a run are stale.

    Args:
        case: The run.
        baseline: An earlier copy of it whose outputs were current: a directory, or a tar file such as the orchestrator's own archive.

    Raises:
        ParameterError: The baseline is neither a directory nor a tar file.
    """
    state = RunState(RunDirectory(case.run.root), case.profile)
    known = contents(baseline, case.run_id) if baseline is not None else {}
    newer = tuple(_newer_inputs(state, known))
    if not newer:
        return _judge_rebuilt(case, state)
    touched = "; ".join(f"{item.input} is newer than {item.output}" for item in newer)
    if any(item.changed is None for item in newer):
        return Staleness(verdict="unknown", because=f"{touched}; give an earlier copy to compare contents with (--baseline)", newer=newer)
    edited = sorted({item.input for item in newer if item.changed})
    if edited:
        return Staleness(verdict="real", because=f"the content of {', '.join(edited)} has changed", newer=newer)
    return Staleness(verdict="false-alarm", because=f"{touched}, but with the same content: only its time has changed", newer=newer)


def _newer_inputs(state: RunState, known: dict[str, str]) -> list[NewerInput]:
    found = []
    for rule in state.profile.stages.reached:
        made = state.mtime_ns(rule.marker) if rule.marker else None
        for name in rule.newer_than if made is not None else ():
            time = state.mtime_ns(name)
            if time is not None and made is not None and time > made:
                path = state.profile.path(name)
                now = state.run.sha256(path) if state.run is not None else None
                changed = None if path not in known else known[path] != now
                found.append(
                    NewerInput(input=path, output=state.profile.path(rule.marker), newer_by_s=(time - made) / 1e9, changed=changed)
                )
    return found


def _judge_rebuilt(case: CaseFile, state: RunState) -> Staleness:
    """Judge current outputs: if they were stale when the incident began, their content now shows whether that mattered."""
    before = read_archive(case.before)
    times = before.mtimes() if before else {}
    hashes = {item.path: item.sha256 for item in before.files} if before else {}
    markers = [case.profile.path(rule.marker) for rule in case.profile.stages.reached if rule.marker]
    again = [path for path in markers if path in times and (entry := case.run.entry(path)) and entry.mtime_ns != times[path]]
    if not again or state.run is None:
        return Staleness(verdict="current", because="no input is newer than an output made from it")
    differ = [path for path in again if state.run.sha256(path) != hashes[path]]
    if differ:
        return Staleness(verdict="real", because=f"rebuilt, {', '.join(differ)} differ from before")
    return Staleness(verdict="false-alarm", because="rebuilt, the outputs are the same as before: only times had changed")


def contents(place: Path, run_id: str) -> dict[str, str]:
    """Return the SHA-256 of every file in a directory or tar file, by its path in the run.

    Raises:
        ParameterError: The place is neither.
    """
    if place.is_dir():
        run = RunDirectory(place)
        return {entry.path: run.sha256(entry.path) or "" for entry in run.entries if entry.kind == "file"}
    found: dict[str, str] = {}
    try:
        with tarfile.open(place) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    found[member.name.removeprefix("./").removeprefix(f"{run_id}/")] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, tarfile.TarError) as error:
        raise ParameterError(f"{place} is neither a directory nor a tar file: {error}", hint="give an earlier copy of the run") from None
    return found
