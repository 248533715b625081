"""Commands of the `dbos` program for one workflow.

DBOS (3.4) resumes a workflow that was cancelled, given up or left pending; one that ended with an error only returns that error again.
Such a workflow is tried again as a fork, from the step that failed. The program has no gates and sends no messages, so commands for
these show the workflow instead.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.engines.base import EngineCommands, without_secrets
from smithers_nb.sources.dbos.rows import GIVEN_UP
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import is_postgres

if TYPE_CHECKING:
    from smithers_nb.model.rows import TaskRow
    from smithers_nb.sources.snapshot import Snapshot

VARIABLE: Final = "DBOS_SYSTEM_DATABASE_URL"
"""Environment variable with the database's URL; for Postgres it may hold a password, so its name is printed instead of its value."""


class DbosCommands(EngineCommands):
    """Commands for the database that the workflow was read from."""

    program = ("dbos", "workflow")
    wakes_itself = True
    continues = "DBOS continues a failed workflow as a fork: a new one with the same input that keeps the results of earlier steps."
    tries_again = "a resume returns the same error, a fork from this step tries it again"

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @classmethod
    def of(cls, snapshot: Snapshot) -> EngineCommands:
        """Return the commands for one workflow."""
        return cls(snapshot)

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Continue the workflow, or a fork of it from the step that failed when it ended with an error."""
        del workflow_path, force
        run = self._snapshot.run
        if run.status in {"failed", "finished"} and run.error_code != GIVEN_UP:
            return self._fork(run_id, fork_step(self._snapshot))
        return self._line("resume", run_id)

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Run a step again, in a fork from it."""
        del workflow_path
        steps = [task.ordinal for task in self._snapshot.tasks if (task.node_id, task.iteration) == (node_id, iteration)]
        return self._fork(run_id, min(steps, default=1))

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Run the workflow again from its beginning with the same input."""
        del workflow_path, run_input
        return self._fork(self._snapshot.run.run_id, 1)

    def rewind(self, run_id: str, frame: int) -> str:
        """Run the workflow again from a step."""
        return self._fork(run_id, max(1, frame))

    def cancel(self, run_id: str) -> str:
        """End a workflow before its next step."""
        return self._line("cancel", run_id)

    def inspect(self, run_id: str) -> str:
        """Show a workflow."""
        return self._line("get", run_id)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show the steps of a workflow."""
        del node_id, iteration
        return self.events(run_id)

    def events(self, run_id: str) -> str:
        """Show the steps of a workflow, which is all that DBOS records of its course."""
        return self._line("steps", run_id)

    def answer(self, request_id: str, value: str) -> str:
        """Show the workflow: there are no questions."""
        del request_id, value
        return self.inspect(self._snapshot.run.run_id)

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        del verb, node_id, iteration  # there are no gates
        return self.inspect(run_id)

    def _fork(self, run_id: str, step: int) -> str:
        return self._line("fork", run_id, "--step", str(step))

    def _line(self, verb: str, run_id: str, *options: str) -> str:
        target = ("--", run_id) if run_id.startswith("-") else (run_id,)
        return f"{self.line(verb, *options)} {self._database()} {shlex.join(without_secrets(target))}"

    def _database(self) -> str:
        location, _, schema = self._snapshot.source.location.partition("?schema=")
        named = f" --schema {shlex.quote(schema)}" if schema else ""
        if is_postgres(location):
            return f'--sys-db-url "${VARIABLE}"{named}'
        return f"--sys-db-url {shlex.quote(f'sqlite:///{Path(location).absolute()}')}"


def fork_step(snapshot: Snapshot) -> int:
    """Return the step at which a fork must start to try a failed workflow again; the results of earlier steps are kept.

    A child workflow is started again by the step that started it, not by the step that waited for it.
    """
    tasks = sorted(snapshot.tasks, key=lambda task: task.ordinal)
    failed = {(node.node_id, node.iteration) for node in snapshot.nodes if node.state == "failed"}
    blamed = [task for task in tasks if (task.node_id, task.iteration) in failed and not snapshot.may_fail(task.node_id, task.iteration)]
    if not blamed:
        return tasks[-1].ordinal + 1 if tasks else 1
    child = _child(blamed[0])
    return min(task.ordinal for task in tasks if task is blamed[0] or (child and _child(task) == child))


def _child(task: TaskRow) -> object:
    return as_object(task.props).get("childRunId")
