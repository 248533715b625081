"""The rows that the monitor's stages pass on, with the field names of Smithers' own monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from smithers_nb.model.finding import Finding, described
from smithers_nb.model.verdict import Authors, Defect, Evidence
from smithers_nb.model.vocabulary import Confidence, Health  # noqa: TC001  # needed at run time to validate rows that are read back
from smithers_nb.workflows.autopsy import results

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card


class Shown(results.Shown):
    """A row of the monitor that displays itself."""

    def card(self) -> Card:
        """Return the card that displays the row."""
        from smithers_nb.workflows.monitor.views import view_of

        return view_of(self)


class NodeLine(Finding):
    """One node of the run."""

    id: str
    type: str = ""
    status: str
    summary: str = described("its error or label, at most 400 characters", default="")


class EventGroups(Finding):
    """The end of the log, grouped by what an operator looks for, without heartbeats."""

    count: int = described("number of events in the log", default=0)
    approval: tuple[str, ...] = ()
    human: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()


class MonitorSnapshot(Shown):
    """What the store records about the run; unreadable parts are listed in `problems` instead of raising."""

    target_run_id: str | None
    ok: bool = described("the run was found and its row could be read")
    state: str = "unknown"
    summary: str
    age_minutes: float | None = described("minutes since the start", default=None)
    quiet_minutes: float | None = described("minutes since the last sign of life of any kind", default=None)
    nodes: tuple[NodeLine, ...] = described("at most sixty nodes, failed and waiting ones first", default=())
    why: str = described("what keeps the run from continuing, JSON, at most 8,000 characters", default="")
    events: EventGroups = EventGroups()
    scores_raw: str = described("its scores, JSON lines, at most 6,000 characters", default="")
    human_inbox_raw: str = described("what waits for a person, JSON lines, at most 8,000 characters", default="")
    signals_raw: str = described("delivered signals, JSON lines, at most 6,000 characters", default="")
    raw: str = described("the row of the run, JSON, at most 60,000 characters", default="")
    source: str = described("store it was read from: path or URL", default="")
    workflow: str | None = None
    status: str = "unknown"
    now: int = described("time to judge at, epoch milliseconds")
    problems: tuple[str, ...] = described("what could not be read", default=())


class Answered(Finding):
    """A question that the run asked, or a signal it waits for, and the answer."""

    node_id: str
    iteration: int = 0
    kind: str = described("ask, confirm, select or json for a question to a person; signal", default="ask")
    prompt: str
    answer: Any = None
    answered_by: str | None = None
    pending: bool
    status: str = ""
    asked_at: int | None = described("epoch milliseconds", default=None)
    answered_at: int | None = described("epoch milliseconds", default=None)
    signal: str | None = described("name of the signal", default=None)
    correlation: str | None = described("its correlation id", default=None)


class Gate(Finding):
    """An approval gate and its decision."""

    node_id: str
    iteration: int = 0
    title: str = ""
    approved: bool | None = None
    note: str | None = None
    decided_by: str | None = described("who decided; `auto` when no person did", default=None)
    asked_at: int | None = described("epoch milliseconds", default=None)
    decided_at: int | None = described("epoch milliseconds", default=None)
    pending: bool


class KeyOutput(Finding):
    """What a task produced; in a loop, in the newest iteration."""

    node_id: str
    iteration: int = 0
    summary: str
    value: Any = None


class CodeChange(Finding):
    """What code a task changed, or why that is not known."""

    node_id: str
    iteration: int = 0
    summary: str
    files: tuple[str, ...] = ()
    excerpt: str = described("unified diff, shortened", default="")
    origin: str = described("`stored`, `git` (read from the worktree on this machine), or `none`")


class Score(Finding):
    """The result of one scorer."""

    node_id: str
    name: str
    score: float | None = None
    reason: str = ""


class Action(Finding):
    """Something to do about the run, with the command that does it."""

    problem: str
    command: str = described("command to paste into a shell; empty when there is nothing to run", default="")
    needs_human: bool = True
    self_fixable: bool = False


class Repair(Finding):
    """The smallest safe repair of a run."""

    kind: Literal["resume", "retry-task", "fresh-run"]
    node_id: str | None = described("task that gets a new attempt, or that was interrupted", default=None)
    iteration: int = 0
    reason: str
    command: str = described("the command that a person would type")
    new_run_id: str = described("fresh run only: its id", default="")
    input: dict[str, Any] | None = described("fresh run only: its whole input", default=None)
    before: dict[str, Any] = described("fresh run only: the changed fields with their old values", default_factory=dict)
    after: dict[str, Any] = described("fresh run only: the changed fields with their new values", default_factory=dict)
    basis: str = described("fresh run only: where the new values come from", default="")

    @property
    def always_asks(self) -> bool:
        """Whether a person must approve it in any case: only people decide the input of a run."""
        return self.kind == "fresh-run"


class Diagnosis(Shown):
    """How the run is doing, with the answers to an operator's standing questions."""

    target_run_id: str | None
    health: Health
    state: str
    summary: str
    waiting_on: str | None = None
    root_cause: str = described("why it failed or is stuck; empty for a run that is neither", default="")
    questions: tuple[Answered, ...] = ()
    approvals: tuple[Gate, ...] = ()
    key_outputs: tuple[KeyOutput, ...] = ()
    diffs: tuple[CodeChange, ...] = ()
    scores: tuple[Score, ...] = ()
    recommended_actions: tuple[Action, ...] = ()
    any_self_fixable: bool = False
    repair: Repair | None = described("what autofix would do", default=None)
    repair_refused: str = described("why a repair that looks safe is not tried again", default="")
    in_trouble: tuple[str, ...] = described("tasks that failed at least twice in a row and have not succeeded since", default=())
    concerns: tuple[Defect, ...] = described("what makes a success doubtful, or the record wrong", default=())
    failure_class: str | None = None
    evidence: tuple[Evidence, ...] = ()
    folder: str = described("a sentence that says where to run the commands", default="")
    workflow: str | None = None
    workflow_path: str | None = None
    refuses_edits: bool = described("a resume after an edit of the workflow is refused until the edit is accepted", default=False)
    authors: Authors = Authors()
    provider_notes: tuple[str, ...] = ()
    cheat_sheet: tuple[tuple[str, str], ...] = described("commands to inspect and act by hand, each with its purpose", default=())
    is_record: bool = described("the run is a log or an executed notebook, with no engine behind it", default=False)

    def topics(self, fix: FixRow | None = None) -> list[tuple[str, Card]]:
        """Return the topics of the report in order, each with its heading; only the standing questions appear without data."""
        from smithers_nb.workflows.monitor.views import topics_of

        return topics_of(self, fix)

    def topic(self, key: str) -> Card:
        """Return the card of one topic: questions, approvals, outputs, diffs, scores or actions."""
        from smithers_nb.workflows.monitor.views import TOPICS

        return TOPICS[key](self)

    def left_to_do(self, fix: FixRow | None) -> tuple[Action, ...]:
        """Return the actions still recommended after a repair, without the repair itself if it worked."""
        if fix is None or not fix.resumed or fix.still_needs_human:
            return self.recommended_actions
        return tuple(action for action in self.recommended_actions if not action.self_fixable)

    @property
    def wants_fix(self) -> bool:
        """Whether the run is unhealthy and has a safe repair."""
        return self.health != "healthy" and self.any_self_fixable


