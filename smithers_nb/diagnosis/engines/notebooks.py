"""Commands of our own command line for runs of our journal.

`resume` continues with what is not finished, including a failed stage. After a decision or an answer a run continues by itself.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.engines.base import EngineCommands, as_fillable_json, fillable, iteration_option
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot

WORKER: Final = "smithers-nb worker --until-idle"
"""The command that executes what is queued."""

_ACCEPT: Final = "--accept-workflow-change"
_CONTINUES: Final = ("resume", "retry-task")


class NotebookCommands(EngineCommands):
    """Commands for a durable run of a notebook."""

    program = ("smithers-nb",)
    no_path = "NOTEBOOK.ipynb"
    continues = "Finished stages keep their outputs; everything else is executed again."
    tries_again = "a resume tries it again"
    is_repairable = True

    @classmethod
    def of(cls, snapshot: Snapshot) -> EngineCommands:
        """Return the commands for one run."""
        return HandMadeCommands() if as_object(snapshot.run.config).get("lab") else cls()

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Reset a node and what started after it, and execute the run again."""
        del workflow_path
        target = ("--", run_id, node_id) if node_id.startswith("-") else (run_id, node_id)
        return self.line("retry-task", *iteration_option(iteration), *target)

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Execute a run again, without what is finished."""
        del workflow_path, force  # the journal knows whether a worker executes the run, so there is nothing to force
        return self.line("resume", run_id)

    def accepting_change(self, command: str) -> str:
        """Return a resume or a retry-task with the option that accepts an edited notebook, and any other command unchanged."""
        words = shlex.split(command)
        return f"{command} {_ACCEPT}" if words[1:2] and words[1] in _CONTINUES and _ACCEPT not in words else command

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Start a new run of a notebook with the same parameters."""
        parameters = (word for name, value in fillable(run_input or {}).items() for word in ("-p", name, _word(value)))
        return self.line("up", workflow_path or self.no_path, *parameters)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show a node's attempts, or the whole run when the node's id would be taken for a flag."""
        if node_id.startswith("-"):
            return self.inspect(run_id)
        return self.line("node", run_id, node_id, *iteration_option(iteration))

    def events(self, run_id: str) -> str:
        """Show all of a run's events."""
        return self.line("events", run_id, "--raw")


class HandMadeCommands(NotebookCommands):
    """Commands for a run that a person executed by hand: it ended with its kernel, so only a new, durable run can continue it."""

    continues = "What was run by hand ended with its kernel; this starts a durable run of the notebook."

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Start a durable run."""
        del run_id, node_id, iteration
        return self.fresh_run(workflow_path, None)

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Start a durable run."""
        del run_id, force
        return self.fresh_run(workflow_path, None)


def _word(value: Any) -> str:
    """Return a parameter in the form that `-p` takes: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else as_fillable_json(value)
