"""The objects people hold: a project is a place with runs, a run is one of them, and both know how to show themselves.

`connect` reads nothing. Frames are read when they are asked for and kept; typed rows (`run.snapshot`, `project.run_rows`) need no
pandas, which is what the command line builds on. The clock is read here and nowhere below.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from smithers_nb.errors import NodeNotFound
from smithers_nb.model import rows as grain
from smithers_nb.model.vocabulary import NOISE_EVENTS, logical_id
from smithers_nb.present.text import duration, one_line, when
from smithers_nb.sources.base import AllBut, Problem, Source, resolve_run_id

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.verdict import Verdict
    from smithers_nb.present.figures import Chart
    from smithers_nb.present.markup import Card
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.autopsy_notebook import AutopsyRecord

N = TypeVar("N", bound=tuple[Any, ...])

_TAB_IDS = 200
_SHOWN = 20


class Frame:
    """A frame that is read when it is first asked for; the object that has it says from where."""

    def __init__(self, row: type[Any], meaning: str) -> None:
        self.row = row
        self.__doc__ = f"{meaning} Columns of `{row.__name__}`."

    @overload
    def __get__(self, owner: None, kind: type) -> Frame: ...
    @overload
    def __get__(self, owner: Project | Run, kind: type) -> pd.DataFrame: ...
    def __get__(self, owner: Project | Run | None, kind: type) -> Frame | pd.DataFrame:
        if owner is None:
            return self
        if self.row not in owner._frames:  # noqa: SLF001  # the keeper of a frame is its owner
            owner._frames[self.row] = owner._frame(self.row)  # noqa: SLF001
        return owner._frames[self.row]  # noqa: SLF001


def connect(where: str | Path | None = None, *, now: int | None = None) -> Project:
    """Open the place where runs live. Nothing is read before something is asked for.

    Args:
        where: A store's file, a folder (searched upwards like the Smithers CLI does), or a URL such as `sqlite:///PATH`;
            the current folder by default.
        now: Judge states as of this epoch millisecond; the clock by default.
    """
    return Project(where, now=now)


def autopsy(run: Run | str, source: str | Path | None = None, *, now: int | None = None, **options: Any) -> Verdict:
    """Find out why a run failed, without a notebook: gather, investigate, verdict.

    Args:
        run: The run, or its id (any unique beginning of it).
        source: Where it lives, when only its id is given; see `connect`.
        now: Judge as of this epoch millisecond; the project's own `now`, else the clock, by default.
        options: Passed on to `workflows.autopsy.run_autopsy`: `workflow_path`, `provider`.

    Raises:
        RunNotFailed: The run did not fail.
        RunNotFound: No run has this id.
    """
    from smithers_nb.workflows.autopsy import run_autopsy

    if isinstance(run, str):
        with connect(source, now=now) as project:
            return autopsy(project.run(run), **options)
    return run_autopsy(run.project.source, run.id, now=run.project.now if now is None else now, **options)


class Project:
    """A place that holds runs. Index it by run id, iterate over its runs, or ask it for frames of the whole store."""

    events = Frame(grain.EventRow, "Every event of every run.")
    nodes = Frame(grain.NodeRow, "Current state of every node of every run.")
    attempts = Frame(grain.AttemptRow, "Every attempt of every run.")
    approvals = Frame(grain.ApprovalRow, "Every gate.")
    questions = Frame(grain.QuestionRow, "Every question to a person.")
    outputs = Frame(grain.OutputRow, "What every node produced.")
    diffs = Frame(grain.DiffRow, "Cached file changes.")
    scores = Frame(grain.ScoreRow, "Every scorer's result.")
    tool_calls = Frame(grain.ToolCallRow, "Every tool call.")
    tokens = Frame(grain.TokenRow, "Token use, the maximum per attempt.")
    failures = Frame(grain.FailureRow, "Every failed attempt with its class and signature.")

    def __init__(self, where: str | Path | None = None, *, now: int | None = None) -> None:
        self.where = where
        self._now = now
        self._frames: dict[type, pd.DataFrame] = {}

    @cached_property
    def source(self) -> Source:
        """The opened source.

        Raises:
            SourceError: The place cannot be read; the subclasses say why.
        """
        from smithers_nb.sources.locate import open_source

        return open_source(self.where)

    @property
    def now(self) -> int:
        """The time states are judged at, epoch milliseconds."""
        return time.time_ns() // 1_000_000 if self._now is None else self._now

    @property
    def problems(self) -> list[Problem]:
        """What could not be read so far."""
        return list(self.source.problems)

    def run_rows(
        self,
        *,
        status: str | Collection[str] | None = None,
        workflow: str | None = None,
        since_ms: int | None = None,
        limit: int | None = None,
    ) -> list[grain.RunRow]:
        """Read the runs as typed rows, newest first, with the state derived at `now`.

        Args:
            status: Keep runs whose status or state is this, or one of these.
            workflow: Keep runs of this workflow.
            since_ms: Keep runs started at or after this epoch millisecond.
            limit: Keep the newest so many.
        """
        from smithers_nb.diagnosis.health import run_state

        now = self.now
        wanted = {status} if isinstance(status, str) else set(status or ())
        only = {"workflow": [workflow]} if workflow is not None else None
        found = [row._replace(state=run_state(row, now)) for row in self.source.rows(grain.RunRow, only=only, since_ms=since_ms)]
        kept = [row for row in found if not wanted or row.status in wanted or row.state in wanted]
        kept.sort(key=lambda row: (row.started_at or row.created_at or 0, row.run_id), reverse=True)
        return kept[:limit]

    def runs(
        self,
        *,
        status: str | Collection[str] | None = None,
        workflow: str | None = None,
        since_ms: int | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Read the runs as a frame, newest first; the filters are those of `run_rows`, the columns those of `RunRow`."""
        from smithers_nb.frames import frame_from_rows

        return frame_from_rows(grain.RunRow, self.run_rows(status=status, workflow=workflow, since_ms=since_ms, limit=limit))

    def run_ids(self, prefix: str = "") -> list[str]:
        """List run ids, those with a prefix when one is given, at most 200."""
        return self.source.run_ids(prefix, _TAB_IDS)

    def failure_rows(self, run_id: str | None = None) -> list[grain.FailureRow]:
        """Read the failures of the store, or of one run, as typed rows."""
        from smithers_nb.diagnosis.failures import failure_rows

        return failure_rows(self.source, run_id)

    def run(self, run_id: str) -> Run:
        """Find a run by its id or any beginning of it that no other run shares.

        Raises:
            RunNotFound: No run has it.
            AmbiguousRunId: Several have it.
        """
        return Run(self, resolve_run_id(self.source, run_id))

    def _frame(self, row: type[Any]) -> pd.DataFrame:
        return _read_frame(self.source, row, None)

    def close(self) -> None:
        """Let go of the store."""
        if "source" in self.__dict__:
            self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, run_id: str) -> Run:
        return self.run(run_id)

    def __contains__(self, run_id: object) -> bool:
        return isinstance(run_id, str) and run_id in self.source.run_ids(run_id)

    def __iter__(self) -> Iterator[Run]:
        return (Run(self, row.run_id) for row in self.run_rows())

    def _ipython_key_completions_(self) -> list[str]:
        return self.run_ids()

    def __repr__(self) -> str:
        return f"<Project {self.source.location if 'source' in self.__dict__ else self.where or '.'}>"

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()

    def card(self) -> Card:
        """Show its newest runs, or say why there is nothing to show."""
        from smithers_nb.present.pieces import empty

        runs = self.run_rows()
        if not runs:
            return empty("no-runs", self.source.location)
        return _runs_card(f"{self.source.location}: the newest {min(len(runs), _SHOWN)} of {len(runs)} runs", runs[:_SHOWN])


