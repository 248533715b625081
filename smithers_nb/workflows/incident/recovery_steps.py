"""The steps of a recovery: when each is needed, what it would do, and how it is carried out.

Each kind of step is one function that returns `done`, `failed` or `waiting` (for a person), and why. Variables change for the commands that
follow, never for this process; values of secret variables are neither read nor stored.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ParameterError
from smithers_nb.model.finding import Finding
from smithers_nb.redact import redact
from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.incident.signatures.run_state import RunState

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.casefile import CaseFile
    from smithers_nb.workflows.incident.profile_parts import RecoveryStep, When
    from smithers_nb.workflows.incident.results import Classification
    from smithers_nb.workflows.incident.runner import Runner, Step

Outcome: TypeAlias = tuple[Literal["done", "failed", "waiting"], str]

_MAX_COPY: Final = 1 << 30


class TakenStep(Finding):
    """One step that was carried out.

    Attributes:
        outcome: `done`, `failed`, or `waiting` for a person.
    """

    id: str
    outcome: Literal["done", "failed", "waiting"]
    because: str


@dataclass
class Going:
    """A recovery in progress: what later steps need from earlier ones."""

    case: CaseFile
    found: Classification
    values: Mapping[str, str]
    changes: dict[str, str | None] = field(default_factory=dict)
    fresh: CaseFile | None = None

    @property
    def runner(self) -> Runner:
        """A runner for the current run, which is the fresh one once it exists."""
        return (self.fresh or self.case).runner(self.values, self.changes)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the next command would see."""
        return self.runner.environment()


def why_not(when: When, going: Going) -> str:
    """Return why a step is not needed; empty when it is."""
    if when.subcause and going.found.subcause not in when.subcause:
        return f"the subcause is {going.found.subcause}"
    if missing := [name for name in when.given if name not in going.values]:
        return f"no {missing[0]} was given"
    if there := [name for name in when.not_given if name in going.values]:
        return f"{there[0]} was given"
    if unset := [name for name in when.set_env if name not in going.environment]:
        return f"{unset[0]} is not set"
    problems = RunState(RunDirectory(going.case.run.root), going.case.profile).problems
    return "" if not when.broken or any(name in problems for name in when.broken) else f"{when.broken[0]} is not broken"


def check_values(step: RecoveryStep, values: Mapping[str, str]) -> None:
    """Check that given values match the pattern of a step.

    Raises:
        ParameterError: A value does not.
    """
    for name in step.from_value:
        if name in values and step.value_like and not re.search(step.value_like, values[name]):
            raise ParameterError(f"{name}={values[name]!r} is not a value for this step", hint=step.title)


def shows(step: RecoveryStep, going: Going) -> str:
    """Return what a step would do, as a command line or a list of files."""
    if step.do in {"run", "fresh"} or (step.do == "rerun" and not going.found.failing):
        try:
            return shlex.join(_runner_for(going, step).command(step.verb))
        except ParameterError as error:
            return f"{step.verb}: {error.hint or error}"
    if step.do == "rerun":
        return shlex.join(_rerun_argv(going))
    changes = _changes(step, going) if step.do == "env" else {}
    lines = [f"unset {name}" if value is None else f"export {name}={shlex.quote(redact(value))}" for name, value in changes.items()]
    return "; ".join(lines) or ", ".join(going.case.profile.path(name) for name in (*step.files, *step.sound))


def _runner_for(going: Going, step: RecoveryStep) -> Runner:
    """Return the runner, with a name for the fresh run when the step starts one."""
    runner = going.runner
    if step.do != "fresh" or "name" in runner.values:
        return runner
    slug = re.sub(r"^\d{8}-\d{6}-?", "", going.case.run_id) or "run"
    return replace(runner, values={**runner.values, "name": f"{slug}-fresh"})


def take(step: RecoveryStep, going: Going) -> TakenStep:
    """Carry out one step and log it."""
    outcome, because = _ACTIONS[step.do](step, going)
    if step.do not in _LOGGED:
        going.case.log.append(f"recover:{step.id}", decision=outcome, because=because)
    return TakenStep(id=step.id, outcome=outcome, because=because)


def _run(step: RecoveryStep, going: Going) -> Outcome:
    return _outcome(going.runner.verb(step.verb, because=step.title))


def _rerun(step: RecoveryStep, going: Going) -> Outcome:
    """Run the failed command again with its own arguments, or the step's command when none was recorded."""
    if not going.found.failing:
        return _outcome(going.runner.verb(step.verb, because=step.title))
    argv = _rerun_argv(going)
    return _outcome(going.runner.argv(argv, step=going.case.profile.verb_of(argv) or step.id, because=step.title))


def _rerun_argv(going: Going) -> tuple[str, ...]:
    """Return the arguments of the failed command, with the program used on this machine."""
    argv = going.found.failing
    heads = {verb.args[0] for verb in going.case.profile.verbs.values()}
    at = next((i for i, word in enumerate(argv) if word in heads), None)
    return argv if at is None or not going.case.program else (*going.case.program, *argv[at:])


def _outcome(step: Step) -> Outcome:
    if step.passed:
        return "done", f"{step.step} passed"
    last = next((line for line in reversed((step.stderr or step.stdout).splitlines()) if line.strip()), "")
    why = f"exit code {step.exit}" if step.exit is not None else step.because
    return "failed", f"{step.step} failed ({why}){f': {last.strip()[:300]}' if last else ''}"


