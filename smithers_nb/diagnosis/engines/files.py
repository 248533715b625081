"""Common base of the commands for runs that are files, which are shown with our own command line by the name of the file."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from smithers_nb.diagnosis.engines.base import EngineCommands
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import scheme_of

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot


class FileCommands(EngineCommands):
    """Commands for one run that is a file; no process is behind it, so commands that would stop it show it instead."""

    is_record = True
    config_key: ClassVar[str]
    """Key of the run's configuration with the facts that are specific to this kind of file."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._facts: dict[str, Any] = as_object(snapshot.run.config).get(self.config_key) or {}

    @classmethod
    def of(cls, snapshot: Snapshot) -> EngineCommands:
        """Return the commands for one file."""
        return cls(snapshot)

    def inspect(self, run_id: str) -> str:
        """Show the run."""
        return self._look("inspect", run_id)

    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Show one cell or turn."""
        del iteration
        return self._look("node", run_id, node_id)

    def events(self, run_id: str) -> str:
        """Show the events of the run."""
        return self._look("events", run_id)

    def cancel(self, run_id: str) -> str:
        """Show the run, which cannot be cancelled from here."""
        return self.inspect(run_id)

    def _look(self, verb: str, run_id: str, *more: str) -> str:
        location = self._snapshot.source.location
        if scheme_of(location) is not None and "://" in location:
            return shlex.join(("smithers-nb", verb, run_id, *more, "--source", location))
        file = str(self._facts.get("file") or run_id)
        return shlex.join(("smithers-nb", verb, f"./{file}" if file.startswith("-") else file, *more))
