"""The autopsy's findings, up to its stable output row, the verdict.

JSON uses the field names of Smithers' own `post-failure` output (`targetRunId`, `failureClass`, …), so that a reader of one
can read the other; Python attributes are snake_case. Fields are only ever added.
"""

from __future__ import annotations

from smithers_nb.model.finding import Finding, described
from smithers_nb.model.vocabulary import Confidence, FailureClass, Suggestion


class Evidence(Finding):
    """A quote and the row it came from."""

    ref: str = described(
        "reference of the row: `event:17`, `attempt:boom/0/2`, `approval:ship/0`, `question:ID`, `node:ship/0`, `run:ID`, "
        "`source:wf.tsx:13`; a row of another run is `RUN/attempt:…`"
    )
    quote: str = described("text that occurs in that row")
    note: str = described("what it shows", default="")


class Link(Finding):
    """One error of a cause chain."""

    name: str | None = None
    code: str | None = None
    message: str = ""
    stack: str = ""


class Failure(Finding):
    """The failure that mattered: the first in time that no other failure explains."""

    run_id: str = described("run it happened in; a child run when the failure was followed there")
    node_id: str | None = described("failing node; none when the run itself failed", default=None)
    iteration: int = 0
    attempt: int | None = described("its last attempt that failed", default=None)
    at: int | None = described("when, epoch milliseconds", default=None)
    kind: str = described("where it was found: `attempt`, `run`, `denied`, `interrupted`, `masked-cancel`, `agent-event`, …, `none`")
    chain: tuple[Link, ...] = described("errors from the outermost that says something to the innermost cause", default=())
    details: dict[str, object] = described("what else the error says: statusCode, path, errno, responseBody, …", default_factory=dict)
    attempts: int = described("attempts of the node that failed, reset ones included", default=0)
    max_attempts: int | None = described("attempts allowed; none is without end", default=None)
    signatures: tuple[str, ...] = described("signature of every failed attempt, in order", default=())
    task_kind: str | None = described("compute, agent, …; cell or stage of one of our notebooks", default=None)
    label: str | None = described("what a cell of a notebook begins with; its id says little", default=None)
    agent: str | None = described("agent engine or id", default=None)
    model: str | None = None
    collateral: tuple[str, ...] = described("other failing nodes, each a consequence or later", default=())
    parents: tuple[str, ...] = described("runs from the target down to `run_id`, when it was followed into a child", default=())
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


class Hypothesis(Finding):
    """One explanation of a failure that is not sure, with the rules that see it and the strongest that sees something else."""

    failure_class: FailureClass
    suggestion: Suggestion
    speaks_for: tuple[str, ...] = described("what the rules of this class recognised, the strongest first")
    speaks_against: str = described("what the strongest rule of another class recognised")

    @property
    def text(self) -> str:
        """The same as one sentence."""
        return f"{self.failure_class}: {' and '.join(self.speaks_for)}. Against it: {self.speaks_against}."


class Classification(Finding):
    """Whose fault it is, how sure, and by which rule."""

    failure_class: FailureClass
    confidence: Confidence
    rule: str = described("name of the rule that decided, `none` when nothing matched")
    reason: str = described("why, in plain words", default="")
    suggestion: Suggestion = described("what the rule would do, before history has its say")
    quote: str = described("part of a long error that the rule recognised", default="")
    exonerated: tuple[str, ...] = described("why workflow and environment are not at fault, for a smithers-bug", default=())
    hypotheses: tuple[Hypothesis, ...] = described("the best explanations, the first the one that was chosen; none when sure", default=())


class Defect(Finding):
    """Something the engine recorded wrongly or let happen."""

    kind: str = described(
        "`failure-recorded-as-cancellation`, `ran-before-approval`, `finished-with-failed-children`, `finished-with-pending-nodes`, "
        "`zombie`, `retry-storm`, …"
    )
    summary: str
    evidence: tuple[Evidence, ...] = ()