class Run:
    """One run. Its frames are read once; `refresh` forgets them."""

    events = Frame(grain.EventRow, "Its event log.")
    nodes = Frame(grain.NodeRow, "Current state of its nodes.")
    attempts = Frame(grain.AttemptRow, "Every attempt of its nodes.")
    approvals = Frame(grain.ApprovalRow, "Its gates.")
    questions = Frame(grain.QuestionRow, "Its questions to people.")
    outputs = Frame(grain.OutputRow, "What its nodes produced; the input has the node id `input`.")
    diffs = Frame(grain.DiffRow, "Cached file changes of its nodes.")
    scores = Frame(grain.ScoreRow, "Its scores.")
    tool_calls = Frame(grain.ToolCallRow, "Its tool calls.")
    tokens = Frame(grain.TokenRow, "Its token use, the maximum per attempt.")
    failures = Frame(grain.FailureRow, "Its failed attempts with class and signature.")

    def __init__(self, project: Project, run_id: str) -> None:
        self.project = project
        self.id = run_id
        self._frames: dict[type, pd.DataFrame] = {}

    @cached_property
    def snapshot(self) -> Snapshot:
        """Its rows, each grain read when first touched; no pandas needed."""
        from smithers_nb.sources.snapshot import Snapshot

        return Snapshot(self.project.source, self.id)

    @property
    def row(self) -> grain.RunRow:
        """Its own row, with the state derived at the project's `now`."""
        from smithers_nb.diagnosis.health import run_state

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

    def why(self, *, workflow_path: str | Path | None = None) -> Explanation:
        """Explain what it failed on or waits for, and what to do about it.

        Args:
            workflow_path: The workflow's file, when it is not where the run was started; tells whether a resume would be refused.
        """
        from smithers_nb.workflows.why import explain

        return explain(self.snapshot, now=self.project.now, workflow_path=None if workflow_path is None else Path(workflow_path))

    def inspect(self) -> dict[str, Any]:
        """Gather it in one dictionary of typed rows and findings: run, nodes, attempts, gates, questions, defects, problems."""
        from smithers_nb.diagnosis.defects import find_defects

        seen = self.snapshot
        return {
            "run": self.row,
            "nodes": seen.nodes,
            "attempts": seen.attempts,
            "approvals": seen.approvals,
            "questions": seen.questions,
            "children": [child.run for child in seen.children],
            "defects": find_defects(seen, self.project.now),
            "problems": self.problems,
        }

    def autopsy(self, **options: Any) -> Verdict:
        """Find out why it failed; the options are those of `autopsy`."""
        return autopsy(self, **options)

    def write_autopsy(self, artifacts: str | Path = "artifacts", **options: Any) -> AutopsyRecord:
        """Run the autopsy notebook on it and write notebook and report; the options are those of `run_autopsy_notebook`.

        Raises:
            RunNotFailed: It did not fail.
            NotebookError: A stage failed; the error names what was written all the same.
            ReportError: The report could not be written.
        """
        from smithers_nb.workflows.autopsy_notebook import run_autopsy_notebook

        return run_autopsy_notebook(self.id, self.project.where, artifacts=Path(artifacts), now=self.project.now, **options)

    def event_rows(
        self, *, types: Collection[str] = (), nodes: Collection[str] = (), since_ms: int | None = None, raw: bool = False
    ) -> list[grain.EventRow]:
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
        found = self.project.source.rows(grain.EventRow, self.id, only=only, since_ms=since_ms)
        return [row for row in found if not types or row.type in types or row.category in types]

    def timeline(self) -> Chart | Card:
        """Draw its attempts over time, each as a bar of its own, with gates and questions; `.figure()` gives plotly's object."""
        from smithers_nb.present.figures import timeline_figure

        seen = self.snapshot
        return timeline_figure(seen.attempts, seen.events, seen.approvals, seen.questions, now=self.project.now)

    def banner(self) -> Card:
        """Say in one glance what state it is in and why."""
        from smithers_nb.present.cards import banner

        row, why = self.row, self.why()
        facts = {
            "run": row.run_id,
            "started": when(row.started_at),
            "took": duration(row.duration_s),
            "failed nodes": ", ".join(why.failed_nodes),
        }
        hint = why.advice.detail if why.advice else ""
        title = f"{row.workflow or 'run'}: {row.state}"
        return banner(title, why.summary, state=row.state, facts={key: value for key, value in facts.items() if value}, hint=hint)

    def refresh(self) -> Run:
        """Give the run as it is now, with nothing read yet."""
        return Run(self.project, self.id)

    def _frame(self, row: type[Any]) -> pd.DataFrame:
        return _read_frame(self.project.source, row, self.id)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.project!r}>"

    def _repr_html_(self) -> str:
        from smithers_nb.present.cards import stack
        from smithers_nb.present.tables import timeline_table

        return stack(self.banner(), timeline_table(self.snapshot.attempts))._repr_html_()


