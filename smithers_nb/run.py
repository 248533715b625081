"""One run, and one of its nodes, as objects to hold: what is known about them, why they are as they are, and how that looks.

A run's frames are read once and cached; its typed rows (`snapshot`, a node's lists) need no pandas.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from smithers_nb.errors import NodeNotFound
from smithers_nb.model import rows as table
from smithers_nb.model.timestamps import duration, when
from smithers_nb.model.vocabulary import NOISE_EVENTS, logical_id
from smithers_nb.sources.base import AllBut, Problem

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.model.explanation import Autopsy
    from smithers_nb.model.verdict import Verdict
    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.timeline.plotly_figure import Chart
    from smithers_nb.present.widgets.explore import Tasks
    from smithers_nb.present.widgets.widgets import Live
    from smithers_nb.project import Project
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.autopsy.notebook import AutopsyRecord
    from smithers_nb.workflows.autopsy.results import WhyRow

N = TypeVar("N", bound=tuple[Any, ...])

_SHOWN = 20


class Frame:
    """A frame that is read on first use; its owner decides from where."""

    def __init__(self, row: type[Any], meaning: str) -> None:
        self.row = row
        self.__doc__ = f"{meaning} Columns of `{row.__name__}`."

    @overload
    def __get__(self, owner: None, kind: type) -> Frame: ...
    @overload
    def __get__(self, owner: Frames, kind: type) -> pd.DataFrame: ...
    def __get__(self, owner: Frames | None, kind: type) -> Frame | pd.DataFrame:
        if owner is None:
            return self
        if self.row not in owner._frames:  # noqa: SLF001  # the keeper of a frame is its owner
            owner._frames[self.row] = owner._frame(self.row)  # noqa: SLF001
        return owner._frames[self.row]  # noqa: SLF001


class Frames:
    """The frames that a run and a whole store both have, each read on first use."""

    events = Frame(table.EventRow, "The event log.")
    nodes = Frame(table.NodeRow, "Current state of nodes.")
    attempts = Frame(table.AttemptRow, "Every attempt of a node.")
    failures = Frame(table.FailureRow, "Every failed attempt with its class and signature.")
    approvals = Frame(table.ApprovalRow, "Gates and what was decided.")
    questions = Frame(table.QuestionRow, "Questions to people and their answers.")
    outputs = Frame(table.OutputRow, "What nodes produced; a run's input has the node id `input`.")
    diffs = Frame(table.DiffRow, "Cached file changes of nodes.")
    scores = Frame(table.ScoreRow, "Results of scorers.")
    tool_calls = Frame(table.ToolCallRow, "Tool calls and side effects.")
    tokens = Frame(table.TokenRow, "Token use, the maximum per attempt.")
    tasks = Frame(table.TaskRow, "The task graph as last rendered.")
    signals = Frame(table.SignalRow, "Delivered signals.")
    time_travel = Frame(table.TimeTravelRow, "Rewinds and jumps.")
    branches = Frame(table.BranchRow, "Forks and replays.")
    loops = Frame(table.LoopRow, "Progress of loops.")

    def __init__(self) -> None:
        self._frames: dict[type, pd.DataFrame] = {}

    def _frame(self, row: type[Any]) -> pd.DataFrame:
        raise NotImplementedError


class Run(Frames):
    """One run. Its frames are read once; `refresh` gives it as it is now."""

    def __init__(self, project: Project, run_id: str) -> None:
        super().__init__()
        self.project = project
        self.id = run_id

    @cached_property
    def snapshot(self) -> Snapshot:
        """Its rows, each table read when first touched; no pandas needed."""
        from smithers_nb.sources.snapshot import Snapshot

        return Snapshot(self.project.source, self.id)

    @property
    def row(self) -> table.RunRow:
        """Its own row, with the state derived at the project's `now`."""
        from smithers_nb.diagnosis.state.conditions import run_state

        return self.snapshot.run._replace(state=run_state(self.snapshot.run, self.project.now))

    @property
    def problems(self) -> list[Problem]:
        """What could not be read so far."""
        return list(self.snapshot.problems)

    def node(self, node_id: str, iteration: int | None = None) -> Node:
        """Find one of its nodes.

        Raises:
            NodeNotFound: It has no such node.
        """
        node = Node(self.snapshot, node_id, iteration)
        if not node.states and not node.outputs:
            known = sorted({row.node_id for row in self.snapshot.nodes})
            listed = f"its nodes are {', '.join(known[:_SHOWN])}{' …' if len(known) > _SHOWN else ''}" if known else "it has no nodes yet"
            raise NodeNotFound(f"run {self.id} has no node {node_id!r}" + (f" in iteration {iteration}" if iteration else ""), hint=listed)
        return node

    def why(self, *, workflow_path: str | Path | None = None) -> WhyRow:
        """Explain what it failed on or waits for, and what to do about it.

        Args:
            workflow_path: The workflow's file, when it is not where the run was started; tells whether a resume would be refused.
        """
        from smithers_nb.workflows.autopsy.why import explain

        found = explain(self.snapshot, now=self.project.now, workflow_path=None if workflow_path is None else Path(workflow_path))
        return replace(found, autopsies=tuple(self.autopsies), autopsy_of=self.autopsy_of)

    @property
    def autopsies(self) -> list[Autopsy]:
        """Who looked into its failure, in any store of the project, newest first."""
        from smithers_nb.diagnosis.history.autopsies import autopsies_of

        return autopsies_of(self.project.source, self.snapshot.run)

    @property
    def autopsy_of(self) -> str:
        """The run that it looks into; empty when it is no autopsy."""
        from smithers_nb.diagnosis.history.autopsies import WORKFLOW, target_of

        return target_of(self.project.source, self.snapshot.run_id) if self.snapshot.run.workflow == WORKFLOW else ""

    def inspect(self) -> dict[str, Any]:
        """Gather it in one dictionary of typed rows and findings, such as run, nodes, attempts, tokens, gates, questions, defects."""
        from smithers_nb.diagnosis.defects.detectors import find_defects

        seen = self.snapshot
        return {
            "run": self.row,
            "nodes": seen.nodes,
            "attempts": seen.attempts,
            "tokens": seen.tokens,
            "approvals": seen.approvals,
            "questions": seen.questions,
            "children": [child.run for child in seen.children],
            "autopsies": self.autopsies,
            "autopsy_of": self.autopsy_of,
            "defects": find_defects(seen, self.project.now),
            "problems": self.problems,
        }

    def autopsy(self, **options: Any) -> Verdict:
        """Find out why it failed, without a notebook; the options are those of `smithers_nb.autopsy`."""
        from smithers_nb.workflows.autopsy.stages import run_autopsy

        return run_autopsy(self.project.source, self.id, **{"now": self.project.now} | options)

    def write_autopsy(self, artifacts: str | Path = "artifacts", **options: Any) -> AutopsyRecord:
        """Run the autopsy notebook on it and write notebook and report; the options are those of `run_autopsy_notebook`.

        Raises:
            RunNotFailed: It did not fail.
            NotebookError: A stage failed; the error names what was written all the same.
            ReportError: The report could not be written.
        """
        from smithers_nb.workflows.autopsy.notebook import run_autopsy_notebook

        return run_autopsy_notebook(self.id, self.project.where, artifacts=artifacts, now=self.project.now, **options)

    def write_report(self, artifacts: str | Path = "artifacts") -> str:
        """Write the report of its current state; return its path or URL."""
        from smithers_nb.workflows.monitor.stages import write_report

        return write_report(self.id, self.project.where, artifacts=artifacts, now=self.project.now, title=f"Run {self.id}")

    def event_rows(
        self, *, types: Collection[str] = (), nodes: Collection[str] = (), since_ms: int | None = None, raw: bool = False
    ) -> list[table.EventRow]:
        """Read its event log as typed rows, oldest first.

        Args:
            types: Keep these event types or categories; also those that are left out otherwise.
            nodes: Keep events of these nodes.
            since_ms: Keep events at or after this epoch millisecond.
            raw: Keep heartbeats, render frames and raw agent chunks (`NOISE_EVENTS`) as well.
        """
        only: dict[str, Collection[str | int]] = {"node_id": list(nodes)} if nodes else {}
        if not raw and not types:
            only["type"] = AllBut(NOISE_EVENTS)
        found = self.project.source.rows(table.EventRow, self.id, only=only, since_ms=since_ms)
        return [row for row in found if not types or row.type in types or row.category in types]

    def timeline(self) -> Chart | Card:
        """Draw its attempts over time, one bar per attempt, with gates and questions; `.figure()` gives plotly's object."""
        from smithers_nb.present.timeline.plotly_figure import timeline_figure

        seen = self.snapshot
        return timeline_figure(seen.attempts, seen.events, seen.approvals, seen.questions, nodes=seen.nodes, now=self.project.now)

    def _standings(self) -> Tasks:
        """Return the state of each of its tasks, their dependencies if the engine recorded them, and a card about each."""
        from smithers_nb.diagnosis.state.task_graph import standings
        from smithers_nb.present.html.tables import timeline_table
        from smithers_nb.present.widgets.explore import Tasks

        attempts = self.snapshot.attempts
        found = standings(self.snapshot, self.why().failure)
        return Tasks(found, lambda name: timeline_table([row for row in attempts if row.node_id == name]))

    def banner(self) -> Card:
        """Summarise in one glance what state it is in and why."""
        from smithers_nb.present.html.cards import banner

        row, why = self.row, self.why()
        facts = {
            "run": row.run_id,
            "started": when(row.started_at),
            "took": duration(row.duration_s),
            "failed nodes": ", ".join(why.failed_nodes),
        }
        shown = {name: value for name, value in facts.items() if value}
        return banner(row.workflow or "run", why.summary, state=row.state, facts=shown, hint=why.advice.detail if why.advice else "")

    def card(self) -> Card:
        """Show what state it is in, what to do about it, and every attempt."""
        from smithers_nb.present.html.cards import command_sheet, stack
        from smithers_nb.present.html.tables import timeline_table

        commands = self.why().commands
        return stack(self.banner(), command_sheet(commands) if commands else None, timeline_table(self.snapshot.attempts))

    def live(self) -> Live:
        """Show it live, with the gates and questions that wait for a person; for notebooks, needs the extra `lab`."""
        from smithers_nb.engine.location import Location
        from smithers_nb.model.vocabulary import TERMINAL_STATUSES
        from smithers_nb.present.html.cards import stack
        from smithers_nb.present.widgets.watch import Watched
        from smithers_nb.workflows.live.changes import Watch
        from smithers_nb.workflows.notebook.widget_callbacks import watch

        def seen() -> Watched:
            with self.project.again() as project:
                run = Run(project, self.id)
                drawn: Any = run.timeline()
                page = stack(run.card(), getattr(drawn, "twin", drawn))
                return Watched(page, (), project.now, run.row.status in TERMINAL_STATUSES, tasks=run._standings())

        return watch(Location.of(self.project.where), seen, self.id, mark=Watch(self.project.source))

    def refresh(self) -> Run:
        """Return the run as it is now, with nothing read yet."""
        return Run(self.project, self.id)

    def _frame(self, row: type[Any]) -> pd.DataFrame:
        from smithers_nb.frames import frame_from_rows

        if row is table.FailureRow:  # no table of the store but a diagnosis
            return frame_from_rows(table.FailureRow, self.project.failure_rows(self.id))
        return self.project.source.frame(row, self.id)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.project!r}>"

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()


