"""The smallest safe repair of a run, and the allow-list of everything a monitor may do.

There are three kinds: resume a run that stopped although nothing blocks it, retry a task that failed by chance, and start a fresh run with
a corrected input, which always asks a person first. Everything else is left to people. `arguments` turns a repair into the engine's
command line and refuses anything that is not exactly one of the three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.advice.stated_input import stated_input
from smithers_nb.diagnosis.advice.suggest import input_of, owner_in
from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.engines.workflow_edits import was_edited
from smithers_nb.diagnosis.state.progress import quota_resets_at
from smithers_nb.errors import ControlRefused
from smithers_nb.redact import redact_value
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.monitor.results import FixRow, Repair

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.conditions import Case
    from smithers_nb.model.explanation import Explanation

_MAX_TRIES: Final = 2
"""Times in a row that the same repair may have no effect before it is no longer tried."""

_INPUT_CLASSES: Final = frozenset({"workflow-bug", "unknown"})
"""Failure classes that a wrong input can cause; for an outage or a flaky model, another input would only hide the cause."""

_HELPED: Final = frozenset({"healthy", "blocked"})
_UP: Final = ("up", "{path}", "--run-id", "{run}", "--resume", "true")
_RETRY: Final = ("retry-task", "{path}", "--run-id", "{run}", "--node-id", "{node}")
_FRESH: Final = ("up", "{path}", "--run-id", "{new}", "--parent-run-id", "{run}", "--input", "{input}")
_ALLOWED: Final = {"resume": _UP, "retry-task": _RETRY, "fresh-run": _FRESH}


def repair_of(case: Case, why: Explanation) -> Repair | None:
    """Return the repair that a monitor may make; None when the run needs a person or no repair."""
    if not case.engine.is_repairable or case.run.cancel_requested_at is not None or _ran_interactively(case):
        return None
    if was_edited(case.run) is True or case.open_gates or case.open_questions:
        return None
    return _resume(case) or _retry(case, why) or _fresh_run(case, why)


def _resume(case: Case) -> Repair | None:
    """Return the resume of a run that stopped although it waits for no decision of a person."""
    run, now = case.run, case.now
    reset = quota_resets_at(case.snapshot) if run.status == "waiting-quota" else None
    if case.lost_worker and not case.rewound and case.fatal is None and not case.retry_storms:
        reason = "the process that ran it is gone"
    elif case.needs_resume:
        reason = "what it waited for has arrived, but nobody resumed it"
    elif any(case.is_overdue(due) for _, due in case.timers) and run.status == "waiting-timer":
        reason = "its timer is overdue"
    elif reset is not None and reset <= now:
        reason = "the provider's limit has been reset"
    else:
        return None
    node = max(case.in_progress, key=lambda attempt: attempt.kind != "cell", default=None)  # a stage is more specific than its cell
    return Repair(
        kind="resume",
        node_id=node.node_id if node else None,
        iteration=node.iteration if node else 0,
        reason=reason,
        command=case.resume(),
    )


def _retry(case: Case, why: Explanation) -> Repair | None:
    """Return a new attempt of a task that failed by chance, if the rules are sure and it repeats no external effect."""
    found, failure = why.classification, why.failure
    if case.run.status != "failed" or found is None or failure is None or why.advice is None or why.advice.suggestion != "retry":
        return None
    owner = owner_in(case.snapshot, failure)
    if found.failure_class != "agent-flake" or found.confidence == "low" or owner is None:
        return None
    if repeated_effects(case.snapshot, reset_preview(case.snapshot, *owner)):
        return None
    reason = f"{owner[0]} failed by chance, so a new attempt may succeed"
    if not case.engine.replays:  # resuming retries the failed task in such an engine
        return Repair(kind="resume", node_id=owner[0], iteration=owner[1], reason=reason, command=case.resume())
    line = case.engine.retry_task(case.run.workflow_path, case.run.run_id, *owner)
    return Repair(kind="retry-task", node_id=owner[0], iteration=owner[1], reason=reason, command=line)


def tried_in_vain(case: Case, repair: Repair, earlier: Sequence[FixRow] = ()) -> str:
    """Return why a repair is not tried again: it had no effect twice in a row, whoever made it. Empty when it may be tried.

    Args:
        case: The run.
        repair: The repair to check.
        earlier: What earlier monitors did about this run, newest first.
    """
    useless = takewhile(lambda row: row.action == action_of(repair) and not (row.resumed and row.health_after in _HELPED), earlier)
    count = max(len(list(useless)), _without_progress(case, repair))
    if count < _MAX_TRIES:
        return ""
    about = f" of {repair.node_id}" if repair.node_id else ""
    return f"the same {repair.kind}{about} has been tried {count} times in a row without effect"


def action_of(repair: Repair) -> str:
    """Return a name that identifies a repair: its kind with its task or new run."""
    return f"{repair.kind} {repair.node_id or repair.new_run_id}#{repair.iteration}"


def _without_progress(case: Case, repair: Repair) -> int:
    """Count the latest repairs of this kind in the run's log after which no node finished."""
    ours = case.snapshot.source.kind == "journal"  # every execution of a notebook finishes its cells again, so only the node itself counts
    restart = "RunResumeRequested" if ours else "RunStarted"
    count, has_started = 0, ours  # in Smithers' log the first start is not a restart
    for event in case.snapshot.events:
        same = (event.node_id, event.iteration or 0) == (repair.node_id, repair.iteration)
        if event.type == "NodeFinished" and (same or (repair.kind == "resume" and (repair.node_id is None or not ours))):
            count = 0
        elif repair.kind == "retry-task":
            count += event.type == "RetryTaskStarted" and same
        elif event.type == restart:
            count, has_started = count + has_started, True
    return count