class Node:
    """One node of a run: everything recorded about it, as typed rows.

    A loop's node is found by its own id (`review@@round=2`) or by the id the author gave it (`review`), then in all its iterations.
    """

    def __init__(self, snapshot: Snapshot, node_id: str, iteration: int | None = None) -> None:
        self.snapshot = snapshot
        self.id = node_id
        self.iteration = iteration

    @property
    def states(self) -> list[grain.NodeRow]:
        """Its current state, one row per iteration."""
        return self._mine(self.snapshot.nodes)

    @property
    def attempts(self) -> list[grain.AttemptRow]:
        """Its attempts, those set aside by a reset included."""
        return self._mine(self.snapshot.attempts)

    @property
    def tool_calls(self) -> list[grain.ToolCallRow]:
        """Its tool calls and journalled side effects."""
        return self._mine(self.snapshot.tool_calls)

    @property
    def tokens(self) -> list[grain.TokenRow]:
        """Its token use per attempt."""
        return self._mine(self.snapshot.tokens)

    @property
    def outputs(self) -> list[grain.OutputRow]:
        """What it produced."""
        return self._mine(self.snapshot.outputs)

    @property
    def diffs(self) -> list[grain.DiffRow]:
        """File changes cached for it."""
        return self._mine(self.snapshot.diffs)

    @property
    def scores(self) -> list[grain.ScoreRow]:
        """Its scores."""
        return self._mine(self.snapshot.scores)

    @property
    def approvals(self) -> list[grain.ApprovalRow]:
        """The gate it is, and what was decided."""
        return self._mine(self.snapshot.approvals)

    @property
    def questions(self) -> list[grain.QuestionRow]:
        """What it asked a person."""
        return self._mine(self.snapshot.questions)

    def inspect(self) -> dict[str, Any]:
        """Gather it in one dictionary of typed rows."""
        grains = ("states", "attempts", "tool_calls", "tokens", "outputs", "diffs", "scores", "approvals", "questions")
        return {"run_id": self.snapshot.run.run_id, "node_id": self.id} | {name: getattr(self, name) for name in grains}

    def _mine(self, rows: Sequence[N]) -> list[N]:
        return [
            row
            for row in rows
            if self.id in (row.node_id, logical_id(row.node_id)) and self.iteration in (None, row.iteration)  # type: ignore[attr-defined]
        ]

    def __repr__(self) -> str:
        return f"<Node {self.id} of run {self.snapshot.run.run_id}>"

    def _repr_html_(self) -> str:
        from smithers_nb.present.tables import timeline_table

        return timeline_table(self.attempts)._repr_html_()


def _read_frame(source: Source, row: type[Any], run_id: str | None) -> pd.DataFrame:
    """Read a grain of a store; failures are no grain of it but a diagnosis."""
    if row is not grain.FailureRow:
        return source.frame(row, run_id)
    from smithers_nb.diagnosis.failures import failures

    return failures(source, run_id)


def _runs_card(caption: str, runs: Sequence[grain.RunRow]) -> Card:
    from smithers_nb.present.markup import Card, h, table, text_table
    from smithers_nb.present.pieces import state_mark

    columns = ("Run", "Workflow", "State", "Started", "Took", "Error")
    cells = [
        (row.run_id, row.workflow, row.state, when(row.started_at), duration(row.duration_s), one_line(row.error_message)) for row in runs
    ]
    rows = [(h("code", run_id), workflow, state_mark(state), *rest) for run_id, workflow, state, *rest in cells]
    return Card(h("div", table(caption, columns, rows), class_="snb"), f"{caption}\n{text_table(columns, cells)}")
