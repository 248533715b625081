"""The smallest safe repair of a run, and the list of what a monitor may do at all.

Three kinds exist: a resume of a run that stopped although nothing keeps it from going on, a new attempt of a task that failed by
chance, and a fresh run with a corrected input (`corrected`), which always asks first. Everything else is for a person.
`arguments` turns a repair into the command line of the engine's own program and refuses whatever is not exactly one of the three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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

_IN_VAIN: Final = 2
"""A repair of the same node that changed nothing this often in a row is not tried again."""

_OF_INPUTS: Final = frozenset({"workflow-bug", "unknown"})
"""Classes of failures that an input can be behind; a server that is down, or a model's bad day, another input only hides."""

_HELPED: Final = frozenset({"healthy", "blocked"})
_UP: Final = ("up", "{path}", "--run-id", "{run}", "--resume", "true")
_RETRY: Final = ("retry-task", "{path}", "--run-id", "{run}", "--node-id", "{node}")
_FRESH: Final = ("up", "{path}", "--run-id", "{new}", "--parent-run-id", "{run}", "--input", "{input}")
_ALLOWED: Final = {"resume": _UP, "retry-task": _RETRY, "fresh-run": _FRESH}


def repair_of(case: Case, why: Explanation) -> Repair | None:
    """Return what a monitor may do about a run by itself; None when a person is needed, or nothing."""
    if not case.engine.is_repairable or case.run.cancel_requested_at is not None or _made_by_hand(case):
        return None
    if was_edited(case.run) is True or case.open_gates or case.open_questions:
        return None
    return _resume(case) or _retry(case, why) or corrected(case, why)


def _resume(case: Case) -> Repair | None:
    """A run that stopped, although nothing that a person decides keeps it from going on."""
    run, now = case.run, case.now
    reset = quota_resets_at(case.snapshot) if run.status == "waiting-quota" else None
    if case.lost_worker and not case.rewound and case.fatal is None and not case.retry_storms:
        reason = "the process that ran it is gone"
    elif case.needs_resume:
        reason = "what it waited for has come, and nobody resumed it"
    elif any(case.is_overdue(due) for _, due in case.timers) and run.status == "waiting-timer":
        reason = "its timer is overdue"
    elif reset is not None and reset <= now:
        reason = "the provider's limit has been reset"
    else:
        return None
    node = max(case.in_progress, key=lambda attempt: attempt.kind != "cell", default=None)  # a stage says more than the cell it is in
    return Repair(
        kind="resume",
        node_id=node.node_id if node else None,
        iteration=node.iteration if node else 0,
        reason=reason,
        command=case.resume(),
    )


def _retry(case: Case, why: Explanation) -> Repair | None:
    """A failed run whose task failed by chance, as far as the rules are sure, and repeats nothing outside of the run."""
    found, failure = why.classification, why.failure
    if case.run.status != "failed" or found is None or failure is None or why.advice is None or why.advice.suggestion != "retry":
        return None
    owner = owner_in(case.snapshot, failure)
    if found.failure_class != "agent-flake" or found.confidence == "low" or owner is None:
        return None
    if repeated_effects(case.snapshot, reset_preview(case.snapshot, *owner)):
        return None
    reason = f"{owner[0]} failed by chance, so a new attempt may succeed"
    if not case.engine.replays:  # a resume of such an engine tries the failed task again
        return Repair(kind="resume", node_id=owner[0], iteration=owner[1], reason=reason, command=case.resume())
    line = case.engine.retry_task(case.run.workflow_path, case.run.run_id, *owner)
    return Repair(kind="retry-task", node_id=owner[0], iteration=owner[1], reason=reason, command=line)


def tried_in_vain(case: Case, repair: Repair, earlier: Sequence[FixRow] = ()) -> str:
    """Return why a repair is not tried again: the same one did nothing twice in a row, whoever made it; empty when it may be.

    Args:
        case: The run.
        repair: What would be done.
        earlier: What earlier monitors did about this run, newest first.
    """
    ours = 0
    for row in earlier:
        if row.action != action_of(repair) or (row.resumed and row.health_after in _HELPED):
            break
        ours += 1
    count = max(ours, _without_progress(case, repair))
    if count < _IN_VAIN:
        return ""
    about = f" of {repair.node_id}" if repair.node_id else ""
    return f"the same {repair.kind}{about} has been tried {count} times in a row without effect"


