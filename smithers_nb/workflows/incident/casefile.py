"""The folder of one incident: the copy taken before anything was run, and the log of every step.

The folder is private to its owner, because it contains everything the run contains, and is kept among the artifacts as `incident/RUN`. Only
the bundle leaves the machine, never this folder.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.artifacts import artifact_path, write_whole
from smithers_nb.errors import ParameterError, SourceUnreadable
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.sources.rundir.commands import read_commands
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.archive import Archive, read_archive, write_archive
from smithers_nb.workflows.incident.profile import Profile, find_profile, load_profile
from smithers_nb.workflows.incident.runner import Runner, StepLog, lacking_program
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
        folder: The incident's folder.
        earlier: Commands that were recorded elsewhere before.
        program: Command that calls the orchestrator, instead of the profile's.
        workdir: Working directory of its commands.
        profile_file: File of a profile that is not shipped; empty for a shipped one.
        changes: Variables to set for its commands, or to unset where the value is None.
    """

    profile: Profile
    run: RunDirectory
    folder: Path
    earlier: tuple[CommandRecord, ...] = ()
    program: tuple[str, ...] = ()
    workdir: Path = field(default_factory=Path.cwd)
    profile_file: str = ""
    changes: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def log(self) -> StepLog:
        """The log of the steps taken."""
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
        """Copy the run before any command touches it; once per incident.

        Raises:
            ArtifactsNotWritten: The run could not be copied; nothing else may be done then.
        """
        there = read_archive(self.before)
        if there is not None:
            return there
        archive = write_archive(RunDirectory(self.run.root), self.before)
        self.log.append("snapshot", decision="done", because=f"{len(archive.files)} names, sha256 {archive.sha256}")
        return archive

    def runner(self, values: Mapping[str, str] | None = None, changes: Mapping[str, str | None] | None = None) -> Runner:
        """Return a runner for the orchestrator's commands on this run."""
        changed = {**self.changes, **(changes or {})}
        return Runner(self.profile, self.run_id, self.log, self.run.root, values or {}, changed, program=self.program, folder=self.workdir)

    def require_program(self) -> None:
        """Refuse to go on without the orchestrator, so that a command that cannot start is not mistaken for a failure of the run.

        Raises:
            ParameterError: The orchestrator is not installed, or its script is not in the working directory.
        """
        if lacking := lacking_program(self.program or self.profile.program.argv, self.workdir):
            hint = "give --program 'WORDS' or --workdir FOLDER; `incident classify RUN --commands FILE` needs neither"
            raise ParameterError(f"the orchestrator of profile {self.profile.name} was not found: {lacking}", hint=hint)

    def commands(self) -> tuple[CommandRecord, ...]:
        """Return the commands run on it: those recorded elsewhere, then our own."""
        ours = read_commands(self.log.file)[0] if self.log.file.exists() else ()
        rows = (*self.earlier, *(record for record in ours if record.argv))
        return tuple(replace(record, n=n) for n, record in enumerate(rows, 1))

    def classify(self, details: Any = None) -> Classification:
        """Classify the run in its current state."""
        capture(self.profile, self.run.root, self.program, self.workdir, self.changes)
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
    """Open the incident of a run, without writing anything.

    Args:
        run: The run's directory.
        profile: Name or file of the orchestrator's profile; defaults to the shipped one that fits.
        commands: File of commands that were recorded before, one JSON object per line.
        artifacts: Folder in which `incident/RUN/` is made.
        program: Command line that calls the orchestrator, instead of the profile's.
        workdir: Working directory of its commands; defaults to the current one.

    Raises:
        SourceError: The directory or the commands cannot be read.
        ParameterError: No profile fits, or the run's id does not look like one of its ids.
    """
    known = load_profile(profile) if profile else None
    where = Path(workdir).absolute() if workdir else Path.cwd()
    words = tuple(shlex.split(program)) if program else ()
    if known is not None and known.capture:
        place = artifact_path(Path(artifacts).absolute(), "incident", Path(run).name, "") / "state" / Path(run).name
        directory = capture(known, place, words, where) or RunDirectory(run)
    else:
        directory = RunDirectory(run)
    earlier = read_commands(commands)[0] if commands is not None else ()
    known = known or find_profile(directory, tuple(record.argv for record in earlier))
    if not re.fullmatch(known.program.run_id, directory.run_id):
        hint = "name the run's own directory; its name is the id that commands are given"
        raise ParameterError(f"{directory.run_id!r} is not an id of a {known.name} run", hint=hint)
    folder = artifact_path(Path(artifacts).absolute(), "incident", directory.run_id, "")
    file = str(Path(profile).absolute()) if profile and profile.endswith(".toml") else ""
    return CaseFile(known, directory, folder, earlier, words, where, file)


def capture(
    profile: Profile,
    place: Path,
    program: tuple[str, ...] = (),
    folder: Path | None = None,
    changes: Mapping[str, str | None] | None = None,
) -> RunDirectory | None:
    """Make a directory for a run that has none, from what the orchestrator prints about it; its name is the run's id.

    Args:
        profile: The orchestrator.
        place: The directory; it is created.
        program: Command that calls the orchestrator, instead of the profile's.
        folder: Working directory of its commands.
        changes: Variables to set or unset for them.

    Returns:
        The directory; None when the runs of this profile have their own.

    Raises:
        ParameterError: The name is not an id of a run.
        SourceUnreadable: The orchestrator does not know the run; the message quotes what it printed.
    """
    if not profile.capture:
        return None
    if not re.fullmatch(profile.program.run_id, place.name):
        raise ParameterError(f"{place.name!r} is not an id of a {profile.name} run", hint="give the run's id")
    with PrivateFolder() as scratch:  # reading the run is not a step of the incident
        where = folder or Path.cwd()
        runner = Runner(profile, place.name, StepLog(scratch / _STEPS), changes=changes or {}, program=program, folder=where)
        for path, verb in profile.capture.items():
            step = runner.verb(verb)
            if not step.passed:
                said = step.stderr.strip().splitlines()
                raise SourceUnreadable(
                    f"{verb} of {place.name}: {said[0] if said else step.because}", hint="check the run's id and --workdir"
                )
            write_whole(place / path, step.stdout.encode(), private=True)
    return RunDirectory(place)
