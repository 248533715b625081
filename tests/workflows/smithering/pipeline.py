"""A whole request in a test: a repository, an answer book, and the pipeline driven to its end through the public functions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from smithers_nb.engine.control import acting, answer, decide, pending, submit
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.records import Node, attempts_of, read_output
from smithers_nb.engine.journal.schema import nodes, outputs, runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.foreground import run_here
from smithers_nb.resources import resource
from smithers_nb.workflows.smithering.results.delivery import SmitheringRow

NOTEBOOK = Path(str(resource("notebooks/smithering.ipynb")))
CHECK = "grep -q hello greeting.txt"
BOOK: dict[str, Any] = {
    "families": ["north", "south", "east"],
    "answers": {
        "intake": {"summary": "A greeting is missing."},
        "brainstorm": {"summary": "A file, or a program."},
        "research": {"summary": "Files hold text."},
        "questions": {"questions": []},
        "prd": {
            "summary": "A file with a greeting and a farewell.",
            "requirements": [
                {"id": "REQ-1", "title": "Greeting", "acceptanceCriteria": ["greeting.txt says hello"]},
                {"id": "REQ-2", "title": "Farewell", "acceptanceCriteria": ["farewell.txt says goodbye"]},
            ],
        },
        "design:draft": {"summary": "Two files.", "document": "# Design\n\nTwo files."},
        "design:review": {"approved": True},
        "design:final": {"summary": "Two files.", "document": "# Design\n\nTwo files."},
        "eng:doc": {
            "architecture": "Two files at the top.",
            "assumptionsToProbe": [{"id": "has-grep", "assumption": "There is a grep.", "probe": "grep --version"}],
            "requirementsTraceability": [
                {"requirementId": "REQ-1", "where": "greeting.txt"},
                {"requirementId": "REQ-2", "where": "farewell.txt"},
            ],
        },
        "eng:review": {"approved": True},
        "backpressure": {
            "gates": [
                {"criterionId": "REQ-1.1", "criterion": "greets", "verificationMethod": "e2e_test", "checkedBy": CHECK},
                {
                    "criterionId": "REQ-2.1",
                    "criterion": "leaves",
                    "verificationMethod": "e2e_test",
                    "checkedBy": "grep -q goodbye farewell.txt",
                },
            ]
        },
        "tickets": {
            "tickets": [
                {
                    "id": "greet",
                    "title": "Greet",
                    "requirementIds": ["REQ-1"],
                    "verification": [{"kind": "command", "details": CHECK, "criterionId": "REQ-1.1"}],
                },
                {
                    "id": "leave",
                    "title": "Say goodbye",
                    "requirementIds": ["REQ-2"],
                    "dependsOn": ["greet"],
                    "verification": [{"kind": "command", "details": "grep -q goodbye farewell.txt", "criterionId": "REQ-2.1"}],
                },
            ]
        },
        "orch:design": {"summary": "One after the other."},
        "wf:review": {"approved": True},
        "review": {"approved": True, "summary": "Fine.", "reasons": "Fine."},
    },
    "tickets": {
        "greet": [{"files": {"greeting.txt": "hello\n"}, "summary": "Greeted."}],
        "leave": [{"files": {"farewell.txt": "bye\n"}}, {"files": {"farewell.txt": "goodbye\n"}, "summary": "Said goodbye."}],
    },
}


def book(**changes: Any) -> dict[str, Any]:
    """Return the book with other answers; `tickets_` replaces work, None removes an answer."""
    found = copy.deepcopy(BOOK)
    found["tickets"] |= changes.pop("tickets_", {})
    for name, value in changes.items():
        stage = name.replace("__", ":")
        if value is None:
            del found["answers"][stage]
        else:
            found["answers"][stage] = value
    return found


class Request:
    """One request in one repository."""

    def __init__(
        self, repo: Path, content: dict[str, Any] | None = None, run_id: str = "r1", project: Path | None = None, **parameters: Any
    ) -> None:
        self.repo, self.run_id = repo, run_id
        self.location = Location.of(str(project or repo))
        given: dict[str, Any] = {"prompt": "Greet and say goodbye", "repo": str(repo), "route": "full-build", "smoke_test": False}
        given |= {"monitor_minutes": 0.05, "max_monitor_hours": 0.5, "started_by": "ana"}
        if content is not None:
            path = repo.parent / f"book-{run_id}.yaml"
            path.write_text(yaml.safe_dump(content))
            given |= {"provider": "scripted", "book": str(path)}
        submit(self.location, NOTEBOOK, given | parameters, run_id=run_id, post_failure=False, cwd=project or repo)

    def run(self, denied: str = "", until: str = "") -> str:
        """Execute it to its end, or until a gate waits, and return the status; every gate but one is approved."""
        for _ in range(10):
            outcome = run_here(self.location, self.run_id)
            if not outcome.status.startswith("waiting-"):
                break
            asked = pending(self.location, self.run_id)
            if until in {item.node_id for item in asked}:
                break
            for item in asked:
                who = acting("bot", "ana")
                if item.request_id is not None:
                    answer(self.location, item.request_id, {}, by=who, resume=False)
                else:
                    decide(self.location, self.run_id, item.node_id, approved=item.node_id != denied, by=who, resume=False)
        self.reason = outcome.reason.message if outcome.reason else ""
        return outcome.status

    def output(self, node_id: str = "output") -> dict[str, Any]:
        """Return what a stage gave; empty when it never ran."""
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return read_output(connection, Node(self.run_id, node_id)) or {}

    @property
    def row(self) -> SmitheringRow:
        """The output row."""
        return SmitheringRow.read(self.output())

    def final_reports(self) -> list[str]:
        """Return the stages that gave a final report."""
        query = sa.select(outputs.c.node_id).where(outputs.c.run_id == self.run_id, outputs.c.schema_name == "FinalReport")
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return list(connection.execute(query).scalars())

    def state_of(self, run_id: str, node_id: str) -> str | None:
        """Return the state of a node of any run of the project; None when it has not begun."""
        with Journal.open(self.location) as journal, journal.reading() as connection:
            query = sa.select(nodes.c.state).where(nodes.c.run_id == run_id, nodes.c.node_id == node_id)
            return connection.execute(query).scalar()

    def attempts(self, node_id: str) -> int:
        """Return how often a stage was begun."""
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return len(attempts_of(connection, Node(self.run_id, node_id)))

    def pid_of(self, run_id: str) -> int:
        """Return the process that executes a run."""
        with Journal.open(self.location) as journal, journal.reading() as connection:
            owner = connection.execute(sa.select(runs.c.runtime_owner_id).where(runs.c.run_id == run_id)).scalar()
            return next(worker.pid for worker in known_workers(connection) if worker.owner == owner)
