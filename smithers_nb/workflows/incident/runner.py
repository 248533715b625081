"""Runs the orchestrator's commands within limits and logs each of them.

A command is a list of arguments that no shell sees, with an empty standard input and only the variables that the profile allows. It is
ended, with everything it started, when it takes too long or prints too much. Each command is a line of the step log, with its output.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.agents.providers.limited_process import run_bounded
from smithers_nb.errors import ParameterError
from smithers_nb.model.finding import Finding
from smithers_nb.model.timestamps import now_ms
from smithers_nb.redact import redact, redact_value

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.profile import Profile

_SYSTEM_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR")
_INTERPRETER: Final = re.compile(r"(?:python[\d.]*|node|bash|sh)")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_MIN_SECRET: Final = 6
_MAX_OUTPUT: Final = 200_000
"""How many characters of an output the log keeps, from its beginning and end together."""


class Step(Finding):
    """One line of the step log.

    Attributes:
        n: Its position in the log, starting at 1.
        at: When it began, ISO 8601 in UTC.
        step: Its purpose, such as `validate`.
        argv: The command; empty when the step is not a command.
        env_redacted: The environment it saw, with secrets as `<set: len=51>`.
        exit: Its exit code; None when we ended it or it is not a command.
        duration: Seconds.
        stdout: Its output, redacted; of a long one the beginning and end.
        decision: The result, such as `passed`, `failed`, `skipped`, `done`.
        because: Why.
    """

    n: int
    at: str
    step: str
    argv: tuple[str, ...] = ()
    env_redacted: dict[str, str] = field(default_factory=dict)
    exit: int | None = None
    duration: float | None = None
    stdout: str = ""
    stderr: str = ""
    decision: str = ""
    because: str = ""

    @property
    def passed(self) -> bool:
        """Whether the step succeeded."""
        return self.decision in {"passed", "done"}


class StepLog:
    """The steps of one incident, one JSON object per line, each on disk before the next one begins.

    Args:
        file: The log. Existing lines are kept; a line cut off by a kill is terminated first.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def steps(self) -> tuple[dict[str, Any], ...]:
        """Return every readable line, in order."""
        try:
            lines = self.file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            rows.append(row)
        return tuple(row for row in rows if isinstance(row, dict))

    def append(self, step: str, **fields: Any) -> Step:
        """Append one line and wait until it is on disk."""
        env = fields.pop("env_redacted", {})  # redacted by the caller, who knows which values are secret
        row = Step(n=len(self.steps()) + 1, step=step, env_redacted=env, **{"at": iso_now(), **redact_value(fields)})
        line = json.dumps(vars(row)).encode() + b"\n"
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.file, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            if out.tell() and not self._ends_whole():
                out.write(b"\n")
            out.write(line)
            out.flush()
            os.fsync(out.fileno())
        return row

    def _ends_whole(self) -> bool:
        with self.file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