def action_of(repair: Repair) -> str:
    """Name a repair so that the same one has the same name: its kind and the task it is about."""
    return f"{repair.kind} {repair.node_id or repair.new_run_id}#{repair.iteration}"


def _without_progress(case: Case, repair: Repair) -> int:
    """Count the newest repairs of this kind in the run's own log after which nothing was finished."""
    ours = case.snapshot.source.kind == "journal"  # each execution of a notebook finishes cells again, so there only the node itself counts
    restart = "RunResumeRequested" if ours else "RunStarted"
    count, begun = 0, ours
    for event in case.snapshot.events:
        same = (event.node_id, event.iteration or 0) == (repair.node_id, repair.iteration)
        if event.type == "NodeFinished" and (same or (repair.kind == "resume" and (repair.node_id is None or not ours))):
            count = 0
        elif repair.kind == "retry-task":
            count += event.type == "RetryTaskStarted" and same
        elif event.type == restart:
            count, begun = count + begun, True
    return count


def arguments(repair: Repair, *, run_id: str, workflow_path: str) -> list[str]:
    """Return the arguments of the Smithers CLI that carry out a repair: exactly one of the three kinds, nothing else.

    Raises:
        ControlRefused: `NOT_ALLOWED`, the repair is of another kind, or an id or path of it would be taken for an option.
    """
    form = _ALLOWED.get(repair.kind)
    given = orjson.dumps(repair.input).decode() if repair.input else ""
    values = {"path": workflow_path, "run": run_id, "node": repair.node_id or "", "new": repair.new_run_id, "input": given}
    if form is None:
        raise _not_allowed(f"{repair.kind!r} is no repair that a monitor may make")
    words = [word.format_map(values) if word.startswith("{") else word for word in form]
    for word in (values[name.strip("{}")] for name in form if name.startswith("{")):
        if not word or word.startswith("-") or any(ord(char) < ord(" ") for char in word):
            raise _not_allowed(f"{word[:60]!r} cannot be an argument of a repair")
    if repair.kind == "retry-task" and repair.iteration > 0:
        words += ["--iteration", str(repair.iteration)]
    return words


def _not_allowed(message: str) -> ControlRefused:
    return ControlRefused(message, code="NOT_ALLOWED", hint="do it by hand, after looking at it")


def _made_by_hand(case: Case) -> bool:
    return bool(as_object(case.run.config).get("lab"))


def corrected(case: Case, why: Explanation) -> Repair | None:
    """Return the fresh run that a person may agree to; None where the input is not at fault or something keeps it from being repeated.

    Inputs are immutable, so the run itself cannot be put right. What is corrected comes from what a person said in this run, else from
    the last good run of the same workflow, and nowhere else; the new id is made of the old one and the input, so the same correction is
    never started twice. A run that another one launched or that is a correction itself has none. An input with a secret in it is never
    written anywhere, and what the run began outside of itself would be done a second time.
    """
    given = input_of(case.snapshot) or {}
    if why.failure_class not in _OF_INPUTS or case.run.status != "failed" or case.run.parent_run_id:
        return None
    right, reason, basis = _right_input(case, why, given)
    if not right or not right.keys() <= given.keys():
        return None
    whole = {**given, **right}
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
        before={name: given[name] for name in right},
        after=dict(right),
        basis=basis,
    )


def _right_input(case: Case, why: Explanation, given: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Return the fields that are to change with their values, why, and where the values are from; what a person said goes first."""
    said = stated_input(case.snapshot, given)
    if said is not None:
        fields = ", ".join(said.fields)
        return said.fields, f"a person said what the input should have been; a fresh run gets {fields} as they said it", said.where
    good = why.good_input or {}
    reason = f"the input is behind the failure; a fresh run gets {', '.join(good)} as the last good run had it"
    return good, reason, f"the last good run, {why.good_run}"


def _digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
