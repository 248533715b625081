"""How a session of an agent CLI ended, in words: which record shows it, what went wrong on the way and was recovered, whose fault it was.

Gets a snapshot whose source has session logs; what only that source knows stands in the run's configuration under `session`. A person's
stop and a denial are told as what they are, which is no fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.classify.classify import classify_message
from smithers_nb.diagnosis.classify.refusals import is_limit, of_rule, provider_error
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.failure.excerpt import telling
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.text.quotes import quoted
from smithers_nb.model.verdict import Advice, Classification, Evidence, Failure, Link
from smithers_nb.model.vocabulary import SESSION_TURN
from smithers_nb.redact import redact
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import FailureClass, Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_QUOTE: Final = 200
_CAUSE: Final = 140
_MAX_EVIDENCE: Final = 14
_MAX_LINES: Final = 4
_OWN: Final[dict[str, tuple[FailureClass, str, Suggestion]]] = {
    "permission": ("environment", "a permission rule of the CLI denied the call", "fix-environment"),
    "mcp": ("environment", "an MCP server did not answer", "fix-environment"),
    "environment": ("environment", "the machine did not let the command run", "fix-environment"),
    "claim": ("agent-flake", "the agent reported as done what did not work", "retry"),
    "subagent": ("agent-flake", "a subagent ended in an error and was taken for completed", "retry"),
    "killed": ("environment", "the CLI was ended while it worked", "resume"),
}
"""Trouble to class, reason and suggestion, where the kind says more than the words."""

_RANK: Final = ("error", "retry", "subagent", "claim", "permission", "missing", "mcp")
"""Troubles that give a session its class although it went on, the gravest first."""

_CLAIM: Final = re.compile(
    r"\b(?:tests? (?:now |all )?pass|all (?:the )?tests|all green|done|fixed|implemented|completed?|works|working|resolved|verified"
    r"|ready)\b",
    re.IGNORECASE,
)
"""Words of an answer that claim that the work is done; a claim without a test run is told as that, and is no fault."""

_CONTEXT: Final = re.compile(r"prompt is too long|context (?:window|length)|maximum context|ContextWindowExceeded", re.IGNORECASE)


@dataclass(frozen=True)
class SessionCourse:
    """What there is to say of a session; the fields are those of an explanation."""

    summary: str
    root_cause: str
    failure_class: FailureClass | None
    classification: Classification | None
    failure: Failure | None
    evidence: tuple[Evidence, ...]
    advice: Advice | None


def session_course(snapshot: Snapshot) -> SessionCourse | None:
    """Explain a session; None for a run of any other kind."""
    told = as_object(snapshot.run.config).get("session")
    return _explained(snapshot, told) if isinstance(told, dict) and isinstance(told.get("end"), dict) else None


def _explained(snapshot: Snapshot, told: dict[str, Any]) -> SessionCourse:
    end, troubles = told["end"], [one for one in told.get("troubles") or () if isinstance(one, dict)]
    deciding = _deciding(end, troubles, told.get("turn"))
    classification = _classified(deciding) if deciding else None
    words = [_first(end, deciding), *_middle(end, deciding, troubles), *_loops(told), *_claim(told, end), *_doubts(told)]
    cause = " ".join(word for word in words if word)
    failure = _failure(snapshot, told, deciding) if end["state"] == "failed" and deciding else None
    return SessionCourse(
        summary=cause,
        root_cause=cause if failure else "",
        failure_class=classification.failure_class if classification else None,
        classification=classification,
        failure=failure,
        evidence=_evidence(told, end, deciding, troubles),
        advice=_advice(snapshot, told, deciding, classification),
    )


def _deciding(end: dict[str, Any], troubles: Sequence[dict[str, Any]], turn: int | None) -> dict[str, Any] | None:
    """Return the trouble that gives the session its class: what ended it, else the gravest, else what the machine refused."""
    at_end = [one for one in troubles if end["reason"] in {"error", "retrying"} and one.get("last") == end["line"]]
    if at_end:
        return at_end[-1]
    for kind in _RANK:
        for one in troubles:
            if one["kind"] == kind and not (kind == "retry" and (one.get("recovered") or _gave_up(one, troubles))):
                return one
    open_ended = end["state"] in {"cut", "interrupted", "waiting"}
    machine = [one for one in troubles if one["kind"] == "environment" and one.get("turn") == turn] if open_ended else []
    return machine[-1] if machine else None


def _gave_up(retry: dict[str, Any], troubles: Sequence[dict[str, Any]]) -> bool:
    """Return whether a row of retries ended in an error, which then stands for it."""
    return any(one["kind"] == "error" and one.get("turn") == retry.get("turn") for one in troubles)


def _classified(trouble: dict[str, Any]) -> Classification:
    kind, text, code = trouble["kind"], str(trouble.get("text") or ""), str(trouble.get("code") or "")
    if kind == "missing":
        own = bool(trouble.get("own"))
        reason = "what was called is there under another name" if own else "what was called is not installed"
        return of_rule("environment" if not own else "workflow-bug", f"session-{kind}", reason, "fix-environment")
    if kind in _OWN:
        failure_class, reason, suggestion = _OWN[kind]
        return of_rule(failure_class, f"session-{kind}", reason, suggestion)
    if found := provider_error(text, code):
        return found
    found = classify_message(text, code, task_kind="agent")
    return replace(found, suggestion="escalate") if found.suggestion == "edit-workflow-and-reset" else found


def _first(end: dict[str, Any], deciding: dict[str, Any] | None) -> str:
    """Summarise in one sentence how it ended, and which line shows it."""
    line, reason = f"line {end['line']}", end["reason"]
    if end["state"] == "failed":
        return f"The last turn failed: {_of_error(end.get('text'), end.get('code'))} ({line})."
    if reason == "retrying":
        tries = f"retry {deciding['count']}{_of(deciding)}" if deciding else "a retry"
        return f"It was stopped while the CLI waited for {tries}: {_of_error(end.get('text'), end.get('code'))} ({line})."
    if end["state"] == "finished":
        return f"It finished: {_its_class(deciding)}the last turn was answered ({line})."
    return {
        "person": f"A person interrupted the last turn ({line}), which is no fault.",
        "exit": f"A person left the session before the last turn was answered ({line}).",
        "asks": f"It waits for a person: {end.get('code') or 'the agent'} asked something, and no answer is recorded ({line}).",
        "open-call": f"The log ends in a call of {end.get('code') or 'a tool'} without a result ({line}): it may still run, wait for a "
        "permission, or have been killed; the log cannot say which.",
        "after-result": f"The log ends after a tool's result, before the agent went on ({line}).",
        "no-answer": f"The log ends before the agent answered the last prompt ({line}).",
        "no-end": f"The log ends in the middle of a turn ({line}).",
        "killed": f"The CLI was ended in a call of {end.get('code') or 'a tool'} ({line}) and resumed, without going on since.",
    }.get(reason, "Nothing was asked in it.") + (f" {_sentence(deciding)}" if deciding else "")


def _its_class(deciding: dict[str, Any] | None) -> str:
    return f"{_clause(deciding)}, after which the work went on; " if deciding else ""


def _middle(end: dict[str, Any], deciding: dict[str, Any] | None, troubles: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Describe what else went wrong on the way, each kind once."""
    rest = [one for one in troubles if one is not deciding and one["line"] != end["line"]]
    turns = [one for one in rest if one["kind"] == "error"]
    if turns:
        yield f"Other turns that failed before: {_lines(turns)} ({_of_error(turns[-1].get('text'), turns[-1].get('code'))})."
    recovered = [one for one in rest if one["kind"] == "retry" and one.get("recovered")]
    if recovered:
        count = sum(int(one.get("count") or 1) for one in recovered)
        yield f"Recovered by itself: {count} {'retry' if count == 1 else 'retries'} of provider errors ({_lines(recovered)})."
    for kind, words in (
        ("permission", "Denied by a permission rule"),
        ("missing", "Not found"),
        ("subagent", "Subagents that delivered nothing"),
        ("mcp", "MCP errors"),
        ("killed", "Ended and resumed"),
        ("claim", "The person said that a reported fix did not work"),
        ("person", "Interrupted by a person"),
        ("refused", "Refused by a person"),
    ):
        if same := [one for one in rest if one["kind"] == kind]:
            yield f"{words}: {_lines(same)}."


