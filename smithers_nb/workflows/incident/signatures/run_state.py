"""What the files of a run show: which of them are broken, which stage they reach, and whether the run fell back.

Takes a run directory and a profile; gives a `RunState`. Freshness is judged by modification times, because that is what the orchestrator
does; `staleness` decides whether contents really changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.sources.rundir.directory import RunDirectory
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.profile_parts import File, Reached

Problem: TypeAlias = Literal["missing", "invalid-json", "not-an-object", "incomplete", "placeholder", "unknown-stage", "link", "not-a-file"]


class FileProblem(NamedTuple):
    """What is wrong with one file.

    Attributes:
        detail: One sentence, without the file's content.
    """

    file: str
    problem: Problem
    detail: str


class Fallback(NamedTuple):
    """A run that went back to an earlier stage.

    Attributes:
        seen_in: `history`, `printed` (by a command) or `files` (by modification times only).
        at: When, as recorded; empty when only files show it.
        recovered: The run has reached the stage again since.
    """

    before: str
    after: str
    seen_in: Literal["history", "printed", "files"]
    at: str = ""
    recovered: bool = False


class Transition(NamedTuple):
    """One entry of the recorded history."""

    at: str
    stage: str
    previous: str
    message: str


@dataclass(frozen=True)
class RunState:
    """The files of one run, judged by a profile.

    Attributes:
        run: The run's directory; None when only commands are known.
        commands: What was run on it.
    """

    run: RunDirectory | None
    profile: Profile
    commands: Sequence[CommandRecord] = ()

    @cached_property
    def problems(self) -> dict[str, FileProblem]:
        """The first problem of each file, by its name in the profile; an optional file that is missing has none."""
        if self.run is None:
            return {}
        found = ((name, self._problem(name, file)) for name, file in self.profile.files.items())
        return {name: problem for name, problem in found if problem is not None}

    @cached_property
    def recorded_stage(self) -> str:
        """The stage that the run's metadata records; empty when it records none."""
        stages = self.profile.stages
        value = dig(self.json(stages.file), stages.field) if stages.file else None
        return value if isinstance(value, str) else ""

    @cached_property
    def history(self) -> tuple[Transition, ...]:
        """The recorded changes of the stage, oldest first."""
        stages = self.profile.stages
        entries = dig(self.json(stages.file), stages.history) if stages.history else None
        rows = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        fields = (stages.history_at, stages.history_stage, stages.history_previous, stages.history_message)
        return tuple(Transition(*(_text(dig(row, field)) for field in fields)) for row in rows)

    @cached_property
    def reached_stage(self) -> str:
        """The stage that the files reach by the orchestrator's rule; empty when the profile has no stages."""
        order = self.profile.stages.order
        reached = order[0] if order else ""
        for rule in self.profile.stages.reached:
            if not self._holds(rule):
                break
            reached = rule.stage
        return reached

    @cached_property
    def fallback(self) -> Fallback | None:
        """The last fallback to an earlier stage; None when there was none."""
        return self._recorded_fallback() or self._printed_fallback() or self._fallback_of_files()

    @cached_property
    def edited_ns(self) -> int | None:
        """When the inputs of the stages were last changed, nanoseconds since the epoch; None when none exists."""
        names = {name for rule in self.profile.stages.reached for name in (rule.sound, rule.exists) if name}
        return max((time for time in map(self.mtime_ns, names) if time is not None), default=None)

    @cached_property
    def report_verdict(self) -> str:
        """Verdict of the validator's report, when no input is newer than the report; else empty."""
        report = self.profile.report
        if self.run is None or not report.file or self.is_older(report.file, report.inputs):
            return ""
        found = re.search(report.verdict, self.run.text(self.profile.path(report.file)) or "", re.MULTILINE)
        return found[1] if found else ""

    def is_older(self, marker: str, inputs: Sequence[str]) -> bool:
        """Return whether a file is missing, or older than one of the others that exist."""
        time = self.mtime_ns(marker)
        return time is None or any((other or 0) > time for other in map(self.mtime_ns, inputs))

    def mtime_ns(self, name: str) -> int | None:
        """Return the modification time of a file, nanoseconds since the epoch; None when it does not exist."""
        entry = self.run.entry(self.profile.path(name)) if self.run is not None else None
        return entry.mtime_ns if entry is not None and entry.kind == "file" else None

    def rank(self, stage: str) -> int:
        """Return the position of a stage in the order; -1 for an unknown stage."""
        order = self.profile.stages.order
        return order.index(stage) if stage in order else -1

    def _problem(self, name: str, file: File) -> FileProblem | None:
        assert self.run is not None
        there = self.run.entry(file.path)
        if there is not None and there.kind == "link":
            return FileProblem(name, "link", f"{file.path} is a link, which is not followed")
        if there is not None and there.kind != "file":
            return FileProblem(name, "not-a-file", f"{file.path} is not a regular file")
        if there is None:
            return FileProblem(name, "missing", f"{file.path} does not exist") if file.required else None
        if not file.is_json:
            return None
        try:
            value = self.run.json(file.path)
        except (ValueError, OSError) as error:
            where = f", line {error.lineno}" if hasattr(error, "lineno") else ""
            return FileProblem(name, "invalid-json", f"{file.path} is not valid JSON{where}")
        return self._problem_of_value(name, file, value)

    def _problem_of_value(self, name: str, file: File, value: Any) -> FileProblem | None:
        if not isinstance(value, dict):
            return FileProblem(name, "not-an-object", f"{file.path} holds a {type(value).__name__}, not a JSON object")
        if missing := [path for path in file.required if dig(value, path) is None]:
            return FileProblem(name, "incomplete", f"{file.path} lacks {', '.join(missing)}")
        if name == self.profile.stages.file and self.rank(_text(dig(value, self.profile.stages.field))) < 0:
            return FileProblem(name, "unknown-stage", f"{file.path} names a stage that this orchestrator does not have")
        if file.placeholder and any(re.search(file.placeholder, text) for text in leaves(value)):
            return FileProblem(name, "placeholder", f"{file.path} still has text of the template")
        return None

    def json(self, name: str) -> Any:
        """Return a file parsed as JSON, by its name in the profile; None when it cannot be parsed."""
        if self.run is None:
            return None
        try:
            return self.run.json(self.profile.path(name))
        except (ValueError, OSError):
            return None

    def _holds(self, rule: Reached) -> bool:
        if rule.sound and rule.sound in self.problems:
            return False
        if rule.exists and self.mtime_ns(rule.exists) is None:
            return False
        return not rule.marker or not self.is_older(rule.marker, rule.newer_than)

    def _recorded_fallback(self) -> Fallback | None:
        falls = [i for i, step in enumerate(self.history) if self.rank(step.previous) > self.rank(step.stage) >= 0]
        if not falls:
            return None
        fall = self.history[falls[-1]]
        later = self.history[falls[-1] + 1 :]
        recovered = any(self.rank(step.stage) >= self.rank(fall.previous) for step in later)
        return Fallback(fall.previous, fall.stage, "history", fall.at, recovered)

    def _printed_fallback(self) -> Fallback | None:
        pattern = self.profile.stages.printed
        if not pattern:
            return None
        printed = [(record.at, found[1]) for record in self.commands for found in re.finditer(pattern, record.stdout, re.MULTILINE)]
        pairs = [(a, b) for a, b in pairwise(printed) if self.rank(a[1]) > self.rank(b[1]) >= 0]
        if not pairs:
            return None
        (_, before), (at, after) = pairs[-1]
        return Fallback(before, after, "printed", at, self.rank(printed[-1][1]) >= self.rank(before))

    def _fallback_of_files(self) -> Fallback | None:
        recorded, reached = self.rank(self.recorded_stage), self.rank(self.reached_stage)
        if self.run is None or not self.profile.stages.reached or recorded <= reached:
            return None
        return Fallback(self.recorded_stage, self.reached_stage, "files")


def dig(value: Any, path: str) -> Any:
    """Return the value at a dotted path, such as `history.-1.stage`; None when there is none."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def leaves(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
