"""Commands of the real Smithers CLI.

Source of verbs and flags: the help of Smithers 0.32; `tests/diagnosis/engines/test_smithers.py` lists them all. Its `approve` cannot
pass a choice and takes no id that starts with `-` as an argument. Its MCP server accepts both, with one JSON line per call.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

from smithers_nb.diagnosis.engines.base import FILL_IN, EngineCommands, as_fillable_json, iteration_option, option, without_secrets

_ACCEPT: Final = "--accept-workflow-change"


class SmithersCommands(EngineCommands):
    """The CLI as started inside a project, which works whether or not it is installed globally."""

    program = ("bunx", "smithers-orchestrator")
    no_path = "WORKFLOW.tsx"
    replays = waits_for_resume = is_watched = idles = is_repairable = True
    continues = "Finished stages keep their outputs; everything else is executed again."
    tries_again = "a resume tries it again"

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Grant a task new attempts; resets what started after it as well."""
        target = (*option("--run-id", run_id), *option("--node-id", node_id), *iteration_option(iteration))
        return self.line("retry-task", workflow_path or self.no_path, *target)

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Continue a run from where it stopped."""
        extra = ("--force",) if force else ()
        return self.line("up", workflow_path or self.no_path, *option("--run-id", run_id), "--resume", "true", *extra)

    def accepting_change(self, command: str) -> str:
        """Return a resume or a retry-task with the option that accepts an edited workflow, and any other command unchanged."""
        arguments = shlex.split(command)
        continues = arguments[2:3] == ["retry-task"] or (arguments[2:3] == ["up"] and "--resume" in arguments)
        return self.line(*arguments[2:], _ACCEPT) if continues and _ACCEPT not in arguments else command

    def choose(self, run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str:
        """Approve at a gate that asks for a choice: `{"selected": KEY}` or `{"ranked": [KEY, …]}`."""
        return self._resolve("approve", run_id, node_id, iteration, decision=decision)

    def signal(self, run_id: str, name: str, correlation: str | None = None, *, data: str = FILL_IN) -> str:
        """Deliver an event that a run waits for; data that does not fit what the run expects fails the run."""
        about = option("--correlation", correlation) if correlation else ()
        return self.line("signal", run_id, name, *option("--data", data), *about)

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Start a new run of a workflow with the same input."""
        parameters = ("--input", as_fillable_json(run_input)) if run_input else ()
        return self.line("up", workflow_path or self.no_path, *parameters)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show a node's attempts and tool calls, or the whole run when the CLI would take the node's id for a flag."""
        if node_id.startswith("-"):
            return self.inspect(run_id)
        return self.line("node", node_id, *option("--run-id", run_id), "--attempts", "--tools", *iteration_option(iteration))

    def events(self, run_id: str) -> str:
        """Show all of a run's events."""
        return self.line("events", run_id, "--json", "--limit", "100000")

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        if run_id.startswith("-"):
            return self._resolve(verb, run_id, node_id, iteration)
        return super()._decide(verb, run_id, node_id, iteration)

    def _resolve(self, action: str, run_id: str, node_id: str, iteration: int, **choice: Any) -> str:
        """Return the line that decides a gate by a call to the CLI's MCP server."""
        # a second gate of the same task has a negative iteration, which the CLI does not accept and finds by itself
        gate = {"runId": run_id, "nodeId": node_id} | ({"iteration": iteration} if iteration >= 0 else {})
        parameters = {"name": "resolve_approval", "arguments": {"action": action, **gate, **choice}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}
        text = json.dumps(call, ensure_ascii=False).replace(f'"{FILL_IN}"', FILL_IN)
        return f"printf '%s\\n' {shlex.join(without_secrets([text]))} | {self.line('--mcp')}"
