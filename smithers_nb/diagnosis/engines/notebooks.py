"""Commands of our own command line for runs of our journal, with the functions of `engines.Cli`.

Every id and path is data, so each argument is quoted for a shell, and an id that begins with a dash is joined to its flag. `resume` goes
on with what is not finished, a failed stage included; after a decision or an answer a run goes on by itself.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from smithers_nb.diagnosis.engines.smithers import FILL_IN
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.diagnosis.engines.base import Cli
    from smithers_nb.sources.snapshot import Snapshot

PROGRAM: Final = "smithers-nb"
NO_PATH: Final = "NOTEBOOK.ipynb"
"""Stands where the journal does not say which file a run came from."""

WORKER: Final = "smithers-nb worker --until-idle"
"""Executes what is queued."""

_ACCEPT: Final = "--accept-workflow-change"
_BY_HAND: Final = "What was run by hand ended with its kernel; this begins a durable run of the notebook."
_CONTINUES: Final = ("resume", "retry-task")


def line(*arguments: str) -> str:
    """Print one command so that a shell hands these exact arguments to the program."""
    return shlex.join((PROGRAM, *arguments))


def of(snapshot: Snapshot) -> Cli | None:
    """Give the commands for a run that a person made by hand: it ended with its kernel, so what goes on is a new, durable run."""
    if not as_object(snapshot.run.config).get("lab"):
        return None
    return cast("Cli", SimpleNamespace(**{**globals(), "goes_on": _BY_HAND, "resume": _anew, "retry_task": _anew}))


def retry_task(workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
    """Take back a node and what began after it, and execute the run again."""
    del workflow_path
    target = ("--", run_id, node_id) if node_id.startswith("-") else (run_id, node_id)
    return line("retry-task", "--yes", *_iteration(iteration), *target)


def resume(workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
    """Execute a run again; what is finished is not done again."""
    del workflow_path, force  # whether somebody executes it is known here, so there is nothing to force
    return line("resume", run_id)


def accepting_change(command: str) -> str:
    """Make a resume or a retry-task go through although the notebook was edited; any other command is given back as it is."""
    words = shlex.split(command)
    return f"{command} {_ACCEPT}" if words[1:2] and words[1] in _CONTINUES and _ACCEPT not in words else command


def approve(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Say yes at a gate."""
    return line("approve", run_id, *_node(node_id, iteration))


def deny(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Say no at a gate."""
    return line("deny", run_id, *_node(node_id, iteration))


def choose(run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str:
    """Say yes at a gate; ours offer no choice."""
    del decision
    return approve(run_id, node_id, iteration)


def answer(request_id: str, value: str) -> str:
    """Answer a question of a run."""
    return line("human", "answer", request_id, *_option("--value", value))


def signal(run_id: str, name: str, correlation: str | None = None, *, data: str = FILL_IN) -> str:
    """Show a run; ours wait for no signals."""
    del name, correlation, data
    return inspect(run_id)


def cancel(run_id: str) -> str:
    """End a run."""
    return line("cancel", run_id)


def fresh_run(workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
    """Start a new run of a notebook with the same parameters."""
    given = (word for name, value in (run_input or {}).items() for word in ("-p", name, _word(value)))
    return line("up", workflow_path or NO_PATH, *given)


def rewind(run_id: str, frame: int) -> str:
    """Set a run back to the state after an earlier node; without `--yes` it only says what it would do."""
    return line("rewind", run_id, str(frame), "--yes")


def inspect(run_id: str) -> str:
    """Show a run."""
    return line("inspect", run_id)


def node(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Show a node's attempts; of the run, when the node's id would be taken for a flag."""
    if node_id.startswith("-"):
        return inspect(run_id)
    return line("node", run_id, node_id, *_iteration(iteration))


def events(run_id: str) -> str:
    """Show a run's events, none of them held back."""
    return line("events", run_id, "--raw")


def _anew(workflow_path: str | None, *_: object, **__: object) -> str:
    return fresh_run(workflow_path, None)


def _node(node_id: str, iteration: int) -> Iterator[str]:
    yield from (*_option("--node", node_id), *_iteration(iteration))


def _word(value: Any) -> str:
    """Write a parameter as `-p` takes it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _option(flag: str, value: str) -> tuple[str, ...]:
    return (f"{flag}={value}",) if value.startswith("-") else (flag, value)


def _iteration(iteration: int) -> tuple[str, ...]:
    return ("--iteration", str(iteration)) if iteration > 0 else ()