def _loops(told: dict[str, Any]) -> Iterator[str]:
    """Describe what was tried again and again."""
    for loop in told.get("loops") or ():
        call = telling(redact(str(loop["call"])), _CAUSE)
        yield f"Failed {loop['count']} times in a row (lines {loop['line']} to {loop['last']}): {call}."


def _claim(told: dict[str, Any], end: dict[str, Any]) -> Iterator[str]:
    """Say what the log has to back the claim that the work is done: the last test run, how it ended, and what was changed after it."""
    edits, test = told.get("edits") or [], told.get("test")
    if end["state"] != "finished" or not edits or not _CLAIM.search(str(end.get("text") or "")):
        return
    claim = f"The last answer says that the work is done (line {end['line']})"
    if test is None:
        yield f"{claim}; the log has changes of files ({_numbers(edits)}) and no test run."
        return
    code = f" with exit code {test['code']}" if test.get("code") not in {None, "", "0"} else ""
    outcome = {"passed": "passed", "failed": f"failed{code}", "open": "has no result"}.get(
        test["outcome"], "does not show its own exit code"
    )
    after = test.get("edits") or []
    changed = f", and files were changed after it ({_numbers(after)})" if after else ", after the last change of a file"
    yield f"{claim}; the last test run (line {test['line']}) {outcome}{changed}."


