"""Which of the commands that a provider proposes may be printed.

A line is kept when the deterministic advice contains it too, or when it parses to a verb of `diagnosis.engines` with an existing run and
node. It is then rebuilt by that module, so that nothing else can hide in it. A provider never decides gates or questions, and a command
that starts work must have no known side effects and must not be one that the engine would refuse.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.engines.smithers import SmithersCommands
from smithers_nb.model.vocabulary import is_terminal

if TYPE_CHECKING:
    from smithers_nb.agents.verification.evidence_index import Record

_SHELL_CHARACTERS: Final = re.compile(r"[;&|<>`$(){}\\\n\r\x00*?~!#]")
_ITERATION: Final = re.compile(r"[0-9]{1,9}")
_OPTIONS: Final = {"--run-id": "run", "--node-id": "node", "--iteration": "iteration", "--resume": "resume", "--limit": "limit"}
_FLAGS: Final = frozenset({"--attempts", "--tools", "--json"})
_SMITHERS: Final = SmithersCommands()
_READ_ONLY_VERBS: Final = frozenset({"inspect", "node", "events"})


class Judged(NamedTuple):
    """The decision on one command line of a provider.

    Attributes:
        line: The line as we print it; empty when it is refused.
        refusal: Why it is refused; empty when it is accepted.
    """

    line: str
    refusal: str = ""


def judged(line: str, record: Record, *, offered: Collection[str], workflow_path: str | None) -> Judged:
    """Decide whether one line may be printed.

    Args:
        line: The line as proposed.
        record: The runs and nodes that exist.
        offered: Lines of the deterministic advice, for any of its suggestions.
        workflow_path: The run's workflow, the only one that a line may start.
    """
    wanted = line.strip().removeprefix("$ ")
    if wanted in offered:
        return Judged(wanted)
    try:
        verb, call = _parsed(wanted)
    except ValueError as error:
        return Judged("", str(error))
    return _VERBS[verb](call, _Ground(record, workflow_path, offered))


def is_looking(line: str) -> bool:
    """Return whether a command is read-only."""
    words = shlex.split(line)
    return len(words) > len(_SMITHERS.program) and words[len(_SMITHERS.program)] in _READ_ONLY_VERBS


class _Call(NamedTuple):
    positional: list[str]
    options: dict[str, str]

    @property
    def first(self) -> str:
        return self.positional[0] if self.positional else ""

    @property
    def iteration(self) -> int:
        return int(self.options.get("iteration", "0"))


class _Ground(NamedTuple):
    record: Record
    workflow_path: str | None
    offered: Collection[str]


def _parsed(line: str) -> tuple[str, _Call]:
    """Parse a line without a shell.

    Raises:
        ValueError: It is not a single plain command of the CLI with a verb that we print; the message says why.
    """
    if _SHELL_CHARACTERS.search(line):
        raise ValueError("it contains shell metacharacters")
    try:
        words = shlex.split(line)
    except ValueError:
        raise ValueError("its quotation marks do not match") from None
    if tuple(words[: len(_SMITHERS.program)]) != _SMITHERS.program or len(words) <= len(_SMITHERS.program):
        raise ValueError(f"it is not a command of {' '.join(_SMITHERS.program)}")
    verb, *rest = words[len(_SMITHERS.program) :]
    if verb not in _VERBS:
        raise ValueError(f"{verb[:40]!r} is not among {', '.join(_VERBS)}")
    return verb, _call(rest)


def _call(words: list[str]) -> _Call:
    """Split the arguments of a verb into positional ones and options.

    Raises:
        ValueError: An option is unknown or has no value.
    """
    positional: list[str] = []
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if word in _FLAGS:
            continue
        if flag in _OPTIONS:
            given = value if equals else next(rest, None)
            if given is None:
                raise ValueError(f"{flag} has no value")
            options[_OPTIONS[flag]] = given
        elif word.startswith("-"):
            raise ValueError(f"{flag[:40]!r} is not an option that we print")
        else:
            positional.append(word)
    if not _ITERATION.fullmatch(options.get("iteration", "0")):
        raise ValueError("its iteration is not a number")
    return _Call(positional, options)


def _inspect(call: _Call, ground: _Ground) -> Judged:
    return Judged(_SMITHERS.inspect(call.first)) if call.first in ground.record.runs else _no_run(call.first)


def _events(call: _Call, ground: _Ground) -> Judged:
    return Judged(_SMITHERS.events(call.first)) if call.first in ground.record.runs else _no_run(call.first)


def _node(call: _Call, ground: _Ground) -> Judged:
    run_id = call.options.get("run", ground.record.snapshot.run_id)
    if (run_id, call.first, call.iteration) not in ground.record.nodes:
        return _no_node(run_id, call.first, call.iteration)
    return Judged(_SMITHERS.node(run_id, call.first, call.iteration))


def _retry_task(call: _Call, ground: _Ground) -> Judged:
    snapshot = ground.record.snapshot
    run_id, node_id = call.options.get("run", ""), call.options.get("node", "")
    if refusal := _refused(call, ground, run_id):
        return Judged("", refusal)
    if (run_id, node_id, call.iteration) not in ground.record.nodes:
        return _no_node(run_id, node_id, call.iteration)
    if effects := repeated_effects(snapshot, reset_preview(snapshot, node_id, call.iteration)):
        return Judged("", f"it would repeat what {', '.join(effects)} did outside the run")
    return Judged(_SMITHERS.retry_task(ground.workflow_path, run_id, node_id, call.iteration))


def _up(call: _Call, ground: _Ground) -> Judged:
    run_id = call.options.get("run", "")
    if call.options.get("resume") != "true":
        return Judged("", "a fresh run is only printed with the input that the store has")
    if refusal := _refused(call, ground, run_id):
        return Judged("", refusal)
    return Judged(_SMITHERS.resume(ground.workflow_path, run_id))


def _refused(call: _Call, ground: _Ground, run_id: str) -> str:
    """Return why a command that starts work may not be printed; empty when it may.

    Only the run in question is accepted: it owns its child runs.
    """
    snapshot = ground.record.snapshot
    if run_id != snapshot.run_id:
        return f"it is not about run {snapshot.run_id}"
    if call.first != (ground.workflow_path or _SMITHERS.no_path):
        return "it names a workflow other than the run's"
    if not is_terminal(snapshot.run.status):
        return "the run is still going"
    if any("--accept-workflow-change" in line for line in ground.offered):
        return "the workflow has been edited since, which only our own advice takes into account"
    return ""


def _no_run(run_id: str) -> Judged:
    return Judged("", f"there is no run {run_id[:60]!r} here")


def _no_node(run_id: str, node_id: str, iteration: int) -> Judged:
    return Judged("", f"run {run_id[:60]!r} has no node {node_id[:60]!r} in iteration {iteration}")


_VERBS: Final[dict[str, Callable[[_Call, _Ground], Judged]]] = {
    "inspect": _inspect,
    "node": _node,
    "events": _events,
    "retry-task": _retry_task,
    "up": _up,
}
