"""Checks whether each step of a runbook works in the state it is meant for, by running it or from what was recorded.

A step is tried on a copy of a captured run when the orchestrator is installed. Captured commands count as well: what was run in that state
before, and how it ended. Where a profile says how to make a run for each state, its recoveries are tried on such runs (`trials`). A step
without a run or a capture is "not tried here".
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from smithers_nb.errors import ParameterError
from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import epoch_ms
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import short_line
from smithers_nb.sources.rundir.commands import CommandRecord, read_commands
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.lint.results import Checked, Linted
from smithers_nb.workflows.incident.lint.trials import take_trials
from smithers_nb.workflows.incident.runner import Runner, StepLog
from smithers_nb.workflows.incident.signatures.classify import classify
from smithers_nb.workflows.incident.signatures.run_state import RunState

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.lint.parts import Documented
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.results import Classification

_COMMANDS: Final = "commands.jsonl"
_RUN: Final = "run"


@dataclass(frozen=True)
class Capture:
    """A captured run: a folder with `run/` and `commands.jsonl`."""

    name: str
    run: RunDirectory
    commands: tuple[CommandRecord, ...]


def lint(profile: Profile, captures: Path | None = None, *, program: str | None = None) -> Linted:
    """Try each documented step of a profile.

    Args:
        profile: The orchestrator.
        captures: Folder of captured runs, each a folder with `run/` and `commands.jsonl`.
        program: Command line that calls the orchestrator; needed to try steps on copies of captured runs.

    Raises:
        ParameterError: The folder contains no captures.
    """
    known = tuple(_captures(captures)) if captures is not None else ()
    if captures is not None and not known:
        raise ParameterError(f"{captures} holds no captures", hint="give a folder of folders with run/ and commands.jsonl")
    words = tuple(shlex.split(program)) if program else _installed(profile)
    rows = (*(_check(step, profile, known, words) for step in profile.documented), *take_trials(profile, words))
    failed, tried = [row for row in rows if row.outcome == "fails"], [row for row in rows if row.outcome != "not tried here"]
    numbers = f"{len(tried) - len(failed)} work, {len(failed)} cannot, {len(rows) - len(tried)} were not tried here"
    said = f"{plural(len(rows), 'documented step')}: {numbers}." if rows else f"{profile.name} documents no steps: nothing was tried."
    proved = max((row.at for row in tried), default="")
    return Linted(summary=said, profile=profile.name, drift=bool(failed), proved_on=proved, steps=rows)


def _check(step: Documented, profile: Profile, captures: Sequence[Capture], program: tuple[str, ...]) -> Checked:
    """Return the first result that shows a step failing, else the last that shows it working."""
    shown = [row for capture in captures for row in _from_capture(step, profile, capture)]
    if program:
        shown += [row for capture in captures for row in _from_sandbox(step, profile, capture, program)]
    decided = next((row for row in shown if row.outcome == "fails"), shown[-1] if shown else None)
    return decided or _row(step, "not tried here")


def _from_capture(step: Documented, profile: Profile, capture: Capture) -> Iterator[Checked]:
    """Look for the step among the commands of a capture."""
    if step.do == "open":
        found = classify(profile, capture.run, capture.commands)
        if found.signature == step.state and found.faults:
            path = profile.path(step.file)
            there = capture.run.entry(path) is not None
            said = f"{path} is there" if there else f"{path} is not there: {found.evidence[0].quote if found.evidence else ''}"
            yield _row(step, "works" if there else "fails", capture.name, said, capture.commands[-1].at)
        return
    for i, command in enumerate(capture.commands):
        if not _is_step(step, profile, command):
            continue
        if step.do == "look":
            yield from _wrote(step, profile, capture, command)
            continue
        before = (
            classify(profile, None, capture.commands[:i]) if step.state != profile.stages.signature else _fallen(profile, capture, command)
        )
        if before is not None and before.signature == step.state:
            yield from _ended(step, profile, command, capture.name, profile.verb_of(before.failing))


def _fallen(profile: Profile, capture: Capture, command: CommandRecord) -> Classification | None:
    """Classify a run that had fallen back when a command began; None when it had not."""
    fall = RunState(capture.run, profile).fallback
    fell, began = (epoch_ms(fall.at), epoch_ms(command.at)) if fall and fall.at and command.at else (None, None)
    return classify(profile, capture.run) if fell is not None and began is not None and fell <= began else None


def _ended(step: Documented, profile: Profile, command: CommandRecord, where: str, failed: str) -> Iterator[Checked]:
    """Describe how a step ended.

    One that fails with the error that it is meant to cure cannot work. That the command which failed fails again shows only that
    nothing was mended, and another error says nothing about the step.
    """
    if not command.failed:
        yield _row(step, "works", where, "exit code 0", command.at)
    elif profile.verb_of(command.argv) != failed and classify(profile, commands=(command,)).signature == step.state:
        yield _row(step, "fails", where, _last_line(command), command.at)


def _wrote(step: Documented, profile: Profile, capture: Capture, command: CommandRecord) -> Iterator[Checked]:
    """Return whether a command that should only look changed the run: a transition was recorded while it ran, and nothing else ran then."""
    began = epoch_ms(command.at) if command.at else None
    if began is None or command is not capture.commands[-1] or command.duration is None:
        return
    history = RunState(capture.run, profile, capture.commands).history
    last = history[-1] if history else None
    at = epoch_ms(last.at) if last else None
    if last is None or at is None or not last.previous:
        return
    before = [epoch_ms(other.at) for other in capture.commands[:-1] if other.at]
    second = began // 1000 * 1000
    alone = all(other is not None and other // 1000 * 1000 < second for other in before)
    if alone and second <= at <= began + command.duration * 1000:
        yield _row(step, "fails", capture.name, f"it recorded {last.previous} → {last.stage}: {last.message}", command.at)


def _from_sandbox(step: Documented, profile: Profile, capture: Capture, program: tuple[str, ...]) -> Iterator[Checked]:
    """Take the step in a copy of a captured run that is in the state now."""
    if step.do == "open":
        return
    found = classify(profile, capture.run, capture.commands)
    if step.state and (found.signature != step.state or found.resolved):
        return
    with PrivateFolder() as folder:
        run = folder / "runs" / _run_id(profile, capture)
        shutil.copytree(capture.run.root, run, symlinks=True)
        for path in (run, *run.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
        log = StepLog(folder / "steps.jsonl")
        values = {"name": "lint", "scope_file": str(run / profile.path("scope")) if "scope" in profile.files else ""}
        before = _hashes(run)
        done = Runner(profile, run.name, log, run, values, program=program, folder=folder).verb(step.verb)
        where = f"sandbox of {capture.name}"
        if step.do == "look":
            changed = sorted(path for path, digest in _hashes(run).items() if before.get(path) != digest)
            yield _row(
                step, "fails" if changed else "works", where, f"it changed {', '.join(changed)}" if changed else "nothing changed", done.at
            )
        elif done.exit is not None:
            command = CommandRecord(n=1, argv=done.argv, env={}, at=done.at, exit=done.exit, stdout=done.stdout, stderr=done.stderr)
            yield from _ended(step, profile, command, where, profile.verb_of(found.failing))


def _is_step(step: Documented, profile: Profile, command: CommandRecord) -> bool:
    words = [word for word in profile.verbs[step.verb].args if "{" not in word] if step.verb else []
    return bool(words) and profile.verb_of(command.argv) in {step.verb, words[0]} and set(words) <= set(command.argv)


def _run_id(profile: Profile, capture: Capture) -> str:
    """Return the run id that the captured commands used."""
    import re

    ids = [word for command in capture.commands for word in command.argv if re.fullmatch(profile.program.run_id, word)]
    return Path(ids[0]).name if ids else capture.run.run_id


def _hashes(run: Path) -> dict[str, str | None]:
    directory = RunDirectory(run)
    return {entry.path: directory.sha256(entry.path) for entry in directory.entries if entry.kind == "file"}


def _captures(folder: Path) -> Iterator[Capture]:
    for place in sorted(folder.iterdir() if folder.is_dir() else ()):
        if (place / _RUN).is_dir() and (place / _COMMANDS).is_file():
            yield Capture(place.name, RunDirectory(place / _RUN), read_commands(place / _COMMANDS)[0])


def _installed(profile: Profile) -> tuple[str, ...]:
    """Return the command that calls the orchestrator, if its program and script are both installed; else empty."""
    program, *rest = profile.program.argv
    beside = Path(sys.executable).with_name(program)  # scripts in the environment of this interpreter need not be on PATH
    found = program if shutil.which(program) else str(beside) if beside.is_file() else ""
    return (found, *rest) if found and all(Path(word).exists() for word in rest if "/" in word) else ()


def _row(
    step: Documented, outcome: Literal["works", "fails", "not tried here"], where: str = "", output: str = "", at: str = ""
) -> Checked:
    instead = step.instead if outcome == "fails" else ""
    shown = short_line(output, 300)
    return Checked(id=step.id, says=step.says, state=step.state, outcome=outcome, where=where, output=shown, at=at, instead=instead)


def _last_line(command: CommandRecord) -> str:
    return next((line for line in reversed((command.stderr or command.stdout).splitlines()) if line.strip()), f"exit code {command.exit}")