def _doubts(told: dict[str, Any]) -> Iterator[str]:
    """Describe what the log itself leaves in doubt."""
    if told.get("document"):
        yield "Its records are counted as messages, from 0: line 3 is `.messages[3]`."
    if told.get("ids"):
        yield f"The file holds {len(told['ids'])} session ids; it is read as one, and its last turn decides."
    if told.get("tornTail"):
        yield f"Its last line is torn (line {told['torn'][-1] if told.get('torn') else told.get('lines')}): it was being written."
    elif told.get("torn"):
        yield f"{len(told['torn'])} of its lines are no JSON and were left out (line {told['torn'][0]})."
    if told.get("rolledBack"):
        yield f"{told['rolledBack']} of its {told['turns']} turns were rolled back and do not count."


def _clause(trouble: dict[str, Any]) -> str:
    """Describe what went wrong, as a part of a sentence."""
    where = f"(line {trouble['line']})"
    words = telling(redact(str(trouble.get("text") or "")), _CAUSE).rstrip(".")
    return {
        "error": f"a turn failed with {_of_error(trouble.get('text'), trouble.get('code'))} {where}",
        "retry": f"the provider could not be reached: {_of_error(trouble.get('text'), trouble.get('code'))} {where}",
        "claim": f"the agent reported a fix (line {trouble.get('count')}) that the person found not to work {where}",
        "permission": f"a permission rule denied a call: {words} {where}",
        "missing": f"`{trouble.get('name')}` was called, which is not there{' under that name' if trouble.get('own') else ''} {where}",
        "mcp": f"an MCP server failed: {words} {where}",
        "subagent": f"a subagent that is marked as completed delivered nothing but {words} {where}",
        "environment": f"a command could not run on this machine: {words} {where}",
    }.get(trouble["kind"], f"{words} {where}")


def _sentence(trouble: dict[str, Any]) -> str:
    clause = _clause(trouble)
    return f"Before that, {clause}."


def _of_error(text: object, code: object) -> str:
    words = telling(redact(str(text or "")), _CAUSE).rstrip(".")
    status = str(code or "")
    if not words:
        return f"an error without words{f' (status {status})' if status else ', as when the network is lost'}"
    return words if not status or status in words else f"{words} ({status})"


