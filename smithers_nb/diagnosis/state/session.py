"""How a session of an agent CLI ended, in words: which record shows it, what went wrong on the way and was recovered, whose fault it was.

Gets a snapshot whose source has session logs; what only that source knows stands in the run's configuration under `session`. A person's
stop and a denial are told as what they are, which is no fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.classify.classify import classify_message
from smithers_nb.diagnosis.classify.refusals import of_rule, of_session, provider_error
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.state.session_advice import session_advice
from smithers_nb.diagnosis.state.session_words import session_words
from smithers_nb.diagnosis.text.quotes import quoted
from smithers_nb.model.verdict import Advice, Classification, Evidence, Failure, Link
from smithers_nb.model.vocabulary import SESSION_TURN
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import FailureClass, Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_QUOTE: Final = 200
_MAX_EVIDENCE: Final = 14
_OWN: Final[dict[str, tuple[FailureClass, str, Suggestion]]] = {
    "permission": ("environment", "a permission rule of the CLI denied the call", "fix-environment"),
    "mcp": ("environment", "an MCP server did not answer", "fix-environment"),
    "environment": ("environment", "the machine did not let the command run", "fix-environment"),
    "claim": ("agent-flake", "the agent reported as done what did not work", "retry"),
    "subagent": ("agent-flake", "a subagent ended in an error instead of a result", "retry"),
    "killed": ("environment", "the CLI was ended while it worked", "resume"),
}
"""Trouble to class, reason and suggestion, where the kind says more than the words."""

_NOTES: Final = {
    "error": "a turn failed",
    "retry": "tried again",
    "person": "a person interrupted",
    "refused": "a person refused",
    "permission": "denied",
    "missing": "not found",
    "mcp": "an MCP server failed",
    "environment": "refused by the machine",
    "killed": "ended, and resumed later",
    "claim": "a person contradicts",
    "subagent": "a subagent without a result",
    "consequence": "failed with a call beside it",
    "silent": "no word and no error",
}
"""Kind of a trouble to what its record is quoted for."""

_RANK: Final = ("error", "retry", "claim", "permission", "subagent", "missing", "mcp")
"""Troubles that give a session its class although it went on, the gravest first."""


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
    cause = session_words(told, deciding, troubles, classification)
    failure = _failure(snapshot, told, deciding) if end["state"] == "failed" and deciding else None
    return SessionCourse(
        summary=cause,
        root_cause=cause if failure else "",
        failure_class=classification.failure_class if classification else None,
        classification=classification,
        failure=failure,
        evidence=_evidence(told, end, deciding, troubles),
        advice=session_advice(snapshot, told, deciding, classification),
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
    open_turn = turn if end["state"] in {"cut", "interrupted", "waiting"} else None
    machine = [one for one in troubles if one["kind"] == "environment" and (one.get("stopped") or one.get("turn") == open_turn)]
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
    return provider_error(text, code) or of_session(classify_message(text, code, task_kind="agent"))


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
        add(one["line"], one.get("text"), _NOTES.get(one["kind"], one["kind"]))
    if (test := told.get("test")) is not None:
        add(test["line"], test.get("command"), "the last test run")
    compactions = told.get("compactions") or ()
    kept = list(found.values())[: _MAX_EVIDENCE - min(len(compactions), 2)]
    return (*kept, *(Evidence(ref=f"line:{line}", quote="", note="the context was summarised") for line in compactions[:2]))


def _failure(snapshot: Snapshot, told: dict[str, Any], deciding: dict[str, Any]) -> Failure:
    text, code = str(deciding.get("text") or ""), str(deciding.get("code") or "")
    own = "" if code.isdecimal() else code
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=f"turn:{told.get('turn')}",
        attempt=1,
        at=snapshot.run.finished_at,
        kind="attempt",
        chain=(Link(name="AgentError", code=code or None, message=text),),
        attempts=1,
        max_attempts=1,
        signatures=(signature(text, own or "AgentError"),),
        task_kind=SESSION_TURN,
        agent=told.get("cli"),
        model=told.get("model"),
        evidence=(quoted(f"line:{deciding['line']}", text, "what decided", _QUOTE),),
    )
