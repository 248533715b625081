"""The words of the domain, exactly as Smithers 0.32 writes them.

Values that a store may hold are plain strings, because an unknown one is kept and shown, never refused; the sets below
only say what is known about them. Values that we decide ourselves are `Literal` types.
"""

from __future__ import annotations

from typing import Final, Literal

FailureClass = Literal["workflow-bug", "environment", "agent-flake", "smithers-bug", "unknown"]
Suggestion = Literal["retry", "resume", "rewind", "edit-workflow-and-reset", "fix-environment", "escalate"]
Confidence = Literal["low", "medium", "high"]
Health = Literal["healthy", "blocked", "stuck", "failed", "overBudget"]

NOTEBOOK_ENDS: Final = frozenset({"interrupted", "partial"})
"""How an executed notebook may have ended besides finished and failed: somebody stopped it, or cells of it were never run."""

SESSION_ENDS: Final = frozenset({"interrupted", "cut", "waiting"})
"""How the log of an agent CLI may end besides finished and failed: stopped by a person, unknown, or the agent asked a question."""

SESSION_TURN: Final = "session-turn"
"""Kind of an attempt and a task: what an agent CLI did between two prompts of a person."""

TERMINAL_STATUSES: Final = frozenset({"finished", "continued", "failed", "cancelled"}) | NOTEBOOK_ENDS | SESSION_ENDS
"""Run statuses after which the engine does nothing more by itself."""

_EXIT_CODES: Final = {"finished": 0, "failed": 1, "cancelled": 2}

SUSPENDED_PREFIX: Final = "waiting-"
"""A run status with this prefix is parked, also one that this version has never heard of; so is `paused`."""

NODE_TERMINAL_STATES: Final = frozenset({"finished", "failed", "cancelled", "skipped"})

NOISE_EVENTS: Final = frozenset(
    {"TaskHeartbeat", "SandboxHeartbeat", "FrameCommitted", "SnapshotCaptured", "NodeOutput", "AgentTraceEvent", "AgentTraceSummary"}
)
"""Event types that tell nothing about a failure by themselves and make up most rows of a long run."""

_CATEGORY_BY_PREFIX: Final = (
    ("RunAutoResume", "supervisor"),
    ("Supervisor", "supervisor"),
    ("RunForked", "time-travel"),
    ("Run", "run"),
    ("RetryTask", "time-travel"),
    ("TimeTravel", "time-travel"),
    ("Revert", "time-travel"),
    ("Replay", "time-travel"),
    ("EffectRevert", "time-travel"),
    ("SideEffect", "time-travel"),
    ("NodeOutput", "agent"),
    ("Node", "node"),
    ("TaskHeartbeat", "heartbeat"),
    ("SandboxHeartbeat", "heartbeat"),
    ("Sandbox", "sandbox"),
    ("Approval", "approval"),
    ("ToolCall", "tool"),
    ("OpenApiTool", "tool"),
    ("Agent", "agent"),
    ("TokenUsage", "tokens"),
    ("Frame", "frame"),
    ("Snapshot", "frame"),
    ("Timer", "timer"),
    ("Scorer", "score"),
    ("Memory", "memory"),
    ("WorkflowReload", "reload"),
    ("Oneshot", "oneshot"),
)


def event_category(event_type: str) -> str:
    """Name the group an event type belongs to, `other` for a type that is not known."""
    return next((category for prefix, category in _CATEGORY_BY_PREFIX if event_type.startswith(prefix)), "other")


def category_prefixes() -> tuple[tuple[str, str], ...]:
    """List event type prefixes with their group; the first that fits decides."""
    return _CATEGORY_BY_PREFIX


def exit_code(status: str) -> int:
    """Return the exit code of a command that executed a run: 0 finished, 1 failed, 2 cancelled, 3 for any status that waits."""
    return _EXIT_CODES.get(status, 3)


def is_terminal(status: str) -> bool:
    """Return whether a run of this status is over."""
    return status in TERMINAL_STATUSES


def is_suspended(status: str) -> bool:
    """Return whether a run of this status waits for something outside the engine."""
    return status == "paused" or status.startswith(SUSPENDED_PREFIX)


def logical_id(node_id: str) -> str:
    """Strip the loop suffix of a node id: `review@@round=2` is the task `review`."""
    return node_id.partition("@@")[0]


def sign_of(health: Health, state: str) -> str:
    """Return the state whose sign stands beside a run: its health; of a record with which nothing is wrong how it ended."""
    return state if health == "healthy" and state in NOTEBOOK_ENDS | SESSION_ENDS | {"finished"} else health
