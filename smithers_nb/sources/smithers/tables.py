"""Which table of a Smithers store each row class is read from, and the SQL expression of each of its columns.

Columns of the store are written in brackets; `query` replaces those that a store lacks by NULL, so an older store has the same columns
with fewer values. Rows that need more than one SELECT are in `derived` and `render_frames`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from smithers_nb.model.rows import (
    AttemptRow,
    BranchRow,
    DiffRow,
    EventRow,
    LoopRow,
    NodeRow,
    QuestionRow,
    RunRow,
    ScoreRow,
    SignalRow,
    TimeTravelRow,
    TokenRow,
    ToolCallRow,
)
from smithers_nb.model.vocabulary import category_prefixes

OWN_TABLES: Final = "_smithers_"
"""Prefix of the engine's tables; the others hold what tasks produced."""


class Table(NamedTuple):
    """How the rows of one class are read.

    Attributes:
        table: Table of the store.
        columns: SQL expression of each column of the contract.
        order: Key, in the order of the table's own index.
        time: Column of the contract that `since_ms` applies to.
        where: Condition on the table's rows.
        group: Whether rows are grouped by `order`.
    """

    table: str
    columns: dict[str, str]
    order: tuple[str, ...]
    time: str | None = None
    where: str = ""
    group: bool = False


def json_field(column: str, path: str) -> str:
    """Return the SQL for one field of a JSON column; NULL if the text is not valid JSON."""
    return f"CASE WHEN json_valid([{column}]) THEN json_extract([{column}], '$.{path}') END"


def _plain(*names: str) -> dict[str, str]:
    return {name: f"[{name}]" for name in names}


def _timed(*names: str) -> dict[str, str]:
    return {name: f"[{name}_ms]" for name in names}


_LOGICAL = "CASE instr([node_id], '@@') WHEN 0 THEN [node_id] ELSE substr([node_id], 1, instr([node_id], '@@') - 1) END"
_STATE = "coalesce(replace([state], '_', '-'), 'unknown')"
_SECONDS = "([finished_at_ms] - [started_at_ms]) / 1000.0"
_ERROR_TEXT = (
    "CASE WHEN NOT json_valid([error_json]) THEN [error_json] WHEN json_type([error_json]) = 'object' "
    "THEN json_extract([error_json], '$.message') WHEN json_type([error_json]) = 'text' THEN json_extract([error_json], '$') "
    "WHEN json_type([error_json]) <> 'null' THEN [error_json] END"
)
_RUN_STATE = "CASE WHEN [status] IN ('finished', 'continued') THEN 'succeeded' ELSE coalesce([status], 'unknown') END"
_ROOT = f"coalesce({json_field('config_json', 'rootDir')}, [vcs_root])"
_FIXED_FAILURE = (
    f"CASE WHEN replace([state], '_', '-') <> 'failed' THEN NULL WHEN {json_field('meta_json', 'failureRetryable')} = 0 THEN 0 "
    f"WHEN {json_field('error_json', 'code')} = 'AGENT_CONFIG_INVALID' THEN 0 "
    f"WHEN {json_field('error_json', 'code')} = 'INVALID_OUTPUT' AND {json_field('meta_json', 'kind')} IS NOT 'agent' THEN 0 ELSE 1 END"
)
_GARBLED = (
    "CASE WHEN instr([meta_json], '[object Object]') AND json_valid([meta_json]) AND instr(json_extract([meta_json], '$.prompt'), "
    "'[object Object]') THEN substr(json_extract([meta_json], '$.prompt'), "
    "max(1, instr(json_extract([meta_json], '$.prompt'), '[object Object]') - 60), 135) END"
)
_CATEGORY = "CASE {} ELSE 'other' END".format(
    " ".join(f"WHEN [type] GLOB '{prefix}*' THEN '{category}'" for prefix, category in category_prefixes())
)
_TASK = ("run_id", "node_id", "iteration")