def _of(trouble: dict[str, Any]) -> str:
    return f" of {trouble['limit']}" if trouble.get("limit") else ""


def _lines(troubles: Sequence[dict[str, Any]]) -> str:
    return _numbers([one["line"] for one in troubles])


def _numbers(lines: Sequence[int]) -> str:
    numbers = [str(line) for line in lines]
    more = f" and {len(numbers) - _MAX_LINES} more" if len(numbers) > _MAX_LINES else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:_MAX_LINES])}{more}"


def _evidence(
    told: dict[str, Any], end: dict[str, Any], deciding: dict[str, Any] | None, troubles: Sequence[dict[str, Any]]
) -> tuple[Evidence, ...]:
    """Quote the records that the answer rests on: what decides, how it ended, then the rest in the order of how grave it is."""
    found: dict[int, Evidence] = {}

    def add(line: int, text: object, note: str) -> None:
        if line not in found:
            found[line] = quoted(f"line:{line}", str(text or ""), note, _QUOTE)

    if deciding:
        add(deciding["line"], deciding.get("text"), "what decided")
        add(deciding.get("last") or deciding["line"], deciding.get("text"), "its last record")
    add(end["line"], end.get("text"), "how it ended")
    grave = {kind: place for place, kind in enumerate((*_RANK, "person", "killed", "refused", "environment"))}
    for one in sorted(troubles, key=lambda one: grave.get(one["kind"], len(grave))):
        add(one["line"], one.get("text"), one["kind"])
    if (test := told.get("test")) is not None:
        add(test["line"], test.get("command"), "the last test run")
    compactions = told.get("compactions") or ()
    kept = list(found.values())[: _MAX_EVIDENCE - min(len(compactions), 2)]
    return (*kept, *(Evidence(ref=f"line:{line}", quote="", note="the context was summarised") for line in compactions[:2]))


def _failure(snapshot: Snapshot, told: dict[str, Any], deciding: dict[str, Any]) -> Failure:
    text, code = str(deciding.get("text") or ""), str(deciding.get("code") or "")
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=f"turn:{told.get('turn')}",
        attempt=1,
        at=snapshot.run.finished_at,
        kind="attempt",
        chain=(Link(name="AgentError", code=code or None, message=text),),
        attempts=1,
        max_attempts=1,
        signatures=(signature(text, code or "AgentError"),),
        task_kind=SESSION_TURN,
        agent=told.get("cli"),
        model=told.get("model"),
        evidence=(quoted(f"line:{deciding['line']}", text, "what decided", _QUOTE),),
    )


def _advice(
    snapshot: Snapshot, told: dict[str, Any], deciding: dict[str, Any] | None, classification: Classification | None
) -> Advice | None:
    """Suggest how the session can go on; nothing for one that finished."""
    end = told["end"]
    if end["state"] == "finished":
        return None
    engine = engine_of(snapshot)
    command = engine.resume(None, snapshot.run.run_id)
    text = str((deciding or {}).get("text") or "")
    suggestion: Suggestion = "resume"
    if (classification and end["state"] == "failed") or end["reason"] == "retrying":
        suggestion = classification.suggestion if classification else "resume"
    if _CONTEXT.search(text):
        detail = "The context is full: resume the session and compact it (`/compact`), or start a new one with a summary."
    elif is_limit(text, str((deciding or {}).get("code") or "")):
        detail, suggestion = "Wait until the limit resets, or change the plan or the model, then resume the session.", "resume"
    elif suggestion == "fix-environment":
        detail = "Waiting will not help: correct what the provider or the machine refuses (model, plan, key, gateway), then resume."
    else:
        suggestion = "resume" if suggestion not in {"resume", "escalate"} else suggestion
        detail = f"Resume the session. {engine.continues}"
    if end["reason"] in {"open-call", "after-result", "no-end"}:
        detail = f"If no process of it is running any more, resume the session. {engine.continues}"
    if (cwd := told.get("cwd")) and command.startswith("claude"):
        detail += f" Run the command in {cwd}."
    return Advice(suggestion=suggestion, detail=detail, commands=(command,))
