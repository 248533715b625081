"""Messages of DBOS's own exceptions.

DBOS stores an exception as the arguments of its constructor, so the message that a person would have read is not in the database. It is
written here from those arguments; `tests/sources/dbos/test_own_errors.py` checks the arguments against the installed version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

WORDS: Final[dict[str, Callable[..., str]]] = {
    "DBOSQueryTimeoutError": lambda seconds: f"a query of DBOS's own tables was cancelled after its time limit of {seconds:g} s",
    "DBOSConflictingWorkflowError": lambda run, detail=None: f"different workflows were started with the same id {run}{_more(detail)}",
    "DBOSRecoveryError": lambda run, detail=None: f"workflow {run} could not be recovered{_more(detail)}",
    "DBOSInitializationError": lambda detail: f"DBOS could not be started{_more(detail)}",
    "DBOSWorkflowFunctionNotFoundError": lambda run, detail=None: (
        f"workflow {run} could not be executed: the running application has no such workflow function{_more(detail)}"
    ),
    "DBOSNonExistentWorkflowError": lambda role, run: f"there is no {role} workflow with the id {run}",
    "DBOSStreamTimeoutError": lambda run, key, seconds=None: (
        f"no value arrived on stream {key} of workflow {run}" + (f" within {seconds} s" if seconds is not None else "")
    ),
    "DBOSStreamNondeterminismError": lambda run, key: (
        f"two reads of stream {key} in workflow {run} are in progress at once, so its course is not deterministic"
    ),
    "MaxRecoveryAttemptsExceededError": lambda run, limit=None: (
        f"workflow {run} was executed or recovered more often than its maximum"
        + (f" of {limit}" if limit is not None else "")
        + " and never finished"
    ),
    "DBOSNotAuthorizedError": lambda detail: f"not authorized: {detail}",
    "DBOSMaxStepRetriesExceeded": lambda step, limit, _errors=None: f"step {step} failed on each of its {limit} retries",
    "DBOSStepTimeoutError": lambda step, seconds: f"step {step} was cancelled after its own time limit of {seconds} s",
    "DBOSUnexpectedStepError": lambda run, number, expected, recorded: (
        f"workflow {run} is not deterministic: its step {number} was recorded as {recorded}, and now the code calls {expected} there"
    ),
    "DBOSStepNondeterminismError": lambda run, number: (
        f"workflow {run} is not deterministic: one execution recorded its step {number} twice with different results"
    ),
    "DBOSPatchNondeterminismError": lambda run, patch, detail: (
        f"patch {patch} cannot be applied to workflow {run}, which is not deterministic{_more(detail)}"
    ),
    "DBOSQueueDeduplicatedError": lambda run, queue, key: (
        f"workflow {run} was not enqueued: queue {queue} already has one with the deduplication id {key}"
    ),
    "DBOSWorkflowIDInUseError": lambda run, status, name: f"workflow id {run} is already in use by {name}, which is {status}",
    "DBOSAwaitedWorkflowCancelledError": lambda run: f"the workflow {run} that it waits for was cancelled",
    "DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded": lambda run: (
        f"the workflow {run} that it waits for was recovered more often than its maximum and never finished"
    ),
    "DBOSWorkflowConflictIDError": lambda run: f"workflow {run} is no longer owned by this execution",
}
"""Class of an exception to a function that writes its message from the stored arguments."""


def own_words(kind: str, args: Sequence[Any]) -> str:
    """Return the message of an exception of DBOS; empty for any other class, and for arguments of another version."""
    if kind not in WORDS:
        return ""
    try:
        return WORDS[kind](*args)
    except (TypeError, ValueError):
        return ""


def _more(detail: object) -> str:
    return f": {detail}" if detail else ""
