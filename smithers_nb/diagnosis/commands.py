"""Commands of the real Smithers CLI, as lists of arguments and as lines that run as printed.

Every id and path is data of somebody's store, so each argument is quoted for a shell. Source of verbs and flags: the help of
Smithers 0.32; `tests/diagnosis/test_commands.py` names them all.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

CLI = ("bunx", "smithers-orchestrator")
"""How the CLI is started in a project, whether it is installed globally or not."""

NO_PATH = "WORKFLOW.tsx"
"""Stands where the store does not say which file a run came from."""


def line(*arguments: str) -> str:
    """Print one command so that a shell hands these exact arguments to the CLI."""
    return shlex.join((*CLI, *arguments))


def retry_task(workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
    """Grant a task new attempts; resets what started after it as well."""
    extra = ("--iteration", str(iteration)) if iteration else ()
    return line("retry-task", workflow_path or NO_PATH, "--run-id", run_id, "--node-id", node_id, *extra)


def resume(workflow_path: str | None, run_id: str, *, force: bool = False, accept_change: bool = False) -> str:
    """Continue a run from where it stopped."""
    extra = (*(("--force",) if force else ()), *(("--accept-workflow-change",) if accept_change else ()))
    return line("up", workflow_path or NO_PATH, "--run-id", run_id, "--resume", "true", *extra)


def approve(run_id: str, node_id: str, iteration: int = 0, *, note: str | None = None) -> str:
    """Say yes at a gate; for a choice, the note names it as JSON."""
    return line("approve", run_id, "--node", node_id, *_iteration(iteration), *(("--note", note) if note else ()))


def deny(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Say no at a gate."""
    return line("deny", run_id, "--node", node_id, *_iteration(iteration))


def answer(request_id: str, value: str) -> str:
    """Answer a question of a run."""
    return line("human", "answer", request_id, "--value", value)


def signal(run_id: str, name: str, correlation: str | None = None) -> str:
    """Deliver an event that a run waits for, without data."""
    return line("signal", run_id, name, "--data", "{}", *(("--correlation", correlation) if correlation else ()))


def cancel(run_id: str) -> str:
    """End a run."""
    return line("cancel", run_id)


def fresh_run(workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
    """Start a new run of a workflow with the same input."""
    given = ("--input", json.dumps(run_input, ensure_ascii=False)) if run_input else ()
    return line("up", workflow_path or NO_PATH, *given)


def rewind(run_id: str, frame: int) -> str:
    """Set a run back to an earlier frame."""
    return line("rewind", run_id, str(frame))


def inspect(run_id: str) -> str:
    """Show a run."""
    return line("inspect", run_id)


def node(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Show a node's attempts and tool calls."""
    extra = ("--iteration", str(iteration)) if iteration else ()
    return line("node", node_id, "--run-id", run_id, "--attempts", "--tools", *extra)


def events(run_id: str) -> str:
    """Show a run's events, none of them held back."""
    return line("events", run_id, "--json", "--limit", "100000")


def _iteration(iteration: int) -> tuple[str, ...]:
    return ("--iteration", str(iteration)) if iteration else ()
