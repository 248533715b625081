"""One suggestion, and the commands that carry it out.

Gets what was found out about a failure and gives back exactly one thing to do. The commands are printed for the engine that
owns the run and are never run by us. A suggestion that already failed for the same signature is not made again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis import commands
from smithers_nb.diagnosis.reset import reset_preview
from smithers_nb.diagnosis.stack import own_frame
from smithers_nb.model.verdict import Advice, Classification, Failure
from smithers_nb.sources.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_INSTEAD: dict[Suggestion, Suggestion] = {
    "retry": "escalate",
    "resume": "retry",
    "rewind": "escalate",
    "edit-workflow-and-reset": "escalate",
    "fix-environment": "escalate",
    "escalate": "escalate",
}
"""What to suggest when a suggestion was followed before and the same failure came back."""


def advise(
    snapshot: Snapshot,
    failure: Failure,
    classification: Classification,
    *,
    tried: Collection[Suggestion] = frozenset(),
    workflow_path: str | None = None,
) -> Advice:
    """Suggest one thing to do about a failure.

    Args:
        snapshot: The run that was asked about; the failure may lie in one of its child runs.
        failure: The failure that mattered.
        classification: Its class and the suggestion its rule makes.
        tried: Suggestions that were followed before and after which the same signature came back.
        workflow_path: The workflow's file, when the caller knows better than the store.

    Returns:
        The suggestion, its detail in plain words, and commands that run as printed in the run's project folder.
    """
    wanted = _choose(snapshot, failure, classification)
    chosen = _INSTEAD[wanted] if wanted in tried and wanted != "fix-environment" else wanted
    path = workflow_path or snapshot.run.workflow_path
    detail, lines = _SAY[chosen](snapshot, failure, path)
    if chosen != wanted:
        detail = f"`{wanted}` was tried before and the same failure came back. {detail}"
    where = f" Run the commands in {snapshot.run.root}." if snapshot.run.root and lines else ""
    return Advice(suggestion=chosen, detail=detail + where, commands=tuple(lines))


def owner_in(snapshot: Snapshot, failure: Failure) -> tuple[str, int] | None:
    """Name the node of the run that was asked about which a failure, possibly in a child run, belongs to."""
    run_id = snapshot.run.run_id
    if failure.run_id == run_id:
        return (failure.node_id, failure.iteration) if failure.node_id else None
    below = (*failure.parents, failure.run_id)
    child = below[below.index(run_id) + 1] if run_id in below[:-1] else failure.run_id
    node_id, _, iteration = child.removeprefix(f"{run_id}:child:").rpartition(":")
    if node_id and iteration.isdigit():
        return node_id, int(iteration)
    return None


def _choose(snapshot: Snapshot, failure: Failure, classification: Classification) -> Suggestion:
    if snapshot.run.status == "waiting-quota":
        return "resume"
    if failure.kind in {"denied", "none"}:
        return "escalate"
    return classification.suggestion


def _retry(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    owner = owner_in(snapshot, failure)
    if owner is None:
        return "The failure looks transient; continue the run.", [commands.resume(path, snapshot.run.run_id)]
    preview = reset_preview(snapshot, *owner)
    used = f"All {failure.attempts} attempt(s) of {owner[0]} are used up" if failure.attempts else f"{owner[0]} has failed"
    detail = (
        f"The failure looks transient, so a new attempt may succeed. {used}: a resume would only replay the recorded error, "
        f"`retry-task` grants new attempts. It {preview.summary}."
    )
    return detail, [commands.retry_task(path, snapshot.run.run_id, *owner)]


def _resume(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    reset = failure.details.get("quotaResetAtMs") or failure.details.get("resetAtMs")
    when = f" after {_utc(reset)}, when the provider's limit resets" if isinstance(reset, int) else ""
    detail = f"The run can continue from where it stopped{when}; finished tasks do not run again."
    return detail, [commands.resume(path, snapshot.run.run_id)]


def _rewind(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    frame = next((travel.to_frame for travel in reversed(snapshot.time_travel) if travel.to_frame >= 0), 0)
    detail = f"State after frame {frame} is bad; go back to it, then continue. Later attempts and outputs are dropped."
    del failure
    return detail, [commands.rewind(snapshot.run.run_id, frame), commands.resume(path, snapshot.run.run_id)]


def _fix_environment(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    owner = owner_in(snapshot, failure)
    blamed = _what_to_fix(failure)
    if owner is None:
        force = failure.code == "AUTO_RESUME_GAVE_UP"
        return f"Fix {blamed}, then continue the run.", [commands.resume(path, snapshot.run.run_id, force=force)]
    preview = reset_preview(snapshot, *owner)
    detail = (
        f"Fix {blamed}, then give {owner[0]} new attempts; a resume would only replay the recorded error. `retry-task` {preview.summary}."
    )
    return detail, [commands.retry_task(path, snapshot.run.run_id, *owner)]


def _edit(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    frame = own_frame(failure.chain)
    place = f"{frame.name}:{frame.line}" if frame else (path or "the workflow").rpartition("/")[2]
    what = f"the task `{failure.node_id}`" if failure.node_id else "the workflow"
    detail = (
        f"Edit {place} so that {what} no longer fails with: {_first_line(failure.message)} Then start a fresh run; "
        "an edit while this run is still resumable makes a resume refuse with RESUME_METADATA_MISMATCH."
    )
    return detail, [commands.fresh_run(path, _input_of(snapshot))]


def _escalate(snapshot: Snapshot, failure: Failure, path: str | None) -> tuple[str, list[str]]:
    del path
    run_id = snapshot.run.run_id
    if failure.kind == "denied":
        who = failure.details.get("decidedBy") or "somebody"
        detail = f"{who} denied {failure.node_id}; talk to them before anything is run again."
        return detail, [commands.inspect(run_id)]
    lines = [commands.inspect(run_id), commands.events(run_id)]
    if failure.node_id:
        lines.insert(1, commands.node(failure.run_id, failure.node_id, failure.iteration))
    return f"A person must decide: {_why_escalate(failure)}", lines


def _why_escalate(failure: Failure) -> str:
    if failure.kind == "none" or not failure.message:
        return "the store does not say what went wrong; look at the attempts, the events and the engine's log."
    return f"look at {failure.node_id or 'the run'} and its error: {_first_line(failure.message)}"


_SAY = {
    "retry": _retry,
    "resume": _resume,
    "rewind": _rewind,
    "fix-environment": _fix_environment,
    "edit-workflow-and-reset": _edit,
    "escalate": _escalate,
}


_NAMED_BY = (
    ("path", "{}"),
    ("url", "the service at {}"),
    ("address", "the service at {}"),
    ("command", "the command {}"),
    ("logFile", "the start-up failure in {}"),
)


def _what_to_fix(failure: Failure) -> str:
    """Name the thing in the environment that the error is about, as precisely as the error does."""
    details = failure.details
    for key, words in _NAMED_BY:
        if details.get(key):
            port = f":{details['port']}" if key == "address" and details.get("port") else ""
            return f"{words.format(details[key])}{port} ({_first_line(failure.message)})"
    return f"what the error names ({_first_line(failure.message)})"


def _first_line(message: str) -> str:
    line = message.strip().partition("\n")[0][:300]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _input_of(snapshot: Snapshot) -> dict[str, Any] | None:
    row = next((o.row for o in snapshot.outputs if o.node_id == "input"), None)
    given = {key: item for key, item in as_object(row).items() if item is not None}
    payload = given.get("payload")
    return (as_object(payload) if set(given) == {"payload"} and isinstance(payload, str) else given) or None


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
