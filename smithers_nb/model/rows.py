"""What a store holds, one class per table.

A row class is the column contract of its frame: the field names are the columns, the annotations say dtype and meaning.
`sources` fill rows and frames from one declaration; `frames` derives pandas dtypes from it. Rows keep times as epoch
milliseconds (`Ms`), so that looking at one run needs no pandas; frames show them as `datetime64[ms, UTC]`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

Text: TypeAlias = Annotated[str | None, "str"]
Key: TypeAlias = Annotated[str, "str"]
Json: TypeAlias = Annotated[str | None, "str"]
Count: TypeAlias = Annotated[int | None, "Int64"]
Index: TypeAlias = Annotated[int, "int64"]
Flag: TypeAlias = Annotated[bool | None, "boolean"]
Real: TypeAlias = Annotated[float | None, "Float64"]
Ms: TypeAlias = Annotated[int | None, "datetime64[ms, UTC]"]


class RunRow(NamedTuple):
    """One run. Key: `run_id`."""

    run_id: Annotated[Key, "id, unique in its store"]
    source: Annotated[Key, "where the row was read: the store's path or URL"]
    workflow: Annotated[Text, "name of the workflow; `workflow` until the first render"]
    workflow_path: Annotated[Text, "file the run was launched from"]
    workflow_hash: Annotated[Text, "content hash of that file and its imports at launch"]
    parent_run_id: Annotated[Text, "run that launched, forked or continued into this one"]
    status: Annotated[Key, "as the store has it"]
    state: Annotated[Key, "derived: succeeded, failed, cancelled, running, stale, orphaned, waiting-…, unknown"]
    created_at: Annotated[Ms, "row created"]
    started_at: Annotated[Ms, "engine started"]
    finished_at: Annotated[Ms, "reached a terminal status"]
    heartbeat_at: Annotated[Ms, "last sign of life of the owner"]
    duration_s: Annotated[Real, "seconds from start to finish; NA while not finished"]
    error_code: Annotated[Text, "code of the run-level error, often only a wrapper"]
    error_message: Annotated[Text, "message of the run-level error"]
    error: Annotated[Json, "the whole run-level error"]
    config: Annotated[Json, "launch configuration: rootDir, limits, continuation"]
    owner: Annotated[Text, "process that drives the run; NA once parked or over"]
    cancel_requested_at: Annotated[Ms, "a cancel was asked for"]
    root: Annotated[Text, "project folder of the run, as recorded at launch"]
    revision: Annotated[Text, "revision of the project's repository at launch"] = None
    repository: Annotated[Text, "top folder of that repository"] = None
    pause_requested_at: Annotated[Ms, "a pause was asked for; NA again once it is paused"] = None
    hijack_requested_at: Annotated[Ms, "somebody asked to take over an agent's session"] = None
    cancel_requested_by: Annotated[Text, "client that asked for the cancel, or how it came; NA for the command line"] = None


class NodeRow(NamedTuple):
    """Current state of one node in one loop iteration. Key: `run_id, node_id, iteration`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    logical_id: Annotated[Key, "node id without its loop suffix"]
    state: Annotated[Key, "pending, in-progress, finished, failed, …; underscores read as hyphens"]
    label: Annotated[Text, "title given by the author"]
    last_attempt: Annotated[Count, "number of the newest attempt"]
    updated_at: Annotated[Ms, "last change of state"]
    output_table: Annotated[Text, "table its output row goes to"]


class AttemptRow(NamedTuple):
    """One try of a node. Key: `run_id, node_id, iteration, attempt`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    attempt: Annotated[Index, "try, from 1"]
    state: Annotated[Key, "in-progress, finished, failed, cancelled, waiting-…"]
    started_at: Annotated[Ms, "start"]
    finished_at: Annotated[Ms, "end"]
    duration_s: Annotated[Real, "seconds from start to end; NA while open"]
    heartbeat_at: Annotated[Ms, "last sign of life of the task"]
    kind: Annotated[Text, "compute, agent, static, timer, wait-for-event"]
    agent: Annotated[Text, "id of the agent"]
    engine: Annotated[Text, "agent CLI or SDK that ran"]
    model: Annotated[Text, "model asked for"]
    retries: Annotated[Count, "retries allowed; NA is the default, without end"]
    timeout_ms: Annotated[Count, "time limit of the task, milliseconds"]
    retryable: Annotated[Flag, "false when the engine itself refuses another attempt"]
    error_name: Annotated[Text, "class of the error"]
    error_code: Annotated[Text, "code of the error"]
    error_message: Annotated[Text, "message of the error"]
    error_stack: Annotated[Text, "stack of the error"]
    error: Annotated[Json, "the whole error"]
    cached: Annotated[Flag, "output taken from the cache"]
    response: Annotated[Text, "final answer of an agent"]
    reset: Annotated[Flag, "a retry-task or rewind set this attempt aside and marked it cancelled"]
    garbled_prompt: Annotated[Text, "the place in the prompt where a value became `[object Object]`"] = None
    cwd: Annotated[Text, "folder that an agent worked in, on the machine of the run"] = None
    session: Annotated[Text, "id that the agent's own CLI gave its session"] = None


class EventRow(NamedTuple):
    """One line of a run's append-only log. Key: `run_id, seq`."""

    run_id: Annotated[Key, "run"]
    seq: Annotated[Index, "position in the run, from 0"]
    at: Annotated[Ms, "time"]
    type: Annotated[Key, "event type"]
    category: Annotated[Key, "group of the type: run, node, approval, agent, heartbeat, …, other"]
    node_id: Annotated[Text, "node, when the event is about one"]
    iteration: Annotated[Count, "its iteration"]
    attempt: Annotated[Count, "its attempt"]
    payload: Annotated[Json, "the event as stored"]


