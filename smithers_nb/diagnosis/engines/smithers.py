"""Commands of the real Smithers CLI, as lists of arguments and as lines that run as printed.

Every id and path is data of somebody's store, so each argument is quoted for a shell. Source of verbs and flags: the help of
Smithers 0.32; `tests/diagnosis/engines/test_smithers.py` names them all. Its `approve` cannot carry a choice and takes no id that starts
with `-` as an argument; its MCP server takes both, one JSON line for one call.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

CLI = ("bunx", "smithers-orchestrator")
"""How the CLI is started in a project, whether it is installed globally or not."""

NO_PATH = "WORKFLOW.tsx"
"""Stands where the store does not say which file a run came from."""

FILL_IN = "…"
"""Stands where a person must write something. It is no JSON, so the CLI refuses a line in which it still stands."""

_ACCEPT = "--accept-workflow-change"


def line(*arguments: str) -> str:
    """Print one command so that a shell hands these exact arguments to the CLI."""
    return shlex.join((*CLI, *arguments))


def retry_task(workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
    """Grant a task new attempts; resets what started after it as well."""
    return line(
        "retry-task", workflow_path or NO_PATH, *_option("--run-id", run_id), *_option("--node-id", node_id), *_iteration(iteration)
    )


def resume(workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
    """Continue a run from where it stopped."""
    extra = ("--force",) if force else ()
    return line("up", workflow_path or NO_PATH, *_option("--run-id", run_id), "--resume", "true", *extra)


def accepting_change(command: str) -> str:
    """Make a resume or a retry-task go through although the workflow was edited; any other command is given back as it is."""
    arguments = shlex.split(command)
    continues = arguments[2:3] == ["retry-task"] or (arguments[2:3] == ["up"] and "--resume" in arguments)
    return line(*arguments[2:], _ACCEPT) if continues and _ACCEPT not in arguments else command


def approve(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Say yes at a gate."""
    return _decide("approve", run_id, node_id, iteration)


def deny(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Say no at a gate."""
    return _decide("deny", run_id, node_id, iteration)


def choose(run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str:
    """Say yes at a gate that asks for a choice: `{"selected": KEY}` or `{"ranked": [KEY, …]}`."""
    return _call("resolve_approval", {"action": "approve", **_gate(run_id, node_id, iteration), "decision": decision})


def answer(request_id: str, value: str) -> str:
    """Answer a question of a run."""
    return line("human", "answer", request_id, *_option("--value", value))


def signal(run_id: str, name: str, correlation: str | None = None, *, data: str = FILL_IN) -> str:
    """Deliver an event that a run waits for; data that does not fit what the run expects fails the run."""
    return line("signal", run_id, name, *_option("--data", data), *(_option("--correlation", correlation) if correlation else ()))


def cancel(run_id: str) -> str:
    """End a run."""
    return line("cancel", run_id)


def fresh_run(workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
    """Start a new run of a workflow with the same input."""
    given = ("--input", json.dumps(run_input, ensure_ascii=False)) if run_input else ()
    return line("up", workflow_path or NO_PATH, *given)


def rewind(run_id: str, frame: int) -> str:
    """Set a run back to an earlier frame; without `--yes` the CLI refuses."""
    return line("rewind", run_id, str(frame), "--yes")


def inspect(run_id: str) -> str:
    """Show a run."""
    return line("inspect", run_id)


def node(run_id: str, node_id: str, iteration: int = 0) -> str:
    """Show a node's attempts and tool calls; of the run, when the CLI would take the node's id for a flag."""
    if node_id.startswith("-"):
        return inspect(run_id)
    return line("node", node_id, *_option("--run-id", run_id), "--attempts", "--tools", *_iteration(iteration))


def events(run_id: str) -> str:
    """Show a run's events, none of them held back."""
    return line("events", run_id, "--json", "--limit", "100000")


def _decide(verb: str, run_id: str, node_id: str, iteration: int) -> str:
    if run_id.startswith("-"):
        return _call("resolve_approval", {"action": verb, **_gate(run_id, node_id, iteration)})
    return line(verb, run_id, *_option("--node", node_id), *_iteration(iteration))


def _call(tool: str, arguments: dict[str, Any]) -> str:
    """Print one call of the CLI's MCP server."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    text = json.dumps(call, ensure_ascii=False).replace(f'"{FILL_IN}"', FILL_IN)
    return f"printf '%s\\n' {shlex.quote(text)} | {line('--mcp')}"


def _gate(run_id: str, node_id: str, iteration: int) -> dict[str, Any]:
    # a second gate of the same task has a negative iteration, which the CLI refuses to be told and finds by itself
    return {"runId": run_id, "nodeId": node_id} | ({"iteration": iteration} if iteration >= 0 else {})


def _option(flag: str, value: str) -> tuple[str, ...]:
    """Give a flag its value, joined when the value itself looks like a flag."""
    return (f"{flag}={value}",) if value.startswith("-") else (flag, value)


def _iteration(iteration: int) -> tuple[str, ...]:
    return ("--iteration", str(iteration)) if iteration > 0 else ()
