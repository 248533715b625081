"""The answer to "why": what a run failed on or waits for, and the one thing to do about it."""

from __future__ import annotations

import shlex
from typing import Any

from smithers_nb.model.finding import Finding, described
from smithers_nb.model.verdict import Advice, Blocker, Classification, Defect, Evidence, Failure, ResetPreview
from smithers_nb.model.vocabulary import FailureClass


class Autopsy(Finding):
    """One autopsy of a run."""

    run_id: str = described("the autopsy's own run")
    target_run_id: str
    source: str = described("engine that runs it: smithers, journal")
    status: str
    started_at: int | None = described("epoch milliseconds", default=None)

    @property
    def standing(self) -> str:
        """How it stands, with the command that shows more."""
        asks = self.status.startswith("waiting-") and self.status != "waiting-worker"
        how = f"waits for a person ({self.status})" if asks else f"is {self.status}"
        return f"{self.run_id} {how}; `{shlex.join(['smithers-nb', 'why', self.run_id])}` shows it"


class Explanation(Finding):
    """Why a run is in the state it is in.

    A failed run has `failure`, `classification` and `advice`; whatever keeps a run from going on is in `blockers`; a finished run has
    none of them, but may have `failed_nodes`: tasks that failed and were tolerated.
    """

    run_id: str
    workflow: str | None
    status: str
    state: str = described("derived state at the time asked for")
    summary: str = described("why, in one to three plain sentences")
    failure: Failure | None = None
    classification: Classification | None = None
    advice: Advice | None = None
    reset_preview: ResetPreview | None = described("what a retry-task of the failed node would set back", default=None)
    blockers: tuple[Blocker, ...] = ()
    folder: str = described("where the commands have to be run, as a sentence", default="")
    failed_nodes: tuple[str, ...] = described(
        "nodes that failed, `NODE` or `NODE#ITERATION`; left out of JSON when there are none", default=()
    )
    source: tuple[str, ...] = described("lines around the one that threw, which is marked; none when its file is not here", default=())
    defects: tuple[Defect, ...] = ()
    problems: tuple[str, ...] = ()
    failure_class: FailureClass | None = described("class of the failure, as in a verdict", default=None)
    root_cause: str = described("what failed and why, as in a verdict; empty for a run that did not fail", default="")
    evidence: tuple[Evidence, ...] = described("quotes that the answer rests on", default=())

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; a run in which nothing failed has no list of failed nodes."""
        row = super().as_json()
        return row if self.failed_nodes else {key: value for key, value in row.items() if key != "failedNodes"}

    good_input: dict[str, Any] | None = described(
        "fields of the input behind the failure, as the last good run had them; none where the input is not at fault", default=None
    )
    good_run: str = described("the last good run, where `goodInput` says something", default="")
    autopsies: tuple[Autopsy, ...] = described("autopsies of the failure, newest first, with their state", default=())
    autopsy_of: str = described("of an autopsy: the run that it looks into", default="")

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that carry out the advice, else those that end what the run waits for; each once."""
        waits = (line for blocker in self.blockers for line in (*blocker.choices, *blocker.commands, *blocker.alternatives))
        return self.advice.commands if self.advice else tuple(dict.fromkeys(waits))
