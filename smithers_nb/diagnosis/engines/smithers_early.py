"""Commands of Smithers before it recorded its migrations.

Source of verbs and flags: the help of Smithers 0.5, which takes no `--flag=value`. Each command names the workflow's file. No command
shows a node or the events, so our own command line does. No command grants new attempts: a resume tries a failed task again once its
`retries` allow it, even if the file was edited.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.engines.base import EngineCommands, as_fillable_json, iteration_option

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot


class EarlySmithersCommands(EngineCommands):
    """The CLI of an early version, as started inside a project."""

    program = ("bunx", "smithers-orchestrator")
    no_path = "WORKFLOW.tsx"
    waits_for_resume = is_watched = True
    continues = (
        "A resume keeps what is finished; the failed task is tried again only when its `retries` in the workflow's file are at least as "
        "many as its attempts so far, else the same failure is reported."
    )
    tries_again = "a resume tries it again once its `retries` allow another attempt"

    def __init__(self, workflow_path: str | None) -> None:
        self._path = workflow_path or self.no_path

    @classmethod
    def of(cls, snapshot: Snapshot) -> EngineCommands:
        """Return the commands for one run."""
        return cls(snapshot.run.workflow_path)

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Resume the run, which tries a failed task again if it has retries left."""
        del node_id, iteration
        return self.resume(workflow_path, run_id)

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Continue a run from where it stopped; it needs no force when the process that ran it is gone."""
        del force
        return self._about("resume", run_id, workflow_path=workflow_path)

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Start a new run of a workflow with the same input."""
        return self.line("run", workflow_path or self._path, "--input", as_fillable_json(run_input or {}))

    def cancel(self, run_id: str) -> str:
        """End a run."""
        return self._about("cancel", run_id)

    def rewind(self, run_id: str, frame: int) -> str:
        """Show the frames of the run, because this version cannot go back to one."""
        del frame
        return self._about("frames", run_id)

    def answer(self, request_id: str, value: str) -> str:
        """Show the status of the run, because this version has no questions."""
        run_id = request_id.removeprefix("human:").partition(":")[0]
        del value
        return self.inspect(run_id)

    def inspect(self, run_id: str) -> str:
        """Show the status of a run."""
        return self._about("status", run_id)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show a node's attempts, or the status of the run when the program would take an id for a flag."""
        if node_id.startswith("-") or run_id.startswith("-"):
            return self.inspect(run_id)
        return shlex.join(("smithers-nb", "node", run_id, node_id, *iteration_option(iteration)))

    def events(self, run_id: str) -> str:
        """Show all of a run's events, or its status when the program would take its id for a flag."""
        return self.inspect(run_id) if run_id.startswith("-") else shlex.join(("smithers-nb", "events", run_id))

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        return self._about(verb, run_id, "--node-id", node_id, *iteration_option(iteration))

    def _about(self, verb: str, run_id: str, *more: str, workflow_path: str | None = None) -> str:
        return self.line(verb, workflow_path or self._path, "--run-id", run_id, *more)
