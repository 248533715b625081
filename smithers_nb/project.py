"""The place where runs live, as an object to hold: index it by run id, iterate over it, ask it for frames of the whole store.

`connect` reads nothing. Frames are read on first use and cached; typed rows (`run_rows`, `run.snapshot`) need no pandas,
which is what the command line builds on. The clock is read here and nowhere below.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from smithers_nb.errors import ParameterError
from smithers_nb.model import rows as table
from smithers_nb.model.beads import BeadEventRow, BeadFailureRow, BeadRow
from smithers_nb.model.timestamps import now_ms
from smithers_nb.run import Frame, Frames, Run
from smithers_nb.sources.base import Problem, Source, resolve_run_id

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.diagnosis.beads.audit import Audit
    from smithers_nb.diagnosis.history.gate_rounds import GateRounds
    from smithers_nb.diagnosis.history.repair_loops import RepairLoop
    from smithers_nb.model.verdict import Verdict
    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.widgets.widgets import Live

_BLAMES, _LINK = "Task failed: ", " See https://smithers.sh/reference/"
_FEW = 500
_TAB_IDS = 200
_SHOWN = 20


def connect(where: str | Path | None = None, *, now: int | None = None) -> Project:
    """Open the place where runs are stored. Nothing is read before it is needed.

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
        options: Passed on to `workflows.autopsy.stages.run_autopsy`: `workflow_path`, `provider`.

    Raises:
        RunNotFailed: The run did not fail.
        RunNotFound: No run has this id.
    """
    if isinstance(run, str):
        with connect(source, now=now) as project:
            return autopsy(project.run(run), **options)
    return run.autopsy(**options if now is None else options | {"now": now})


class Project(Frames):
    """A place that holds runs. Index it by run id, iterate over its runs, or ask it for frames of the whole store."""

    def __init__(self, where: str | Path | None = None, *, now: int | None = None) -> None:
        super().__init__()
        self.where = where
        self._now = now

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
        return now_ms() if self._now is None else self._now

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
    ) -> list[table.RunRow]:
        """Read the runs as typed rows, newest first, with the state derived at `now`.

        Args:
            status: Keep runs whose status or state is this, or one of these.
            workflow: Keep runs of this workflow.
            since_ms: Keep runs started at or after this epoch millisecond.
            limit: Keep the newest so many.
        """
        from smithers_nb.diagnosis.state.conditions import run_state

        now = self.now
        wanted = {status} if isinstance(status, str) else set(status or ())
        only = {"workflow": [workflow]} if workflow is not None else None
        found = [row._replace(state=run_state(row, now)) for row in self.source.rows(table.RunRow, only=only, since_ms=since_ms)]
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

        return frame_from_rows(table.RunRow, self.run_rows(status=status, workflow=workflow, since_ms=since_ms, limit=limit))

    def reasons(self, runs: Sequence[table.RunRow]) -> dict[str, str]:
        """Describe what runs failed on: the error of the task that the run blames, where the run itself only says which task failed.

        Args:
            runs: Rows of this store.

        Returns:
            Run id to `NODE: message`, or to the run's own message when that is all there is; runs without an error are left out.
        """
        messages = {run.run_id: run.error_message for run in runs if run.error_message}
        blamed = {run_id: text.removeprefix(_BLAMES).partition(_LINK)[0] for run_id, text in messages.items() if text.startswith(_BLAMES)}
        only: dict[str, Collection[str | int]] = {"state": ["failed"]}
        if len(blamed) <= _FEW:
            only["run_id"] = list(blamed)
        for attempt in self.source.rows(table.AttemptRow, only=only) if blamed else ():
            if attempt.error_message and blamed.get(attempt.run_id) == attempt.node_id:
                messages[attempt.run_id] = f"{attempt.node_id}: {attempt.error_message}"
        return messages

    def run_ids(self, prefix: str = "") -> list[str]:
        """List run ids, those with a prefix when one is given, at most 200."""
        return self.source.run_ids(prefix, _TAB_IDS)

    def failure_rows(self, run_id: str | None = None) -> list[table.FailureRow]:
        """Read the failures of the store, or of one run, as typed rows."""
        from smithers_nb.diagnosis.classify.failure_table import failure_rows

        return failure_rows(self.source, run_id)

    def signatures(self) -> pd.DataFrame:
        """List every kind of failure of the store, the one that hit most runs first; columns of `SignatureRow`."""
        from smithers_nb.diagnosis.history.recurrence import signatures_table
        from smithers_nb.frames import frame_from_rows

        runs, tokens = self.source.rows(table.RunRow), self.source.rows(table.TokenRow)
        attempts = self.source.rows(table.AttemptRow, only={"state": ["failed", "cancelled"]})
        return frame_from_rows(table.SignatureRow, signatures_table(self._failed, runs, attempts=attempts, tokens=tokens))

    def repair_loops(self) -> tuple[RepairLoop, ...]:
        """Find work that is started over and over without getting further."""
        from smithers_nb.diagnosis.history.repair_loops import repair_loops

        return repair_loops(self.source.rows(table.RunRow), self._failed)

    def gate_rounds(self) -> tuple[GateRounds, ...]:
        """Return what the gates of each family of workflows said, run by run, and whether that has changed."""
        from smithers_nb.diagnosis.history.gate_rounds import gate_rounds

        rows = self.source.rows
        return gate_rounds(rows(table.RunRow), rows(table.OutputRow), rows(table.ApprovalRow))

    def autopsy_all(self, *, since_ms: int | None = None, artifacts: str | Path = "artifacts", **options: Any) -> pd.DataFrame:
        """Write an autopsy of every failed run, several at once; the options are those of `workflows.batch.local.run_autopsies`.

        Args:
            since_ms: Only runs that failed at or after this epoch millisecond.
            artifacts: Folder or URL that gets `autopsy/RUN.ipynb` and `autopsy/RUN.html` for each.
            options: `workers`, `provider`, `progress`, and limits of time.

        Returns:
            One row per run, newest first, with the columns of `workflows.batch.local.AutopsyRow`; a row whose `error` is there is of an
            autopsy that itself failed.
        """
        from smithers_nb.workflows.batch.local import batch_frame, failed_runs, run_autopsies

        run_ids = failed_runs(self.source, since_ms)
        return batch_frame(run_autopsies(run_ids, self.where, artifacts=artifacts, now=self._now, **options))

    def newest_problem(self, *, failed: bool = False) -> Run | None:
        """Find the run that somebody most likely came for: the newest that failed, lost its process or waits for a person.

        Args:
            failed: Only one that failed; a child run goes with its parent.

        Returns:
            None when there is no such run.
        """
        from smithers_nb.diagnosis.failure.order import is_own_run
        from smithers_nb.diagnosis.state.conditions import needs_a_look

        found = (row for row in self.run_rows(status="failed" if failed else None) if is_own_run(row) and needs_a_look(row.state))
        return next((Run(self, row.run_id) for row in found), None)

    def run(self, run_id: str) -> Run:
        """Find a run by its id or any beginning of it that no other run shares.

        Raises:
            RunNotFound: No run has it.
            AmbiguousRunId: Several have it.
        """
        return Run(self, resolve_run_id(self.source, run_id))

    beads = Frame(BeadRow, "Work items as they stand, of a source `beads:PATH`.")
    bead_events = Frame(BeadEventRow, "Their log.")

    def audit(self) -> Audit:
        """Audit the reasons of work items: of a store `beads:PATH`, or of the project's own ledger.

        Returns:
            Its counts (`.frame()`), the rows behind them (`.evidence_frame()`), and what the store cannot show (`.coverage`).

        Raises:
            ParameterError: The source holds runs and no work items.
        """
        from smithers_nb.workflows.beads import open_beads

        if self.source.kind not in {"beads", "journal"}:
            raise ParameterError(f"{self.source.location} holds runs, not work items", hint="name a store of beads: beads:PATH")
        with open_beads(None if self.where is None else str(self.where)) as store:
            return store.audit()

    def _frame(self, row: type[Any]) -> pd.DataFrame:
        from smithers_nb.frames import frame_from_rows

        if row is table.FailureRow and self.source.kind == "beads":  # failures of work items have reasons of their own
            return self.source.frame(BeadFailureRow)
        return frame_from_rows(table.FailureRow, self._failed) if row is table.FailureRow else self.source.frame(row)

    @cached_property
    def _failed(self) -> list[table.FailureRow]:
        """The failures of the store, classified once for every frame and finding about them."""
        return self.failure_rows()

    def live(self) -> Live:
        """Show its runs live, with everything that waits for a person; for notebooks, needs the extra `lab`."""
        from smithers_nb.engine.location import Location
        from smithers_nb.present.widgets.watch import Watched
        from smithers_nb.workflows.live.changes import Watch
        from smithers_nb.workflows.notebook.widget_callbacks import watch

        def seen() -> Watched:
            with self.again() as project:
                return Watched(project.card(), (), project.now, runs=project.run_rows())

        return watch(Location.of(self.where), seen, mark=Watch(self.source))

    def again(self) -> Project:
        """Return the same place with nothing read yet."""
        return Project(self.where, now=self._now)

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
        from smithers_nb.sources.urls import without_secrets

        return f"<Project {self.source.location if 'source' in self.__dict__ else without_secrets(str(self.where or '.'))}>"

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()

    def card(self) -> Card:
        """Show its newest runs, or say why there is nothing to show."""
        from smithers_nb.present.html.parts import empty
        from smithers_nb.present.html.tables import runs_table

        runs = self.run_rows()
        if not runs:
            return empty("no-runs", self.source.location)
        return runs_table(
            f"{self.source.location}: the newest {min(len(runs), _SHOWN)} of {len(runs)} runs", runs[:_SHOWN], self.reasons(runs[:_SHOWN])
        )