class FailureRow(NamedTuple):
    """Why something failed, one row per failed attempt or run. Key: `run_id, node_id, iteration, attempt`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Text, "node; NA for a failure of the run itself"]
    iteration: Annotated[Count, "its iteration"]
    attempt: Annotated[Count, "its attempt"]
    at: Annotated[Ms, "when it failed"]
    code: Annotated[Text, "error code or class"]
    failure_class: Annotated[Key, "workflow-bug, environment, agent-flake, smithers-bug, unknown"]
    confidence: Annotated[Key, "low, medium, high"]
    message: Annotated[Text, "message of the error"]
    source: Annotated[Key, "reference of the row it came from"]
    signature: Annotated[Key, "fingerprint, equal for the same failure"]
    persistent: Annotated[Flag, "the same signature on every attempt of the node"]
    rule: Annotated[Text, "rule that decided the class"]
    details: Annotated[Json, "what else the error says"]


class SignatureRow(NamedTuple):
    """One kind of failure of a store. Key: `signature`."""

    signature: Annotated[Key, "fingerprint, equal for the same failure"]
    failure_class: Annotated[Key, "class of the newest failure"]
    code: Annotated[Text, "newest error code or class"]
    message: Annotated[Text, "newest message"]
    count: Annotated[Index, "failures"]  # type: ignore[assignment]  # hides a method of tuples that nobody needs
    runs: Annotated[Index, "runs it hit"]
    nodes: Annotated[Index, "nodes it hit; the same node of another workflow is another one"]
    workflows: Annotated[Index, "workflows it hit"]
    first_at: Annotated[Ms, "first failure"]
    last_at: Annotated[Ms, "last failure"]
    streak: Annotated[Count, "newest ended runs in a row of one workflow that met it; the longest such streak"]
    streak_of: Annotated[Text, "that workflow"]
    wall_s: Annotated[Real, "seconds lost; NA when attempts were not given"]
    tokens: Annotated[Count, "tokens lost; NA when tokens were not given"]
    versions: Annotated[Text, "versions of the agent CLI that met it, oldest failure first; NA where runs do not name one"] = None


class ApprovalRow(NamedTuple):
    """A gate and what was decided. Key: `run_id, node_id, iteration`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    status: Annotated[Key, "requested, approved, denied"]
    title: Annotated[Text, "what is asked"]
    summary: Annotated[Text, "why it is asked"]
    requested_at: Annotated[Ms, "asked; from the event when the row lost it"]
    decided_at: Annotated[Ms, "decided"]
    decided_by: Annotated[Text, "who decided"]
    note: Annotated[Text, "their words"]
    auto_approved: Annotated[Flag, "no person decided"]
    actionable: Annotated[Flag, "a decision now would change something: still requested, and the run is not over"]
    mode: Annotated[Text, "decision, select, rank, gate; ReplayUnsafeApproval when the engine asks before it repeats a side effect"]
    for_question: Annotated[Flag, "twin of a human task's question, to be answered rather than approved"]


class QuestionRow(NamedTuple):
    """A question to a person and its answer. Key: `request_id`."""

    request_id: Annotated[Key, "id, `human:RUN:NODE:ITERATION`"]
    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    kind: Annotated[Key, "ask, confirm, select, json"]
    status: Annotated[Key, "pending, answered, cancelled, expired"]
    prompt: Annotated[Text, "the question"]
    options: Annotated[Json, "choices"]
    schema: Annotated[Json, "JSON schema of the answer"]
    answer: Annotated[Json, "the answer"]
    requested_at: Annotated[Ms, "asked"]
    answered_at: Annotated[Ms, "answered"]
    answered_by: Annotated[Text, "who answered"]
    timeout_at: Annotated[Ms, "expires"]


class OutputRow(NamedTuple):
    """What a node produced. Key: `run_id, node_id, iteration`. A run's input has the node id `input`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    table: Annotated[Key, "output table"]
    row: Annotated[Json, "the output columns as one JSON object"]


class DiffRow(NamedTuple):
    """Cached file changes of a node. Key: `run_id, node_id, iteration, base_ref`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    base_ref: Annotated[Text, "revision compared with"]
    patches: Annotated[Json, "list of {path, operation, diff}"]
    computed_at: Annotated[Ms, "when somebody asked for it"]
    size_bytes: Annotated[Count, "size of the patches, bytes"]


