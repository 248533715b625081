"""What a diagnosis needs to know about the engine that owns a run: its commands, and how a run continues after a failure or a decision.

`engine_of(snapshot)` returns one object with both: commands as lines that run as printed, and the few facts that an explanation depends
on. The rest of the diagnosis therefore never asks which engine it is. What all engines have in common is here; the rest is in subclasses.
"""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from smithers_nb.redact import MARK, redact, redact_value

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source
    from smithers_nb.sources.snapshot import Snapshot

FILL_IN: Final = "…"
"""Marks a place that a person must fill in. It is not valid JSON, and our own commands refuse it as text, so a line that still contains
it starts nothing."""


class EngineCommands(ABC):
    """An engine and its commands.

    Each method that names a command returns it as a line for a shell; its docstring says what that command does. Every id and path is
    data, so each argument is quoted.

    Attributes:
        program: How its command line starts.
        no_path: Placeholder for the file that a run came from, where the store does not name it.
        replays: A resume of a failed run only returns the recorded error; only `retry-task` tries again.
        waits_for_resume: After a decision or an answer, a person must resume the run.
        is_watched: Its store is searched for what the engine itself recorded wrongly or let happen.
        idles: A live engine that records no work is broken; false where work may go on between two records.
        wakes_itself: The process that executes a run also ends its waits for a time or a message, so nobody has to resume it.
        is_record: A run is only a record of what was executed: no process is behind it, and it cannot be continued.
        continues: What resuming a failed run does.
        tries_again: What tries a failed task again.
        after_a_fix: What to do once the cause of a failure is fixed.
        has_workflow: There is a file whose author could have prevented a failure.
        is_repairable: A monitor may resume its runs, or give a task new attempts, by itself.
    """

    program: ClassVar[tuple[str, ...]]
    no_path: ClassVar[str]
    replays: ClassVar[bool] = False
    waits_for_resume: ClassVar[bool] = False
    is_watched: ClassVar[bool] = False
    idles: ClassVar[bool] = False
    wakes_itself: ClassVar[bool] = False
    is_record: ClassVar[bool] = False
    continues: str = ""
    tries_again: ClassVar[str] = ""
    after_a_fix: ClassVar[str] = "go on with the run"
    has_workflow: ClassVar[bool] = True
    is_repairable: ClassVar[bool] = False

    @classmethod
    def of(cls, snapshot: Snapshot) -> EngineCommands:
        """Return the commands for one run."""
        del snapshot
        return cls()

    def line(self, *arguments: str) -> str:
        """Return a command line that passes exactly these arguments to the program; one with a secret in it is left to fill in."""
        return shlex.join((*self.program, *without_secrets(arguments)))

    @abstractmethod
    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Grant a task new attempts; resets what started after it as well."""

    @abstractmethod
    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Continue a run from where it stopped."""

    @abstractmethod
    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Start a new run of a workflow with the same input."""

    @abstractmethod
    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show a node's attempts, or the whole run when the program would take the node's id for a flag."""

    @abstractmethod
    def events(self, run_id: str) -> str:
        """Show all of a run's events."""

    def accepting_change(self, command: str) -> str:
        """Return a resume or a retry-task with the option that accepts an edited workflow, and any other command unchanged."""
        return command

    def approve(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Approve at a gate."""
        return self._decide("approve", run_id, node_id, iteration)

    def deny(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Deny at a gate."""
        return self._decide("deny", run_id, node_id, iteration)

    def choose(self, run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str:
        """Approve at a gate that asks for a choice: `{"selected": KEY}` or `{"ranked": [KEY, …]}`."""
        del decision
        return self.approve(run_id, node_id, iteration)

    def answer(self, request_id: str, value: str) -> str:
        """Answer a question of a run."""
        return self.line("human", "answer", request_id, *option("--value", value))

    def signal(self, run_id: str, name: str, correlation: str | None = None, *, data: str = FILL_IN) -> str:
        """Deliver an event that a run waits for; an engine without such a command shows the run."""
        del name, correlation, data
        return self.inspect(run_id)

    def cancel(self, run_id: str) -> str:
        """End a run."""
        return self.line("cancel", run_id)

    def rewind(self, run_id: str, frame: int) -> str:
        """Set a run back to an earlier frame; without `--yes` the program refuses or asks."""
        return self.line("rewind", run_id, str(frame), "--yes")

    def inspect(self, run_id: str) -> str:
        """Show a run."""
        return self.line("inspect", run_id)

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        return self.line(verb, run_id, *option("--node", node_id), *iteration_option(iteration))


def without_secrets(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with `FILL_IN` in place of each one that has a secret in it.

    This comes before quoting: a secret split up by a shell's quotes is no longer recognised, and one that is replaced after quoting
    leaves a line that runs with the replacement as its input.
    """
    words = [FILL_IN if redact(word) != word else word for word in arguments]
    whole = shlex.join(words)
    if redact(whole) == whole:
        return words
    for position in range(1, len(words)):  # what precedes an argument may make it a secret
        before, line = shlex.join(words[:position]), shlex.join(words[: position + 1])
        if redact(line) != f"{redact(before)}{line[len(before) :]}":
            words[position] = FILL_IN
    return words


def fillable(value: Any) -> Any:
    """Return a JSON value with `FILL_IN` in place of each part that is a secret or was already replaced as one."""
    return _fillable(value, redact_value(value))


def secret_fields(run_input: dict[str, Any]) -> list[str]:
    """Return the fields of a run's input in which something has to be filled in."""
    return [name for name, value in fillable(run_input).items() if name not in run_input or value != run_input[name]]


def as_fillable_json(value: Any) -> str:
    """Return a value as JSON that cannot be parsed until everything is filled in."""
    return json.dumps(fillable(value), ensure_ascii=False).replace(f'"{FILL_IN}"', FILL_IN)


def _fillable(value: Any, clean: Any) -> Any:
    if isinstance(value, dict) and isinstance(clean, dict):
        pairs = zip(value.items(), clean.items(), strict=False)  # two names that are secrets may have become one
        return {name if name == shown else FILL_IN: _fillable(item, its) for (name, item), (shown, its) in pairs}
    if isinstance(value, list) and isinstance(clean, list):
        return [_fillable(*pair) for pair in zip(value, clean, strict=True)]
    return FILL_IN if value != clean or MARK in str(value) else value


def option(flag: str, value: str) -> tuple[str, ...]:
    """Return a flag with its value, joined when the value itself looks like a flag."""
    return (f"{flag}={value}",) if value.startswith("-") else (flag, value)


def iteration_option(iteration: int) -> tuple[str, ...]:
    """Return the option for an iteration of a loop; none for the first."""
    return ("--iteration", str(iteration)) if iteration > 0 else ()


def engine_of(snapshot: Snapshot) -> EngineCommands:
    """Return the engine that owns a run, set up for that run."""
    return engine_of_store(snapshot.source).of(snapshot)


def engine_of_store(source: Source) -> type[EngineCommands]:
    """Return the engine that owns the runs of a store; only the module of that engine is imported."""
    module, name = _ENGINES.get(source.kind, ("smithers", "SmithersCommands"))
    if module == "smithers":
        from smithers_nb.sources.smithers.source import SmithersSource

        if isinstance(source, SmithersSource) and source.is_early:
            module, name = "smithers_early", "EarlySmithersCommands"
    return cast("type[EngineCommands]", getattr(import_module(f"smithers_nb.diagnosis.engines.{module}"), name))


_ENGINES: Final = {
    "journal": ("notebooks", "NotebookCommands"),
    "dbos": ("dbos", "DbosCommands"),
    "notebooks": ("papermill", "PapermillCommands"),
    "sessions": ("sessions", "SessionCommands"),
}
"""Kind of a store to the module and class of its engine; every other kind belongs to Smithers."""
