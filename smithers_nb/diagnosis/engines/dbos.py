"""Commands of the `dbos` program for one workflow, with the functions of `engines.Cli`.

DBOS (3.4) resumes a workflow that was cancelled, given up or left pending; one that ended with an error only gives that error back.
Such a one is tried again as a fork, from the step that failed. The program has no gates and sends no messages, so what would ask for
one shows the workflow instead.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.engines.smithers import FILL_IN
from smithers_nb.sources.dbos.rows import GIVEN_UP
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import is_postgres

if TYPE_CHECKING:
    from smithers_nb.model.rows import TaskRow
    from smithers_nb.sources.snapshot import Snapshot

PROGRAM: Final = ("dbos", "workflow")
VARIABLE: Final = "DBOS_SYSTEM_DATABASE_URL"
"""Where the program looks for the database; in Postgres it may hold a password, so it is named and not printed."""


def of(snapshot: Snapshot) -> DbosCli:
    """Give the commands for a workflow."""
    return DbosCli(snapshot)


class DbosCli:
    """Commands as lines that run as printed, for the database that the workflow was read from."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Go on: with the workflow itself, or with a fork of it from the step that failed when it ended with an error."""
        del workflow_path, force
        run = self._snapshot.run
        if run.status in {"failed", "finished"} and run.error_code != GIVEN_UP:
            return self._line("fork", run_id, "--step", str(fork_step(self._snapshot)))
        return self._line("resume", run_id)

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Run a step again, in a fork from it."""
        del workflow_path
        steps = [task.ordinal for task in self._snapshot.tasks if (task.node_id, task.iteration) == (node_id, iteration)]
        return self._line("fork", run_id, "--step", str(min(steps, default=1)))

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Run the workflow again from its beginning with the same input."""
        del workflow_path, run_input
        return self._line("fork", self._snapshot.run.run_id, "--step", "1")

    def rewind(self, run_id: str, frame: int) -> str:
        """Run again from a step."""
        return self._line("fork", run_id, "--step", str(max(1, frame)))

    def cancel(self, run_id: str) -> str:
        """End a workflow before its next step."""
        return self._line("cancel", run_id)

    def inspect(self, run_id: str) -> str:
        """Show a workflow."""
        return self._line("get", run_id)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show the steps of a workflow."""
        del node_id, iteration
        return self._line("steps", run_id)

    def events(self, run_id: str) -> str:
        """Show the steps of a workflow, which is all that DBOS records of its course."""
        return self._line("steps", run_id)

    def accepting_change(self, command: str) -> str:
        """Give the command back: a fork takes whatever version of the application is running."""
        return command

    def approve(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show the workflow: there are no gates."""
        del node_id, iteration
        return self.inspect(run_id)

    def deny(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show the workflow: there are no gates."""
        return self.approve(run_id, node_id, iteration)

    def choose(self, run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str:
        """Show the workflow: there are no gates."""
        del decision
        return self.approve(run_id, node_id, iteration)

    def answer(self, request_id: str, value: str) -> str:
        """Show the workflow: there are no questions."""
        del request_id, value
        return self.inspect(self._snapshot.run.run_id)

    def signal(self, run_id: str, name: str, correlation: str | None = None, *, data: str = FILL_IN) -> str:
        """Show the workflow: only the application, or a `DBOSClient`, can send it a message."""
        del name, correlation, data
        return self.inspect(run_id)

    def _line(self, verb: str, run_id: str, *options: str) -> str:
        target = ("--", run_id) if run_id.startswith("-") else (run_id,)
        return f"{shlex.join((*PROGRAM, verb, *options))} {self._database()} {shlex.join(target)}"

    def _database(self) -> str:
        location, _, schema = self._snapshot.source.location.partition("?schema=")
        named = f" --schema {shlex.quote(schema)}" if schema else ""
        if is_postgres(location):
            return f'--sys-db-url "${VARIABLE}"{named}'
        return f"--sys-db-url {shlex.quote(f'sqlite:///{Path(location).absolute()}')}"


def fork_step(snapshot: Snapshot) -> int:
    """Find the step that a fork has to begin with so that a failed workflow is tried again; what ran before it is kept.

    A child workflow is begun again by the step that started it, not by the one that waited for it.
    """
    tasks = sorted(snapshot.tasks, key=lambda task: task.ordinal)
    failed = {(node.node_id, node.iteration) for node in snapshot.nodes if node.state == "failed"}
    blamed = [task for task in tasks if (task.node_id, task.iteration) in failed and "continueOnFail" not in as_object(task.props)]
    if not blamed:
        return tasks[-1].ordinal + 1 if tasks else 1
    child = _child(blamed[0])
    return min(task.ordinal for task in tasks if task is blamed[0] or (child and _child(task) == child))


def _child(task: TaskRow) -> object:
    return as_object(task.props).get("childRunId")