def _env(step: RecoveryStep, going: Going) -> Outcome:
    if missing := [name for name in step.from_value if name not in going.values]:
        return "waiting", f"give it: --with {missing[0]}=VALUE"
    changes = _changes(step, going)
    going.changes.update(changes)
    lines = (f"{name} unset" if value is None else f"{name}={redact(value)}" for name, value in changes.items())
    return "done", "for the commands that follow: " + ", ".join(lines)


def _changes(step: RecoveryStep, going: Going) -> dict[str, str | None]:
    changes: dict[str, str | None] = dict.fromkeys(step.unset)
    recorded = next((record.env for record in reversed(going.case.commands()) if record.failed), {})
    for name, factor in step.multiply.items():
        now = going.environment.get(name) or recorded.get(name) or step.defaults.get(name, "")
        changes[name] = f"{float(now) * factor:g}" if re.fullmatch(r"\d+(?:\.\d+)?", now) else step.defaults.get(name, now)
    return changes | {name: going.values[name] for name in step.from_value if name in going.values}


def _check(step: RecoveryStep, going: Going) -> Outcome:
    """Check that variables, a program or files are present; values of variables are never stored."""
    env = going.environment
    if missing := [name for name in step.present if not env.get(name, "").strip()]:
        return "waiting", f"{missing[0]} is not set where the command runs"
    if step.program:
        words = shlex.split(env.get(step.program) or step.defaults.get(step.program, ""))
        if not words or shutil.which(words[0], path=env.get("PATH")) is None:
            return "waiting", f"the program {words[0] if words else step.program} is not there"
    problems = RunState(RunDirectory(going.case.run.root), going.case.profile).problems
    broken = [problems[name].detail for name in step.sound if name in problems]
    return ("waiting", broken[0]) if broken else ("done", step.title)


def _person(step: RecoveryStep, going: Going) -> Outcome:
    """Wait for a person, unless the profile has a check which shows that the step is done."""
    if not step.sound and not step.present and not step.program:
        return (
            ("done", "a person confirmed it")
            if going.values.get("done") == step.id
            else ("waiting", f"{step.title}; then add --with done={step.id}")
        )
    outcome, because = _check(step, going)
    return (outcome, because) if outcome == "done" else ("waiting", f"{step.title} ({because})")


def _open(step: RecoveryStep, going: Going) -> Outcome:
    there = [name for name in step.files if going.case.run.entry(going.case.profile.path(name)) is not None]
    return "done", "; ".join(str(going.case.run.root / going.case.profile.path(name)) for name in there) or "there is nothing to open"


def _keep(step: RecoveryStep, going: Going) -> Outcome:
    """Copy files into the incident's folder, named by content hash, so that a second try keeps both versions."""
    kept = []
    for name in step.files:
        path = going.case.profile.path(name)
        content, digest = going.case.run.read(path, _MAX_COPY), going.case.run.sha256(path)
        if content is None or digest is None:
            continue
        target = going.case.folder / "kept" / f"{digest[:12]}-{path.replace('/', '__')}"
        if not target.exists():
            write_whole(target, content, private=True)
        kept.append(f"{path} (sha256 {digest[:12]}…)")
    return "done", "kept " + (", ".join(kept) or "nothing: none of the files is there")


def _archive(step: RecoveryStep, going: Going) -> Outcome:
    del step
    archive = going.case.snapshot()
    return "done", f"{going.case.before} verified: {len(archive.files)} names, sha256 {archive.sha256}"


def _fresh(step: RecoveryStep, going: Going) -> Outcome:
    """Start a new run; the broken one is left as it is."""
    done = _runner_for(going, step).verb(step.verb, because=step.title)
    found = re.search(step.fresh_id, done.stdout, re.MULTILINE)
    if not done.passed or found is None:
        return _outcome(done) if not done.passed else ("failed", f"{step.verb} does not print which run it started")
    run_id = found[1]
    if not re.fullmatch(going.case.profile.program.run_id, run_id) or "/" in run_id:
        return "failed", f"{step.verb} printed {run_id!r}, which is not an id of a run"
    going.fresh = replace(going.case, run=RunDirectory(going.case.run.root.parent / run_id), earlier=())
    return "done", f"started {run_id}"


def _copy(step: RecoveryStep, going: Going) -> Outcome:
    if going.fresh is None:
        return "failed", "no fresh run was started"
    copied = []
    for name in step.files:
        path = going.case.profile.path(name)
        content = going.case.run.read(path, _MAX_COPY)
        if content is not None:
            (going.fresh.run.root / path).write_bytes(content)
            copied.append(path)
    return ("done", f"copied {', '.join(copied)}") if copied else ("failed", "the broken run has no inputs to copy")


_LOGGED: Final = frozenset({"run", "rerun", "fresh"})
_ACTIONS: Final[Mapping[str, Callable[[RecoveryStep, Going], Outcome]]] = {
    "run": _run,
    "rerun": _rerun,
    "env": _env,
    "check": _check,
    "person": _person,
    "open": _open,
    "keep": _keep,
    "archive": _archive,
    "fresh": _fresh,
    "copy": _copy,
}
