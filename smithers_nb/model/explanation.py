"""The answer to "why": what a run failed on or waits for, and the one thing to do about it."""

from __future__ import annotations

from pydantic import Field

from smithers_nb.model.verdict import Advice, Classification, Defect, Failure, Finding, ResetPreview


class Waiting(Finding):
    """One thing a run waits for, and who or what ends the wait."""

    kind: str = Field(description="waiting-approval, waiting-human, waiting-event, waiting-timer, retry-backoff, stale-heartbeat, …")
    node_id: str | None = None
    iteration: int = 0
    reason: str = ""
    since: int | None = Field(default=None, description="waiting since, epoch milliseconds")
    commands: tuple[str, ...] = Field(default=(), description="commands that end the wait, ready to run")


class Explanation(Finding):
    """Why a run is in the state it is in.

    A failed run has `failure`, `classification` and `advice`; a run that waits or hangs has `blockers`; a finished one has neither,
    but may have `failed_nodes`: children that failed and were tolerated.
    """

    run_id: str
    workflow: str | None
    status: str
    state: str = Field(description="derived state at the time asked for")
    summary: str = Field(description="one line")
    failure: Failure | None = None
    classification: Classification | None = None
    advice: Advice | None = None
    reset_preview: ResetPreview | None = Field(default=None, description="what the suggested retry-task would set back")
    blockers: tuple[Waiting, ...] = ()
    failed_nodes: tuple[str, ...] = Field(default=(), description="nodes that failed, `NODE` or `NODE#ITERATION`")
    defects: tuple[Defect, ...] = ()
    problems: tuple[str, ...] = ()
