"""One run as typed rows, each table is read on first use and cached.

A snapshot is what a diagnosis gets: it hides which source the rows come from, and no pandas is imported for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import (
    ApprovalRow,
    AttemptRow,
    BranchRow,
    DiffRow,
    EventRow,
    LoopRow,
    NodeRow,
    OutputRow,
    QuestionRow,
    RunRow,
    ScoreRow,
    SignalRow,
    TaskRow,
    TimeTravelRow,
    TokenRow,
    ToolCallRow,
)
from smithers_nb.model.vocabulary import NOISE_EVENTS
from smithers_nb.sources.base import AllBut, Problem, R, Source, is_child_of, resolve_run_id
from smithers_nb.sources.composite import store_of
from smithers_nb.sources.file_source import FileSource
from smithers_nb.sources.stores.json_text import as_object

AGENT_EVENT: Final = "AgentEvent"
_AUTOPSY: Final = "post-failure"
_MONITOR_MARK: Final = "smithersMonitorFor"
_ASKED_OF_EACH: Final[dict[str, Any]] = {
    "nodes": NodeRow,
    "attempts": AttemptRow,
    "approvals": ApprovalRow,
    "questions": QuestionRow,
}
"""Tables that show the state of any run; the log, outputs and graphs are large, so they are read only for runs that need them."""


class Snapshot:
    """Everything a store holds about one run, read on demand.

    Attributes:
        source: The store it is read from; of several stores of one place, the one that has the run.
        run_id: Exact id of the run.
    """

    def __init__(self, source: Source, run_id: str) -> None:
        """Take an exact id or a unique prefix.

        Raises:
            RunNotFound: No run has it.
            AmbiguousRunId: Several runs share the prefix.
        """
        self.run_id = resolve_run_id(source, run_id)
        self.source = store_of(source, self.run_id)

    @classmethod
    def known(cls, source: Source, run: RunRow) -> Snapshot:
        """Take a run whose row was read from this source already."""
        taken = cls.__new__(cls)
        taken.run_id, taken.source = run.run_id, store_of(source, run.run_id)
        taken.__dict__["run"] = run
        return taken

    def __repr__(self) -> str:
        return f"Snapshot({self.run_id!r}, {self.source.location!r})"

    @property
    def problems(self) -> list[Problem]:
        """What the source could not read so far."""
        return self.source.problems

    @cached_property
    def run(self) -> RunRow:
        """The run itself.

        Raises:
            RunNotFound: Its row cannot be read any more.
        """
        found = self._rows(RunRow)
        if not found:
            raise RunNotFound(f"the row of run {self.run_id!r} cannot be read", hint="the store may be damaged; look at its problems")
        return found[0]

    @cached_property
    def nodes(self) -> list[NodeRow]:
        """Current state of every node that was ever scheduled."""
        return self._rows(NodeRow)

    @cached_property
    def attempts(self) -> list[AttemptRow]:
        """Every try of every node."""
        return self._rows(AttemptRow)

    @cached_property
    def events(self) -> list[EventRow]:
        """The log without the types that tell nothing by themselves (`NOISE_EVENTS`)."""
        return self.source.rows(EventRow, self.run_id, only={"type": AllBut(NOISE_EVENTS)})

    @cached_property
    def agent_events(self) -> list[EventRow]:
        """What agent CLIs said while they worked."""
        return [event for event in self.events if event.type == AGENT_EVENT]

    @cached_property
    def approvals(self) -> list[ApprovalRow]:
        """Gates."""
        return self._rows(ApprovalRow)

    @cached_property
    def questions(self) -> list[QuestionRow]:
        """Questions to people."""
        return self._rows(QuestionRow)

    @cached_property
    def tasks(self) -> list[TaskRow]:
        """The task graph as last rendered."""
        return self._rows(TaskRow)

    @cached_property
    def tool_calls(self) -> list[ToolCallRow]:
        """Tool calls and side effects."""
        return self._rows(ToolCallRow)

    @cached_property
    def tokens(self) -> list[TokenRow]:
        """Token use of each attempt."""
        return self._rows(TokenRow)

    @cached_property
    def signals(self) -> list[SignalRow]:
        """Signals that were delivered."""
        return self._rows(SignalRow)

    @cached_property
    def time_travel(self) -> list[TimeTravelRow]:
        """Rewinds and jumps."""
        return self._rows(TimeTravelRow)

    @cached_property
    def branches(self) -> list[BranchRow]:
        """How this run was forked from another one; at most one row."""
        return self._rows(BranchRow)

    @cached_property
    def loops(self) -> list[LoopRow]:
        """Progress of each loop."""
        return self._rows(LoopRow)

    @cached_property
    def outputs(self) -> list[OutputRow]:
        """What tasks produced, and the input of the run as node `input`."""
        return self._rows(OutputRow)

    @cached_property
    def scores(self) -> list[ScoreRow]:
        """Results of scorers."""
        return self._rows(ScoreRow)

    @cached_property
    def diffs(self) -> list[DiffRow]:
        """File changes, where somebody asked for them before."""
        return self._rows(DiffRow)

    @cached_property
    def children(self) -> list[Snapshot]:
        """Runs that a node of this run launched; no forks, continuations, monitors or autopsies."""
        found = self.source.rows(RunRow, only={"parent_run_id": [self.run_id]})
        if not found:
            return []
        forked = {branch.run_id for branch in self.source.rows(BranchRow, only={"run_id": [child.run_id for child in found]})}
        return [Snapshot(self.source, child.run_id) for child in found if child.run_id not in forked and self._launched(child)]

    def may_fail(self, node_id: str, iteration: int) -> bool:
        """Return whether a task may fail without failing the run (`continueOnFail`).

        The graph shows the iteration of a loop that was rendered last; what was set for another one is not known any more.
        """
        marks = self._tolerance
        return marks.get((node_id, iteration), any(marked for (name, _), marked in marks.items() if name == node_id))

    def last_events(self, n: int, *, noise: bool = False) -> list[EventRow]:
        """Return the last `n` lines of the log, oldest first."""
        events = self._rows(EventRow) if noise else self.events
        return events[-n:] if n > 0 else []

    def _rows(self, row: type[R]) -> list[R]:
        return self.source.rows(row, self.run_id)

    def _launched(self, child: RunRow) -> bool:
        """Distinguish a subflow child from every other run that names this one as its parent."""
        config = as_object(child.config)
        annotations = config.get("annotations")
        marked = config if not isinstance(annotations, dict) else config | annotations
        if "continuation" in config or _MONITOR_MARK in marked or _is_autopsy(child):
            return False
        return (
            is_child_of(child.run_id, self.run_id)
            or config.get("subflowWorkspaceParentRunId") == self.run_id
            or child.run_id in self._named_children
        )

    @cached_property
    def _tolerance(self) -> dict[tuple[str, int], bool]:
        mark = "continueOnFail"
        return {
            (task.node_id, task.iteration): mark in (task.props or "") and as_object(task.props).get(mark) in {"true", True}
            for task in self.tasks
        }

    @cached_property
    def _named_children(self) -> set[object]:
        """Ids of children that the author chose; the event that started the node names them."""
        started = [event for event in self.events if event.type == "NodeStarted"]
        return {as_object(event.payload).get("childRunId") for event in started}


def snapshots(source: Source, runs: Sequence[RunRow]) -> dict[str, Snapshot]:
    """Take snapshots of many runs at once: what every question about a run needs is read in one pass per table, the rest on demand.

    Args:
        source: A store, or several of one place.
        runs: Rows of the runs, as the source gave them.

    Raises:
        SourceVanished: The store is gone.
    """
    taken = {run.run_id: Snapshot.known(source, run) for run in runs}
    stores = {id(seen.source): seen.source for seen in taken.values()}
    for store in stores.values():
        if not isinstance(store, FileSource):  # a file is read whole, so only when something in it is needed
            _read_at_once(store, [seen for seen in taken.values() if seen.source is store])
    return taken


def _read_at_once(store: Source, of_store: Sequence[Snapshot]) -> None:
    ids = [seen.run_id for seen in of_store]
    for name, row in _ASKED_OF_EACH.items():
        of_run: dict[str, list[Any]] = {run_id: [] for run_id in ids}
        for found in store.rows(row, only={"run_id": ids}):
            of_run[found.run_id].append(found)
        for seen in of_store:
            seen.__dict__[name] = of_run[seen.run_id]  # where `cached_property` keeps what it has read


def _is_autopsy(run: RunRow) -> bool:
    return run.run_id.startswith(f"{_AUTOPSY}-") or run.workflow == _AUTOPSY
