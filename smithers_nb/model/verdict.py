"""The autopsy's findings, up to its stable output row, the verdict.

JSON uses the field names of Smithers' own `post-failure` output (`targetRunId`, `failureClass`, …), so that a reader of one
can read the other; Python attributes are snake_case. Fields are only ever added.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from smithers_nb.model.vocabulary import Confidence, FailureClass, Suggestion


class Finding(BaseModel):
    """Base of everything a diagnosis returns: immutable, camelCase in JSON, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Evidence(Finding):
    """A quote and the row it came from."""

    ref: str = Field(
        description=(
            "reference of the row: `event:17`, `attempt:boom/0/2`, `approval:ship/0`, `question:ID`, `node:ship/0`, `run:ID`, "
            "`source:wf.tsx:13`; a row of another run is `RUN/attempt:…`"
        )
    )
    quote: str = Field(description="text that occurs in that row")
    note: str = Field(default="", description="what it shows")


class Link(Finding):
    """One error of a cause chain."""

    name: str | None = None
    code: str | None = None
    message: str = ""
    stack: str = ""


class Failure(Finding):
    """The failure that mattered: the first in time that no other failure explains."""

    run_id: str = Field(description="run it happened in; a child run when the failure was followed there")
    node_id: str | None = Field(default=None, description="failing node; none when the run itself failed")
    iteration: int = 0
    attempt: int | None = Field(default=None, description="its last attempt that failed")
    at: int | None = Field(default=None, description="when, epoch milliseconds")
    kind: str = Field(description="where it was found: `attempt`, `run`, `denied`, `masked-cancel`, `agent-event`, `task-event`, `none`")
    chain: tuple[Link, ...] = Field(default=(), description="errors from the outermost that says something to the innermost cause")
    details: dict[str, object] = Field(
        default_factory=dict, description="what else the error says: statusCode, path, errno, responseBody, …"
    )
    attempts: int = Field(default=0, description="attempts of the node that failed, reset ones included")
    max_attempts: int | None = Field(default=None, description="attempts allowed; none is without end")
    signatures: tuple[str, ...] = Field(default=(), description="signature of every failed attempt, in order")
    task_kind: str | None = Field(default=None, description="compute, agent, …; cell or stage of one of our notebooks")
    label: str | None = Field(default=None, description="what a cell of a notebook begins with; its id says little")
    agent: str | None = Field(default=None, description="agent engine or id")
    model: str | None = None
    collateral: tuple[str, ...] = Field(default=(), description="other failing nodes, each a consequence or later")
    parents: tuple[str, ...] = Field(default=(), description="runs from the target down to `run_id`, when it was followed into a child")
    evidence: tuple[Evidence, ...] = ()

    @property
    def message(self) -> str:
        """The outermost message that says something."""
        return next((link.message for link in self.chain if link.message), "")

    @property
    def code(self) -> str | None:
        """The outermost error code, else the outermost error class."""
        return next((link.code or link.name for link in self.chain if link.code or link.name), None)

    @property
    def persistent(self) -> bool:
        """The same signature on every one of at least two attempts."""
        return len(self.signatures) > 1 and len(set(self.signatures)) == 1


class Classification(Finding):
    """Whose fault it is, how sure, and by which rule."""

    failure_class: FailureClass
    confidence: Confidence
    rule: str = Field(description="name of the rule that decided, `none` when nothing matched")
    reason: str = Field(default="", description="why, in plain words")
    suggestion: Suggestion = Field(description="what the rule would do, before history has its say")
    quote: str = Field(default="", description="part of a long error that the rule recognised")
    exonerated: tuple[str, ...] = Field(default=(), description="why workflow and environment are not at fault, for a smithers-bug")


class Defect(Finding):
    """Something the engine recorded wrongly or let happen."""

    kind: str = Field(
        description=(
            "`failure-recorded-as-cancellation`, `ran-before-approval`, `finished-with-failed-children`, `finished-with-pending-nodes`, "
            "`zombie`, `retry-storm`, …"
        )
    )
    summary: str
    evidence: tuple[Evidence, ...] = ()


class Blocker(Finding):
    """One thing a run waits for or is stopped by, and what ends it."""

    kind: str = Field(description="waiting-approval, waiting-human, waiting-event, waiting-timer, retry-backoff, stale-heartbeat, …")
    node_id: str | None = Field(default=None, description="node it is about; none when it is the run itself")
    iteration: int = 0
    since: int | None = Field(default=None, description="epoch milliseconds")
    until: int | None = Field(default=None, description="when it is expected to end by itself, epoch milliseconds")
    reason: str = Field(description="in plain words")
    choices: tuple[str, ...] = Field(default=(), description="exactly one of these has to be run before `commands`")
    commands: tuple[str, ...] = Field(default=(), description="what ends it, in the order to run; none when nothing needs to be done")
    alternatives: tuple[str, ...] = Field(default=(), description="what ends it otherwise, such as a denial")
    evidence: tuple[Evidence, ...] = ()


