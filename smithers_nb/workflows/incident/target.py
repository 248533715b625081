"""Resolves what a person named (a run directory, a run id or a log) to a run and the profile that fits it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.errors import ParameterError
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.sources.rundir.commands import CommandRecord, read_commands
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.casefile import capture
from smithers_nb.workflows.incident.profile import Profile, find_profile, load_profile, shipped
from smithers_nb.workflows.incident.signatures.classify import classify
from smithers_nb.workflows.incident.signatures.match import NOTHING, UNCLASSIFIED

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.results import Classification


@dataclass(frozen=True)
class Target:
    """A run, its orchestrator, and what is known to have been run on it.

    Attributes:
        run: Its directory; None for a log.
        details: The details of the last error, as JSON.
        problems: Recorded commands that could not be read.
        scratch: Holds the temporary directory made for a run that has none of its own.
    """

    profile: Profile
    run: RunDirectory | None = None
    commands: tuple[CommandRecord, ...] = ()
    details: Any = None
    problems: tuple[str, ...] = ()
    scratch: Any = None

    def classify(self) -> Classification:
        """Classify the run; see `signatures.classify.classify`."""
        from dataclasses import replace

        found = classify(self.profile, self.run, self.commands, self.details)
        return replace(found, problems=(*found.problems, *self.problems)) if self.problems else found


def open_target(
    run: str, *, profile: str | None = None, commands: Path | None = None, details: Path | None = None, log: str | None = None
) -> Target:
    """Resolve what a person named.

    Args:
        run: The run's directory or id; ignored when there is a log.
        profile: Name or file; defaults to the shipped profile that fits.
        commands: File with recorded commands.
        details: JSON file with the error's details.
        log: Text to classify instead of a run.

    Raises:
        ParameterError: No profile fits, or the details are not JSON.
        SourceError: The directory or the commands cannot be read.
    """
    given = _json(details) if details is not None else None
    if log is not None:
        return _open_log(log, profile, given)
    known = load_profile(profile) if profile else None
    if known is not None and known.capture:
        scratch = PrivateFolder()
        return Target(known, capture(known, scratch.path / Path(run).name), details=given, scratch=scratch)
    directory = RunDirectory(run)
    records, problems = read_commands(commands) if commands is not None else ((), ())
    if not records and isinstance(given, dict) and isinstance(given.get("message"), str):
        records = (_command_from(given),)
    known = known or find_profile(directory, tuple(record.argv for record in records))
    return Target(known, directory, records, given, problems)


def _open_log(log: str, profile: str | None, details: Any) -> Target:
    record = CommandRecord(n=1, env={}, stdout=log)
    if profile:
        return Target(load_profile(profile), commands=(record,), details=details)
    targets = [Target(load_profile(name), commands=(record,), details=details) for name in shipped()]
    knows = [target for target in targets if target.classify().rule not in (UNCLASSIFIED, NOTHING)]
    if len(knows) != 1:
        found = " and ".join(target.profile.name for target in knows) or "no profile"
        raise ParameterError(f"{found} knows this log", hint=f"name one: --profile {'|'.join(shipped())}, or a .toml file")
    return knows[0]


def _command_from(details: dict[str, Any]) -> CommandRecord:
    """Build a command record from an error caught in process, for which no command was recorded."""
    code = details.get("exit_code")
    line = f"[{details.get('code', '')}] {details['message']}"
    return CommandRecord(n=1, env={}, stderr=line, exit=code if isinstance(code, int) else None)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ParameterError(f"there is no file {file}", hint="give the error's details as JSON") from None
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"{file} is not valid JSON: {error}", hint="give the error's details as JSON") from None