def arguments(repair: Repair, *, run_id: str, workflow_path: str) -> list[str]:
    """Return the Smithers CLI arguments that carry out a repair of one of the three kinds.

    Raises:
        ControlRefused: `NOT_ALLOWED`, the repair is of another kind, or one of its ids or paths would be parsed as an option.
    """
    form = _ALLOWED.get(repair.kind)
    text = orjson.dumps(repair.input).decode() if repair.input else ""
    values = {"path": workflow_path, "run": run_id, "node": repair.node_id or "", "new": repair.new_run_id, "input": text}
    if form is None:
        raise _not_allowed(f"{repair.kind!r} is not a repair that a monitor may make")
    words = [word.format_map(values) if word.startswith("{") else word for word in form]
    for word in (values[name.strip("{}")] for name in form if name.startswith("{")):
        if not word or word.startswith("-") or any(ord(char) < ord(" ") for char in word):
            raise _not_allowed(f"{word[:60]!r} cannot be an argument of a repair")
    if repair.kind == "retry-task" and repair.iteration > 0:
        words += ["--iteration", str(repair.iteration)]
    return words


def _not_allowed(message: str) -> ControlRefused:
    return ControlRefused(message, code="NOT_ALLOWED", hint="check the run, then do it by hand")


def _ran_interactively(case: Case) -> bool:
    """Return whether a person executed the run in their own kernel, so that nothing else can continue it."""
    return bool(as_object(case.run.config).get("lab"))


def _fresh_run(case: Case, why: Explanation) -> Repair | None:
    """Return the fresh run to propose to a person; None when the input is not at fault or the run must not be repeated.

    Inputs are immutable, so the run itself cannot be corrected. The corrected values come from what a person said in this run or else
    from the last good run of the same workflow, and from nowhere else. The new id is derived from the old one and the input, so the same
    correction is never started twice. There is none for a run that another one launched or that is itself a correction, for an input with
    a secret, which must not be written anywhere, or for a run with external effects, which would be repeated.
    """
    given = input_of(case.snapshot) or {}
    if why.failure_class not in _INPUT_CLASSES or case.run.status != "failed" or case.run.parent_run_id:
        return None
    changes, reason, basis = _corrections(case, why, given)
    if not changes or not changes.keys() <= given.keys():
        return None
    whole = {**given, **changes}
    line = case.engine.fresh_run(case.run.workflow_path, whole)
    if redact_value(whole) != whole or redact_value(given) != given:
        return None
    if any(call.side_effect and not call.idempotent for call in case.snapshot.tool_calls):
        return None
    new_run_id = f"{case.run.run_id}-again-{_digest(whole)}"
    if case.snapshot.source.run_ids(new_run_id, 1):
        return None
    return Repair(
        kind="fresh-run",
        reason=f"{reason}, and this run stays as it is",
        command=line,
        new_run_id=new_run_id,
        input=whole,
        before={name: given[name] for name in changes},
        after=dict(changes),
        basis=basis,
    )


def _corrections(case: Case, why: Explanation, given: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Return the fields to change with their values, the reason, and the origin of the values; what a person said takes precedence."""
    stated = stated_input(case.snapshot, given)
    if stated is not None:
        fields = ", ".join(stated.fields)
        return stated.fields, f"a person said what the input should have been; a fresh run gets {fields} as they said it", stated.where
    good = why.good_input or {}
    reason = f"the input caused the failure; a fresh run gets {', '.join(good)} as the last good run had it"
    return good, reason, f"the last good run, {why.good_run}"


def _digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
