"""Durable runs for tests: a project in a folder, notebooks in it, and processes that execute them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nbformat
import sqlalchemy as sa

from smithers_nb.engine import control
from smithers_nb.engine.execution.run_execution import execute_run
from smithers_nb.engine.journal import Journal, executions, leases
from smithers_nb.engine.journal.schema import attempts, events, nodes, runs

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location

_WORKER = """
import sys
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers import worker
from smithers_nb.engine.workers.foreground import run_here
worker._IDLE_S = 1.0
location = Location.of(sys.argv[1], database=sys.argv[2] or None)
if len(sys.argv) > 3:
    print(run_here(location, sys.argv[3]).status, flush=True)
else:
    worker.work(location, concurrency=1, until_idle=True, on_outcome=lambda outcome: print(outcome.run_id, outcome.status, flush=True))
"""


class Project(NamedTuple):
    """A project folder with a journal."""

    location: Location

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.location.root

    def notebook(self, *cells: str, name: str = "job", metadata: dict[str, Any] | None = None) -> Path:
        """Write a notebook; the first cell takes `name` and `count`."""
        node = nbformat.v4.new_notebook(metadata={"smithers_nb": metadata or {}})
        first = nbformat.v4.new_code_cell('name: str = "nobody"\ncount: int = 1', id="parameters", metadata={"tags": ["parameters"]})
        node.cells = [first, *(nbformat.v4.new_code_cell(cell, id=f"step-{number}") for number, cell in enumerate(cells, start=1))]
        path = self.root / f"{name}.ipynb"
        nbformat.write(node, path)
        return path

    def submit(self, *cells: str, **options: Any) -> str:
        """Write a notebook down as a run that nobody has begun."""
        return control.submit(self.location, self.notebook(*cells), options.pop("parameters", {}), cwd=self.root, **options)

    def execute(self, run_id: str, execution: executions.Execution | None = None, **options: Any) -> Outcome:
        """Execute a run once in this process, without the durable engine."""
        with Journal.open(self.location) as journal:
            owner = leases.new_owner()
            leases.register(journal, owner)
            if execution is None:
                with journal.writing(run_id) as connection:
                    execution = executions.want(connection, run_id, queued=True)
            try:
                return execute_run(journal, execution, owner, **options)
            finally:
                leases.deregister(journal, owner)

    def process(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a worker, or with a run id a process that executes that run in the foreground."""
        url = "" if self.location.file else self.location.url
        command = [sys.executable, "-c", _WORKER, str(self.root), url, *arguments]
        return subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "default"})

    def rows(self, table: sa.Table, run_id: str) -> list[Any]:
        """Read all rows of a run."""
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return list(connection.execute(sa.select(table).where(table.c.run_id == run_id)))

    def run(self, run_id: str) -> Any:
        """Read the run."""
        return self.rows(runs, run_id)[0]

    def error(self, run_id: str) -> dict[str, Any]:
        """Read why a run failed."""
        return dict(json.loads(self.run(run_id).error_json))

    def states(self, run_id: str) -> dict[str, str]:
        """Read the states of a run's nodes."""
        return {row.node_id: row.state for row in self.rows(nodes, run_id)}

    def tries(self, run_id: str) -> list[tuple[str, int, str]]:
        """Read node, number and state of every attempt."""
        return [(row.node_id, row.attempt, row.state) for row in self.rows(attempts, run_id)]

    def event_types(self, run_id: str) -> list[str]:
        """Read the log's types in order."""
        return [row.type for row in sorted(self.rows(events, run_id), key=lambda row: row.seq)]

    def lines(self, name: str = "effects") -> list[str]:
        """Read what cells have written into a file of the project."""
        path = self.root / name
        return path.read_text().split() if path.exists() else []


def until(condition: Callable[[], Any], seconds: float = 30.0, *, every: float = 0.05) -> Any:
    """Wait for something to be so, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"not so within {seconds} s")


def effect(word: str) -> str:
    """Write a cell that leaves a word behind each time it runs."""
    return f"with open('effects', 'a') as file:\n    file.write('{word} ')"


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for processes and give what they printed."""
    return [process.communicate(timeout=90)[0] for process in processes]
