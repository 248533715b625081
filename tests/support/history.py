"""Notebooks that are only files, and runs whose history is written straight into the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.engine.control import submit
from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal import decisions as people
from smithers_nb.engine.journal import records as log
from smithers_nb.engine.journal.leases import new_owner, register, take_lease
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.journal.schema import metadata
from smithers_nb.engine.journal.status import set_status
from smithers_nb.model.failure_reason import FailureReason

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location


def cell(source: str, *, name: str | None = None, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    found = {"cell_type": "code", "execution_count": None, "metadata": {"tags": list(tags)}, "outputs": [], "source": source}
    return found | ({"id": name} if name else {})


def write_notebook(path: Path, *cells: dict[str, Any], settings: dict[str, Any] | None = None, **metadata: Any) -> Path:
    whole = {**metadata, **({"smithers_nb": settings} if settings else {})}
    path.write_text(json.dumps({"cells": list(cells), "metadata": whole, "nbformat": 4, "nbformat_minor": 5}), "utf-8")
    return path


class Runs:
    """Runs of one notebook, with a history that tests write."""

    def __init__(self, location: Location, notebook: Path) -> None:
        self.location = location
        self.notebook = notebook
        self.journal = Journal.open(location)

    def new(self, run_id: str = "r1", **options: Any) -> str:
        return submit(self.location, self.notebook, {}, run_id=run_id, **options)

    def did(self, run_id: str, *names: str) -> None:
        """Write that nodes ran and finished, one after the other."""
        for name in names:
            node = Node(run_id, name)
            with self.journal.writing(run_id) as connection:
                attempt = log.start_attempt(connection, node, kind="stage")
                log.write_output(connection, node, "json", {"of": name})
                log.finish_attempt(connection, node, attempt)

    def failed(self, run_id: str, name: str) -> None:
        """Write that a node failed, and the run with it."""
        reason = FailureReason(code="ValueError", message="no such table", source=f"node:{name}")
        with self.journal.writing(run_id) as connection:
            log.fail_attempt(connection, Node(run_id, name), log.start_attempt(connection, Node(run_id, name), kind="stage"), reason)
            set_status(connection, run_id, "failed", reason)

    def gate(self, run_id: str, name: str) -> None:
        with self.journal.writing(run_id) as connection:
            people.request_approval(connection, Node(run_id, name), title=f"{name}?", summary="why")
            set_status(connection, run_id, "waiting-approval")

    def question(self, run_id: str, name: str, schema: Any = None, options: list[str] | None = None) -> str:
        with self.journal.writing(run_id) as connection:
            found = people.request_answer(connection, Node(run_id, name), prompt=f"{name}?", kind="json", schema=schema, options=options)
            set_status(connection, run_id, "waiting-event")
            return found

    def execute_elsewhere(self, run_id: str) -> str:
        """Let a process that is alive, this one, hold the run."""
        owner = new_owner()
        register(self.journal, owner)
        with self.journal.writing(run_id) as connection:
            execution = executions.want(connection, run_id, queued=True)
            assert take_lease(connection, run_id, owner)
            executions.begin(connection, execution, owner)
        return owner

    def status(self, run_id: str, status: Any) -> None:
        with self.journal.writing(run_id) as connection:
            set_status(connection, run_id, status)

    def rows(self, table: str, run_id: str = "r1") -> list[Any]:
        found = metadata.tables[table]
        with self.journal.reading() as connection:
            return list(connection.execute(found.select().where(found.c.run_id == run_id)))

    def row(self, run_id: str = "r1") -> Any:
        return self.rows("_smithers_runs", run_id)[0]

    def states(self, run_id: str = "r1") -> dict[str, str]:
        return {row.node_id: row.state for row in self.rows("_smithers_nodes", run_id)}

    def events(self, kind: str, run_id: str = "r1") -> list[dict[str, Any]]:
        return [json.loads(row.payload_json) for row in self.rows("_smithers_events", run_id) if row.type == kind]