class Observation(Finding):
    """What a look at this machine showed, long after the failure and maybe far from it."""

    about: str = Field(description="command, variable, path, disk, port, repository")
    subject: str = Field(description="what was looked at; of a variable only the name")
    text: str = Field(description="`now, on this machine: …`")
    confirms: bool | None = Field(default=None, description="it is still as the error says; none when that cannot be told")
    meaningful: bool = Field(description="the run's project folder is on this machine, so the store was probably written here")


class LastGoodRun(Finding):
    """The newest finished run of the same workflow before the failed one."""

    run_id: str
    finished_at: int | None = Field(default=None, description="epoch milliseconds")


class Change(Finding):
    """One thing that differs from the last good run."""

    what: str = Field(description="workflow hash, input.FIELD, agent of NODE, node NODE added, duration of NODE, …")
    before: str | None = None
    after: str | None = None


class Recurrence(Finding):
    """How often this signature occurred in the whole store."""

    count: int = Field(default=1, description="failed attempts with this signature")
    runs: int = Field(default=1, description="runs that met it")
    run_ids: tuple[str, ...] = Field(default=(), description="those runs, newest first, at most ten")
    first_at: int | None = Field(default=None, description="epoch milliseconds")
    last_at: int | None = Field(default=None, description="epoch milliseconds")
    wall_s: float = Field(default=0.0, description="seconds spent in those attempts")
    tokens: int = Field(default=0, description="tokens spent in those attempts")
    repair_loop: str = Field(default="", description="why this looks like a repair loop; empty when it does not")


class Advice(Finding):
    """Exactly one suggestion and the commands that carry it out."""

    suggestion: Suggestion
    detail: str
    commands: tuple[str, ...] = ()


class Authors(Finding):
    """Who wrote what of a verdict: `internal`, the rules, or a provider such as `remote_llm (MODEL)`."""

    narrative: str = Field(default="internal", description="the root cause")
    judgement: str = Field(default="internal", description="class and confidence")
    advice: str = Field(default="internal", description="suggestion, detail and commands, as far as they are not ours")
    error_summary: str = Field(default="internal", description="the plain words beside a long error")


class Verdict(Finding):
    """The autopsy's stable output row."""

    target_run_id: str
    failure_class: FailureClass
    confidence: Confidence
    root_cause: str
    suggestion: Suggestion
    suggestion_detail: str
    commands: tuple[str, ...]
    bug_filed: bool = False
    bug_id: str | None = None
    bug_url: str | None = None
    summary: str
    evidence: tuple[Evidence, ...] = ()
    signature: str = ""
    recurrence: Recurrence = Recurrence()
    last_good_run: LastGoodRun | None = None
    changed_since: tuple[Change, ...] = ()
    rule: str = ""
    defects: tuple[Defect, ...] = ()
    problems: tuple[str, ...] = Field(default=(), description="what could not be read")
    error_summary: str = Field(
        default="", description="a long or ever changing error in plain words; empty for one that is clear by itself"
    )
    authors: Authors = Authors()
    provider_notes: tuple[str, ...] = Field(default=(), description="what a provider said that was not taken, and why")


class ResetNode(Finding):
    """One node that a retry-task would set back to pending."""

    run_id: str
    node_id: str
    iteration: int
    state: str = Field(description="state it would lose")
    why: str = Field(description="`target`, `started after the target`, `later iteration`, `child run of NODE`")


class ResetPreview(Finding):
    """What a retry-task would set back, worked out from the attempts as the engine does."""

    run_id: str
    node_id: str
    iteration: int
    nodes: tuple[ResetNode, ...] = Field(description="the target first; finished ones lose their output row")

    @property
    def loses_output(self) -> tuple[ResetNode, ...]:
        """Nodes that are finished and would run, and cost, again."""
        return tuple(node for node in self.nodes if node.state == "finished")

    @property
    def summary(self) -> str:
        """One line for a person."""
        others = [f"{n.node_id}" + (f"#{n.iteration}" if n.iteration else "") for n in self.nodes if n.why != "target"]
        if not others:
            return f"resets only {self.node_id}; nothing that is finished runs again"
        shown = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "")  # noqa: PLR2004
        again = f"{len(self.loses_output)} finished one(s) run again" if self.loses_output else "none of them is finished"
        return f"resets {self.node_id} and {len(others)} other node(s) ({shown}); {again}"