TABLES_IN_SQL: Final[dict[type, Table]] = {
    RunRow: Table(
        "_smithers_runs",
        _plain("run_id", "workflow_path", "workflow_hash", "parent_run_id")
        | {"source": "?", "workflow": "[workflow_name]", "status": "coalesce([status], 'unknown')", "state": _RUN_STATE}
        | _timed("created_at", "started_at", "finished_at", "heartbeat_at", "cancel_requested_at")
        | _timed("pause_requested_at", "hijack_requested_at")
        | {
            "duration_s": _SECONDS,
            "error_code": json_field("error_json", "code"),
            "error_message": _ERROR_TEXT,
            "error": "[error_json]",
            "config": "[config_json]",
            "owner": "[runtime_owner_id]",
            "root": _ROOT,
            "revision": "[vcs_revision]",
            "repository": "[vcs_root]",
            "cancel_requested_by": "coalesce([cancel_request_client_identity], [cancel_request_source])",
        },
        order=("run_id",),
        time="created_at",
    ),
    NodeRow: Table(
        "_smithers_nodes",
        _plain("run_id", "node_id", "iteration", "label", "last_attempt", "output_table")
        | {"logical_id": _LOGICAL, "state": _STATE}
        | _timed("updated_at"),
        order=_TASK,
        time="updated_at",
    ),
    AttemptRow: Table(
        "_smithers_attempts",
        _plain("run_id", "node_id", "iteration", "attempt", "cached")
        | _timed("started_at", "finished_at", "heartbeat_at")
        | {
            "state": _STATE,
            "duration_s": _SECONDS,
            "kind": json_field("meta_json", "kind"),
            "agent": json_field("meta_json", "agentId"),
            "engine": json_field("meta_json", "agentEngine"),
            "model": json_field("meta_json", "agentModel"),
            "retries": json_field("meta_json", "retries"),
            "timeout_ms": json_field("meta_json", "timeoutMs"),
            "retryable": _FIXED_FAILURE,
            "error_name": json_field("error_json", "name"),
            "error_code": json_field("error_json", "code"),
            "error_message": _ERROR_TEXT,
            "error_stack": json_field("error_json", "stack"),
            "error": "[error_json]",
            "response": "[response_text]",
            "reset": f"coalesce({json_field('meta_json', 'resetCancelled')}, 0)",
            "garbled_prompt": _GARBLED,
            "cwd": "[jj_cwd]",
            "session": json_field("meta_json", "agentResume"),
        },
        order=(*_TASK, "attempt"),
        time="started_at",
    ),
    EventRow: Table(
        "_smithers_events",
        _plain("run_id", "seq", "type")
        | {
            "at": "[timestamp_ms]",
            "category": _CATEGORY,
            "node_id": json_field("payload_json", "nodeId"),
            "iteration": json_field("payload_json", "iteration"),
            "attempt": json_field("payload_json", "attempt"),
            "payload": "[payload_json]",
        },
        order=("run_id", "seq"),
        time="at",
    ),
    QuestionRow: Table(
        "_smithers_human_requests",
        _plain("request_id", *_TASK, "kind", "status", "prompt", "answered_by")
        | {"options": "[options_json]", "schema": "[schema_json]", "answer": "[response_json]"}
        | _timed("requested_at", "answered_at", "timeout_at"),
        order=("request_id",),
        time="requested_at",
    ),
    DiffRow: Table(
        "_smithers_node_diffs",
        _plain(*_TASK, "base_ref", "size_bytes")
        | {"patches": f"coalesce({json_field('diff_json', 'patches')}, [diff_json])"}
        | _timed("computed_at"),
        order=(*_TASK, "base_ref"),
        time="computed_at",
    ),
    ScoreRow: Table(
        "_smithers_scorers",
        _plain(*_TASK, "attempt", "scorer_id", "scorer_name", "source", "score", "reason", "duration_ms") | _timed("scored_at"),
        order=(*_TASK, "attempt", "scorer_id"),
        time="scored_at",
    ),
    ToolCallRow: Table(
        "_smithers_tool_calls",
        _plain(*_TASK, "attempt", "seq", "tool_name", "kind", "status", "side_effect", "idempotent")
        | {"input": "[input_json]", "output": "[output_json]", "error": "[error_json]"}
        | _timed("started_at", "finished_at"),
        order=(*_TASK, "attempt", "seq"),
        time="started_at",
    ),
    TokenRow: Table(
        "_smithers_events",
        {
            "run_id": "[run_id]",
            "node_id": json_field("payload_json", "nodeId"),
            "iteration": json_field("payload_json", "iteration"),
            "attempt": json_field("payload_json", "attempt"),
            "agent": f"max({json_field('payload_json', 'agent')})",
            "model": f"max({json_field('payload_json', 'model')})",
            "input_tokens": f"max({json_field('payload_json', 'inputTokens')})",
            "output_tokens": f"max({json_field('payload_json', 'outputTokens')})",
            "cache_read_tokens": f"max({json_field('payload_json', 'cacheReadTokens')})",
            "cache_write_tokens": f"max({json_field('payload_json', 'cacheWriteTokens')})",
            "reasoning_tokens": f"max({json_field('payload_json', 'reasoningTokens')})",
        },
        order=(*_TASK, "attempt"),
        where="[type] = 'TokenUsageReported'",
        group=True,
    ),
    SignalRow: Table(
        "_smithers_signals",
        _plain("run_id", "seq", "signal_name", "correlation_id", "received_by") | {"payload": "[payload_json]"} | _timed("received_at"),
        order=("run_id", "seq"),
        time="received_at",
    ),
    TimeTravelRow: Table(
        "_smithers_time_travel_audit",
        _plain("run_id", "caller", "result", "duration_ms")
        | {"from_frame": "[from_frame_no]", "to_frame": "[to_frame_no]", "at": "[timestamp_ms]"},
        order=("run_id", "at"),
        time="at",
    ),
    BranchRow: Table(
        "_smithers_branches",
        _plain("run_id", "parent_run_id")
        | {"parent_frame": "[parent_frame_no]", "label": "[branch_label]", "description": "[fork_description]"}
        | _timed("created_at"),
        order=("run_id",),
        time="created_at",
    ),
    LoopRow: Table(
        "_smithers_ralph",
        _plain("run_id", "iteration", "done") | {"loop_id": "[ralph_id]"} | _timed("updated_at"),
        order=("run_id", "loop_id"),
        time="updated_at",
    ),
}
"""Row classes that one SELECT can read."""
