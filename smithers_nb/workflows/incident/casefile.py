"""The folder of one incident: the copy taken before anything was run, and the log of every step.

It is private to its owner (it holds what the run holds) and lies among the artifacts, in `incident/RUN`. What leaves the machine is the
bundle, never this folder.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.artifacts import artifact_path
from smithers_nb.errors import ParameterError
from smithers_nb.sources.rundir.commands import read_commands
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.archive import Archive, read_archive, write_archive
from smithers_nb.workflows.incident.profile import Profile, find_profile, load_profile
from smithers_nb.workflows.incident.runner import Runner, StepLog
from smithers_nb.workflows.incident.signatures.classify import classify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.workflows.incident.results import Classification

_BEFORE = "before.tar"
_STEPS = "steps.jsonl"


@dataclass(frozen=True)
class CaseFile:
    """One incident.

    Attributes:
        run: The run's directory.
        folder: Where the incident is written down.
        earlier: Commands that were recorded by somebody else before.
        program: How the orchestrator is called, instead of the profile's way.
        workdir: Folder that its commands run in.
        profile_file: File of a profile that is not shipped; empty for a shipped one.
    """

    profile: Profile
    run: RunDirectory
    folder: Path
    earlier: tuple[CommandRecord, ...] = ()
    program: tuple[str, ...] = ()
    workdir: Path = field(default_factory=Path.cwd)
    profile_file: str = ""

    @property
    def log(self) -> StepLog:
        """The log of its steps."""
        return StepLog(self.folder / _STEPS)

    @property
    def before(self) -> Path:
        """The copy of the run that was taken before anything was run."""
        return self.folder / _BEFORE

    @cached_property
    def run_id(self) -> str:
        """The run's id, which is the name of its directory."""
        return self.run.run_id

    def snapshot(self) -> Archive:
        """Copy the run before anything is run on it; once per incident.

        Raises:
            ArtifactsNotWritten: It could not be copied; nothing else may be done then.
        """
        there = read_archive(self.before)
        if there is not None:
            return there
        archive = write_archive(RunDirectory(self.run.root), self.before)
        self.log.append("snapshot", decision="done", because=f"{len(archive.files)} names, sha256 {archive.sha256}")
        return archive

    def runner(self, values: Mapping[str, str] | None = None, changes: Mapping[str, str | None] | None = None) -> Runner:
        """Return what runs the orchestrator's commands on this run."""
        return Runner(
            self.profile, self.run_id, self.log, self.run.root, values or {}, changes or {}, program=self.program, folder=self.workdir
        )

    def commands(self) -> tuple[CommandRecord, ...]:
        """Return what was run on it: what others recorded, then our own steps that are commands."""
        ours = read_commands(self.log.file)[0] if self.log.file.exists() else ()
        rows = (*self.earlier, *(record for record in ours if record.argv))
        return tuple(replace(record, n=n) for n, record in enumerate(rows, 1))

    def classify(self, details: Any = None) -> Classification:
        """Classify the run as it stands."""
        return classify(self.profile, RunDirectory(self.run.root), self.commands(), details)


def open_case(  # noqa: PLR0913  # all but the run are options by name
    run: str | Path,
    *,
    profile: str | None = None,
    commands: str | Path | None = None,
    artifacts: str | Path = "artifacts",
    program: str | None = None,
    workdir: str | Path | None = None,
) -> CaseFile:
    """Open the incident of a run; nothing is written yet.

    Args:
        run: The run's directory.
        profile: Name or file of the orchestrator's profile; by default the shipped one that fits.
        commands: Commands that were recorded before, one JSON object per line.
        artifacts: Folder that gets `incident/RUN/`.
        program: How the orchestrator is called, as a command line, instead of the profile's.
        workdir: Folder that its commands run in; the current one by default.

    Raises:
        SourceError: The directory or the commands cannot be read.
        ParameterError: No profile fits, or the run's id is not one of its ids.
    """
    import re

    directory = RunDirectory(run)
    earlier = read_commands(commands)[0] if commands is not None else ()
    known = load_profile(profile) if profile else find_profile(directory, tuple(record.argv for record in earlier))
    if not re.fullmatch(known.program.run_id, directory.run_id):
        hint = "name the run's own directory; its name is the id that commands are given"
        raise ParameterError(f"{directory.run_id!r} is not an id of a {known.name} run", hint=hint)
    folder = artifact_path(Path(artifacts).absolute(), "incident", directory.run_id, "")
    words = tuple(shlex.split(program)) if program else ()
    where = Path(workdir).absolute() if workdir else Path.cwd()
    file = str(Path(profile).absolute()) if profile and profile.endswith(".toml") else ""
    return CaseFile(known, directory, folder, earlier, words, where, file)