class Blocker(Finding):
    """One thing a run waits for or is stopped by, and what ends it."""

    kind: str = described("waiting-approval, waiting-human, waiting-event, waiting-timer, retry-backoff, stale-heartbeat, …")
    node_id: str | None = described("node it is about; none when it is the run itself", default=None)
    iteration: int = 0
    since: int | None = described("epoch milliseconds", default=None)
    until: int | None = described("when it is expected to end by itself, epoch milliseconds", default=None)
    reason: str = described("in plain words")
    choices: tuple[str, ...] = described("exactly one of these has to be run before `commands`", default=())
    commands: tuple[str, ...] = described("what ends it, in the order to run; none when nothing needs to be done", default=())
    alternatives: tuple[str, ...] = described("what ends it otherwise, such as a denial", default=())
    evidence: tuple[Evidence, ...] = ()


class Observation(Finding):
    """What a look at this machine showed, long after the failure and maybe far from it."""

    about: str = described("command, variable, path, disk, port, repository")
    subject: str = described("what was looked at; of a variable only the name")
    text: str = described("`now, on this machine: …`")
    confirms: bool | None = described("it is still as the error says; none when that cannot be determined", default=None)
    meaningful: bool = described("the run's project folder is on this machine, so the store was probably written here")


class LastGoodRun(Finding):
    """The newest finished run of the same workflow before the failed one."""

    run_id: str
    finished_at: int | None = described("epoch milliseconds", default=None)


class Change(Finding):
    """One thing that differs from the last good run."""

    what: str = described("workflow hash, input.FIELD, agent of NODE, node NODE added, duration of NODE, …")
    before: str | None = None
    after: str | None = None


class Recurrence(Finding):
    """How often this signature occurred in the whole store."""

    count: int = described("failed attempts with this signature", default=1)
    runs: int = described("runs that met it", default=1)
    run_ids: tuple[str, ...] = described("those runs, newest first, at most ten", default=())
    first_at: int | None = described("epoch milliseconds", default=None)
    last_at: int | None = described("epoch milliseconds", default=None)
    wall_s: float = described("seconds spent in those attempts", default=0.0)
    tokens: int = described("tokens spent in those attempts", default=0)
    repair_loop: str = described("why this looks like a repair loop; empty when it does not", default="")


class PastRun(Finding):
    """One run of the same workflow, as a reader sees it in a row of them."""

    run_id: str
    state: str = described("derived state at the time asked for")
    same: bool = described("it met the failure that is looked at", default=False)


class Advice(Finding):
    """Exactly one suggestion and the commands that carry it out."""

    suggestion: Suggestion
    detail: str
    commands: tuple[str, ...] = ()


class Authors(Finding):
    """Who wrote what of a verdict: `internal`, the rules, or a provider such as `remote_llm (MODEL)`."""

    narrative: str = described("the root cause", default="internal")
    judgement: str = described("class and confidence", default="internal")
    advice: str = described("suggestion, detail and commands, as far as they are not ours", default="internal")
    error_summary: str = described("the plain words beside a long error", default="internal")


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
    problems: tuple[str, ...] = described("what could not be read", default=())
    error_summary: str = described("a long or ever changing error in plain words; empty for one that is clear by itself", default="")
    authors: Authors = Authors()
    provider_notes: tuple[str, ...] = described("what a provider said that was not taken, and why", default=())
    versions: dict[str, str] = described(
        "`engine` and `python` that the run was started with, `schema` of its store, and who wrote this `autopsy`", default_factory=dict
    )
    hypotheses: tuple[Hypothesis, ...] = described("the best explanations where the verdict is not sure", default=())
    source: tuple[str, ...] = described("lines around the one that threw, which is marked; none when its file is not here", default=())


class ResetNode(Finding):
    """One node that a retry-task would set back to pending."""

    run_id: str
    node_id: str
    iteration: int
    state: str = described("state it would lose")
    why: str = described("`target`, `started after the target`, `later iteration`, `child run of NODE`")


class ResetPreview(Finding):
    """What a retry-task would set back, worked out from the attempts as the engine does."""

    run_id: str
    node_id: str
    iteration: int
    nodes: tuple[ResetNode, ...] = described("the target first; finished ones lose their output row")

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


class TaskStanding(Finding):
    """One task of the graph.

    Attributes:
        node_id: The task.
        state: State of its last iteration; `held-up` when it never began because of the failure, `collateral` when it failed after it.
        after: Tasks that it waits for, without those that another of them waits for.
        decides: It is the failure that mattered.
        producer: The task whose output or answer is at fault, where it is known.
    """

    node_id: str
    state: str
    after: tuple[str, ...] = ()
    decides: bool = False
    producer: str = described("task whose output or answer is at fault; empty when it is not known", default="")
