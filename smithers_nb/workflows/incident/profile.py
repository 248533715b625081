"""The profile of an orchestrator: everything that the incident workflow knows about it, as data.

A profile is one TOML file, shipped in `profiles/` or kept by a team with its own runs; this module validates it and finds the one that fits
a run. No other module contains anything specific to an orchestrator, so supporting another one needs a file and no code.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError, model_validator

from smithers_nb.errors import ParameterError
from smithers_nb.workflows.incident.lint.parts import Documented, Sandbox, Trial
from smithers_nb.workflows.incident.profile_parts import (
    After,
    Detect,
    Errors,
    Escalation,
    File,
    Flow,
    Part,
    Program,
    Provider,
    Recovery,
    Report,
    Rule,
    Signature,
    Stages,
    Subcause,
    Verb,
)

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.directory import RunDirectory

FOLDER: Final = Path(__file__).parent / "profiles"


class Profile(Part):
    """One orchestrator.

    Attributes:
        capture: For runs without a directory: files to make for one, each with the command that prints its content. The commands
            must be read-only; a run is then named by its id.
    """

    name: str
    title: str
    about: str = ""
    detect: Detect = Detect()
    capture: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    program: Program
    verbs: dict[str, Verb] = {}  # noqa: RUF012  # pydantic copies it
    files: dict[str, File] = {}  # noqa: RUF012  # pydantic copies it
    stages: Stages = Stages()
    provider: Provider = Provider()
    errors: Errors = Errors()
    report: Report = Report()
    signatures: dict[str, Signature] = {}  # noqa: RUF012  # pydantic copies it
    rules: tuple[Rule, ...] = ()
    subcauses: tuple[Subcause, ...] = ()
    escalation: tuple[Escalation, ...] = ()
    flow: Flow = Flow()
    recovery: dict[str, Recovery] = {}  # noqa: RUF012  # pydantic copies it
    documented: tuple[Documented, ...] = ()
    sandbox: Sandbox = Sandbox()
    trials: tuple[Trial, ...] = ()
    after: After = After()

    @model_validator(mode="after")
    def _names_exist(self) -> Profile:
        """Refuse a rule, stage or report that refers to something the profile does not declare."""
        wrong = [name for name in self._named_files() if name and name not in self.files]
        signatures = [*(rule.signature for rule in self.rules), *(item.signature for item in self.subcauses)]
        signatures += [self.report.signature, self.stages.signature]
        wrong += [name for name in signatures if name and name not in self.signatures]
        wrong += [reached.stage for reached in self.stages.reached if reached.stage not in self.stages.order]
        steps = [step for recovery in self.recovery.values() for step in recovery.steps]
        verbs = [*(step.verb for step in self.flow.steps), *(step.verb for step in steps), *(step.verb for step in self.documented)]
        verbs += [*self.capture.values(), *(verb for trial in self.trials for verb in (*trial.make, *trial.by_hand))]
        wrong += [verb for verb in verbs if verb and verb not in self.verbs]
        wrong += [step.state for step in self.documented if step.state and step.state not in self.signatures]
        wrong += [name for name in self.recovery if name not in self.signatures]
        wrong += [trial.state for trial in self.trials if trial.state not in self.recovery]
        if wrong:
            raise ValueError(f"these are named but not declared: {', '.join(sorted(set(wrong)))}")
        return self

    def _named_files(self) -> list[str]:
        reached = [name for item in self.stages.reached for name in (item.sound, item.exists, item.marker, *item.newer_than)]
        steps = [step for recovery in self.recovery.values() for step in recovery.steps]
        reached += [step.file for step in self.documented]
        reached += [name for step in steps for name in (*step.files, *step.sound, *step.when.broken)]
        return [*reached, *self.report.inputs, self.report.file, self.stages.file, self.provider.file, *(rule.file for rule in self.rules)]

    def path(self, file: str) -> str:
        """Return the path of a file in the run's directory."""
        return self.files[file].path

    def verb_of(self, argv: tuple[str, ...]) -> str:
        """Return the declared command whose first argument occurs in these arguments; empty when there is none."""
        heads = {verb.args[0]: name for name, verb in reversed(self.verbs.items()) if verb.args}
        return next((heads[word] for word in argv if word in heads), "")


def load_profile(name: str | Path) -> Profile:
    """Load a profile.

    Args:
        name: Name of a shipped profile, or a TOML file.

    Raises:
        ParameterError: The profile does not exist or is invalid; the message says where.
    """
    text = str(name)
    file = Path(text) if text.endswith(".toml") else FOLDER / f"{text}.toml"
    if not file.is_file():
        hint = f"shipped profiles: {', '.join(shipped())}; or give a .toml file"
        raise ParameterError(f"there is no profile {text!r}", hint=hint)
    try:
        return Profile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file} is not valid TOML: {error}", hint="correct the line it names") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the profile"
        raise ParameterError(
            f"{file}: {where}: {first['msg']}", hint=f"{error.error_count()} places are wrong; this is the first"
        ) from None


@cache
def shipped() -> tuple[str, ...]:
    """Return the names of the shipped profiles, sorted."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.toml")))


def find_profile(run: RunDirectory | None, commands: tuple[tuple[str, ...], ...] = ()) -> Profile:
    """Find the shipped profile whose files or commands a run has.

    Args:
        run: The run's directory, if there is one.
        commands: Argument lists that were run on it.

    Raises:
        ParameterError: None fits, or several do.
    """
    profiles = [load_profile(name) for name in shipped()]
    fits = [profile for profile in profiles if _fits(profile.detect, run, commands)]
    if len(fits) != 1:
        found = " and ".join(profile.name for profile in fits) or "no profile"
        raise ParameterError(f"{found} fits this run", hint=f"name one: --profile {'|'.join(shipped())}, or a .toml file")
    return fits[0]


def _fits(detect: Detect, run: RunDirectory | None, commands: tuple[tuple[str, ...], ...]) -> bool:
    if run is not None and detect.files and sum(run.entry(path) is not None for path in detect.files) >= detect.at_least:
        return True
    return bool(detect.argv) and any(re.search(detect.argv, word) for argv in commands for word in argv)