class Taken(Finding):
    """One action that was taken."""

    command: str
    result: str


class FixRow(Shown):
    """What the monitor did about the run."""

    target_run_id: str | None = None
    applied: bool
    actions_taken: tuple[Taken, ...] = ()
    resumed: bool = described("the run was seen to continue or to end", default=False)
    still_needs_human: str | None = None
    summary: str
    action: str = described("the repair, its kind and node; empty when none was tried", default="")
    state_after: str = ""
    health_after: Health | None = None
    new_run_id: str = described("id of the fresh run, if one was started", default="")


class ReportRow(Shown):
    """The report as one HTML page."""

    title: str
    html: str
    health: Health
    section_count: int


class ArtifactRow(Shown):
    """Where the report was written."""

    path: str
    bytes: int
    digest: str = described("title / health / sections / path, on one line")


class MonitorRow(Shown):
    """The monitor's stable output row."""

    target_run_id: str | None
    state: str
    health: Health
    summary: str
    waiting_on: str | None = None
    root_cause: str = ""
    recommended_action_count: int = 0
    top_recommendation: str | None = None
    fix_applied: bool = False
    report_path: str | None = None
    node_count: int = 0
    event_count: int = 0
    questions: tuple[Answered, ...] = ()
    approvals: tuple[Gate, ...] = ()
    key_outputs: tuple[KeyOutput, ...] = ()
    diffs: tuple[CodeChange, ...] = ()
    scores: tuple[Score, ...] = ()
    recommended_actions: tuple[Action, ...] = ()
    in_trouble: tuple[str, ...] = ()
    concerns: tuple[Defect, ...] = ()
    fix: FixRow | None = None
    problems: tuple[str, ...] = ()


class TriageRow(Shown):
    """The output row of a triage: one recommendation for one run, with its evidence."""

    target_run_id: str | None
    state: str
    failing_nodes: int = described("number of nodes that failed or are stuck", default=0)
    pending_approvals: int = described("number of undecided gates", default=0)
    root_cause: str = described("hypothesis about what is wrong; empty when nothing is", default="")
    confidence: Confidence
    recommended_action: Literal["fix", "rewind", "retry", "escalate"]
    command: str = described("command that carries it out, or only inspects when the confidence is low")
    summary: str
    rationale: str = described("which rule decided, and why", default="")
    failure_class: str | None = None
    evidence: tuple[Evidence, ...] = described("quotes of rows that support the hypothesis", default=())
    last_events: tuple[str, ...] = described("the end of the log, at most sixty lines", default=())
    run_error: str = described("error in the row of the run", default="")
    problems: tuple[str, ...] = described("what could not be read", default=())