@dataclass(frozen=True)
class Runner:
    """Runs the orchestrator's commands on one run.

    Attributes:
        run: The run's directory; None when its runs have none.
        values: Values for the placeholders in a command's arguments, besides `run_id` and `run`.
        changes: Variables to set, or to unset where the value is None.
        program: Program and first arguments, instead of the profile's.
        folder: Working directory of commands.
    """

    profile: Profile
    run_id: str
    log: StepLog
    run: Path | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str | None] = field(default_factory=dict)
    program: Sequence[str] = ()
    folder: Path = field(default_factory=Path.cwd)

    def command(self, verb: str) -> tuple[str, ...]:
        """Return the arguments of a command of the orchestrator.

        Raises:
            ParameterError: The profile has no such command, or a value it needs was not given.
        """
        if verb not in self.profile.verbs:
            raise ParameterError(f"profile {self.profile.name} has no command {verb!r}", hint=f"it has {', '.join(self.profile.verbs)}")
        values = {"run_id": self.run_id, "run": str(self.run or ""), **self.values}
        words = self.profile.verbs[verb].args
        missing = sorted({name for word in words for name in _PLACEHOLDER.findall(word)} - values.keys())
        if missing:
            raise ParameterError(f"{verb} needs {', '.join(missing)}", hint=" ".join(f"--with {name}=VALUE" for name in missing))
        return (
            *(self.profile.verbs[verb].program or self.program or self.profile.program.argv),
            *(_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in words),
        )

    def verb(self, verb: str, *, step: str = "", because: str = "") -> Step:
        """Run a command of the orchestrator and log it."""
        limit = self.profile.verbs[verb].timeout_s or self.profile.program.timeout_s if verb in self.profile.verbs else None
        return self.argv(self.command(verb), step=step or verb, because=because, timeout_s=limit)

    def argv(self, argv: Sequence[str], *, step: str, because: str = "", timeout_s: float | None = None) -> Step:
        """Run any command and log it; one that cannot be started is a failed step, not an error."""
        env = self.environment()
        began, started = iso_now(), time.monotonic()
        limit = timeout_s or self.profile.program.timeout_s
        try:
            ended = run_bounded(argv, b"", self.folder, env, limit)
            code, output, errors, why = ended
        except OSError as error:
            code, output, errors, why = None, "", "", f"it could not be started: {error.strerror or error}"
        return self.log.append(
            step,
            at=began,
            argv=tuple(argv),
            env_redacted=self.shown(env),
            exit=code,
            duration=round(time.monotonic() - started, 3),
            stdout=self._clean_output(output, env),
            stderr=self._clean_output(errors, env),
            decision="passed" if code == 0 else "failed",
            because=why or because or ("exit code 0" if code == 0 else f"exit code {code}"),
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of a command: the system's variables and those that the profile allows."""
        program = self.profile.program
        allowed = (*_SYSTEM_ENV, *program.env, *program.secret_env)
        env: dict[str, str | None] = {name: os.environ[name] for name in allowed if name in os.environ}
        if program.base_dir_env and self.run is not None:
            env[program.base_dir_env] = str(self.run.parent)
        env |= {name: value for name, value in self.changes.items() if name in allowed}
        return {name: value for name, value in env.items() if value is not None}

    def shown(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the part of an environment that may be shown: the orchestrator's variables, secrets only by length."""
        program = self.profile.program
        plain = {name: redact(env[name]) for name in program.env if name in env}
        return plain | {
            name: f"<set: len={len(env[name])}>" if env[name].strip() else "<blank>" for name in program.secret_env if name in env
        }

    def _clean_output(self, text: str, env: Mapping[str, str]) -> str:
        """Redact an output, then shorten it: half a secret would no longer be recognised."""
        for name in self.profile.program.secret_env:
            if len(env.get(name, "").strip()) >= _MIN_SECRET:
                text = text.replace(env[name].strip(), "[REDACTED]")
        clean = redact(text)
        if len(clean) <= _MAX_OUTPUT:
            return clean
        half = _MAX_OUTPUT // 2
        return f"{clean[:half]}\n… [{len(clean) - _MAX_OUTPUT:,} characters left out] …\n{clean[-half:]}"


def lacking_program(argv: Sequence[str], folder: Path) -> str:
    """Return what is missing to start a program: itself, or the script an interpreter is given; empty when nothing is."""
    program, *words = argv
    if shutil.which(folder / program if "/" in program else program) is None:
        return f"{program} is not on PATH" if "/" not in program else f"there is no program {program}"
    script = next((word for word in words if not word.startswith("-")), "")
    named = _INTERPRETER.fullmatch(Path(program).name) and not {"-m", "-c", "-e"} & set(words)
    return f"there is no {script} in {folder}" if named and script and not (folder / script).exists() else ""


def iso_now() -> str:
    """Return the current time in the format of the log: ISO 8601 in UTC, with milliseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now_ms() / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