class ScoreRow(NamedTuple):
    """One scorer's result."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    attempt: Annotated[Count, "attempt"]
    scorer_id: Annotated[Key, "scorer"]
    scorer_name: Annotated[Text, "its title"]
    source: Annotated[Text, "live or batch"]
    score: Annotated[Real, "result"]
    reason: Annotated[Text, "why"]
    scored_at: Annotated[Ms, "when"]
    duration_ms: Annotated[Real, "time the scorer took, milliseconds"]


class ToolCallRow(NamedTuple):
    """One tool call or journalled side effect. Key: `run_id, node_id, iteration, attempt, seq`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    attempt: Annotated[Index, "attempt"]
    seq: Annotated[Index, "position in the attempt"]
    tool_name: Annotated[Key, "tool"]
    kind: Annotated[Text, "tool, or `task` for a side-effect task"]
    status: Annotated[Key, "intended, succeeded, unknown, …"]
    side_effect: Annotated[Flag, "changes something outside the run"]
    input: Annotated[Json, "arguments"]
    output: Annotated[Json, "result"]
    error: Annotated[Json, "error"]
    started_at: Annotated[Ms, "start"]
    finished_at: Annotated[Ms, "end"]
    idempotent: Annotated[Flag, "may be done again without harm"] = None


class TokenRow(NamedTuple):
    """Token use of one attempt: the maximum of its cumulative reports, never their sum."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    attempt: Annotated[Index, "attempt"]
    agent: Annotated[Text, "agent"]
    model: Annotated[Text, "model"]
    input_tokens: Annotated[Count, "input"]
    output_tokens: Annotated[Count, "output"]
    cache_read_tokens: Annotated[Count, "input served from a cache"]
    cache_write_tokens: Annotated[Count, "input written to a cache"]
    reasoning_tokens: Annotated[Count, "reasoning"]


class TaskRow(NamedTuple):
    """One task of the graph as last rendered. Key: `run_id, node_id, iteration`."""

    run_id: Annotated[Key, "run"]
    node_id: Annotated[Key, "node"]
    iteration: Annotated[Index, "loop iteration, from 0"]
    ordinal: Annotated[Index, "position in the rendered graph"]
    kind: Annotated[Text, "compute, agent, approval, …"]
    max_attempts: Annotated[Count, "attempts allowed; NA is without end"]
    depends_on: Annotated[Json, "list of node ids that must be finished first"]
    within: Annotated[Json, "list of enclosing elements, outermost first"]
    props: Annotated[Json, "properties of the element"]


class SignalRow(NamedTuple):
    """A delivered signal. Key: `run_id, seq`."""

    run_id: Annotated[Key, "run"]
    seq: Annotated[Index, "position"]
    signal_name: Annotated[Key, "name"]
    correlation_id: Annotated[Text, "correlation"]
    payload: Annotated[Json, "data"]
    received_at: Annotated[Ms, "when"]
    received_by: Annotated[Text, "by whom"]


class TimeTravelRow(NamedTuple):
    """A rewind or jump that an operator asked for."""

    run_id: Annotated[Key, "run"]
    from_frame: Annotated[Index, "frame before; -1 when a task, not a frame, was named"]
    to_frame: Annotated[Index, "frame after; -1 likewise"]
    caller: Annotated[Text, "who"]
    at: Annotated[Ms, "when"]
    result: Annotated[Key, "success, failed, partial, in_progress, rejected"]
    duration_ms: Annotated[Count, "time it took, milliseconds"]


class BranchRow(NamedTuple):
    """A fork or replay. Key: `run_id`."""

    run_id: Annotated[Key, "the new run"]
    parent_run_id: Annotated[Key, "run it was forked from"]
    parent_frame: Annotated[Index, "frame it was forked at"]
    label: Annotated[Text, "branch label"]
    description: Annotated[Text, "how it came about"]
    created_at: Annotated[Ms, "when"]


class LoopRow(NamedTuple):
    """Progress of a loop. Key: `run_id, loop_id`."""

    run_id: Annotated[Key, "run"]
    loop_id: Annotated[Key, "loop"]
    iteration: Annotated[Count, "current iteration, from 0"]
    done: Annotated[Flag, "ended by itself; stays false when `until` ended it"]
    updated_at: Annotated[Ms, "last change"]


TABLES: dict[str, type[NamedTuple]] = {
    "runs": RunRow,
    "nodes": NodeRow,
    "attempts": AttemptRow,
    "events": EventRow,
    "failures": FailureRow,
    "approvals": ApprovalRow,
    "questions": QuestionRow,
    "outputs": OutputRow,
    "diffs": DiffRow,
    "scores": ScoreRow,
    "tool_calls": ToolCallRow,
    "tokens": TokenRow,
    "tasks": TaskRow,
    "signals": SignalRow,
    "time_travel": TimeTravelRow,
    "branches": BranchRow,
    "loops": LoopRow,
}
"""Every table by the name of its frame."""
