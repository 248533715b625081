"""Trials: each makes a run in an empty folder, brings it into a state of the runbook, and carries out the recovery for real.

They are for orchestrators whose runs are rows rather than directories. A trial sees no other run of this machine: its folder is private
and empty, and of the variables that the profile allows only those named by its sandbox are set.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from smithers_nb.errors import SmithersNbError
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import short_line
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.casefile import CaseFile
from smithers_nb.workflows.incident.lint.results import Checked
from smithers_nb.workflows.incident.recover import recover
from smithers_nb.workflows.incident.runner import Runner, StepLog, iso_now

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.lint.parts import Trial
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.results import Classification

_MAX_PARALLEL: Final = 4
_POLL_S: Final = 0.5
_HERE: Final = "made here"
_WATCH_SCRIPT: Final = """import pathlib, subprocess, sys, time
begun = subprocess.Popen(sys.argv[2:])
while begun.poll() is None and not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)
"""
"""Starts a command and exits as soon as a file exists; the runner then kills everything that it started."""


def take_trials(profile: Profile, program: Sequence[str]) -> tuple[Checked, ...]:
    """Make a run for each trial of a profile, and recover it.

    Args:
        profile: The orchestrator.
        program: Command that calls it; empty when it is not installed.

    Returns:
        For each trial a row for the classification, each command of the triage, each step of the recovery, and the end result.
    """
    lacking = [name for name in profile.sandbox.needs if shutil.which(name) is None]
    if not program or lacking:
        why = f"{lacking[0] if lacking else profile.program.argv[0]} is not on PATH"
        return tuple(row for trial in profile.trials for row in _untried(profile, trial, why))
    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        return tuple(row for rows in pool.map(partial(_tried, profile, tuple(program)), profile.trials) for row in rows)


def _tried(profile: Profile, program: tuple[str, ...], trial: Trial) -> list[Checked]:
    with PrivateFolder() as folder:
        rows = list(_run_trial(_case(profile, program, trial, folder), trial))
    known = {row.id for row in rows}
    return rows + [row for row in _untried(profile, trial, "an earlier step did not work") if row.id not in known]


def _case(profile: Profile, program: tuple[str, ...], trial: Trial, folder: Path) -> CaseFile:
    """Open the incident of a run that does not exist yet."""
    project, state = folder / "project", folder / "state" / f"lint-{trial.id}"
    for place in (project, state):
        place.mkdir(parents=True)
    if (library := _library(profile)) is not None:
        (project / library.name).symlink_to(library)
    _write(project, trial.files)
    own = dict.fromkeys((*profile.program.env, *profile.program.secret_env))
    return CaseFile(profile, RunDirectory(state), folder / "incident", (), program, project, changes={**own, **profile.sandbox.env})


def _library(profile: Profile) -> Path | None:
    """Find the package folder above a program that the sandbox needs."""
    found = [Path(path).resolve() for name in profile.sandbox.needs if (path := shutil.which(name))]
    return next((above for path in found for above in path.parents if above.name == profile.sandbox.library), None)


def _run_trial(case: CaseFile, trial: Trial) -> Iterator[Checked]:
    """Run one trial and yield its rows."""
    runner = replace(case.runner(trial.values), log=StepLog(case.folder / "made.jsonl"))  # making the run is not a step of its incident
    for verb in trial.make:
        _make(runner, verb, trial)
    found, problem = _state(case, trial)
    title = f"is recognised: {case.profile.signatures[trial.state].title}"
    if found is None or found.signature != trial.state:
        yield _row(trial, "recognised", title, "fails", problem or (found.summary if found else ""))
        return
    yield _row(trial, "recognised", title, "works", found.summary)
    for step in case.profile.flow.steps:
        done = runner.verb(step.verb)
        yield _row(trial, step.verb, step.verb, "works" if done.passed else "fails", done.because if done.passed else done.stderr)
    _write(runner.folder, trial.mended)
    for verb in trial.by_hand:
        runner.verb(verb)
    try:
        ended = recover(case, found, trial.values, agreed_by="lint")
    except SmithersNbError as error:
        yield _row(trial, "mended", "the run is mended", "fails", str(error))
        return
    titles = {step.id: step.title for step in case.profile.recovery[trial.state].steps}
    for taken in ended.steps:
        yield _row(trial, taken.id, titles[taken.id], "works" if taken.outcome == "done" else "fails", taken.because)
    if ended.steps and ended.steps[-1].outcome == "done":
        yield _row(trial, "mended", "the run is mended", "works" if ended.outcome == "recovered" else "fails", ended.now.summary)


def _make(runner: Runner, verb: str, trial: Trial) -> None:
    """Run a command that makes the run; kill it, with everything it started, if the trial says so."""
    if not trial.kill_when or verb != trial.make[0]:
        runner.verb(verb)
        return
    watched = (sys.executable, "-c", _WATCH_SCRIPT, str(runner.folder / trial.kill_when), *runner.command(verb))
    runner.argv(watched, step=verb, timeout_s=trial.within_s)


def _state(case: CaseFile, trial: Trial) -> tuple[Classification | None, str]:
    """Classify the run until it reaches the state of its trial, or time runs out."""
    until = time.monotonic() + trial.within_s
    while True:
        found, problem = None, ""
        try:
            found = case.classify()
        except SmithersNbError as error:
            problem = str(error)
        if (found is not None and found.signature == trial.state) or time.monotonic() > until:
            return found, problem
        time.sleep(_POLL_S)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def _untried(profile: Profile, trial: Trial, why: str) -> Iterator[Checked]:
    """Yield a `not tried here` row for everything that a trial would check."""
    yield _row(trial, "recognised", f"is recognised: {profile.signatures[trial.state].title}", "not tried here", why)
    for flow in profile.flow.steps:
        yield _row(trial, flow.verb, flow.verb, "not tried here", why)
    for step in profile.recovery[trial.state].steps:
        given = not set(step.when.given) - trial.values.keys() and not set(step.when.not_given) & trial.values.keys()
        if given:
            yield _row(trial, step.id, step.title, "not tried here", why)
    yield _row(trial, "mended", "the run is mended", "not tried here", why)


def _row(trial: Trial, step: str, says: str, outcome: Literal["works", "fails", "not tried here"], output: str) -> Checked:
    tried = outcome != "not tried here"
    return Checked(
        id=f"{trial.id}.{step}",
        says=says,
        state=trial.state,
        outcome=outcome,
        where=_HERE if tried else "",
        output=short_line(output.strip(), 300),
        at=iso_now() if tried else "",
    )
