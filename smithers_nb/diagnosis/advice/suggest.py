"""One suggestion, and the commands that carry it out.

Gets what was found out about a failure and gives back exactly one thing to do. The commands are printed for the engine that
owns the run and are never run by us. A suggestion that already failed for the same signature is not made again.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.engines.base import EngineCommands, engine_of, secret_fields
from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.diagnosis.engines.workflow_edits import was_edited
from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.diagnosis.failure.error_chain import is_group, is_wrapper
from smithers_nb.diagnosis.failure.excerpt import quoting, telling, telling_line
from smithers_nb.diagnosis.failure.naming import name_of
from smithers_nb.diagnosis.failure.stack import own_frame
from smithers_nb.diagnosis.failure.stopped import INTERRUPTED
from smithers_nb.model import timestamps
from smithers_nb.model.verdict import Advice, Classification, Failure
from smithers_nb.redact import short_line
from smithers_nb.sources.base import launching_node
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.diagnosis.history.origins import Origin
    from smithers_nb.model.verdict import ResetPreview
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_ALL: dict[int, str] = {1: "its only attempt", 2: "both attempts"}
_MAX_ANSWER: Final = 800
_INSTEAD: dict[Suggestion, Suggestion] = {
    "retry": "escalate",
    "resume": "retry",
    "rewind": "escalate",
    "edit-workflow-and-reset": "escalate",
    "fix-environment": "escalate",
    "escalate": "escalate",
}
"""What to suggest when a suggestion was followed before and the same failure came back."""


def advise(  # noqa: PLR0913  # all but three are options by name
    snapshot: Snapshot,
    failure: Failure,
    classification: Classification,
    *,
    tried: Collection[Suggestion] = frozenset(),
    workflow_path: str | None = None,
    origin: Origin | None = None,
) -> Advice:
    """Suggest one thing to do about a failure.

    Args:
        snapshot: The run that was asked about; the failure may lie in one of its child runs.
        failure: The failure that mattered.
        classification: Its class and the suggestion its rule makes.
        tried: Suggestions that were followed before and after which the same signature came back.
        workflow_path: The workflow's file, when the caller knows better than the store.
        origin: What lies behind the failure, which is what has to be put right.

    Returns:
        The suggestion, its detail in plain words, and commands that run as printed in the run's project folder.
    """
    case = _case(snapshot, failure, workflow_path)._replace(origin=origin, quote=classification.quote)
    wanted = _choose(case, classification)
    chosen = _INSTEAD[wanted] if wanted in tried and wanted != "fix-environment" else wanted
    detail, lines = _SAY[chosen](case)
    detail += _of_the_origin(case, lines) + _of_the_secrets(case, lines)
    if chosen != wanted:
        detail = f"`{wanted}` was tried before and the same failure came back. {detail}"
    if case.edited:
        detail, lines = f"{detail} {_of_the_edit(case, lines)}", [case.cli.accepting_change(command) for command in lines]
    where = commands_folder(snapshot) if lines else None
    return Advice(suggestion=chosen, detail=f"{detail} {where}" if where else detail, commands=tuple(dict.fromkeys(lines)))


def after_a_stop(engine: EngineCommands) -> str:
    """Say how every cell of a notebook is run that did not come to its end."""
    return f"To have every cell run, run the notebook again. {engine.continues}"


def owner_in(snapshot: Snapshot, failure: Failure) -> tuple[str, int] | None:
    """Name the node of the run that was asked about which a failure, possibly in a child run, belongs to."""
    run_id = snapshot.run.run_id
    if failure.run_id == run_id:
        return (failure.node_id, failure.iteration) if failure.node_id else None
    below = (*failure.parents, failure.run_id)
    child = below[below.index(run_id) + 1] if run_id in below[:-1] else failure.run_id
    return launching_node(child, run_id)


class _Case(NamedTuple):
    """What a suggestion may depend on.

    Attributes:
        owner: The node of the run that was asked about which the failure belongs to.
        preview: What a retry-task of it resets.
        effects: Nodes whose side effect a retry-task would repeat.
        edited: The workflow was edited since the run was started.
        origin: What lies behind the failure.
        quote: Part of a long error by which it was recognised.
    """

    snapshot: Snapshot
    failure: Failure
    path: str | None
    owner: tuple[str, int] | None
    preview: ResetPreview | None
    effects: tuple[str, ...]
    edited: bool
    origin: Origin | None = None
    quote: str = ""

    @property
    def run_id(self) -> str:
        return self.snapshot.run.run_id

    @property
    def engine(self) -> EngineCommands:
        return engine_of(self.snapshot)

    @property
    def cli(self) -> EngineCommands:
        return self.engine

    @property
    def resume(self) -> str:
        return self.cli.resume(self.path, self.run_id)

    @property
    def is_unsafe(self) -> bool:
        """The node that failed has begun something outside the run."""
        return self.owner is not None and self.owner[0] in self.effects


def _case(snapshot: Snapshot, failure: Failure, workflow_path: str | None) -> _Case:
    owner = owner_in(snapshot, failure)
    preview = reset_preview(snapshot, *owner) if owner else None
    effects = repeated_effects(snapshot, preview) if preview else ()
    edited = was_edited(snapshot.run, Path(workflow_path) if workflow_path else None) is True
    return _Case(snapshot, failure, workflow_path or snapshot.run.workflow_path, owner, preview, effects, edited)


def _choose(case: _Case, classification: Classification) -> Suggestion:
    if case.snapshot.run.status == "waiting-quota":
        return "resume"
    if case.engine.is_record and classification.suggestion in {"resume", "rewind"}:
        return "retry"
    if not case.engine.has_workflow and classification.suggestion == "edit-workflow-and-reset":
        return "escalate"
    if case.failure.kind in {"denied", "none"} or (classification.suggestion in {"retry", "rewind"} and case.is_unsafe):
        return "escalate"
    return classification.suggestion


def _retry(case: _Case) -> tuple[str, list[str]]:
    if case.failure.kind == INTERRUPTED:
        detail = "If a time limit stopped it, raise the limit, or give what the cell waits for one of its own."
        return f"{detail} {after_a_stop(case.engine)}", [case.engine.fresh_run(None, None)]
    if case.owner is None or case.preview is None:
        return f"{_may_succeed(case.failure, 'the run')}; continue it.", [case.resume]
    if not case.engine.replays:
        name = name_of(case.failure) or case.owner[0]
        return f"{_may_succeed(case.failure, name)}. {case.engine.continues}", [case.resume]
    node_id, attempts = case.owner[0], case.failure.attempts
    used = f"{node_id} has used up {_ALL.get(attempts, f'all {attempts} attempts')}" if attempts else f"{node_id} has failed"
    detail = (
        f"{_may_succeed(case.failure, 'a new attempt')}. {used}: a resume would only replay the recorded error, "
        f"`retry-task` grants new attempts. It {case.preview.summary}."
    )
    return _with_new_attempts(case, case.owner, detail)


def _may_succeed(failure: Failure, what: str) -> str:
    if failure.persistent:
        return f"{what[:1].upper()}{what[1:]} may succeed, although every attempt so far failed in the same way"
    return f"The failure looks transient, so {what} may succeed"


def _with_new_attempts(case: _Case, owner: tuple[str, int], detail: str) -> tuple[str, list[str]]:
    """Add the retry-task, what must come before it, and the side effects that it repeats."""
    lines = [case.cli.retry_task(case.path, case.run_id, *owner)]
    if _is_active(case.snapshot.run.status):
        detail += " The run is still going: let it end or cancel it first, before that a retry-task is refused."
        lines.insert(0, case.cli.cancel(case.run_id))
    if case.effects:
        detail += f" Caution: {', '.join(case.effects)} did something outside the run, and will do it again."
    return detail, lines


def _is_active(status: str) -> bool:
    """Return whether Smithers refuses a retry-task because a run may still move by itself."""
    return status == "running" or status.startswith("waiting-")


def _resume(case: _Case) -> tuple[str, list[str]]:
    reset = case.failure.details.get("quotaResetAtMs") or case.failure.details.get("resetAtMs")
    when = f" after {timestamps.when(reset)}, when the provider's limit resets" if isinstance(reset, int) else ""
    detail = f"The run can continue from where it stopped{when}; finished tasks do not run again."
    return detail, [case.resume]


def _rewind(case: _Case) -> tuple[str, list[str]]:
    if case.origin and (good := case.origin.good_frame):
        detail = (
            f"Go back to frame {good.number}, the last before `{good.node}` answered without `{good.field}`, then continue: it is asked "
            "again. Attempts and outputs after that frame are dropped."
        )
        return detail, [case.cli.rewind(case.run_id, good.number), case.cli.resume(case.path, case.run_id, force=True)]
    frame = next((travel.to_frame for travel in reversed(case.snapshot.time_travel) if travel.to_frame >= 0), 0)
    detail = f"State after frame {frame} is bad; go back to it, then continue. Later attempts and outputs are dropped."
    return detail, [case.cli.rewind(case.run_id, frame), case.cli.resume(case.path, case.run_id, force=True)]


def _fix_environment(case: _Case) -> tuple[str, list[str]]:
    blamed = _what_to_fix(case.failure, case.quote)
    if case.owner is None or case.preview is None:
        force = case.failure.code == "AUTO_RESUME_GAVE_UP"
        return f"Fix {blamed}, then continue the run.", [case.cli.resume(case.path, case.run_id, force=force)]
    if case.is_unsafe:
        return f"Fix {blamed}. {_of_the_effect(case)}", [_look(case), _afresh(case)]
    if not case.engine.replays:
        return f"Fix {blamed}, then {case.engine.after_a_fix}. {case.engine.continues}", [case.resume]
    detail = (
        f"Fix {blamed}, then give {case.owner[0]} new attempts; a resume would only replay the recorded error. "
        f"`retry-task` {case.preview.summary}."
    )
    return _with_new_attempts(case, case.owner, detail)


def _edit(case: _Case) -> tuple[str, list[str]]:
    frame = own_frame(case.failure.chain)
    file = (case.path or "the workflow").replace("\\", "/").rpartition("/")[2]
    place = f"{frame.place} of {file}" if frame and frame.is_cell else frame.place if frame else file
    kind = {"cell": "cell", "stage": "stage", "notebook-cell": "cell"}.get(case.failure.task_kind or "", "task")
    name = name_of(case.failure)
    what = f"the {kind} {name if '“' in name else f'`{name}`'}" if name else "the workflow"
    detail = f"Edit {place} so that {what} no longer fails with: {_in_a_sentence(_said(case.failure), case.quote)}"
    if case.engine.is_record:
        return f"{detail} Then run it again. {case.engine.continues}", [case.resume]
    if not case.engine.replays:
        return f"{detail} Then go on with this run, or start a fresh one. {case.engine.continues}", [case.cli.accepting_change(case.resume)]
    detail += " Then start a fresh run."
    detail += "" if case.edited else " After you edit the file this run can no longer be resumed (RESUME_METADATA_MISMATCH)."
    if case.is_unsafe:
        return f"{detail} {_of_the_effect(case)}", [_look(case), _afresh(case)]
    if _is_active(case.snapshot.run.status):
        return f"{detail} End this one first.", [case.cli.cancel(case.run_id), _afresh(case)]
    return detail, [_afresh(case)]


def _escalate(case: _Case) -> tuple[str, list[str]]:
    failure = case.failure
    if failure.kind == "denied":
        who = failure.details.get("decidedBy") or "somebody"
        detail = f"{who} denied {failure.node_id}; talk to them before anything is run again."
        return detail, [case.cli.inspect(case.run_id)]
    lines = [case.cli.inspect(case.run_id), case.cli.events(case.run_id)]
    if failure.node_id:
        lines.insert(1, _look(case))
    detail = f"A person must decide: {_why_escalate(failure, is_record=case.engine.is_record)}"
    return (f"{detail} {_of_the_effect(case)}", [*lines, _afresh(case)]) if case.is_unsafe else (detail, lines)


def _why_escalate(failure: Failure, *, is_record: bool) -> str:
    if is_record and not failure.message:
        return "the file does not say what went wrong; look at what was done right before."
    if failure.kind == "none" or not failure.message:
        return "the store does not say what went wrong; look at the attempts, the events and the engine's log."
    return f"look at {name_of(failure) or 'the run'} and its error: {_in_a_sentence(failure.message)}"


def _of_the_effect(case: _Case) -> str:
    """Explain why a task with a side effect gets no retry-task."""
    return (
        f"{case.failure.node_id} does something outside the run and had begun it: check whether that happened. If it did not, start a "
        "fresh run, which does it again; a `retry-task` would repeat it too, and Smithers 0.32 then fails on its own journal."
    )


def _of_the_edit(case: _Case, lines: list[str]) -> str:
    """Describe what it means that the workflow is not the one the run was started with."""
    name = (case.path or "The workflow").replace("\\", "/").rpartition("/")[2]
    if all(case.cli.accepting_change(command) == command for command in lines):
        return f"{name} was edited since this run was started: if that was the repair, check it and start the fresh run."
    return (
        f"{name} was edited since this run was started, so the command has `--accept-workflow-change`: you then answer for that the tasks "
        "that are finished still fit the new text."
    )


def _of_the_origin(case: _Case, lines: list[str]) -> str:
    """State that what has to be put right lies further up, and that the same input would fail again."""
    origin = case.origin
    if origin is None:
        return ""
    told = f" What has to be done again is `{origin.producer}`, where the value came in." if origin.kind == "answer" else ""
    if origin.good_input and any(line == _afresh(case) for line in lines):
        fields = ", ".join(f"`{field}`" for field in origin.good_input)
        told += f" The same input would fail again: the command has {fields} as in the last good run; change it if another value was meant."
    return told


def _of_the_secrets(case: _Case, lines: list[str]) -> str:
    """Describe what the command for a fresh run leaves to fill in."""
    secret = secret_fields(_given(case)) if any(line == _afresh(case) for line in lines) else []
    fields = ", ".join(f"`{short_line(field, 60)}`" for field in secret)
    return f" Fill in {fields} where the command has …: secrets of the run's input are not printed." if secret else ""


def _look(case: _Case) -> str:
    return case.cli.node(case.failure.run_id, case.failure.node_id or "", case.failure.iteration)


def _afresh(case: _Case) -> str:
    """Start it again with the same input, or, where that input is what made it fail, as the last good run had it."""
    return case.cli.fresh_run(case.path, _given(case))


def _given(case: _Case) -> dict[str, Any]:
    return {**(input_of(case.snapshot) or {}), **((case.origin and case.origin.good_input) or {})}


_SAY: Final = {
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


def _what_to_fix(failure: Failure, quote: str) -> str:
    """Name the thing in the environment that the error is about, as precisely as the error does."""
    details = failure.details
    if said := str(details.get("answer") or "")[:_MAX_ANSWER]:
        return f"what the agent says ({telling(said).rstrip('.')})"
    error = quoting(_innermost(failure), quote).rstrip(".")
    for key, words in _NAMED_BY:
        if details.get(key):
            port = f":{details['port']}" if key == "address" and details.get("port") else ""
            return f"{words.format(details[key])}{port} ({error})"
    return f"what the error names ({error})"


def _said(failure: Failure) -> str:
    """Return the message of a failure, or where it has none, what was thrown."""
    name = failure.chain[0].name if failure.chain else None
    return failure.message if failure.message.strip() or not name else f"{name} without a message"


def _innermost(failure: Failure) -> str:
    """Return the message that says most about what to put right: of a program what it printed, of a chain its innermost cause."""
    printed = str(failure.details.get("stderr") or failure.details.get("stdout") or "")
    if failure.code == "CalledProcessError" and (line := telling_line(printed)):
        return line
    told = [link.message for link in failure.chain if link.message and not is_wrapper(link)]
    if failure.chain and is_group(failure.chain[0]):
        return "; ".join(told[1:]) or failure.message
    return told[-1] if told and failure.kind == "attempt" else failure.message


def _in_a_sentence(message: str, quote: str = "") -> str:
    """Put an error in one line that ends a sentence."""
    line = quoting(message, quote)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def input_of(snapshot: Snapshot) -> dict[str, Any] | None:
    """Return what a run was given, field by field; None when nothing is recorded."""
    row = next((o.row for o in snapshot.outputs if o.node_id == "input"), None)
    given = {key: item for key, item in as_object(row).items() if item is not None}
    payload = given.get("payload")
    return (as_object(payload) if set(given) == {"payload"} and isinstance(payload, str) else given) or None