class Node:
    """One node of a run: everything recorded about it, as typed rows.

    A loop's node is found by its own id (`review@@round=2`) or by the id the author gave it (`review`), then in all its iterations.
    """

    def __init__(self, snapshot: Snapshot, node_id: str, iteration: int | None = None) -> None:
        self.snapshot = snapshot
        self.id = node_id
        self.iteration = iteration

    @property
    def states(self) -> list[table.NodeRow]:
        """Its current state, one row per iteration."""
        return self._mine(self.snapshot.nodes)

    @property
    def attempts(self) -> list[table.AttemptRow]:
        """Its attempts, those set aside by a reset included."""
        return self._mine(self.snapshot.attempts)

    @property
    def tool_calls(self) -> list[table.ToolCallRow]:
        """Its tool calls and journalled side effects."""
        return self._mine(self.snapshot.tool_calls)

    @property
    def tokens(self) -> list[table.TokenRow]:
        """Its token use per attempt."""
        return self._mine(self.snapshot.tokens)

    @property
    def outputs(self) -> list[table.OutputRow]:
        """What it produced."""
        return self._mine(self.snapshot.outputs)

    @property
    def diffs(self) -> list[table.DiffRow]:
        """File changes cached for it."""
        return self._mine(self.snapshot.diffs)

    @property
    def scores(self) -> list[table.ScoreRow]:
        """Its scores."""
        return self._mine(self.snapshot.scores)

    @property
    def approvals(self) -> list[table.ApprovalRow]:
        """The gate it is, and what was decided."""
        return self._mine(self.snapshot.approvals)

    @property
    def questions(self) -> list[table.QuestionRow]:
        """What it asked a person."""
        return self._mine(self.snapshot.questions)

    def inspect(self) -> dict[str, Any]:
        """Gather it in one dictionary of typed rows."""
        tables = ("states", "attempts", "tool_calls", "tokens", "outputs", "diffs", "scores", "approvals", "questions")
        return {"run_id": self.snapshot.run.run_id, "node_id": self.id} | {name: getattr(self, name) for name in tables}

    def _mine(self, rows: Sequence[N]) -> list[N]:
        return [
            row
            for row in rows
            if self.id in (row.node_id, logical_id(row.node_id)) and self.iteration in (None, row.iteration)  # type: ignore[attr-defined]
        ]

    def __repr__(self) -> str:
        return f"<Node {self.id} of run {self.snapshot.run.run_id}>"

    def _repr_html_(self) -> str:
        from smithers_nb.present.html.tables import timeline_table

        return timeline_table(self.attempts)._repr_html_()
