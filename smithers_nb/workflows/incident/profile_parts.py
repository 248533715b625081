"""The tables of a profile, one class each: an orchestrator's files, errors, rules, recoveries and runbook as data.

`profile` combines and loads them. An unknown key, a pattern that does not compile and an undeclared name are errors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

Confidence: TypeAlias = Literal["high", "medium", "low"]
Layer: TypeAlias = Literal["typed", "traceback", "message", "report", "state"]
"""What a rule looks at, in the order in which it is searched: typed error line, traceback, plain line, validator report, files."""

LAYERS: Final[tuple[Layer, ...]] = ("typed", "traceback", "message", "report", "state")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_compiles)]


class Part(BaseModel):
    """A table of a profile; an unknown key is an error, so that a typo is not a rule that never matches."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Detect(Part):
    """How a run is recognised.

    Attributes:
        files: Paths in the run's directory; `at_least` of them must be there.
        argv: A word of a recorded command that matches.
    """

    files: tuple[str, ...] = ()
    at_least: int = 1
    argv: Pattern = ""


class Program(Part):
    """How the orchestrator is called.

    Attributes:
        argv: Program and first arguments; no shell ever sees them.
        run_id: Pattern of its run ids.
        base_dir_env: Variable that names the parent folder of run directories; empty when there is none.
        env: Variables that its commands may see and that records may show.
        secret_env: Variables that its commands may see, of which only the length is ever shown.
        timeout_s: Time limit of one command in seconds.
    """

    argv: tuple[str, ...]
    run_id: Pattern = ".+"
    base_dir_env: str = ""
    env: tuple[str, ...] = ()
    secret_env: tuple[str, ...] = ()
    timeout_s: float = 600


class Verb(Part):
    """One command. `{run_id}`, `{run}` (the directory), `{name}` and values given with `--with` are placeholders in `args`.

    Attributes:
        program: Program and first arguments, where they differ from the profile's.
    """

    args: tuple[str, ...]
    program: tuple[str, ...] = ()
    writes: bool = False
    timeout_s: float | None = None


class File(Part):
    """One file of a run's directory.

    Attributes:
        is_json: It must be a JSON object (written `json` in the profile; that name would hide a method of pydantic's).
        core: Escalate when it cannot be parsed.
        placeholder: Template text that must have been replaced.
        required: Dotted paths that must exist; a number is an index.
    """

    path: str
    is_json: bool = False
    core: bool = False
    placeholder: Pattern = ""
    required: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _json_is_a_method(cls, value: Any) -> Any:
        return {("is_json" if key == "json" else key): item for key, item in value.items()} if isinstance(value, dict) else value


class Reached(Part):
    """When a stage is reached, judged by files as the orchestrator does: all conditions must hold, and those of earlier stages.

    Attributes:
        sound: A file that must have no problem.
        exists: A file that must exist.
        marker: A file that must not be older than any existing file of `newer_than`.
    """

    stage: str
    sound: str = ""
    exists: str = ""
    marker: str = ""
    newer_than: tuple[str, ...] = ()


class Stages(Part):
    """The stages of a run, from first to last, and where they are recorded."""

    order: tuple[str, ...] = ()
    file: str = ""
    field: str = ""
    history: str = ""
    history_stage: str = ""
    history_previous: str = ""
    history_at: str = ""
    history_message: str = "message"
    signature: str = ""
    printed: Pattern = ""
    reached: tuple[Reached, ...] = ()


class Provider(Part):
    """Which model provider a run used: how it is configured, and where the one that answered is recorded."""

    configured: str = ""
    default: str = ""
    aliases: dict[str, str] = {}
    known: tuple[str, ...] = ()
    unknown_runs: str = ""
    file: str = ""
    field: str = ""
    verbs: tuple[str, ...] = ()


class Errors(Part):
    """Pattern of a typed error line, with the groups `code` and `message`."""

    typed: Pattern = r"(?!)"


class ErrorClass(Part):
    """A class of a validator's error lines.

    Attributes:
        fix: What usually fixes it.
        secondary_to: Class of errors that cause errors of this class.
        same: Pattern whose group 1 is the subject that both errors must share.
    """

    name: str
    match: tuple[Pattern, ...]
    fix: str = ""
    secondary_to: str = ""
    same: Pattern = ""


class Report(Part):
    """The validator's report."""

    file: str = ""
    verdict: Pattern = r"(?!)"
    passed: Pattern = r"(?!)"
    error: Pattern = r"(?!)"
    inputs: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    signature: str = ""
    classes: tuple[ErrorClass, ...] = ()


class Signature(Part):
    """A kind of failure that the runbook knows.

    Attributes:
        explains_fallback: A run that fails this way falls back to an earlier stage, so the fallback is not staleness of its own.
        escalates: A failed recovery of it is escalated automatically.
    """

    title: str
    cause: str = ""
    advice: str = ""
    explains_fallback: bool = False
    escalates: bool = False


