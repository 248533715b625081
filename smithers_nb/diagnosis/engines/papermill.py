"""Commands for an executed notebook, which cannot be resumed: papermill runs all of it again with the parameters of the run.

Names and options are papermill's (2.x): `-p` parses a value as a person types it, `-r` takes text as it is, `-y` reads YAML, which
includes JSON. Commands that only show a run are those of our own command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.files import FileCommands
from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.redact import redact_value
from smithers_nb.sources.files import SUFFIX
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import scheme_of

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot

_RERUN: Final = "-rerun"


class PapermillCommands(FileCommands):
    """Commands for one executed notebook."""

    program = ("papermill",)
    no_path = "NOTEBOOK.ipynb"
    config_key = "executed"
    continues = "papermill runs the whole notebook again, from its first cell."
    after_a_fix = "run the notebook again"
    tries_again = "running the notebook again tries it again"

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        path = str(self._facts.get("inputPath") or "/")
        if scheme_of(path) is None and not Path(path).is_absolute() and commands_folder(snapshot) is None:
            self.continues = f"{PapermillCommands.continues} The paths are relative to the folder in which it was started."
        if not self.can_rerun:
            self.continues = f"Such a notebook runs only in {self._facts.get('producer')}: run all of it again there."

    @property
    def can_rerun(self) -> bool:
        """Whether papermill can execute notebooks of this kind; those of Databricks run only there."""
        return bool(self._facts.get("canRerun"))

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Run the notebook again, because a run cannot be continued."""
        del run_id, force
        return self.fresh_run(workflow_path, None)

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Run the notebook again, because a cell needs those before it."""
        del run_id, node_id, iteration
        return self.fresh_run(workflow_path, None)

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Run the notebook again with the same parameters."""
        if not self.can_rerun:
            return self.inspect(self._snapshot.run.run_id)
        file = str(self._facts.get("file") or self._snapshot.run.run_id)
        if run_input is None:
            run_input = as_object(next((row.row for row in self._snapshot.outputs if row.node_id == "input"), None))
        source = workflow_path or str(self._facts.get("inputPath") or file)
        target = str(self._facts.get("outputPath") or "") or _rerun_name(file)
        options = (word for name, value in run_input.items() for word in _parameter(name, value))
        return self.line(source, _rerun_name(target) if target == source else target, *options)

    def rewind(self, run_id: str, frame: int) -> str:
        """Run the notebook again, because there is no earlier state to go back to."""
        del run_id, frame
        return self.fresh_run(None, None)

    def answer(self, request_id: str, value: str) -> str:
        """Show the run, because an executed notebook has no questions."""
        del request_id, value
        return self.inspect(self._snapshot.run.run_id)

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        del verb, node_id, iteration
        return self.inspect(run_id)


def _parameter(name: str, value: Any) -> Iterator[str]:
    """Yield the options with which papermill reads the same value again; a secret has to be filled in."""
    clean = redact_value({name: value})[name]
    if clean != value:
        yield from ("-p", name, FILL_IN)
    elif isinstance(value, str):
        yield from ("-r", name, value)
    elif isinstance(value, bool | int | float) or value is None:
        yield from ("-p", name, str(value))
    else:
        yield from ("-y", json.dumps({name: value}, ensure_ascii=False))


def _rerun_name(file: str) -> str:
    """Return the name of a file next to another one, so that the old run is not overwritten."""
    folder, slash, name = file.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(name).name.removesuffix(SUFFIX)}{_RERUN}{SUFFIX}"