class Rule(Part):
    """How a failure is recognised. All conditions of a rule must hold.

    Attributes:
        signature: The signature; empty for a known failure that has none.
        code: Code of a typed error.
        match: Pattern in the typed error's message, the exception's message, or any plain line.
        exception: Class of the exception, with or without its module.
        frames: Patterns that must each match a frame of the traceback, written `file:function`.
        verbs: Only for these commands.
        exit: Only with these exit codes.
        file: A file, by its name in `[files]`, that has one of `problem`.
        report: Verdict of a validator report that is not older than its inputs.
        where: Patterns for values in the JSON `file`, by dotted path.
        group: Name of the failures that escalation counts together.
    """

    id: str
    layer: Layer
    signature: str = ""
    title: str = ""
    advice: str = ""
    subcause: str = ""
    confidence: Confidence = "high"
    code: str = ""
    match: Pattern = ""
    exception: Pattern = ""
    frames: tuple[Pattern, ...] = ()
    verbs: tuple[str, ...] = ()
    exit: tuple[int, ...] = ()
    file: str = ""
    problem: tuple[str, ...] = ()
    report: str = ""
    where: dict[str, Pattern] = {}
    group: str = ""


class Limit(Part):
    """The minimum duration of a command when each of its attempts hits the time limit."""

    env: str
    default: float
    attempts_env: str = ""
    attempts_default: int = 0


class Subcause(Part):
    """Why a failure of a signature happened; the first one that the evidence supports counts.

    Attributes:
        advice: What to do about it, instead of the signature's own advice.
        details: Pattern in the error's details, which most orchestrators do not expose.
        details_rules: Names of rules of `diagnosis.classify` that recognise the details.
        limit: The command took so long that every attempt must have hit this limit.
        rules: Only for failures that one of these rules matched.
    """

    signature: str
    name: str
    advice: str = ""
    confidence: Confidence = "high"
    details: Pattern = ""
    details_rules: tuple[str, ...] = ()
    limit: Limit | None = None
    rules: tuple[str, ...] = ()


class Escalation(Part):
    """When a person beyond the one on call must be informed.

    Attributes:
        kind: `repeated`, `at_least` failures of `group` over `at_least_settings` combinations of `settings`; `same-errors`, the
            validator's errors are the same `at_least` times after a baseline that passed; `unparsable`, a core file is not JSON.
        baseline: Pattern of the message in the recorded history that says validation passed.
    """

    id: str
    kind: Literal["repeated", "same-errors", "unparsable"]
    title: str
    group: str = ""
    at_least: int = 1
    settings: tuple[str, ...] = ()
    at_least_settings: int = 1
    baseline: Pattern = r"(?!)"


class When(Part):
    """When a step of a recovery is needed. All conditions must hold.

    Attributes:
        subcause: The failure has one of these subcauses.
        given: A value was given for each with `--with NAME=VALUE`; `not_given`: for none of them.
        set_env: Each of these variables is set where the command runs, to any value.
        broken: One of these files has a problem.
    """

    subcause: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    not_given: tuple[str, ...] = ()
    set_env: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


class RecoveryStep(Part):
    """One step of a recovery.

    Attributes:
        do: `run` a command; `rerun` the one that failed, or `verb` where none was recorded; `env`, change variables for what follows;
            `check` something and stop when it does not hold; `person`, wait for a person until the check holds; `open` a file; `keep`
            copies of files; `archive` the run and verify it; `fresh`, start a new run with command `verb`, whose id `fresh_id` finds
            in its output; `copy` files of the archived run into the fresh one.
        verb: The command of `run` and `fresh`.
        unset: Variables to unset.
        multiply: Variables to multiply by a number, with their defaults in `defaults`.
        from_value: Variables to set to the value given for them.
        value_like: Pattern of such a value.
        present: Variables that must be set and not blank; their values are never shown or stored.
        program: Variable that names a program which must exist, with its default in `defaults`.
        sound: Files that must have no problem.
        files: Files, by their names in `[files]`, of `open`, `keep` and `copy`.
    """

    id: str
    do: Literal["run", "rerun", "env", "check", "person", "open", "keep", "archive", "fresh", "copy"]
    title: str
    when: When = When()
    verb: str = ""
    unset: tuple[str, ...] = ()
    multiply: dict[str, float] = {}
    defaults: dict[str, str] = {}
    from_value: tuple[str, ...] = ()
    value_like: Pattern = ""
    present: tuple[str, ...] = ()
    program: str = ""
    sound: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    fresh_id: Pattern = ""


class Recovery(Part):
    """How to recover from a signature: the steps in order, the last of which proves that it worked."""

    steps: tuple[RecoveryStep, ...]


class After(Part):
    """What follows an incident.

    Attributes:
        gate: Command that shows that nothing else broke.
        docs: Pages that may have to change.
    """

    gate: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()


class FlowStep(Part):
    """One command of the triage.

    Attributes:
        verb: The command.
        question: The question about its result, such as `validation passes`; a step without one has no loop back.
        look_at: What a person opens when it fails.
        fix: What the person does then; the command is run again afterwards.
    """

    verb: str
    question: str = ""
    look_at: str = ""
    fix: str = ""


class Flow(Part):
    """The first triage: commands in their order, up to the first that fails."""

    start: str = "incident detected"
    end: str = "resolved"
    steps: tuple[FlowStep, ...] = ()
